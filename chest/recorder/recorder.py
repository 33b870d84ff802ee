"""``Recorder``: settings, ring, delivery and chests put together; one can be shared by several apps of a process."""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Final, Unpack, cast

from chest.chests.contract import Chest, ReadableChest
from chest.delivery.flush import Delivered
from chest.errors import SettingsError
from chest.record.record import Record
from chest.recorder.lifecycle import Lifecycle
from chest.recorder.stats import RecorderStats
from chest.recorder.tally_keeper import gathered
from chest.request.parts.work import Work, Works
from chest.request.selection import Selection
from chest.ring.tally.gathering import Gathered
from chest.ring.tally.table import Table
from chest.settings.arguments import RecorderOptions
from chest.settings.service_name import DEFAULT_SERVICE
from chest.settings.settings import REQUEST_SIDE, Settings
from chest.system.fork_guard import check_fork

_NAME: Final = re.compile(r"[A-Za-z0-9_-]{1,64}")
_LOOK_AT_SPOOLS_EVERY_SECONDS: Final = 0.02
"""Of a file, and not of memory."""


class Recorder:
    """Takes records and brings them to every chest.

    Nothing happens before the first request of a process: no file, no thread, no connection. Then the ring is opened in
    ``directory`` and the delivery thread started. That holds for a forked child too: both are made anew at its own first request,
    and a child that serves none leaves nothing behind.

    Example::

        recorder = Recorder(chests=["sqlite:///chest.sqlite3"], service="shop")
        app = ChestMiddleware(app, recorder=recorder)

    :param chests: chest URLs or chests; none: ``CHEST_URLS``, else ``chest.sqlite3`` in ``directory``.
    :param name: tells the rings of two recorders of one service apart; keep it the same from start to start.
    :param options: the options of the recorder's side, see ``docs/options.md``.
    :raises SettingsError: for an unknown or invalid option.
    """

    def __init__(
        self,
        chests: Sequence[str | Chest] | None = None,
        *,
        name: str = "main",
        **options: Unpack[RecorderOptions],
    ) -> None:
        foreign = sorted(set(options) & REQUEST_SIDE)
        if foreign:
            raise SettingsError(
                f"{', '.join(foreign)} belong to the app: give them to ChestMiddleware, each app has its own."
            )
        if not _NAME.fullmatch(name):
            raise SettingsError(f"A recorder's name is part of a file's name: letters, digits, - and _, not {name!r}.")
        self._set_up(Settings.resolve({**options, "chests": chests}), name)

    @classmethod
    def from_settings(cls, settings: Settings, name: str = "main", default_service: str = DEFAULT_SERVICE) -> Recorder:
        """A recorder of settings that were resolved already; for middleware and adapters."""
        recorder = cls.__new__(cls)
        recorder._set_up(settings, name, default_service)
        return recorder

    def _set_up(self, settings: Settings, name: str, default_service: str = DEFAULT_SERVICE) -> None:
        self.settings = settings
        self.name = name
        self.lifecycle = Lifecycle(settings, name, default_service)
        """What it is in this process: state, delivery, end; for Chest's own tests."""
        parts = self.lifecycle.parts
        self.request_side = parts.request_side
        """What requests use; for middleware and adapters."""
        self.scheduled_transfers = parts.scheduled_transfers
        """Scheduled transfers and retentions: they begin in each process that records, and end with this recorder."""
        self.offer: Callable[[Record], bool] = self.request_side.ring.offer
        """Take a record; False when it was dropped, which is counted. Never waits and never raises."""
        self._works = self.works_of(settings)

    def work(self, name: str, *, request_id: object = None, kind: str = "work") -> Work:
        """Record a piece of work that is no request: a job, a command, an event. A context manager, and a decorator.

        ``current()`` is its context while it is done, and an exception ends its record as it ends a request's. The record's
        ``path`` and ``route`` are the name, its ``method`` is the kind in capitals, and it has no status. Never waits for a store.

        Example::

            @recorder.work("send_email", kind="job")
            def send_email(address): ...

            with recorder.work("nightly cleanup") as context:
                context["removed"] = remove_old_files()

        :param name: what is done; of few values, as a route is: an address or a number is a variable.
        :param request_id: the id of the request that asked for it, so that ``chest show`` finds both. None: that of the request, or
            of the work, that it is a part of; else a new one.
        :param kind: a word such as ``"job"``, ``"command"`` or ``"event"``. A command that ends by exit code 0 is ok.
        :raises SettingsError: an argument is invalid, or a generator function is decorated.
        """
        return Work(lambda: self._works, name, request_id, kind)

    def ask_whether_testing(self, is_testing: Callable[[], bool]) -> None:
        """For adapters: ask this at the first request of a process. If it is true, nothing is written to the default place."""
        self.lifecycle.parts.default_place.ask(is_testing)

    def works_of(self, settings: Settings) -> Works | None:
        """For adapters: makes the records of work with these settings of the request's side; None if they say ``enabled=False``."""
        side = self.request_side
        selection = Selection.of(settings)
        return Works(side.offer_line, selection, side, settings.request_id_generator) if settings.enabled else None

    @property
    def directory(self) -> Path:
        """Where the ring files of this service live: asked for anew each time, as gunicorn's ``--user`` changes the answer."""
        return self.lifecycle.parts.directory()

    @property
    def chests(self) -> tuple[Chest, ...]:
        """Where the records go; the default chest is among them once the first request has made this process ready."""
        return tuple(self.lifecycle.parts.chests.opened)

    def require_readable_chest(self) -> None:
        """Refuse chests of which none can be read. Makes nothing, and asks nothing of the directory.

        :raises SettingsError: no chest can be read.
        """
        if self.settings.chests:
            self.readable_chest()

    def readable_chest(self) -> str | ReadableChest:
        """The first chest that can be read; by its URL if it was given one, so that a reader has a connection of its own.

        :raises SettingsError: no chest can be read.
        """
        return self.lifecycle.parts.chests.readable()

    def prepare(self) -> None:
        """Open the ring of this process and start its delivery, if that has not been done; harmless to repeat.

        Called by the middleware before the first request's app, and wherever the fork guard says that this is another process.
        Only here may a request wait: once a process, for a file to be created (0.4 to 5 ms). What fails is
        tried again after a pause; meanwhile records wait in memory, up to a bound.
        """
        self.lifecycle.prepare()

    def flush(self, timeout: float | None = None) -> Delivered:
        """Wait until everything offered before the call is in every chest; true if it is.

        For tests, and for the end of a process. Not for a request: it waits for the stores. What is on disk for a chest
        that takes nothing is not waited for, and is told by the answer's ``spooled``.

        :param timeout: seconds; None waits for ``shutdown_seconds``.
        """
        deadline = self._deadline(timeout)
        is_flushed = self.lifecycle.flush(deadline)
        state = self.lifecycle.state
        delivery = None if state is None else state.delivery
        while is_flushed and delivery is not None and delivery.is_running and delivery.is_emptying_spools:
            if time.monotonic() >= deadline:
                break
            time.sleep(_LOOK_AT_SPOOLS_EVERY_SECONDS)
        return self.lifecycle.delivered(is_flushed)

    def close(self, timeout: float | None = None) -> Delivered:
        """Deliver what there is and end; true if everything is in every chest. A second call does nothing.

        What could not be delivered in time stays in the ring file, or on disk for its chest: the answer tells one from the
        other. Any process that next serves this service, or ``chest recover``, delivers it. Requests that end after the call
        are not recorded, which is counted.

        :param timeout: seconds; None takes ``shutdown_seconds``.
        """
        return self.lifecycle.close(self._deadline(timeout), is_exit=False)

    def _deadline(self, seconds: float | None) -> float:
        return time.monotonic() + (self.settings.shutdown_seconds if seconds is None else seconds)

    def stats(self) -> RecorderStats:
        """The counters of this process, and how full its ring is. Costs a copy; fit for a health check."""
        check_fork()
        ring, state = self.request_side.ring, self.lifecycle.state
        delivery = None if state is None else state.delivery
        stats: dict[str, Any] = {
            "ring": {
                "is_durable": state is not None and state.keeper.is_durable,
                "capacity_bytes": ring.capacity_bytes,
                "pending_bytes": 0 if state is None else state.reader.undelivered_bytes(),
            },
            "spool": {} if delivery is None else delivery.spool_sizes(),
            "in_flight": ring.requests_in_flight,
            "delivery_is_running": delivery is not None and delivery.is_running,
            "scheduled_transfers": self.scheduled_transfers.stats(),
            **self.request_side.counters.snapshot(),
        }
        for chest in self.chests:
            for reason, count in chest.counts().items():
                if count:
                    stats.setdefault(reason, {})[chest.name] = count
        return cast(RecorderStats, stats)

    def counted(self) -> Gathered:
        """What every process of this recorder counted since its directory was made, for ``chest.metrics``. Reads files.

        :raises ChestError: they cannot be read.
        """
        check_fork()
        own: list[Table] = []
        if self.lifecycle.state is not None:
            self.lifecycle.state.tally_keeper.keep()
            own = self.lifecycle.state.tally_keeper.own()
        directory = None if self.lifecycle.parts.default_place.is_forbidden else self.directory
        return gathered(directory, self.name, self.request_side.resource.service, own)

    def __enter__(self) -> Recorder:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"<Recorder {self.name!r} of service {self.request_side.resource.service!r}>"
