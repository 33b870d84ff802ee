"""What is public: these names and no others; the documentation and the examples import from nowhere else."""

from __future__ import annotations

import ast
import importlib
import inspect
import os
import re
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import get_args

import pytest

from chest import Outcome, OutcomeName

ROOT = Path(__file__).parent.parent
DOCUMENTS = [*ROOT.glob("*.md"), *(ROOT / "docs").glob("*.md"), *(ROOT / "examples").rglob("*.md")]
EXAMPLES = [*(ROOT / "examples").rglob("*.py")]

# fmt: off
PUBLIC = {
    "chest": [
        "Chest", "ChestError", "ChestMiddleware", "ChestUnavailable", "MemoryChest", "Outcome", "OutcomeName", "Query", "ReadableChest",
        "Record", "RecordRejected", "Recorder", "RecorderStats", "RequestContext", "SettingsError", "client_address",
        "context_of", "current",
    ],
    "chest.adapter": [
        "ENVIRON_KEY", "ERROR_MESSAGE", "ERROR_PATH", "HEARTBEAT_PATH", "LBHEARTBEAT_PATH", "NO_REQUEST", "PREFIX",
        "ROUTE_CHARACTERS", "VERSION_PATH", "WHOLE_KINDS", "Bypass", "Check", "Chest", "ChestCommands", "ChestWriteError", "Counters",
        "Dispatch", "MissingDependencyError", "Option", "OptionType", "Options", "PartRecords", "ReadableChest", "RecordEmitter",
        "RecorderChecks", "RecordsWork",
        "RequestMetadata", "RequestSummaries", "ScheduledTransferOptions", "Setting", "Settings", "Source", "StartResponse", "SubRecord",
        "SummaryAttributes", "TransferPlan", "WSGIApplication", "WSGIEnvironment", "Work", "Works", "as_plain", "asks_for_websocket",
        "builtin_factory", "clean_request_id", "environment", "influx_url", "is_answer_of", "is_being_recorded", "is_whole", "known_of",
        "loaded_on_use", "loaded_user_id", "mounted", "open_chest", "record_answered", "record_route", "record_user",
        "refuse_asgi", "register_built_in", "safe_url", "service_of", "settings_of", "show", "storable_text",
        "told_request_id", "tracked_names", "variables_chest", "variables_source",
    ],
    "chest.chests": [
        "Chest", "ClickHouseChest", "CoordinationStore", "Cursor", "HttpChest", "InfluxChest", "KafkaChest", "LogChest", "LoginRefused", "MemoryChest", "MongoChest",
        "NatsChest", "NdjsonChest", "OtlpChest", "Query", "ReadableChest", "Received", "RetentionBackend", "SQLChest", "SQLiteChest", "SchemaMismatch", "StoredRecord",
        "StreamChest", "StreamReader", "TLSRefused", "UnknownDatabase", "UnknownHost", "VersionedValue", "open_chest",
    ],
    "chest.dashboard": ["ChestPage"],
    "chest.dockerflow": [
        "Dockerflow", "DockerflowMiddleware", "DockerflowOptions", "JsonLogFormatter", "MozlogFormatter", "MozlogHandler",
        "RequestIdLogFilter", "WSGIAnswer", "checks", "dockerflow_signals", "health", "heartbeat_failed", "heartbeat_passed", "request_id_context",
        "version",
    ],
    "chest.dockerflow.checks": [
        "CRITICAL", "DEBUG", "ERROR", "INFO", "STATUSES", "WARNING", "CheckMessage", "ChecksResults", "Critical", "Debug", "Error",
        "Info", "Warning", "check_database_connected", "check_migrations_applied", "check_redis_connected", "clear_checks",
        "get_checks", "level_to_text", "register", "register_partial", "run_checks", "run_checks_async",
    ],
    "chest.gunicorn": ["worker_exit"],
    "chest.instruments": [
        "RequestLogFilter", "instrument_django", "instrument_httpx", "instrument_pymongo", "instrument_redis", "instrument_requests",
        "instrument_sqlalchemy", "outgoing_headers", "request_processor",
    ],
    "chest.metrics": ["MetricsCollector", "metrics_app"],
    "chest.query": [
        "SORTS", "Answer", "Band", "Basis", "Cell", "Compared", "Condition", "Cube", "Difference", "Filter", "FilterError", "Group",
        "Heatmap", "Name", "Neighbours", "NewValue", "News", "OverTime", "RecordNotFound", "ReleaseMark", "Sample", "Source", "Step", "TimeRow", "Top", "TopRow", "TopValue", "ValueShare", "Values",
        "ValuesRow", "compare", "heatmap", "label_of", "name_of", "narrowed", "neighbours", "news", "over_time", "parse", "top", "values",
    ],
    "chest.testing": ["ChestContract", "ReadableChestContract", "StreamChestContract", "TestRecords", "make_record"],
    "chest.transfer": [
        "Retention", "RetentionResult", "ScheduledRetention", "ScheduledTask", "ScheduledTransfer", "StreamTransfer", "Transfer", "TransferResult",
        "start_in_every_process",
    ],
    "flask_chest": [
        "AppRecorder", "FlaskChest", "FlaskChestCustomWriter", "FlaskChestExporter", "FlaskChestExporterInfluxDB",
        "FlaskChestExporterMySQL", "FlaskChestInfluxDB", "FlaskChestMongoDB", "FlaskChestMySQL", "FlaskChestPostgreSQL",
        "FlaskChestSQLite", "FlaskRecorder", "flask_chest",
        "recorders_of",
    ],
    "flask_chest.client": ["get_ip", "user_or_ip_key"],
    "flask_chest.dockerflow": ["Dockerflow", "checks"],
    "django_chest": ["DjangoRecorder", "record_commands"],
    "falcon_chest": ["FalconRecorder"],
    "bottle_chest": ["BottleRecorder"],
    "pyramid_chest": ["includeme", "recording_tween_factory"],
    "celery_chest": ["record_tasks"],
    "huey_chest": ["record_tasks"],
    "rq_chest": ["job_class"],
    "pytest_chest": ["assert_recorded", "chest_records"],
}
PLACES_OF_FLASK_CHEST = {
    "flask_chest.chests.base": ["DEFAULT_SCHEMA", "FlaskChest"],
    "flask_chest.chests.custom": ["FlaskChestCustomWriter"],
    "flask_chest.chests.influxDB": ["FlaskChestInfluxDB", "create_influxdb_datapoint"],
    "flask_chest.chests.sqlite": ["FlaskChestSQLite"],
    "flask_chest.decorator": ["flask_chest", "set_custom_request_id", "write_tracked_variables"],
    "flask_chest.dockerflow.signals": ["heartbeat_failed", "heartbeat_passed"],
    "flask_chest.exporter.base": ["FlaskChestExporter"],
    "flask_chest.exporter.influxDB": ["FlaskChestExporterInfluxDB"],
    "flask_chest.exporter.mysql": ["FlaskChestExporterMySQL"],
    "flask_chest.sqlite_utils": ["create_sqlite_table", "sqlite_write"],
    "flask_chest.exporter": ["FlaskChestExporter", "FlaskChestExporterInfluxDB", "FlaskChestExporterMySQL"],
}
"""Import paths of Flask-Chest, and of python-dockerflow for Flask; they still work."""
# fmt: on
DOORS = {
    "chest.adapter",
    "chest.dashboard",
    "chest.dockerflow",
    "chest.dockerflow.checks",
    "chest.testing",
    "chest.transfer",
}
"""What an adapter may import from, beside ``chest``."""
NAMES = [(module, name) for module, names in PUBLIC.items() for name in names]


