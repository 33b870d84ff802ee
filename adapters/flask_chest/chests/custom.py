"""Flask-Chest's chests under their own names, over Chest's: what ``flask_chest(chests=[...])`` and recorders write to."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

from flask import Flask

from chest import Record, RecordRejected, SettingsError
from chest.adapter import builtin_factory, influx_url, open_chest, safe_url
from flask_chest.sql_chests import FlaskChestMySQL, FlaskChestPostgreSQL, FlaskChestSQLite
from flask_chest.triples import FlaskChest, Triple, record_of, records_of, triples_of

__all__ = [
    "FlaskChest",
    "FlaskChestCustomWriter",
    "FlaskChestInfluxDB",
    "FlaskChestMongoDB",
    "FlaskChestMySQL",
    "FlaskChestPostgreSQL",
    "FlaskChestSQLite",
]

_DEFAULT_LOGGER: Final = logging.getLogger("flask_chest")


class FlaskChestInfluxDB(FlaskChest):
    """One point a variable in InfluxDB 2: measurement = the variable's name, tag ``request_id``, field ``value``.

    Every request is a series of its own in this shape, which InfluxDB pays for with memory. For new applications the
    InfluxDB chest (``chests=["influxdb://host:8086/org/bucket"]``) writes a point a request. Needs
    ``pip install 'wsgi-chest[influx]'``.

    :param app: see :class:`FlaskChest`.
    :param https: whether the server speaks TLS; its certificate is verified.
    :param host: the server.
    :param port: its port.
    :param token: the token to write with; none: ``INFLUXDB_TOKEN`` of the environment.
    :param org: the organization.
    :param bucket: the bucket.
    :param custom_tags: tags for every point.
    :param logger: see :class:`FlaskChest`.
    :param name: a label for messages.
    :param url: ``http://host:8086``, in the place of ``https``, ``host`` and ``port``.
    :raises MissingDependencyError: the InfluxDB client is not installed.
    :raises SettingsError: no such address can be meant.
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
        factory = builtin_factory("influxdb")
        address = url or f"http{'s' if https else ''}://{host}:{port}"
        self._store = factory(
            influx_url(address, org=org, bucket=bucket, shape="variable"), token=token or None, custom_tags=custom_tags
        )

    def write(self, context_tuple_list: Sequence[Triple]) -> None:
        self._store.write(records_of(context_tuple_list))
        self._say(len(context_tuple_list))

    @property
    def label(self) -> str:
        return super().label if self.name else f"{type(self).__name__}({self._store.name})"


