"""``FlaskChestInfluxDB``: one point a variable, as Flask-Chest writes them."""

from __future__ import annotations

import logging
import time
from collections.abc import Mapping, Sequence
from typing import Any

from flask import Flask

from chest.adapter import builtin_factory, influx_url, safe_url
from flask_chest.chests.base import FlaskChest, Triple, records_of

__all__ = ["FlaskChestInfluxDB", "create_influxdb_datapoint"]


class FlaskChestInfluxDB(FlaskChest):
    """One point a variable in InfluxDB 2: measurement = the variable's name, tag ``request_id``, field ``value``.

    Every request is a series of its own in this shape, which InfluxDB pays for with memory. For new applications the
    InfluxDB chest (``chests=["influxdb://host:8086/org/bucket"]``) writes a point a request. Needs
    ``pip install 'wsgi-chest[influx]'``.

    :param app: see :class:`FlaskChest`.
    :param https: True if the server speaks TLS; its certificate is verified.
    :param host: the server.
    :param port: its port.
    :param token: the token to write with; none: ``INFLUXDB_TOKEN`` of the environment.
    :param org: the organization.
    :param bucket: the bucket.
    :param custom_tags: tags for every point.
    :param logger: see :class:`FlaskChest`.
    :param name: a label for messages.
    :param url: ``http://host:8086``, instead of ``https``, ``host`` and ``port``.
    :raises MissingDependencyError: the InfluxDB client is not installed.
    :raises SettingsError: the address is invalid.
    """

    def __init__(
        self,
        app: Flask | None = None,
        https: bool = False,
        host: str = "localhost",
        port: int | str = 8086,
        token: str | None = "",
        org: str = "my-org",
        bucket: str = "my-bucket",
        custom_tags: Mapping[str, str] | None = None,
        logger: logging.Logger | None = None,
        *,
        name: str | None = None,
        url: str | None = None,
    ) -> None:
        super().__init__(app, name, logger)
        self.org, self.bucket, self.custom_tags = org, bucket, dict(custom_tags or {})
        factory = builtin_factory("influxdb")
        self.db_uri = address = url or f"http{'s' if https else ''}://{host}:{port}"
        self._store = factory(
            influx_url(address, org=org, bucket=bucket, shape="variable"), token=token or None, custom_tags=custom_tags
        )

    def write(self, context_tuple_list: Sequence[Triple]) -> None:
        self._store.write(records_of(context_tuple_list))
        self._say(len(context_tuple_list))

    def to_dict(self) -> dict[str, Any]:
        """A description without the token; ``str()`` gives it as JSON."""
        return {
            "type": "influxdb",
            "db_uri": safe_url(self.db_uri),
            "bucket": self.bucket,
            "org": self.org,
            "custom_tags": self.custom_tags,
        }

    @property
    def label(self) -> str:
        return super().label if self.name else f"{type(self).__name__}({self._store.name})"


def create_influxdb_datapoint(
    variable_name: str,
    variable_value: Any,
    request_id: str | None = None,
    custom_tags: Mapping[str, str] | None = None,
) -> dict[str, Any]:
    """A variable as the mapping that Flask-Chest gave to InfluxDB's client; for programs that call it themselves."""
    return {
        "measurement": variable_name,
        "tags": {"request_id": request_id, **(custom_tags or {})},
        "fields": {"value": variable_value},
        "time": time.time_ns(),
    }
