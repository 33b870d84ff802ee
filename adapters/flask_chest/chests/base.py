"""``FlaskChest``: a store that takes a request's variables as triples, and how a recorder writes to it."""

from __future__ import annotations

import json
import logging
import time
import uuid
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, Final, TypeAlias

from flask import Flask

from chest import ChestUnavailable, Outcome, Record, RecordRejected, SettingsError
from chest.adapter import Chest, ReadableChest, as_plain

__all__ = ["DEFAULT_SCHEMA", "FlaskChest", "Triple", "TriplesChest", "record_of", "records_of", "triples_of"]

Triple: TypeAlias = tuple[str, Any, str]
"""A variable: its name, its value, and the id of the request that set it."""


DEFAULT_SCHEMA: Final[dict[str, Any]] = {"name": "flask_chest", "fields": {"name": "TEXT", "value": "TEXT"}}
"""Flask-Chest's table, for :mod:`flask_chest.sqlite_utils`. Naming another table in here changes no chest."""


class FlaskChest:
    """A store for variables, in Flask-Chest's shape: subclass it, and implement :meth:`write`.

    Example::

        class PrintingChest(FlaskChest):
            def write(self, context_tuple_list):
                for name, value, request_id in context_tuple_list:
                    print(request_id, name, value)

    To store whole records, many at once, subclass ``chest.chests.Chest`` instead.

    :param app: ignored, for compatibility with Flask-Chest; a chest serves any number of applications.
    :param name: a label for messages.
    :param logger: the chest's logger; None logs warnings only.
    :raises SettingsError: ``app`` is not an application.
    """

    # A subclass written for Flask-Chest may never call this class's __init__.
    app: Flask | None = None
    name: str | None = None
    logger: logging.Logger | None = None
    _store: Any = None
    """The chest of Chest that does what :meth:`write` does, for many records at once."""
    _keeps_requests: ClassVar[bool] = False
    """True if that chest stores whole records and not only variables."""

    def __init__(self, app: Flask | None = None, name: str | None = None, logger: logging.Logger | None = None) -> None:
        if app is not None and not isinstance(app, Flask):
            raise SettingsError(
                f"The first argument of {type(self).__name__} is app=, a Flask application or None, and no"
                f" {type(app).__name__}: give the others by name, such as name= and url=."
            )
        self.app, self.name, self.logger = app, name, logger

    def write(self, context_tuple_list: Sequence[Triple]) -> None:
        """Store the variables of one request; raise if that fails.

        Called in the request (``raise_exceptions=True``) it sees values as the view left them on ``g``, of any type;
        called by a recorder, what the record holds: JSON values, redacted.

        By a recorder, what is raised decides what becomes of the record: ``ValueError``, ``TypeError``, ``LookupError``
        and ``RecordRejected`` say that this one cannot be stored, so it is dropped and counted; anything else says that
        the store is not there just now, and the record is tried again.

        :param context_tuple_list: ``(variable_name, variable_value, request_id)`` each, in the order of ``tracked_vars``.
        """
        raise NotImplementedError(f"{type(self).__name__} has no write(context_tuple_list), which every chest needs")

    def write_record(self, record: Record) -> None:
        """:meth:`write`, for one record of a recorder."""
        self.write(triples_of(record))

    def check(self) -> None:
        """Raise if variables could not be written; write nothing. A subclass may override it."""
        if self._store is not None:
            self._store.check()

    def close(self) -> None:
        """Close the store; the next write opens it again. A subclass may override it."""
        if self._store is not None:
            self._store.close()

    @property
    def chest(self) -> Chest:
        """The same store as Chest's recorders and middleware take it: ``FlaskRecorder(app, chests=[mine.chest])``."""
        if self._store is None or not self._writes_as_ours:
            return TriplesChest(self)
        is_told = self.logger is not None and not isinstance(self._store, ReadableChest)
        return _ToldChest(self._store, self) if is_told else self._store

    @property
    def takes_records(self) -> bool:
        """True if whole records are written to :attr:`chest`, and not triples, also in the request."""
        return self._keeps_requests and self._writes_as_ours

    @property
    def _writes_as_ours(self) -> bool:
        """True if ``write`` is this package's and not a subclass's own."""
        return type(self).write.__module__.partition(".")[0] == __name__.partition(".")[0]

    @property
    def label(self) -> str:
        """The chest's name for messages, without secrets."""
        return f"{type(self).__name__}(name={self.name})" if self.name else type(self).__name__

    def to_dict(self) -> dict[str, Any]:
        """A description without secrets; ``str()`` gives it as JSON."""
        return {"type": type(self).__name__, "name": self.name}

    def _say(self, count: int) -> None:
        if self.logger is not None:
            self.logger.debug("%s: wrote %d variables", self.label, count)

    def __repr__(self) -> str:
        return f"<{self.label}>"

    def __str__(self) -> str:
        return json.dumps(self.to_dict(), indent=4, default=str)


