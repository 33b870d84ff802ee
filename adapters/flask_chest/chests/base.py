"""``FlaskChest``: a store that takes a request's variables as triples, and how a recorder writes to it."""

from __future__ import annotations

import logging
import time
import uuid
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, TypeAlias

from flask import Flask

from chest import ChestUnavailable, Outcome, Record, RecordRejected, SettingsError
from chest.adapter import Chest, as_plain

__all__ = ["FlaskChest", "Triple", "TriplesChest", "record_of", "records_of", "triples_of"]

Triple: TypeAlias = tuple[str, Any, str]
"""A variable: its name, its value, and the id of the request that set it."""


class FlaskChest:
    """A store for variables, in Flask-Chest's shape: subclass it, and implement :meth:`write`.

    Example::

        class PrintingChest(FlaskChest):
            def write(self, context_tuple_list):
                for name, value, request_id in context_tuple_list:
                    print(request_id, name, value)

    A new store that is to have whole records, many at once, is better a ``chest.chests.base.Chest``.

    :param app: for Flask-Chest's sake; a chest works without an application, and for any number of them.
    :param name: a label for messages.
    :param logger: where the chest says what it does; None says nothing but warnings.
    :raises SettingsError: ``app`` is no application.
    """

    # A subclass written for Flask-Chest may never call this class's __init__.
    app: Flask | None = None
    name: str | None = None
    logger: logging.Logger | None = None
    _store: Any = None
    """A chest of Chest's that does what :meth:`write` does, for many records at once."""
    _keeps_requests: ClassVar[bool] = False
    """Whether that chest stores what else is known of a request, too."""

    def __init__(self, app: Flask | None = None, name: str | None = None, logger: logging.Logger | None = None) -> None:
        if app is not None and not isinstance(app, Flask):
            raise SettingsError(
                f"The first argument of {type(self).__name__} is app=, a Flask application or None, and no"
                f" {type(app).__name__}: give the others by name, such as name= and url=."
            )
        self.app, self.name, self.logger = app, name, logger

    def write(self, context_tuple_list: Sequence[Triple]) -> None:
        """Store the variables of one request; raise when that cannot be done.

        Called in the request (``raise_exceptions=True``) it sees values as the view left them on ``g``, of any type;
        called by a recorder, what the record holds: JSON values, redacted.

        By a recorder, what is raised decides what becomes of the record: ``ValueError``, ``TypeError``, ``LookupError``
        and ``RecordRejected`` say that this one cannot be stored, so it is dropped and counted; anything else says that
        the store is not there just now, and the record is tried again.

        :param context_tuple_list: ``(variable_name, variable_value, request_id)`` each, in the order of ``tracked_vars``.
        """
        raise NotImplementedError(f"{type(self).__name__} has no write(context_tuple_list), which every chest needs.")

    def write_record(self, record: Record) -> None:
        """:meth:`write`, for one record of a recorder."""
        self.write(triples_of(record))

    def check(self) -> None:
        """See whether variables could be written, and write nothing; raises what is wrong. A subclass may say how."""
        if self._store is not None:
            self._store.check()

    def close(self) -> None:
        """Let the store go; the next write opens it again. A subclass may say how."""
        if self._store is not None:
            self._store.close()

    @property
    def chest(self) -> Chest:
        """The same store as Chest's recorders and middleware take it: ``FlaskRecorder(app, chests=[mine.chest])``."""
        return self._store if self._store is not None and self._writes_as_ours else TriplesChest(self)

    @property
    def takes_records(self) -> bool:
        """Whether whole records are to be written to :attr:`chest`, rather than triples, also in the request."""
        return self._keeps_requests and self._writes_as_ours

    @property
    def _writes_as_ours(self) -> bool:
        """Whether ``write`` is of this package, and not a subclass's own."""
        return type(self).write.__module__.partition(".")[0] == __name__.partition(".")[0]

    @property
    def label(self) -> str:
        """What messages call the chest, without secrets."""
        return f"{type(self).__name__}(name={self.name})" if self.name else type(self).__name__

    def _say(self, count: int) -> None:
        if self.logger is not None:
            self.logger.debug("%s: wrote %d variables", self.label, count)

    def __repr__(self) -> str:
        return f"<{self.label}>"

    def __str__(self) -> str:
        return self.label


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
        """A chest for triples opens itself when it is written to."""

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
    """Variables, each as a record of its own, for a chest that takes records and stores variables."""
    return [record_of(request_id, {name: value}) for name, value, request_id in triples]


def record_of(request_id: str, variables: Mapping[str, Any]) -> Record:
    """A record that holds these variables, of any type, and says nothing else of the request."""
    time_ns = time.time_ns()
    return Record(
        id=f"{time_ns:016x}{uuid.uuid4().hex[:16]}", request_id=str(request_id), time_ns=time_ns, duration_ns=0, method="", path="",
        route=None, status=None, outcome=Outcome.OK, error=None,
        variables=as_plain({str(name): value for name, value in variables.items()}), attributes={},
        service="", release="", host="",
    )  # fmt: skip