def _modules(root: Path = ROOT, package: str = "chest") -> list[str]:
    files = [file.relative_to(root).with_suffix("").parts for file in (root / package).rglob("*.py")]
    return [".".join(parts[:-1] if parts[-1] == "__init__" else parts) for parts in files]


_OUR_MODULES = {*_modules(), *_modules(ROOT / "adapters", ".")}
_SOURCE = "".join(path.read_text() for path in (ROOT / "chest").rglob("*.py"))
_NO_PATHS = {*re.findall(r'getLogger\("([\w.]+)"', _SOURCE), "chest.request"}
"""The loggers, and the name of an event."""


@pytest.mark.parametrize("module", PUBLIC)
def test_these_names_are_public_and_no_others(module: str) -> None:
    assert importlib.import_module(module).__all__ == PUBLIC[module]


@pytest.mark.parametrize(("module", "name"), NAMES, ids=[f"{module}.{name}" for module, name in NAMES])
def test_a_public_name_is_there_and_says_what_it_is(module: str, name: str) -> None:
    found = getattr(importlib.import_module(module), name)
    if inspect.isclass(found) or inspect.isroutine(found):
        assert found.__doc__
        assert not found.__doc__.startswith(f"{name}("), "the docstring that Python makes of a signature"


@pytest.mark.parametrize(
    "module",
    [
        "chest",
        "chest.chests",
        "chest.dashboard",
        "chest.dockerflow",
        "chest.instruments",
        "chest.metrics",
        "chest.query",
        "chest.transfer",
        "chest.testing",
    ],
)
def test_a_name_that_is_not_there_is_an_attribute_error(module: str) -> None:
    with pytest.raises(AttributeError, match=rf"module '{module}' has no attribute 'Chesst'"):
        importlib.import_module(module).Chesst  # noqa: B018


def test_every_outcome_is_a_constant_and_a_literal() -> None:
    assert {value for name, value in vars(Outcome).items() if name.isupper()} == set(get_args(OutcomeName))


def test_the_reference_of_the_site_has_every_public_module_and_no_other() -> None:
    code = ast.parse((ROOT / "docs" / "site" / "pages.py").read_text())
    targets = {ast.unparse(node.target): node.value for node in ast.walk(code) if isinstance(node, ast.AnnAssign)}
    modules = targets["PUBLIC"]
    assert modules is not None
    assert sorted(ast.literal_eval(modules)) == sorted(PUBLIC)


# -- nothing else is imported from -----------------------------------------------------------------------------------------


