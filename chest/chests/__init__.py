"""The stores: one backend a folder or file, each of which knows the contract and no other backend.

What users may import is exported here. A name is loaded when it is first used, and its driver with it.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any, Final

from chest.system.lazy import loaded_on_use

if TYPE_CHECKING:
    from chest.chests.clickhouse.chest import ClickHouseChest
    from chest.chests.contract import Chest, Cursor, ReadableChest, Received, StoredRecord, StreamChest, StreamReader
    from chest.chests.http.chest import HttpChest
    from chest.chests.influxdb.chest import InfluxChest
    from chest.chests.kafka.chest import KafkaChest
    from chest.chests.log import LogChest
    from chest.chests.memory import MemoryChest
    from chest.chests.mongodb.chest import MongoChest
    from chest.chests.nats.chest import NatsChest
    from chest.chests.ndjson.chest import NdjsonChest
    from chest.chests.otlp.chest import OtlpChest
    from chest.chests.query import Query
    from chest.chests.registry import open_chest
    from chest.chests.sql.chest import SQLChest
    from chest.chests.sql.sqlite.chest import SQLiteChest
    from chest.chests.upkeep import CoordinationStore, RetentionBackend, VersionedValue
    from chest.errors import LoginRefused, SchemaMismatch, TLSRefused, UnknownDatabase, UnknownHost

__all__ = [
    "Chest",
    "ClickHouseChest",
    "CoordinationStore",
    "Cursor",
    "HttpChest",
    "InfluxChest",
    "KafkaChest",
    "LogChest",
    "LoginRefused",
    "MemoryChest",
    "MongoChest",
    "NatsChest",
    "NdjsonChest",
    "OtlpChest",
    "Query",
    "ReadableChest",
    "Received",
    "RetentionBackend",
    "SQLChest",
    "SQLiteChest",
    "SchemaMismatch",
    "StoredRecord",
    "StreamChest",
    "StreamReader",
    "TLSRefused",
    "UnknownDatabase",
    "UnknownHost",
    "VersionedValue",
    "open_chest",
]

_HOMES: Final = {
    **dict.fromkeys(
        ("Chest", "Cursor", "ReadableChest", "Received", "StoredRecord", "StreamChest", "StreamReader"),
        "chest.chests.contract",
    ),
    **dict.fromkeys(("CoordinationStore", "RetentionBackend", "VersionedValue"), "chest.chests.upkeep"),
    **dict.fromkeys(("LoginRefused", "SchemaMismatch", "TLSRefused", "UnknownDatabase", "UnknownHost"), "chest.errors"),
    "Query": "chest.chests.query",
    "open_chest": "chest.chests.registry",
}
_SCHEMES: Final = {
    "ClickHouseChest": "clickhouse",
    "HttpChest": "http",
    "InfluxChest": "influxdb",
    "KafkaChest": "kafka",
    "LogChest": "log",
    "MemoryChest": "memory",
    "MongoChest": "mongodb",
    "NatsChest": "nats",
    "NdjsonChest": "ndjson",
    "OtlpChest": "otlp",
    "SQLChest": "postgresql",
    "SQLiteChest": "sqlite",
}

if not TYPE_CHECKING:
    _load = loaded_on_use(__name__, _HOMES)

    def __getattr__(name: str) -> Any:
        if name in _SCHEMES:  # the registry says what to install if the driver is missing
            return import_module("chest.chests.registry").builtin_factory(_SCHEMES[name])
        return _load(name)


def __dir__() -> list[str]:
    return __all__
