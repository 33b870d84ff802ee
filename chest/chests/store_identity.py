"""``store_identity``: the identity of the store that a chest URL names, equal for every URL of the same store."""

from __future__ import annotations

import os
import re
from typing import Final, NamedTuple
from urllib.parse import unquote

from chest.record.secret_names import is_secret_parameter

__all__ = ["store_identity"]


class _Kind(NamedTuple):
    """Of a store behind several schemes."""

    name: str
    port: int | None = None
    """The one that a URL without a port means."""
    parts: dict[str, str] = {}
    """The parameters that name a part of the store, each with what it is if it is left out."""
    is_shared: bool = False
    """True if several tenants may share the address, told apart by their log-in."""


_POSTGRESQL: Final = _Kind("postgresql", 5432, {"table": "chest_records"})
_MYSQL: Final = _Kind("mysql", 3306, {"table": "chest_records"})
_INFLUXDB: Final = _Kind("influxdb", 8086, {"shape": "request"})
_CLICKHOUSE: Final = _Kind("clickhouse", 8123, {"table": "chest_records"})
_KAFKA: Final = _Kind("kafka", 9092)
_NATS: Final = _Kind("nats", 4222, {"subject": "*", "account": "*"}, is_shared=True)
_OTLP: Final = _Kind("otlp", 4318, {"signal": "traces", "headers_env": "-", "sent": "-"}, is_shared=True)
_MONGODB_PARTS: Final = {"collection": "chest_records"}
_KINDS: Final = {
    "postgresql": _POSTGRESQL,
    "postgres": _POSTGRESQL,
    "mysql": _MYSQL,
    "mariadb": _MYSQL,
    "mongodb": _Kind("mongodb", 27017, _MONGODB_PARTS),
    "mongodb+srv": _Kind("mongodb+srv", None, _MONGODB_PARTS),
    "influxdb": _INFLUXDB,
    "kafka": _KAFKA,
    "kafka+ssl": _KAFKA,
    "nats": _NATS,
    "nats+tls": _NATS,
    "otlp": _OTLP,
    "otlp+https": _OTLP,
    "clickhouse": _CLICKHOUSE,
    "clickhouse+https": _CLICKHOUSE._replace(port=8443),
}
_HTTP_PORTS: Final = {"http": 80, "https": 443}
_HTTP_OPTIONS: Final = frozenset({"format", "gzip", "timeout_seconds"})
"""Parameters for the chest itself; all others are sent, and a service may route records by them."""
_FILE_PARTS: Final = {"sqlite": {"table": "chest_records"}, "log": {}, "ndjson": {}}

_URL: Final = re.compile(r"([a-z][a-z0-9+.-]*):(.*)", re.IGNORECASE | re.DOTALL)
_WRAPPED: Final = re.compile(r"(\w+)\((.*)\)", re.DOTALL)


def store_identity(label: str) -> str:
    """The store that a chest's label names: its kind, host, port, database or path, and table; equal however it is written.

    Log-in, driver, time limits, compression and secrets make no other store; but at an address of HTTP, OTLP or NATS a user with
    a password, headers and an account may name a tenant, and are part of the store. If a label is not a URL, it is the identity itself.
    An identity has itself as its identity.

    :param label: ``Chest.name``, usually a URL without secrets; also a label of an earlier release.
    """
    wrapped = _WRAPPED.fullmatch(label)
    if wrapped is not None:  # Flask-Chest's classes, which write another shape
        return f"{wrapped[1]}({store_identity(wrapped[2])})"
    url = _URL.fullmatch(label)
    if url is None:
        return label
    scheme, rest = url[1].lower(), url[2]
    address, _, query = rest.partition("#")[0].partition("?")
    parameters = sorted(pair for pair in query.split("&") if pair)
    dialect = scheme.partition("+")[0]
    if dialect in _FILE_PARTS:
        return f"{dialect}:{_path(dialect, address)}{_parts(parameters, _FILE_PARTS[dialect])}"
    if not address.startswith("//"):
        return f"{scheme}:{rest}"
    netloc, slash, path = address[2:].partition("/")
    login, _, hosts = netloc.rpartition("@")
    hosts, user = hosts.lower(), f"{login.partition(':')[0]}:***@" if ":" in login else ""
    if scheme in _HTTP_PORTS:
        kept = [pair for pair in parameters if not _is_left_out(pair)]
        return f"http://{user}{_with_port(hosts, _HTTP_PORTS[scheme])}/{path}{'?' * bool(kept)}{'&'.join(kept)}"
    kind = _KINDS.get(scheme) or _KINDS.get(dialect)
    if kind is None:  # a guest's, of whose parameters nothing is known
        kept = [pair for pair in parameters if not is_secret_parameter(pair.partition("=")[0])]
        return f"{scheme}://{hosts}{slash}{path}{'?' * bool(kept)}{'&'.join(kept)}"
    places = ",".join(sorted(_with_port(host, kind.port) for host in hosts.split(",")))
    return f"{kind.name}://{user if kind.is_shared else ''}{places}/{path.rstrip('/')}{_parts(parameters, kind.parts)}"


def _path(kind: str, address: str) -> str:
    """The absolute path of a file; empty for none, as with ``log:``."""
    if kind == "ndjson":
        return os.path.abspath(address)
    path = unquote(address)
    if kind == "sqlite":
        path = path.removeprefix("///")
    elif path.startswith("//"):
        path = "/" + path.lstrip("/")
    path = os.path.abspath(path) if path and path != ":memory:" else path
    return path.replace("%", "%25").replace("?", "%3F")


def _with_port(host: str, port: int | None) -> str:
    name, colon, given = host.rpartition(":")
    if colon and given.isdigit() and not name.endswith(":"):
        return f"{name.rstrip('.')}:{int(given)}"
    return f"{host.rstrip('.')}:{port}" if port is not None and host else host


def _is_left_out(pair: str) -> bool:
    name = pair.partition("=")[0]
    return name in _HTTP_OPTIONS or is_secret_parameter(unquote(name))


def _parts(pairs: list[str], meant: dict[str, str]) -> str:
    """The parameters that name a part of the store, unless they say what is the default."""
    kept = [pair for pair in pairs if meant.get(name := pair.partition("=")[0], "") not in ("", pair[len(name) + 1 :])]
    return f"?{'&'.join(kept)}" if kept else ""