class _ToldChest(Chest):
    """Passes calls to another chest, and logs to the logger of a :class:`FlaskChest` what was written and what failed.

    :param store: the other chest.
    :param of: the one with the logger and the label.
    """

    def __init__(self, store: Chest, of: FlaskChest) -> None:
        self.name = store.name
        self.is_idempotent = store.is_idempotent  # type: ignore[misc]  # that of the store
        self.is_write_checked = store.is_write_checked  # type: ignore[misc]
        self._store, self._of = store, of

    @property
    def takes_encoded(self) -> bool:
        return bool(getattr(self._store, "takes_encoded", False))

    def open(self) -> None:
        self._store.open()

    def write(self, records: Sequence[Record]) -> None:
        try:
            self._store.write(records)
        except Exception as error:
            if self._of.logger is not None:
                self._of.logger.debug("%s: %d records were not written: %s", self._of.label, len(records), error)
            raise
        self._of._say(sum(len(record.variables) for record in records))

    def check(self) -> None:
        self._store.check()

    def counts(self) -> Mapping[str, int]:
        return self._store.counts()

    def wait_at_most(self, seconds: float) -> bool:
        return self._store.wait_at_most(seconds)

    def close(self) -> None:
        self._store.close()


class TriplesChest(Chest):
    """Writes each record's variables to a :class:`FlaskChest`, one call a request, as Flask-Chest does.

    Such a store knows no transaction over several requests: when it fails in the middle of a batch, what it has of the
    batch is remembered, and not written again when the rest is.
    """

    is_idempotent: ClassVar[bool] = False

    def __init__(self, triples: FlaskChest) -> None:
        self.name = triples.label
        self._triples = triples
        self._written: set[str] = set()

    def open(self) -> None:
        """Nothing: a chest for triples opens when it is written to."""

    def write(self, records: Sequence[Record]) -> None:
        for record in records:
            if record.id not in self._written:
                self._write(record)
                self._written.add(record.id)
        self._written.difference_update(record.id for record in records)

    def check(self) -> None:
        self._triples.check()

    def close(self) -> None:
        self._triples.close()

    def _write(self, record: Record) -> None:
        try:
            self._triples.write_record(record)
        except RecordRejected as error:
            raise RecordRejected(str(error), [record.id]) from error
        except (ChestUnavailable, OSError):  # an OSError may be a ValueError too, as some of the requests library are
            raise
        except (TypeError, ValueError, LookupError) as error:
            raise RecordRejected(f"{self.name} raised {type(error).__name__}: {error}", [record.id]) from error


def triples_of(record: Record) -> list[Triple]:
    """The variables of a record, with the id of its request."""
    return [(name, value, record.request_id) for name, value in record.variables.items()]


def records_of(triples: Sequence[Triple]) -> list[Record]:
    """One record for each variable, for a chest that takes records and stores variables."""
    return [record_of(request_id, {name: value}) for name, value, request_id in triples]


def record_of(request_id: str, variables: Mapping[str, Any]) -> Record:
    """A record with these variables, of any type, and nothing else about the request."""
    time_ns = time.time_ns()
    return Record(
        id=f"{time_ns:016x}{uuid.uuid4().hex[:16]}", request_id=str(request_id), time_ns=time_ns, duration_ns=0, method="", path="",
        route=None, status=None, outcome=Outcome.OK, error=None,
        variables=as_plain({str(name): value for name, value in variables.items()}), attributes={},
        service="", release="", host="",
    )  # fmt: skip
