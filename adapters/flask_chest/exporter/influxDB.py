"""``FlaskChestExporterInfluxDB``: moves a table of variables to InfluxDB."""

from __future__ import annotations

import logging
from typing import Any

from chest.adapter import builtin_factory, influx_url
from flask_chest.chests.base import FlaskChest
from flask_chest.exporter.base import FlaskChestExporter

__all__ = ["FlaskChestExporterInfluxDB"]


class FlaskChestExporterInfluxDB(FlaskChestExporter):
    """To InfluxDB 2, one point a variable: measurement ``sample``, tags ``unique_id`` and ``request_id``, fields ``name`` and ``value``.

    The table has no time, so a point gets the time of its export.

    :param chest: holds the variables.
    :param https: True if the server speaks TLS; its certificate is verified.
    :param host: the server.
    :param port: its port.
    :param token: the token to write with; none: ``INFLUXDB_TOKEN`` of the environment.
    :param org: the organization.
    :param bucket: the bucket.
    :param interval_minutes: how often.
    :param logger: see :class:`FlaskChestExporter`.
    :param custom_tags: tags for every point.
    :param shape: ``variable`` for points as ``FlaskChestInfluxDB`` writes them: measurement = the variable's name.
    :param options: see :class:`FlaskChestExporter`.
    :raises SettingsError: as :class:`FlaskChestExporter`.
    :raises MissingDependencyError: as :class:`FlaskChestExporter`.
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
        shape: str = "sample",
        **options: Any,
    ) -> None:
        self.org, self.bucket = org, bucket
        url = influx_url(f"http{'s' if https else ''}://{host}:{port}", org=org, bucket=bucket, shape=shape)
        target = builtin_factory("influxdb")(url, token=token or None, custom_tags=custom_tags)
        super().__init__(chest, interval_minutes, logger, target=target, **options)
