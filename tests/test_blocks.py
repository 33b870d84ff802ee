"""Each block of a document is run by a test, or a reason says why none runs it; commands are run as they are shown."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from click.testing import CliRunner
from werkzeug.test import create_environ, run_wsgi_app

from chest import ChestMiddleware, ReadableChest, Recorder
from chest.adapter import StartResponse, WSGIEnvironment
from chest.chests import open_chest
from chest.cli.main import commands
from chest.testing import make_record
from tests.documents import DOCUMENTS, EXAMPLES, ROOT, Block, block_of, blocks_of, chest_commands
from tests.servers.clickhouse import ClickHouse
from tests.servers.database import DatabaseServer
from tests.servers.kafka import Broker
from tests.servers.nats import Nats

HERE = "tests/test_blocks.py::"
SHOWN = f"{HERE}test_the_commands_of_a_page_do_what_they_are_for"
README = "tests/test_docs.py::test_the_sessions_of_the_ten_lines_print_what_the_readme_shows"
DEMO = "tests/test_docs.py::test_the_sessions_in_the_store_of_a_demonstration_print_what_the_documents_show"
TUTORIAL = "tests/test_docs.py::test_the_tutorial_runs_from_the_first_block_to_the_last"
ROLES = "tests/chests/sql/servers/test_operators_page.py::test_the_writer_only_writes_and_the_reader_only_reads"
BY_DAY = (
    "tests/chests/sql/servers/test_partitions.py::test_a_plain_table_becomes_a_partitioned_one_as_the_document_says"
)
WITH_APACHE = "tests/protocol/servers/test_mod_wsgi.py::"
RUN_BY = {
    ("README.md", "$ chest find"): README,
    ("README.md", "$ chest compare"): DEMO,
    ("README.md", "$ python shop.py"): README,
    ("README.md", "$ curl"): README,
    ("README.md", "$ chest demo"): DEMO,
    ("docs/clickhouse.md", "SELECT route"): "tests/chests/clickhouse/test_servers.py::test_the_question_of_the_page_is_answered",
    ("docs/filters.md", "chest find"): SHOWN,
    ("docs/how-it-works.md", "chest drain"): SHOWN,
    ("docs/kafka.md", "chest transfer"): SHOWN,
    ("docs/mod_wsgi.md", "WSGIDaemonProcess shop"): f"{WITH_APACHE}test_each_request_leaves_one_record_and_a_stop_delivers_all",
    ("docs/operations.md", "chest status"): SHOWN,
    ("docs/otlp.md", "CHEST_DELIVERY"): SHOWN,
    ("docs/personal-data.md", "$ chest forget"): SHOWN,
    ("docs/postgresql.md", "CREATE ROLE"): ROLES,
    ("docs/postgresql.md", "GRANT"): ROLES,
    ("docs/postgresql.md", "SELECT pg_size_pretty"): ROLES,
    ("docs/postgresql.md", "$ chest partition postgresql"): SHOWN,
    ("docs/postgresql.md", "$ chest partition 'postgresql"): BY_DAY,
    ("docs/postgresql.md", "BEGIN"): BY_DAY,
    ("docs/postgresql.md", "$ chest transfer"): BY_DAY,
    ("docs/scaling.md", "CHEST_URLS"): SHOWN,
    ("docs/scaling.md", "export CHEST_DIRECTORY"): SHOWN,
    ("docs/scaling.md", "chest check postgresql"): SHOWN,
    ("docs/scaling.md", "chest partition"): SHOWN,
    ("docs/scaling.md", "chest check clickhouse"): SHOWN,
    ("docs/scaling.md", "chest drain /var/lib/shop/chest --to nats"): SHOWN,
    ("docs/scaling.md", "chest drain /var/lib/shop/chest --to \"kafka"): SHOWN,
    ("docs/transfer.md", "chest transfer sqlite"): SHOWN,
    ("docs/transfer.md", "chest transfer nats"): SHOWN,
    ("docs/write-a-chest.md", "[project.entry-points"): "tests/test_docs.py::test_the_url_of_a_guest_will_do_as_the_page_says_here_and_in_the_commands",
}  # fmt: skip
"""By document and beginning of a block: the test that runs it. Of asking and the tutorial each session is run."""
_A_SERVER = "starts a server; the tests start each one themselves: tests/protocol/servers, tests/kill/servers"
_INSTALLS = "installs from a registry, as tests.runs.wheel does with what is built"
_LARGE = "a command of make, which runs these tests or starts all servers"
_OTHERS = "the tool of a server, which the tests do not install"
_EXAMPLES = "the example is served and asked by the tests of its adapter in tests/adapters"
NOT_RUN = {
    ("README.md", "make demo"): "tests/cli/test_demo.py runs chest demo",
    ("README.md", "python3 -m venv"): _INSTALLS,
    ("README.md", "make test"): _LARGE,
    ("docs/deployment.md", "gunicorn"): _A_SERVER,
    ("docs/deployment.md", "uwsgi"): _A_SERVER,
    ("docs/deployment.md", "log_format"): "needs nginx, which the tests do not install",
    ("docs/dockerflow.md", "{"): "an answer; the tests of the heartbeat compare it field by field",
    ("docs/how-it-works.md", "# /etc/systemd"): "needs systemd as the first process of a machine",
    ("docs/kafka.md", "kafka-topics.sh"): _OTHERS,
    (
        "docs/mongodb.md",
        "db.createUser",
    ): "asks for a password; tests/chests/mongodb/conftest.py makes the same log-in",
    ("docs/nats.md", "nats stream add"): _OTHERS,
    ("docs/otlp.md", 'CHEST_URLS="sqlite'): _A_SERVER,
    ("docs/otlp.md", "export VENDOR_HEADERS"): "needs an account with a vendor",
    (
        "docs/page.md",
        "$ chest ui",
    ): "serves until it is ended, as in tests/dashboard; the options are compared with the command",
    ("docs/page.md", "location"): "needs nginx, which the tests do not install",
    ("docs/tutorial.md", "python3 -m venv"): _INSTALLS,
    ("examples/django_app/README.md", "python manage.py"): _EXAMPLES,
    ("examples/django_app/README.md", "chest tail"): "follows the store until it is ended",
    ("examples/dockerflow_app/README.md", "gunicorn"): _EXAMPLES,
    ("examples/dockerflow_app/README.md", "uwsgi"): _EXAMPLES,
    ("examples/dockerflow_app/README.md", "curl"): _EXAMPLES,
    ("examples/flask_app/README.md", "gunicorn"): _EXAMPLES,
    ("examples/flask_app/README.md", "flask --app"): "follows the store until it is ended",
    ("examples/flask_app/README.md", "curl"): _EXAMPLES,
    ("examples/model_app/README.md", "make model-app"): _LARGE,
    ("examples/model_app/README.md", "make test-model-app"): _LARGE,
    ("examples/model_app/README.md", "flask --app"): "tests/adapters/model_app starts the same processes",
}
"""Why no test runs a block."""
SESSIONS = {"docs/asking.md": DEMO, "docs/tutorial.md": TUTORIAL}
"""Pages of which a test runs each session."""
ALL = [block for document in (*DOCUMENTS, *EXAMPLES) for block in blocks_of(document) if block.has_commands]


def _entries_of(block: Block) -> list[tuple[str, str]]:
    if block.place in SESSIONS and block.language == "console":
        return [(block.place, "")]
    return [key for key in (*RUN_BY, *NOT_RUN) if key[0] == block.place and block.text.startswith(key[1])]


@pytest.mark.parametrize("block", ALL, ids=str)
def test_a_block_is_run_or_a_reason_says_why_not(block: Block) -> None:
    assert len(_entries_of(block)) == 1, f"{block}: no test runs it, and no reason is given, or several"


def test_no_entry_is_without_a_block() -> None:
    met = {entry for block in ALL for entry in _entries_of(block)}
    assert (RUN_BY.keys() | NOT_RUN.keys()) - met == set()


@pytest.mark.parametrize("test", sorted({*RUN_BY.values(), *SESSIONS.values()}))
def test_what_is_said_to_run_a_block_is_there(test: str) -> None:
    file, _, name = test.partition("::")
    assert re.search(rf"^def {name}\(", (ROOT / file).read_text(), re.MULTILINE)


# -- commands as they are shown -------------------------------------------------------------------------------------------

_STORE = "sqlite:///chest.sqlite3"
_OF_SHOWN = [key for key, test in RUN_BY.items() if test == SHOWN]


@pytest.mark.parametrize(("place", "begin"), _OF_SHOWN, ids=[" ".join(key) for key in _OF_SHOWN])
def test_the_commands_of_a_page_do_what_they_are_for(
    place: str, begin: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
    postgresql: DatabaseServer, clickhouse: ClickHouse, nats: Nats, kafka: Broker,
) -> None:  # fmt: skip
    block = block_of(place, begin)
    places = {
        r"^postgresql://[^?]*": postgresql.new_url(), r"^clickhouse://.*": clickhouse.new_url(), r"^nats://.*": nats.new_url(),
        r"^kafka://.*": kafka.new_url(), r"^otlp://.*": "ndjson:collector.ndjson", "/var/lib/shop": str(tmp_path), r"^shop\.wsgi:app$": "shop_wsgi:recorder",
    }  # fmt: skip
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setenv("CHEST_URLS", _STORE)
    monkeypatch.setenv("CHEST_DIRECTORY", str(tmp_path / "chest"))
    lines = chest_commands(block, places)
    assert lines
    _give_records(tmp_path, {line[1] for line in lines if line[0] == "transfer"} | {_STORE})
    for line in lines:
        done = CliRunner().invoke(commands, line, prog_name="chest")
        # That records wait is no success of "chest status", and they do before the others are typed.
        assert done.exit_code in ((0, 1) if line[0] == "status" else (0,)), f"chest {' '.join(line)}\n{done.output}"
        _has_arrived(line)


def _hello(environ: WSGIEnvironment, start_response: StartResponse) -> list[bytes]:
    start_response("200 OK", [])
    return [b"hello"]


def _give_records(directory: Path, sources: set[str]) -> None:
    """To each store that is read, and to a ring that another process is to deliver; also what is asked for."""
    (directory / "shop_wsgi.py").write_text(
        f"import chest\nrecorder = chest.Recorder(chests=[{_STORE!r}], directory={str(directory)!r})\n"
    )
    fields = {
        "variables": {"user_id": 42},
        "path": "/checkout",
        "status": 500,
        "duration_ns": 10**9,
        "outcome": "error",
    }
    for url in sources:
        with open_chest(url if ":" in url else f"sqlite:///{url}") as chest:
            chest.write([make_record(**fields), make_record(time_ns=1_700_000_000 * 10**9)])
    recorder = Recorder(directory=directory / "chest", delivery="external")
    run_wsgi_app(ChestMiddleware(_hello, recorder=recorder), create_environ())
    recorder.close()


def _has_arrived(line: list[str]) -> None:
    """What a command says that it wrote to is there to be read."""
    if line[0] not in ("drain", "transfer") or {"--dry-run", "--app"} & {*line}:
        return
    url = line[line.index("--to") + 1] if line[0] == "drain" else line[2]
    if url.startswith("ndjson:"):
        assert Path(url.removeprefix("ndjson:")).stat().st_size > 0
        return
    with open_chest(url) as chest:
        assert not isinstance(chest, ReadableChest) or chest.read(limit=1)
