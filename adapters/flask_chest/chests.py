"""Flask-Chest's chests under their own names, over Chest's: what ``flask_chest(chests=[...])`` and recorders write to."""

from __future__ import annotations

import logging
import time
import uuid
from collections.abc import Callable, Mapping, Sequence
from typing import Any, ClassVar, Final

from flask import Flask

from chest.chests.registry import builtin_factory, safe_url
from chest.chests.sql_variables import VariablesChest
from chest.errors import MissingDependencyError, RecordRejected, SettingsError
from chest.record import Outcome, Record
from chest.request.redaction import Redaction
from chest.request.sanitize import Sanitizer
from flask_chest.triples import FlaskChest, Triple, triples_of

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
_as_plain: Final = Sanitizer(Redaction((), ())).clean


class FlaskChestSQLite(FlaskChest):
    """One row a variable in a table of a SQLite file, as Flask-Chest makes it: ``unique_id, request_id, name, value``.

    The table, or the file, is made when the first variable is written, if it is not there; the file is put into WAL mode,
    so that those who read it do not keep requests waiting. For new applications the SQLite chest
    (``chests=["sqlite:///chest.sqlite3"]``) keeps the whole request in one row, and no record twice.

    :param app: see :class:`FlaskChest`.
    :param name: the table: letters, digits and ``_``.
    :param db_uri: the file's path, or ``sqlite:///path``.
    :param logger: see :class:`FlaskChest`.
    :raises SettingsError: no such table or file can be meant.
    """

    def __init__(
        self,
        app: Flask | None = None,
        name: str = "flask_chest",
        db_uri: str = "db.sqlite3",
        logger: logging.Logger | None = None,
    ) -> None:
        super().__init__(app, name, logger)
        self.db_uri = db_uri
        path = db_uri if db_uri.startswith("sqlite:") else "sqlite:///" + db_uri.replace("%", "%25").replace("?", "%3F")
        self._store = self._variables = VariablesChest(f"{path}?table={name}")

    def write(self, context_tuple_list: Sequence[Triple]) -> None:
        self._variables.write_triples(_plain(triple) for triple in context_tuple_list)
        self._say(len(context_tuple_list))

    @property
    def label(self) -> str:
        return f"{type(self).__name__}(name={self.name}, db_uri={safe_url(self.db_uri)})"


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
        from chest.chests.influx_target import influx_url

        address = url or f"http{'s' if https else ''}://{host}:{port}"
        self._store = factory(
            influx_url(address, org=org, bucket=bucket, shape="variable"), token=token or None, custom_tags=custom_tags
        )

    def write(self, context_tuple_list: Sequence[Triple]) -> None:
        self._store.write([_record_of(triple) for triple in context_tuple_list])
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


class _LaterChest(FlaskChest):
    """A chest over a backend that this version does not have."""

    scheme: ClassVar[str]

    def __init__(
        self,
        app: Flask | None = None,
        name: str = "flask_chest",
        db_uri: str = "",
        logger: logging.Logger | None = None,
    ) -> None:
        raise MissingDependencyError(
            f"{type(self).__name__} needs a chest for {self.scheme}://, which comes with a later release of wsgi-chest."
            " Until then there are FlaskChestSQLite, FlaskChestInfluxDB, FlaskChestCustomWriter, and FlaskChest to subclass."
        )


class FlaskChestMySQL(_LaterChest):
    """One row a variable in MySQL or MariaDB: comes with a later release, and says so.

    :raises MissingDependencyError: always, in this release.
    """

    scheme = "mysql"


class FlaskChestPostgreSQL(_LaterChest):
    """One row a variable in PostgreSQL: comes with a later release, and says so.

    :raises MissingDependencyError: always, in this release.
    """

    scheme = "postgresql"


class FlaskChestMongoDB(_LaterChest):
    """One document a request in MongoDB: comes with a later release, and says so.

    :raises MissingDependencyError: always, in this release.
    """

    scheme = "mongodb"


def _plain(triple: Triple) -> Triple:
    """A variable of any type as one that a store can hold."""
    name, value, request_id = triple
    cleaned, _ = _as_plain({str(name): value})
    (plain,) = cleaned.items()
    return plain[0], plain[1], str(request_id)


def _record_of(triple: Triple) -> Record:
    """A variable as a record of its own, for a chest that takes records."""
    name, value, request_id = _plain(triple)
    now_ns = time.time_ns()
    return Record(
        uuid.uuid4().hex, request_id, now_ns, 0, "", "", None, None, Outcome.OK, None, {name: value}, {}, "", "", ""
    )