class FlaskChestCustomWriter(FlaskChest):
    """The variables of each request as a POST request, with a body of your making.

    Needs ``pip install 'wsgi-chest[http]'``. Connections are kept alive, every wait has an end, and certificates are
    verified if you say so: ``verify=False`` is what Flask-Chest documented, so it is the default here, and warned of where
    it matters; Chest's own HTTP chest (``chests=["https://host/path"]``) verifies.

    :param app: see :class:`FlaskChest`.
    :param https: whether the endpoint speaks TLS.
    :param host: the endpoint's host.
    :param port: its port; none: the scheme's own.
    :param headers: sent with every request.
    :param payload_generator: called with ``(variable_name, variable_value, request_id)`` of each variable, returns the
        body: a dict is sent as form fields, text and bytes as they are. In the request (``raise_exceptions=True``) it sees
        values as the view left them, of any type; through a recorder, what the record holds: JSON values, redacted.
    :param verify: whether certificates are verified; or the path of a file of certificates to trust.
    :param success_status_codes: the answers that mean "stored".
    :param logger: see :class:`FlaskChest`.
    :param name: a label for messages; none: the URL.
    :param url: the endpoint, in the place of ``https``, ``host`` and ``port``.
    :param params: parameters for the URL.
    :param proxies: proxies' URLs by scheme.
    :raises MissingDependencyError: httpx is not installed.
    :raises SettingsError: there is no ``payload_generator``, or no such address can be meant.
    """

    def __init__(
        self,
        app: Flask | None = None,
        https: bool = False,
        host: str = "localhost",
        port: int | str = "",
        headers: Mapping[str, str] | None = None,
        payload_generator: Callable[[Sequence[Triple]], Any] | None = None,
        verify: bool | str = False,
        success_status_codes: Sequence[int] = (200,),
        logger: logging.Logger | None = None,
        *,
        name: str | None = None,
        url: str | None = None,
        params: Mapping[str, Any] | None = None,
        proxies: str | Mapping[str, str] | None = None,
    ) -> None:
        if not callable(payload_generator):
            raise SettingsError(
                "FlaskChestCustomWriter needs payload_generator=, a function that makes the body of a list of"
                " (variable_name, variable_value, request_id)."
            )
        url = url or f"http{'s' if https else ''}://{host}{f':{port}' if port not in ('', None) else ''}"
        super().__init__(app, name or safe_url(url), logger)
        self._payload_generator = payload_generator
        factory = builtin_factory("https")
        self._http: Any = factory(
            url, headers=headers, params=params, proxies=proxies, verify=verify,
            success_status_codes=success_status_codes, name=self.label,
        )  # fmt: skip
        if verify is False and url.lower().startswith("https:"):
            (logger or _DEFAULT_LOGGER).warning(
                "%s verifies no certificate, so anyone on the way can read and change what it sends: give it verify=True,"
                " or the path of a file with the certificate to trust.",
                self.label,
            )

    def write(self, context_tuple_list: Sequence[Triple]) -> None:
        self.post(context_tuple_list)

    def post(self, context_tuple_list: Sequence[Triple], idempotency_key: str | None = None) -> None:
        """:meth:`write`, with a key by which the endpoint can tell a request that comes again."""
        try:
            payload = self._payload_generator(context_tuple_list)
        except Exception as error:
            message = f"{self.label}: payload_generator raised {type(error).__name__}: {error}"
            raise RecordRejected(message) from error
        self._http.send(payload, idempotency_key)
        self._say(len(context_tuple_list))

    def write_record(self, record: Record) -> None:
        if type(self).write is FlaskChestCustomWriter.write:
            self.post(triples_of(record), record.id)
        else:
            super().write_record(record)

    def check(self) -> None:
        self._http.check()

    def close(self) -> None:
        self._http.close()


class FlaskChestMongoDB(FlaskChest):
    """One document a call of a view in MongoDB, with its variables and what else is known of the request.

    It is Chest's MongoDB chest (``chests=["mongodb://host/database?collection=flask_chest"]``) under another name. Needs
    ``pip install 'wsgi-chest[mongo]'``.

    :param app: see :class:`FlaskChest`.
    :param name: the collection.
    :param db_uri: ``mongodb://host/database``, with the options of Chest's MongoDB chest behind a ``?``.
    :param logger: see :class:`FlaskChest`.
    :raises MissingDependencyError: the driver is not installed.
    :raises SettingsError: no such database can be meant.
    """

    _keeps_requests = True

    def __init__(
        self,
        app: Flask | None = None,
        name: str = "flask_chest",
        db_uri: str = "mongodb://localhost/flask_chest",
        logger: logging.Logger | None = None,
    ) -> None:
        super().__init__(app, name, logger)
        if db_uri.partition(":")[0] not in ("mongodb", "mongodb+srv"):
            raise SettingsError(f"db_uri={safe_url(db_uri)!r}: expected mongodb://user:password@host/database")
        self.db_uri = db_uri
        self._store = open_chest(f"{db_uri}{'&' if '?' in db_uri else '?'}collection={name}")

    def write(self, context_tuple_list: Sequence[Triple]) -> None:
        by_request: dict[str, dict[str, Any]] = {}
        for name, value, request_id in context_tuple_list:
            by_request.setdefault(request_id, {})[name] = value
        self._store.write([record_of(request_id, variables) for request_id, variables in by_request.items()])
        self._say(len(context_tuple_list))

    @property
    def label(self) -> str:
        return f"{type(self).__name__}(name={self.name}, db_uri={safe_url(self.db_uri)})"
