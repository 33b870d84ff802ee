"""``Recorder``: settings, ring, exporter and chests put together; one can be shared by several apps of a process."""

from __future__ import annotations

import errno
import logging
import os
import re
import socket
import time
import weakref
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, Final

from chest.chests.base import Chest, ReadableChest
from chest.chests.registry import open_chest, sqlite_url
from chest.chests.unusable import UnusableChest
from chest.counters import Counters
from chest.delivery.dead_letters import DeadLetters
from chest.delivery.exporter import Exporter
from chest.delivery.lanes import lanes_for
from chest.directory import default_directory, prepare_directory
from chest.errors import ChestError, DirectoryError, SettingsError
from chest.exports import Exports
from chest.killed_request import cleaned_killed_request
from chest.native import Lock, new_lock
from chest.process_hooks import (
    call_at_exit,
    call_in_forked_children,
    effective_user,
    is_uwsgi_before_its_fork,
    lack_of_threads,
    may_yet_change_user,
)
from chest.record import Record
from chest.record_id import RecordIds
from chest.request.request_id import RequestIds
from chest.ring.in_flight import InFlight
from chest.ring.line import Lineage, Resource
from chest.ring.living_ring import EXTERNAL
from chest.ring.lock_file import locks_are_available
from chest.ring.own_file import OwnFile
from chest.ring.process_mark import new_process_mark
from chest.ring.recovery import DeadRing, adopt_dead_rings
from chest.ring.ring import Ring
from chest.ring.segments import SegmentFile
from chest.settings import REQUEST_SIDE, Settings

logger = logging.getLogger("chest")

DEFAULT_SERVICE: Final = "app"
DEFAULT_STORE: Final = "chest.sqlite3"
_NAME: Final = re.compile(r"[A-Za-z0-9_-]{1,64}")
_LOOK_EVERY_SECONDS: Final = 0.002
_PREPARE_SECONDS: Final = 1.0
"""How long a request waits for another that makes the process ready: a file is made in milliseconds. It may be this very
thread, interrupted by the signal handler that calls, and must not wait for itself."""

_recorders: weakref.WeakSet[Recorder] = weakref.WeakSet()


