"""Flask-Chest's exporters under their own names, over Chest's: what was recorded, moved to another store on a timetable."""

from __future__ import annotations

import logging
from typing import Any, cast

from chest import SettingsError
from chest.adapter import Chest, variables_source
from chest.transfer import ScheduledExporter, start_in_every_process
from flask_chest.chests import FlaskChestInfluxDB
from flask_chest.sql_chests import FlaskChestMySQL, VariablesTable
from flask_chest.triples import FlaskChest

__all__ = ["FlaskChestExporter", "FlaskChestExporterInfluxDB", "FlaskChestExporterMySQL"]


class FlaskChestExporter:
    """Moves what a table of variables gets to another store, every so many minutes, each row once.

    It begins when it is made, in every worker of a server; one of them at a time does the work, and goes on from where the
    last one stopped. For an application whose requests a ``FlaskRecorder`` records there is
    ``FlaskRecorder.scheduled(...)``, which exports whole records.

    :param chest: where the variables are: a ``FlaskChestSQLite``, ``FlaskChestMySQL`` or ``FlaskChestPostgreSQL``.
    :param target: where they are to go: a ``FlaskChest``, or one of Chest's chests or its URL.
    :param interval_minutes: how often.
    :param logger: where it says at the level of debug what it did; None says nothing but warnings, to ``chest.transfer``.
    :param options: of :class:`chest.transfer.ScheduledExporter`, such as ``remove_after`` and ``leader``.
    :raises SettingsError: ``chest`` is none that can be read, or the interval cannot be meant.
    :raises MissingDependencyError: APScheduler, or a driver, is not installed.
    """

    def __init__(
        self,
        chest: FlaskChest,
        target: FlaskChest | Chest | str,
        interval_minutes: float = 5,
        logger: logging.Logger | None = None,
        **options: Any,
    ) -> None:
        if not isinstance(chest, VariablesTable):
            raise SettingsError(
                f"{type(self).__name__} reads from a FlaskChestSQLite, FlaskChestMySQL or FlaskChestPostgreSQL, and not from"
                f" {type(chest).__name__}: give it one of these as chest=."
            )
        self.chest, self.logger = chest, logger
        to = target.chest if isinstance(target, FlaskChest) else target
        # A connection of its own: the chest's writes do not wait for what is read here.
        source = cast(Any, variables_source(chest.url))
        self.exporter = ScheduledExporter(source, to, interval_minutes * 60, **options)
        """What does it: ``pause()``, ``resume()``, ``run_now()``, ``next_run_time``, ``last_result``, ``stats()``."""
        start_in_every_process(self.exporter)

    def export(self) -> Any:
        """Export now, in this thread; what was done, None where another worker is at it. Raises why it failed."""
        result = self.exporter.run_now()
        if self.logger is not None:
            self.logger.debug("%r: %s", self, result)
        return result

    def shutdown(self, timeout: float = 3.0) -> bool:
        """End in this process; a run in hand ends after its batch. False when that took longer than so many seconds."""
        return self.exporter.shutdown(timeout)

    def __repr__(self) -> str:
        return f"<{type(self).__name__} from {self.chest}>"


class FlaskChestExporterInfluxDB(FlaskChestExporter):
    """To InfluxDB 2, one point a variable: measurement = its name, tag ``request_id``, field ``value``.

    The table says no time, so a point's is that of its export. Flask-Chest's own exporter sends the whole table every
    time; here each row goes once.

    :param chest: where the variables are.
    :param https: whether the server speaks TLS; its certificate is verified.
    :param host: the server.
    :param port: its port.
    :param token: the token to write with; none: ``INFLUXDB_TOKEN`` of the environment.
    :param org: the organization.
    :param bucket: the bucket.
    :param interval_minutes: how often.
    :param logger: see :class:`FlaskChestExporter`.
    :param custom_tags: tags for every point.
    :param options: see :class:`FlaskChestExporter`.
    :raises SettingsError, MissingDependencyError: as :class:`FlaskChestExporter`.
    """

    def __init__(
        self,
        chest: FlaskChest,
        https: bool = False,
        host: str = "localhost",
        port: int | str = 8086,
        token: str | None = "",
        org: str = "my-org",
        bucket: str = "my-bucket",
        interval_minutes: float = 5,
        logger: logging.Logger | None = None,
        *,
        custom_tags: dict[str, str] | None = None,
        **options: Any,
    ) -> None:
        target = FlaskChestInfluxDB(
            https=https, host=host, port=port, token=token, org=org, bucket=bucket, custom_tags=custom_tags
        )
        super().__init__(chest, target, interval_minutes, logger, **options)


class FlaskChestExporterMySQL(FlaskChestExporter):
    """To a table of Flask-Chest's shape in MySQL or MariaDB.

    :param chest: where the variables are.
    :param db_uri: ``mysql://user:password@host/database``.
    :param table_name: the table there: letters, digits and ``_``.
    :param interval_minutes: how often.
    :param logger: see :class:`FlaskChestExporter`.
    :param options: see :class:`FlaskChestExporter`.
    :raises SettingsError, MissingDependencyError: as :class:`FlaskChestExporter`.
    """

    def __init__(
        self,
        chest: FlaskChest,
        db_uri: str = "",
        table_name: str = "flask_chest",
        interval_minutes: float = 5,
        logger: logging.Logger | None = None,
        **options: Any,
    ) -> None:
        super().__init__(chest, FlaskChestMySQL(name=table_name, db_uri=db_uri), interval_minutes, logger, **options)
