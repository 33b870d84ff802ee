"""``FlaskChestExporter``: moves the rows of a table of variables to another store on a timetable."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, cast

from chest import SettingsError
from chest.adapter import Chest, ReadableChest, variables_source
from chest.transfer import ScheduledTask, ScheduledTransfer, start_in_every_process
from flask_chest.chests.base import FlaskChest
from flask_chest.chests.tables import VariablesTable

__all__ = ["FlaskChestExporter"]

_DEFAULT_LOGGER = logging.getLogger("flask_chest")


class FlaskChestExporter:
    """Moves what a table of variables gets to another store, every so many minutes: a row that was sent is deleted.

    It begins when it is made, in every worker of a server; one of them at a time does the work. A row is deleted after its
    target has taken it, so nothing is lost while the target is down. For an application whose requests a ``FlaskRecorder``
    records there is ``FlaskRecorder.scheduled(...)``, which exports whole records.

    A subclass of your own, as for Flask-Chest, has no ``target``: it has ``export_data``, and calls :meth:`start_export_task`.

    :param chest: holds the variables: a ``FlaskChestSQLite``, ``FlaskChestMySQL`` or ``FlaskChestPostgreSQL``.
    :param interval_minutes: how often.
    :param logger: gets, at the level debug, what was done; None logs warnings only, to ``chest.transfer``.
    :param target: gets the rows: a ``FlaskChest``, a chest of Chest, or its URL.
    :param remove_after: True deletes rows once they are sent; False keeps them, and sends each once.
    :param options: of :class:`chest.transfer.ScheduledTransfer`, such as ``leader``.
    :raises SettingsError: ``chest`` cannot be read, or the interval is invalid.
    :raises MissingDependencyError: APScheduler, or a driver, is not installed.
    """

    def __init__(
        self,
        chest: FlaskChest,
        interval_minutes: float = 5,
        logger: logging.Logger | None = None,
        *,
        target: FlaskChest | Chest | str | None = None,
        remove_after: bool = True,
        **options: Any,
    ) -> None:
        if not isinstance(chest, VariablesTable):
            raise SettingsError(
                f"{type(self).__name__} reads from a FlaskChestSQLite, FlaskChestMySQL or FlaskChestPostgreSQL, and not from"
                f" {type(chest).__name__}: give it one of these as chest=."
            )
        self.chest, self.app, self.interval_minutes, self.logger = chest, chest.app, interval_minutes, logger
        # A connection of its own: the chest's writes do not wait for what is read here.
        source = cast(Any, variables_source(chest.url))
        seconds = interval_minutes * 60
        self.exporter: ScheduledTask
        """The scheduled task: ``pause()``, ``resume()``, ``run_now()``, ``next_run_time``, ``last_result``, ``stats()``."""
        if target is None:
            self.exporter = ScheduledTask(_ByHand(source, self), seconds, **options)
            return
        to = target.chest if isinstance(target, FlaskChest) else target
        self.exporter = ScheduledTransfer(source, to, seconds, remove_after=remove_after, **options)
        self.start_export_task()

    def start_export_task(self) -> None:
        """Begin, in this process and in its forked children. Idempotent."""
        start_in_every_process(self.exporter)

    def export(self) -> Any:
        """Export now, in this thread, and return what was done; None if another worker does it. Raises if it fails."""
        result = self.exporter.run_now()
        if self.logger is not None:
            self.logger.debug("%r: %s", self, result)
        return result

    def export_data(self) -> Any:
        """:meth:`export`, as Flask-Chest's programs call it: a failure is logged and not raised, and the rows stay for the next run."""
        if isinstance(self.exporter, ScheduledTransfer):
            try:
                return self.export()
            except Exception as error:  # noqa: BLE001 - as Flask-Chest's; the log says it
                (self.logger or _DEFAULT_LOGGER).error(
                    "chest: %r: nothing was exported, and the rows stay: %s", self, error
                )
                return None
        raise NotImplementedError(f"{type(self).__name__} has neither target= nor an export_data() of its own")

    def shutdown(self, timeout: float = 3.0) -> bool:
        """End in this process; a run in hand ends after its batch. False if that took longer than ``timeout`` seconds."""
        return self.exporter.shutdown(timeout)

    def __repr__(self) -> str:
        return f"<{type(self).__name__} from {self.chest.label}>"


@dataclass
class _Called:
    """The result of a run of a subclass's own ``export_data``, as far as it is known."""

    is_complete: bool = True


class _ByHand:
    """A subclass's own ``export_data``, as a task for a timetable."""

    def __init__(self, source: ReadableChest, exporter: FlaskChestExporter) -> None:
        self.name = f"{type(exporter).__name__} from {exporter.chest.label}"
        self.source = source
        self._exporter = exporter

    def run(self, *, stop: Callable[[], bool]) -> _Called:
        self._exporter.export_data()
        return _Called()

    def close(self) -> None:
        self.source.close()