class Recorder:
    """Takes records and brings them to every chest.

    Nothing happens before the first request of a process: no file, no thread, no connection. Then the ring is opened in
    ``directory`` and the exporter started; after a fork both are made anew in the child.

    Example::

        recorder = Recorder(chests=["sqlite:///chest.sqlite3"], service="shop")
        app = ChestMiddleware(app, recorder=recorder)

    :param chests: chest URLs or chests; none: ``CHEST_URLS``, else ``chest.sqlite3`` in ``directory``.
    :param name: tells the rings of two recorders of one service apart; keep it the same from start to start.
    :param options: the options of the recorder's side, see ``docs/options.md``.
    :raises SettingsError: for an option that cannot be meant as it stands.
    """

    def __init__(self, chests: Sequence[str | Chest] | None = None, *, name: str = "main", **options: Any) -> None:
        if chests is not None:
            options["chests"] = chests
        foreign = sorted(set(options) & REQUEST_SIDE)
        if foreign:
            raise SettingsError(
                f"{', '.join(foreign)} belong to the app: give them to ChestMiddleware, each app has its own."
            )
        if not _NAME.fullmatch(name):
            raise SettingsError(f"A recorder's name is part of a file's name: letters, digits, - and _, not {name!r}.")
        self._set_up(Settings.resolve(options), name)

    @classmethod
    def from_settings(cls, settings: Settings, name: str = "main", default_service: str = DEFAULT_SERVICE) -> Recorder:
        """A recorder of settings that were resolved already; for middleware and adapters."""
        recorder = cls.__new__(cls)
        recorder._set_up(settings, name, default_service)
        return recorder

    def _set_up(self, settings: Settings, name: str, default_service: str = DEFAULT_SERVICE) -> None:
        self.settings = settings
        self.name = name
        self.counters = Counters()
        self.mark = new_process_mark()
        self.request_ids = RequestIds()
        self.record_ids = RecordIds()
        self.resource = Resource(settings.service or default_service, settings.release, socket.gethostname())
        self.in_flight = InFlight(self.counters) if settings.in_flight else None
        """Where requests are noted while they are served; None where the option is off."""
        self._ring = Ring(self.counters, self.mark, self.in_flight)
        self.offer: Callable[[Record], bool] = self._ring.offer
        """Take a record; False when it was dropped, which is counted. Never waits and never raises."""
        self.offer_line: Callable[[bytes], bool] = self._ring.offer_line
        """The same for a row that is encoded already; for middleware."""
        self._chests = [self._chest(chest) for chest in settings.chests]
        # With spool_bytes=0 nothing is kept on disk: what a target refuses is logged, and stays in the source.
        bury = DeadLetters(lambda: self.directory, self.counters).bury if settings.spool_bytes else None
        self.exports = Exports(settings.exports, self._exported, lambda: self.directory, bury)
        """Scheduled exporters and retentions: they begin in each process that records, and end with this recorder."""
        self._file: OwnFile | None = None
        self._exporter: Exporter | None = None
        self._lineage = Lineage(self.record_ids.process)
        self._ready_pid = 0
        self._ready_uid = -1
        self._is_closed = False
        self._notices: list[str] = []
        self._is_delivered = True
        self._closing = new_lock()
        self._finalizer: weakref.finalize[..., Any] | None = None
        self._locks: dict[int, Lock] = {}
        _recorders.add(self)
        call_in_forked_children(_prepare_child)
        _close_at_exit(self)

    @staticmethod
    def _chest(chest: str | Chest) -> Chest:
        return open_chest(chest) if isinstance(chest, str) else chest

    def _exported(self) -> str | ReadableChest:
        """The first chest that can be read; by its URL where it has one, so that exports read on their own connections."""
        if not self.settings.chests:
            return default_store(self.directory)
        for given, chest in zip(self.settings.chests, self._chests, strict=True):
            if isinstance(chest, ReadableChest):
                return given if isinstance(given, str) else chest
        raise SettingsError("none of the recorder's chests can be read: name one with from=")

    # -- making a process ready --------------------------------------------------------------------------------------

    @property
    def directory(self) -> Path:
        """Where the ring files of this service live: asked for anew each time, as gunicorn's ``--user`` changes the answer."""
        return self.settings.directory or default_directory(self.resource.service, self._say_later)

    def _say_later(self, notice: str) -> None:
        """Nothing is logged in a request's time, nor after a fork: the exporter says it."""
        self._notices.append(notice)

    def prepare(self) -> None:
        """Open the ring of this process and start its exporter, if that has not been done; harmless to repeat.

        Called by the middleware before the first request's app, and wherever the mark says that this is another process.
        It is the one place where a request may wait: once a process, for a file to be made (0.4 to 5 ms).
        """
        self._prepare(_PREPARE_SECONDS, with_thread=True)

    def _prepare(self, wait_seconds: float, *, with_thread: bool) -> None:
        lock = self._locks.setdefault(os.getpid(), new_lock())
        if not lock.acquire(timeout=wait_seconds):
            return  # until it is ready, records wait in memory
        try:
            if not self._is_closed and not self.mark[0]:
                self._make_ready(with_thread=with_thread)
        except Exception as error:  # noqa: BLE001 - the request goes on; its record waits in memory for the next try
            self.counters.error(f"the recorder could not be made ready: {error!r}")
        finally:
            lock.release()

    def _make_ready(self, *, with_thread: bool) -> None:
        if self._ready_pid != os.getpid() or self._ready_uid != effective_user():
            self._begin_in_this_process()
        if self._drains_elsewhere:
            self.mark[0] = 1
            self._ring.adopt_early()
            return
        if is_uwsgi_before_its_fork():
            # A thread might hold the interpreter's lock at the moment of the fork, and every worker would wait for it for good.
            # The mark stays 0, so that the process asks again: without a master it becomes the worker itself.
            self._ring.adopt_early()
            return
        if self._exporter is None:
            # Kept for the life of the process, also when its thread ends: it may hold a batch that it took from the ring.
            self._exporter = self._new_exporter()
            self._warn_of_lack_of_threads()
        if with_thread and not self._exporter.is_running:
            self._start_exporter(self._exporter)
        self.mark[0] = 1
        self._ring.adopt_early()

    def _warn_of_lack_of_threads(self) -> None:
        notice = lack_of_threads()
        if notice is not None:
            self.counters.error(notice)
            self._say_later(notice)

    @property
    def _is_external(self) -> bool:
        return self.settings.exporter == EXTERNAL

    @property
    def _drains_elsewhere(self) -> bool:
        """Whether another process delivers; a ring in memory none can see, so it is delivered from here all the same."""
        return self._is_external and self._file is not None

    def _begin_in_this_process(self) -> None:
        """Everything that a parent process, or this one under another user, had is made anew."""
        if self._ready_pid not in (0, os.getpid()):
            self.counters.clear()
            self._locks = {os.getpid(): self._locks[os.getpid()]}
            self._closing = new_lock()
        inherited, self._file = self._file, None
        if inherited is not None and self._ready_pid == os.getpid():
            inherited.remove()  # ours, made under another user, and nothing was offered yet
        elif inherited is not None:
            inherited.let_go()
        self.record_ids.renew()
        self.request_ids.renew()
        self._lineage = (
            self._lineage.child_of(self.record_ids.process) if self._ready_pid else Lineage(self.record_ids.process)
        )
        self._exporter = None
        segments = self._new_segments()
        self._ring.open(segments, self.resource, drains_elsewhere=self._drains_elsewhere)
        self._ready_pid, self._ready_uid = os.getpid(), effective_user()

    def _new_segments(self) -> SegmentFile:
        """Of a ring file; in memory, with a warning, where none can be had."""
        description = {
            "service": self.resource.service, "release": self.resource.release, "host": self.resource.host,
            "recorder": self.name, "process": self._lineage.process, "parents": self._lineage.parents, "pid": os.getpid(),
            "created_ns": time.time_ns(), "boot_id": _boot_id(), "exporter": self.settings.exporter,
        }  # fmt: skip
        reason = "this platform has no record locks"
        if locks_are_available():
            try:
                directory = prepare_directory(self.directory)
                self._file = OwnFile.create(
                    directory, self.name, self.settings.ring_bytes, description, drains=not self._is_external
                )
                return self._file.segments
            except (OSError, DirectoryError) as error:
                reason = "the disk is full" if getattr(error, "errno", None) == errno.ENOSPC else str(error)
        self.counters.add("ring_in_memory")
        notice = f"The ring is in memory, because {reason}: what a killed worker had not delivered is lost."
        self.counters.error(notice)
        self._say_later(notice)
        return SegmentFile.in_memory(self.settings.ring_bytes, description)

    def _start_exporter(self, exporter: Exporter) -> None:
        try:
            exporter.start()
            self._ring.lacks_consumer = False
        except RuntimeError as error:
            self._ring.lacks_consumer = True
            self.counters.add("exporter_start_failed")
            self.counters.error(f"no exporter thread: {error}; it is tried again when a segment of the ring is full")

    def _new_exporter(self) -> Exporter:
        weak = weakref.ref(self)

        def died() -> None:
            recorder = weak()
            if recorder is not None:
                recorder.mark[0] = 0

        def adopt() -> Iterator[DeadRing]:
            recorder = weak()
            return iter(()) if recorder is None else recorder._dead_rings()

        def make_ready() -> None:
            recorder = weak()
            if recorder is not None:
                recorder.request_ids.stock()
                recorder.record_ids.stock()

        def look_after_file() -> None:
            recorder = weak()
            if recorder is not None:
                recorder._look_after_file()

        if not self._chests:
            self._chests = [self._default_chest()]
        directory = None if self._file is None else self._file.directory
        lanes = lanes_for(self._chests, self.counters, directory, self.settings.spool_bytes)
        exporter = Exporter(
            self._ring, lanes, self.counters,
            adopt=adopt, died=died, look_after_file=look_after_file, make_ready=make_ready,
            flush_seconds=self.settings.flush_seconds, batch_records=self.settings.batch_records,
            lineage=self._lineage, notices=self._notices,
        )  # fmt: skip
        if self._finalizer is not None:
            self._finalizer.detach()
        self._finalizer = weakref.finalize(
            self, _end_forgotten, exporter, self._ring, self._file, os.getpid(), self.settings.shutdown_seconds
        )
        self._finalizer.atexit = False
        return exporter

    def _default_chest(self) -> Chest:
        try:
            return open_chest(default_store(self.directory))
        except ChestError as error:
            return UnusableChest(f"no chest was named, and the default one cannot be made: {error}")

    def _dead_rings(self) -> Iterator[DeadRing]:
        if self._file is None:
            return iter(())
        return adopt_dead_rings(self.directory, self.counters, self.resource.service, self.name, cleaned_killed_request)

    def _look_after_file(self) -> None:
        """Begin exports; notice that the ring's file was taken away: it still works, and dies with the process."""
        self.exports.start()
        if self._file is None or self._file.is_intact:
            return
        file, self._file = self._file, None
        if file.was_closed_by_others:
            file.segments.abandon()
        self.counters.add("ring_file_lost")
        self.counters.error(
            "the ring's file, or its lock, was taken away: what a killed worker had not delivered is lost"
        )
        logger.warning(
            "The ring's file, or its lock, was taken away: what this process has not delivered dies with it."
        )

    # -- for users ---------------------------------------------------------------------------------------------------

    @property
    def chests(self) -> tuple[Chest, ...]:
        """Where the records go; the default chest is among them once the first request has made this process ready."""
        return tuple(self._chests)

    def flush(self, timeout: float | None = None) -> bool:
        """Wait until everything offered before the call is in every chest; True when it is.

        For tests, and for the end of a process. Not for a request: it waits for the stores.

        :param timeout: seconds; None waits for ``shutdown_seconds``.
        """
        deadline = time.monotonic() + (self.settings.shutdown_seconds if timeout is None else timeout)
        self._prepare_for_early_offers()
        if self._ready_pid != os.getpid():
            return not self._ring.has_early
        exporter = self._exporter
        if self._drains_elsewhere and not self._is_closed:
            return self._is_drained_by(deadline)
        if exporter is None or self._is_closed:
            return self._is_delivered and not self._ring.undelivered_bytes()
        ticket = exporter.ask_for_flush()
        while not exporter.is_flushed(ticket):
            if time.monotonic() >= deadline:
                return False
            if not exporter.is_running:
                self.mark[0] = 0
                self.prepare()
                exporter.turn_without_thread()
            # The module's own sleep, which gevent may have made a cooperative one: a greenlet that flushes must not stop the hub.
            time.sleep(_LOOK_EVERY_SECONDS)
        return True

    def _is_drained_by(self, deadline: float) -> bool:
        """Wait for another process to deliver what there is now."""
        written = self._ring.written()
        while not self._ring.has_committed(written):
            if time.monotonic() >= deadline:
                return False
            time.sleep(_LOOK_EVERY_SECONDS)
        return True

    def close(self, timeout: float | None = None) -> bool:
        """Deliver what there is and end; True when everything is in every chest. A second call does nothing.

        What could not be delivered in time stays in the ring file, and any process that next serves this service, or
        ``chest recover``, delivers it. Requests that end after the call are not recorded, which is counted.

        :param timeout: seconds; None takes ``shutdown_seconds``.
        """
        return self._close(timeout, is_exit=False)

    def _close(self, timeout: float | None, *, is_exit: bool) -> bool:
        deadline = time.monotonic() + (self.settings.shutdown_seconds if timeout is None else timeout)
        if not self._closing.acquire(timeout=max(0.0, deadline - time.monotonic())):
            return False  # another thread is at it
        try:
            if not self._is_closed:
                if self._ready_pid != os.getpid() and self._ring.has_early:
                    # No thread: this may be the exit of the interpreter, where none can be started.
                    self._prepare(max(0.0, deadline - time.monotonic()), with_thread=False)
                self._is_closed = True
                self.exports.stop()
                self._is_delivered = self._end(deadline, is_exit)
                self.exports.wait(deadline)
            return self._is_delivered
        finally:
            self._closing.release()

    def _end(self, deadline: float, is_exit: bool) -> bool:
        if self._drains_elsewhere and self._ready_pid == os.getpid():
            return self._leave_to_others(is_exit)
        if self._ready_pid != os.getpid() or self._exporter is None:
            # Nothing was offered here, or it waits in the file: in the process that uWSGI forks no thread delivers.
            has_left = self._ring.is_open and self._ring.undelivered_bytes() > 0
            file, self._file = self._file, None
            if file is not None:
                file.let_go()
            return not (has_left or self._ring.has_early)
        self._ring.adopt_early()  # what came after the exporter died, while there is room for it
        is_complete = self._ring.retract()
        is_delivered = self._exporter.stop(deadline, is_durable=self._file is not None) and is_complete
        if self._exporter.is_running:
            return False
        if self._finalizer is not None:
            self._finalizer.detach()
        if not is_delivered and self._file is None:
            self.counters.add("dropped.undelivered", self._ring.undelivered_records())
        _end_files(self._ring, self._file, is_delivered, is_exit=is_exit)
        self._file = None
        return is_delivered

    def _leave_to_others(self, is_exit: bool) -> bool:
        """Where another process delivers there is nothing to wait for: it goes on with the file when this one is gone."""
        self._ring.adopt_early()
        is_delivered = self._ring.retract() and not self._ring.undelivered_bytes()
        for notice in self._notices:
            logger.warning(notice)
        _end_files(self._ring, self._file, is_delivered, is_exit=is_exit)
        self._file = None
        return is_delivered

    def _prepare_for_early_offers(self) -> None:
        """Whoever offers without a middleware has made nobody prepare; and a thread that died is started again."""
        if not self.mark[0] and not self._is_closed and (self._ready_pid == os.getpid() or self._ring.has_early):
            self.prepare()

    def stats(self) -> dict[str, Any]:
        """The counters of this process, and how full its ring is. Costs a copy; fit for a health check."""
        stats: dict[str, Any] = {
            "ring": {
                "is_durable": self._file is not None,
                "capacity_bytes": self._ring.capacity_bytes,
                "pending_bytes": self._ring.undelivered_bytes() if self._ring.is_open else 0,
            },
            "spool": {} if self._exporter is None else self._exporter.spool_sizes(),
            "in_flight": self._ring.requests_in_flight,
            "exporter_is_running": self._exporter is not None and self._exporter.is_running,
            "exports": self.exports.stats(),
            **self.counters.snapshot(),
        }
        for chest in self._chests:
            for reason, count in chest.counts().items():
                if count:
                    stats.setdefault(reason, {})[chest.name] = count
        return stats

    def __enter__(self) -> Recorder:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"<Recorder {self.name!r} of service {self.resource.service!r}>"