def _imports(code: str) -> Iterator[tuple[str, str]]:
    """Each name that the code imports of Chest, and the module that it is taken from."""
    for node in ast.walk(ast.parse(code)):
        if isinstance(node, ast.ImportFrom) and node.module and _is_ours(node.module):
            yield from ((node.module, alias.name) for alias in node.names)
        elif isinstance(node, ast.Import):
            yield from ((alias.name, "") for alias in node.names if _is_ours(alias.name))
        elif isinstance(node, ast.Constant) and isinstance(node.value, str):  # a class that logging is to find
            yield from re.findall(r"\A((?:flask_)?chest(?:\.[a-z_]+)*)\.([A-Z]\w*)\Z", node.value)


def _is_ours(module: str) -> bool:
    return re.fullmatch(r"(\w+_)?chest", module.partition(".")[0]) is not None


def _is_public(module: str, name: str) -> bool:
    names = PUBLIC.get(module) or PLACES_OF_FLASK_CHEST.get(module)
    if names is None:  # a module that a package hands out by name
        package, _, own = module.rpartition(".")
        return not name and own in PUBLIC.get(package, ())
    return not name or name in names or f"{module}.{name}" in PUBLIC


def _code_in(document: Path) -> Iterator[str]:
    text = document.read_text()
    yield from re.findall(r"^```python\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)
    yield from re.findall(r"`((?:from \S+ )?import [^`\n]+)`", re.sub(r"^```.*?^```$", "", text, flags=re.M | re.S))


def _paths_in(text: str) -> Iterator[tuple[str, str]]:
    """Each module that prose or a table names by its path, and what it names of it; the name of a logger is no path."""
    for path in re.findall(r"`((?:\w+_)?chest(?:\.[A-Za-z_]\w*)+)[`(]", text):
        parts = path.split(".")
        known = [".".join(parts[:count]) for count in range(2, len(parts) + 1)]
        module = next((each for each in reversed(known) if each in _OUR_MODULES), None)
        if module is not None and path not in _NO_PATHS:
            yield module, path.removeprefix(module).removeprefix(".").partition(".")[0]


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_a_document_imports_and_names_nothing_but_what_is_public(document: Path) -> None:
    imported = [each for code in _code_in(document) for each in _imports(code)]
    named = [*imported, *_paths_in(document.read_text())]
    assert [each for each in named if not _is_public(*each)] == []


@pytest.mark.parametrize("module", PLACES_OF_FLASK_CHEST)
def test_what_stood_at_a_former_place_is_there(module: str) -> None:
    found = importlib.import_module(module)
    assert [name for name in PLACES_OF_FLASK_CHEST[module] if not hasattr(found, name)] == []


@pytest.mark.parametrize("example", EXAMPLES, ids=lambda path: str(path.relative_to(ROOT)))
def test_an_example_imports_nothing_but_public_names(example: Path) -> None:
    assert [each for each in _imports(example.read_text()) if not _is_public(*each)] == []


def test_the_guard_of_paths_sees_what_is_private_and_passes_over_loggers() -> None:
    text = "`chest.ring`, `chest.record.record.Record` and `chest.query.parse()`; the logger `chest.delivery`; `chest.outcome`"
    assert [path for path in _paths_in(text) if not _is_public(*path)] == [
        ("chest.ring", ""), ("chest.record.record", "Record"),
    ]  # fmt: skip


def test_the_guard_of_imports_sees_what_is_private() -> None:
    code = "from chest.record.record import Record\nimport chest.ring\nhandler = 'chest.dockerflow.logging.MozlogHandler'\n"
    assert {module for module, name in _imports(code) if not _is_public(module, name)} == {
        "chest.record.record", "chest.ring", "chest.dockerflow.logging",
    }  # fmt: skip


# -- the doors of an adapter -----------------------------------------------------------------------------------------------


def test_an_adapter_is_kept_out_of_every_room_but_the_doors() -> None:
    contracts = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["importlinter"]["contracts"]
    contract = next(each for each in contracts if each["name"] == "Adapters come in by the front door")
    assert "ignore_imports" not in contract
    protected = contract["protected_modules"]
    unprotected = [
        module
        for module in _modules()
        if not any(module == each or module.startswith(f"{each.removesuffix('.*')}.") for each in protected)
    ]
    assert set(unprotected) == DOORS | {"chest"}


def test_importing_a_door_loads_no_driver_no_framework_and_no_command() -> None:
    code = (
        "import sys, chest, chest.adapter, chest.chests, chest.dashboard, chest.dockerflow, chest.query, chest.testing, chest.transfer\n"
        "print(*[name for name in sys.argv[1:] if name in sys.modules])"
    )
    heavy = [
        "sqlalchemy",
        "sqlite3",
        "flask",
        "click",
        "rich",
        "pymongo",
        "influxdb_client",
        "httpx",
        "apscheduler",
        "blinker",
    ]
    finished = subprocess.run(
        [sys.executable, "-c", code, *heavy, "chest.cli", "chest.dockerflow.dockerflow"],
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert (finished.stdout.split(), finished.stderr) == ([], "")