def default_store(directory: Path) -> str:
    """The URL of the chest that is used where none is named."""
    return sqlite_url(directory / DEFAULT_STORE)


def flush_all(timeout: float | None = None) -> bool:
    """Flush every recorder of this process, all within one deadline; True when everything is in every chest.

    :param timeout: seconds; None takes the longest ``shutdown_seconds`` among them.
    """
    alive = list(_recorders)
    if timeout is None:
        timeout = max((recorder.settings.shutdown_seconds for recorder in alive), default=0.0)
    deadline = time.monotonic() + timeout
    are_flushed = [recorder.flush(max(0.0, deadline - time.monotonic())) for recorder in alive]  # each is tried
    return all(are_flushed)


def recorders() -> list[Recorder]:
    """Every recorder alive in this process."""
    return list(_recorders)


def _end_files(ring: Ring, file: OwnFile | None, is_delivered: bool, *, is_exit: bool = False) -> None:
    """The end of a ring: its file is removed where everything is delivered, else left to be adopted.

    :param is_exit: requests that other threads are serving end with the process: whoever adopts the file records them.
    """
    has_killed = is_exit and ring.requests_in_flight > 0
    ring.close(forgets_requests=not is_exit)
    if file is not None and is_delivered and not has_killed:
        file.remove()
    elif file is not None:
        file.let_go()


def _end_forgotten(exporter: Exporter, ring: Ring, file: OwnFile | None, pid: int, shutdown_seconds: float) -> None:
    """For a recorder that nobody holds any more and nobody closed: its thread delivers what there is, and ends."""
    if pid != os.getpid():
        return
    ring.retract(0.0)
    exporter.end_soon(time.monotonic() + shutdown_seconds, lambda is_delivered: _end_files(ring, file, is_delivered))


def _boot_id() -> str:
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    except OSError:
        return ""


# -- hooks of the process ----------------------------------------------------------------------------------------------


def _prepare_child() -> None:
    """Open the rings in the child at once, so that not even its first request waits. Never logs: a lock may be held.

    Not in root's gunicorn, where the files must be the other user's. Its first request opens them.
    """
    if may_yet_change_user():
        return
    for recorder in list(_recorders):
        if recorder.settings.enabled:
            recorder.prepare()


def _close_at_exit(recorder: Recorder) -> None:
    weak = weakref.ref(recorder)

    def close_at_exit() -> None:
        alive = weak()
        if alive is not None and (alive._ready_pid == os.getpid() or alive._ring.has_early):
            alive._close(None, is_exit=True)

    call_at_exit(close_at_exit)
