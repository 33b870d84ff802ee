"""The documents say what is so: their code and their sessions are run, and what they name is there."""

from __future__ import annotations

import ast
import json
import os
import re
import shlex
import shutil
import socket
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from datetime import date
from pathlib import Path
from typing import NamedTuple

import click
import pytest
from flask_chest.app_settings import G_OPTION

from chest.chests.influxdb.chest import InfluxChest
from chest.chests.otlp.chest import OtlpChest
from chest.cli.main import COMMANDS, commands
from chest.record.record import Outcome, Record
from chest.recorder.stats import RecorderStats
from chest.settings.chest_urls import schemes
from chest.settings.settings import options
from tests.documents import DOCUMENTS, FENCE, Block, blocks_of

ROOT = Path(__file__).parent.parent
README = ROOT / "README.md"
DECISIONS = ROOT / "docs" / "decisions"
TUTORIAL = ROOT / "docs" / "tutorial.md"
"""Its blocks are files of one program, and are run together."""
ASKING = ROOT / "docs" / "asking.md"
HOW_IT_WORKS = ROOT / "docs" / "how-it-works.md"

_INLINE = re.compile(r"`([^`\n]+)`")
_LINK = re.compile(r"(?<!!)\[[^\]\n]*\]\(([^)\s]+)\)")
_COMMAND_SECONDS = 300


def _blocks(*languages: str) -> list[Block]:
    return [
        block
        for document in DOCUMENTS
        if document != TUTORIAL
        for block in blocks_of(document)
        if block.language in languages
    ]


def _prose_of(document: Path) -> str:
    return FENCE.sub("", document.read_text())


def _environment(home: Path, **more: str) -> dict[str, str]:
    """Of a user who has nothing yet but this package."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("CHEST_", "XDG_", "PYTEST_"))}
    path = os.pathsep.join(map(str, (home, ROOT)))
    return kept | {"HOME": str(home), "PYTHONPATH": path, "PYTHONDONTWRITEBYTECODE": "1"} | more


# -- code ----------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("block", _blocks("python"), ids=str)
def test_code_of_the_documents_runs(block: Block, tmp_path: Path) -> None:
    _install_guest(tmp_path, block.document)
    file = tmp_path / "test_block.py"
    file.write_text(block.text)
    names = (getattr(node, "name", "") for node in ast.parse(block.text).body)
    has_tests = any(name.startswith(("test_", "Test")) for name in names)
    (tmp_path / "only_what_the_page_says.py").write_text(_ONLY_WHAT_THE_PAGE_SAYS.format(missing=_missing(block)))
    how = ["-m", "pytest", "-q", "-c", os.devnull, "--rootdir", str(tmp_path), "-p", "no:cacheprovider"]
    command = (
        [*how, "-p", "only_what_the_page_says", str(file)]
        if has_tests
        else ["-W", "error", "-c", "import only_what_the_page_says, test_block"]
    )
    finished = _python(*command, home=tmp_path)
    assert finished.returncode == 0, finished.stdout
    assert not has_tests or re.search(r"\d+ passed", finished.stdout), finished.stdout


_BROUGHT_BY = {
    "sql": {"sqlalchemy", "psycopg", "pymysql"},
    "mongo": {"pymongo", "bson"},
    "influx": {"influxdb_client"},
    "http": {"httpx"},
    "schedule": {"apscheduler"},
    "dockerflow": {"blinker"},
    "prometheus": {"prometheus_client"},
    "flask": {"flask", "werkzeug", "blinker"},
    "django": {"django"},
    "falcon": {"falcon"},
    "bottle": {"bottle"},
    "pyramid": {"pyramid"},
    "pytest": {"pytest"},
    "celery": {"celery"},
    "rq": {"rq"},
    "huey": {"huey"},
}
"""What an extra, or a package of that name, brings. What no page installs (a framework of another's) may not be imported either."""

_ONLY_WHAT_THE_PAGE_SAYS = """
import sys


class Missing:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in {missing!r}:
            raise ModuleNotFoundError(f"No module named {{name!r}}: the page does not say that it is to be installed", name=name)


sys.meta_path.insert(0, Missing())
"""


def _missing(block: Block) -> set[str]:
    """Modules that a reader of this page does not have who installed what it says."""
    said = re.findall(r"pip install '?([^`'\n]+)", block.document.read_text())
    installed = {extra for each in said for extra in re.split(r"[\[\], ]+", each)}
    if "all" in installed:
        return set()
    brought = {module for extra, modules in _BROUGHT_BY.items() if extra in installed for module in modules}
    everything = {module for modules in _BROUGHT_BY.values() for module in modules}
    return (everything | {"pandas", "duckdb"}) - brought


def _install_guest(home: Path, document: Path) -> None:
    """The package of the document's example with its entry point, as pip would leave it."""
    for block in blocks_of(document):
        if block.language == "toml":
            section, name = re.findall(r'^\[project\.entry-points\."(.+)"\]\n(\w+) = ', block.text)[0]
            target = re.findall(r'= "(.+)"', block.text)[0]
            about = home / f"{target.partition(':')[0]}-1.0.dist-info"
            about.mkdir()
            (about / "METADATA").write_text("Metadata-Version: 2.1\nName: my-package\nVersion: 1.0\n")
            (about / "entry_points.txt").write_text(f"[{section}]\n{name} = {target}\n")
            code = next(b.text for b in blocks_of(document) if f"class {target.partition(':')[2]}(" in b.text)
            (home / f"{target.partition(':')[0]}.py").write_text(code)


def _python(*arguments: str, home: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, *arguments],
        cwd=home,
        env=_environment(home),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=_COMMAND_SECONDS,
    )


_GUEST_IN_A_RECORDER = """
from chest import Recorder
from chest.testing.records import make_record

for recorder in (Recorder(chests=["lines:here.jsonl"], directory="here"), Recorder(directory="there")):
    recorder.offer(make_record())
    assert recorder.close()
"""


def test_the_url_of_a_guest_will_do_as_the_page_says_here_and_in_the_commands(tmp_path: Path) -> None:
    def run(*arguments: str, **environment: str) -> str:
        finished = subprocess.run(
            [sys.executable, *arguments],
            cwd=tmp_path,
            env=_environment(tmp_path, **environment),
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=_COMMAND_SECONDS,
        )
        return f"{finished.stdout}{finished.returncode}"

    _install_guest(tmp_path, ROOT / "docs" / "write-a-chest.md")
    assert run("-c", _GUEST_IN_A_RECORDER, CHEST_URLS="memory:,lines:there.jsonl") == "0"
    for name in ("here", "there"):
        assert len((tmp_path / f"{name}.jsonl").read_text().splitlines()) == 1
    assert run("-m", "chest", "check", "lines:here.jsonl").endswith("0")
    assert "lines:here.jsonl can only be written" in run("-m", "chest", "find", "lines:here.jsonl")
    (tmp_path / "kept.py").write_text(
        "from chest.chests import SQLiteChest; from chest.testing.records import make_record\n"
        "with SQLiteChest('sqlite:///kept.sqlite3') as chest: chest.write([make_record(), make_record()])"
    )
    assert run("kept.py") == "0"
    assert run("-m", "chest", "transfer", "kept.sqlite3", "lines:sent.jsonl").endswith("0")
    assert len((tmp_path / "sent.jsonl").read_text().splitlines()) == 2


def test_the_flask_example_records_route_error_and_what_is_on_g(tmp_path: Path) -> None:
    example = next(block.text for block in _blocks("python") if "Flask(__name__)" in block.text)
    use = (
        "app = create_app()\n"
        "client = app.test_client()\n"
        "client.get('/items/3'); client.get('/items/0')\n"
        "assert app.extensions['chest'].recorder.close()\n"
    )
    (tmp_path / "shop.py").write_text(f"{example}\n\n{use}")
    finished = _python("shop.py", home=tmp_path)
    assert finished.returncode == 0, finished.stdout
    shown = _python("-m", "chest", "tail", "--no-follow", "--json", "chest.sqlite3", home=tmp_path).stdout
    assert shown.count('"route":"/items/<int:number>"') == 2
    assert '"outcome":"error","error":"ZeroDivisionError"' in shown
    assert shown.count('"user_id":"123"') == 2


# -- sessions --------------------------------------------------------------------------------------------------------------


class Step(NamedTuple):
    """One command of a session, and what the document says that it prints."""

    command: str
    shown: str


def _steps(text: str) -> list[Step]:
    parts = re.split(r"^\$ (.*)\n", text, flags=re.MULTILINE)[1:]
    return [Step(command, shown) for command, shown in zip(parts[::2], parts[1::2], strict=True)]


needs_linux = pytest.mark.skipif(sys.platform != "linux", reason="the sessions name Linux's state directory")


@needs_linux
def test_the_sessions_of_the_ten_lines_print_what_the_readme_shows(tmp_path: Path) -> None:
    blocks = list(blocks_of(README))
    example = next(block.text for block in blocks if block.language == "python" and "make_server" in block.text)
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = str(free.getsockname()[1])
    assert example.count("8000") == 1
    (tmp_path / "shop.py").write_text(example.replace("8000", port))
    sessions = [block.text.replace(":8000", f":{port}") for block in blocks if block.language == "console"]
    question, *ten_lines = sessions[:3]
    _assert_session([step for text in (*ten_lines, question) for step in _steps(text)], tmp_path)


@needs_linux
def test_the_sessions_in_the_store_of_a_demonstration_print_what_the_documents_show(tmp_path: Path) -> None:
    sessions = [block.text for block in blocks_of(README) if block.language == "console"]
    assert len(sessions) == 4, "a session that no test runs"
    questions = [step for block in blocks_of(ASKING) if block.language == "console" for step in _steps(block.text)]
    assert len(questions) >= 16
    assert len(re.findall(r"^## [0-9]+\. .*?```console", ASKING.read_text(), re.MULTILINE | re.DOTALL)) == 12
    _assert_session([*_steps(sessions[3]), *map(_of_this_store, map(_last_line, questions))], tmp_path)


@needs_linux
def test_the_tutorial_runs_from_the_first_block_to_the_last(tmp_path: Path) -> None:
    blocks = list(blocks_of(TUTORIAL))
    names = re.findall(r"[Ss]ave this as `(\w+\.py)`", TUTORIAL.read_text())
    files = [block.text for block in blocks if block.language == "python"]
    for name, text in zip(names, files, strict=True):
        (tmp_path / name).write_text(text)
    finished = _python("-W", "error", "visit.py", home=tmp_path)
    assert finished.returncode == 0, finished.stdout
    steps = [step for block in blocks if block.language == "console" for step in _steps(block.text)]
    assert len(steps) == 3
    _assert_session([*map(_last_line, steps)], tmp_path)


_THE_LAST_OF = '$(chest find chest.sqlite3 {which} --limit 1 --json | sed -n \'s/.*"id": *"\\([0-9a-f]*\\)".*/\\1/p\')'


def _of_this_store(step: Step) -> Step:
    """The step with the id of the request that the document has found before, in this store."""
    command = step.command
    for before, which in ((r"--(?:before|after)", "user_id=ada"), (r"show chest\.sqlite3", "item_id=7")):
        wanted = _THE_LAST_OF.format(which=which)
        command = re.sub(rf"({before}) [0-9a-f]{{8}}", lambda found, wanted=wanted: f"{found[1]} {wanted}", command)
    return step._replace(command=command)


def _last_line(step: Step) -> Step:
    """The step with the last line that it shows, in which an answer says what it rests on: the others differ from run to run."""
    return Step(step.command, f"...\n{step.shown.splitlines()[-1]}\n")


def _assert_session(steps: list[Step], home: Path) -> None:
    """Run the commands in one shell, and compare what they print but for numbers, ids and the host."""
    shell = shutil.which("bash") or pytest.skip("the sessions are for bash")
    run = [f"{step.command}\necho '--- {place}'" for place, step in enumerate(steps)]
    tools = home / "tools"
    tools.mkdir()
    for name, text in _TOOLS.items():
        (tools / name).write_text(text.format(python=shlex.quote(sys.executable)))
        (tools / name).chmod(0o755)
    finished = subprocess.run(
        [shell, "-c", "trap 'kill $(jobs -p) 2>/dev/null' EXIT\n" + "\n".join(run)],
        cwd=home,
        env=_environment(home, PATH=f"{tools}{os.pathsep}{os.environ['PATH']}", COLUMNS="80"),
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
        timeout=_COMMAND_SECONDS,
    )
    printed = re.split(r"^--- \d+\n", finished.stdout, flags=re.MULTILINE)
    assert len(printed) == len(steps) + 1, finished.stdout
    for step, text in zip(steps, printed, strict=False):
        assert re.fullmatch(_pattern(step.shown), _masked(text)), f"$ {step.command}\n{text}"


_TOOLS = {
    "python": '#!/bin/sh\nexec {python} "$@" >/dev/null 2>&1\n',
    # A user waits for the record to be delivered, so it is asked again while nothing is found. Each command's
    # whole output is printed as one piece, that of standard error too.
    "chest": """#!/bin/sh
for _ in 1 2 3 4 5 6 7 8 9 10; do
    text=$({python} -m chest "$@" 2>&1)
    code=$?
    test "$code$1" = 1find || break
    sleep 0.2
done
printf '%s\\n' "$text"
""",
    # In the place of curl, which not every machine has: asks again until the server listens.
    "curl": """#!{python}
import sys, time, urllib.request
headers = dict(text.split(": ", 1) for flag, text in zip(sys.argv, sys.argv[1:]) if flag == "-H")
for _ in range(100):
    try:
        print(urllib.request.urlopen(urllib.request.Request(sys.argv[-1], headers=headers)).read().decode(), end="")
        break
    except OSError:
        time.sleep(0.1)
""",
}

_REQUEST_ID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")


def _masked(text: str) -> str:
    """What a run prints, without what differs from run to run, and from one release of SQLite to another."""
    text = re.sub(r"^note +SQLite .*\n?", "", text, flags=re.MULTILINE)
    text = _REQUEST_ID.sub("UUID", text)
    text = re.sub(r"(?<= )[0-9a-f]{8}(?=\s)", "ID", text)
    text = re.sub(r"\b[0-9a-f]{32}\b", "ID", text)
    text = re.sub(r"^(host +).*", r"\1HOST", text, flags=re.MULTILINE)
    text = re.sub(r"\d+(\.\d+)?", "N", text)
    return re.sub(r"[ \t]+", " ", text)


def _pattern(shown: str) -> str:
    """The same of what a document shows, where ``...`` stands for the rest of a line, and alone on a line for many."""
    lines = _masked(shown).splitlines()
    return "".join(r"(?s:.*)" if line == "..." else re.escape(line).replace(r"\.\.\.", ".*") + "\n" for line in lines)


# -- what is named is there --------------------------------------------------------------------------------------------------


def _typed_commands() -> Iterator[tuple[str, str]]:
    """Every ``chest …`` that a document shows, with the document's name."""
    for document in DOCUMENTS:
        for line in _INLINE.findall(_prose_of(document)):
            yield document.name, line
        for block in blocks_of(document):
            if block.language in ("sh", "console"):
                yield from ((document.name, line.removeprefix("$ ")) for line in block.text.splitlines())


CHEST_COMMANDS = sorted(
    {
        (name, line.removeprefix("python -m "))
        for name, line in _typed_commands()
        if re.match(r"(python -m )?chest [a-z]", line)
    }
)


@pytest.mark.parametrize(("document", "line"), CHEST_COMMANDS, ids=[line for _, line in CHEST_COMMANDS])
def test_a_command_that_a_document_shows_is_there_with_the_options_shown(document: str, line: str) -> None:
    name, *arguments = shlex.split(line)[1:]
    assert name in COMMANDS, f"{document}: {line}"
    command = commands.get_command(click.Context(commands), name)
    assert command is not None
    if isinstance(command, click.Group) and arguments:
        command = command.commands[arguments.pop(0)]
    known = {spelling for option in command.params for spelling in (*option.opts, *option.secondary_opts)}
    assert {argument for argument in arguments if argument.startswith("-")} <= known, f"{document}: {line}"


def test_the_documents_show_every_command() -> None:
    assert {line.split()[1] for document, line in CHEST_COMMANDS if document == README.name} == set(COMMANDS)


def test_the_options_that_the_readme_shows_for_finding_are_there() -> None:
    row = next(line for line in README.read_text().splitlines() if line.startswith("| `chest find`"))
    find = commands.get_command(click.Context(commands), "find")
    assert find is not None
    shown = set(re.findall(r"--[a-z-]+", row))
    assert shown
    assert shown <= {spelling for option in find.params for spelling in option.opts}


def test_every_option_in_the_documentation_of_options_is_known() -> None:
    rows = re.findall(r"^\| `(\w+)` \|", (ROOT / "docs" / "options.md").read_text(), re.MULTILINE)
    assert sorted(rows) == sorted(option.name for option in options())


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_every_environment_variable_that_a_document_names_is_an_option(document: Path) -> None:
    somebody_elses = {"CHEST_PORT"}
    named = set(re.findall(r"\bCHEST_[A-Z_]+\b", document.read_text()))
    assert named - somebody_elses <= {option.key for option in (*options(), G_OPTION)}


def test_every_chest_that_can_be_opened_has_a_row_in_the_readme() -> None:
    section = README.read_text().partition("\n## Chests\n")[2].partition("\n## ")[0]
    rows = [line for line in section.splitlines() if line.startswith("|")]
    assert [scheme for scheme in schemes() if not any(f"`{scheme}:" in row for row in rows)] == []


def test_every_make_target_that_a_document_names_is_there() -> None:
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    lines = [line for _, line in _typed_commands() if line.startswith("make ")]
    named = {word for line in lines for word in line.split()[1:] if "=" not in word}
    assert named
    assert named <= targets


def test_contributing_shows_every_make_target_that_a_person_types() -> None:
    targets = set(re.findall(r"^([a-z-]+):.*## ", (ROOT / "Makefile").read_text(), re.MULTILINE)) - {"help"}
    shown = set(re.findall(r"^\| `make ([a-z-]+)` \|", (ROOT / "CONTRIBUTING.md").read_text(), re.MULTILINE))
    assert shown == targets


def test_every_benchmark_has_a_row_and_what_make_bench_leaves_out_is_said() -> None:
    text = (ROOT / "benchmarks" / "README.md").read_text()
    rows = re.findall(r"^\| `python -m benchmarks\.(bench_\w+)` \|", text, re.MULTILINE)
    assert sorted(rows) == sorted(path.stem for path in (ROOT / "benchmarks").glob("bench_*.py"))
    code = ast.parse((ROOT / "benchmarks" / "__main__.py").read_text())
    named = [
        each.value
        for each in ast.walk(code)
        if isinstance(each, ast.Assign) and "ASKED_BY_NAME" in ast.unparse(each.targets[0])
    ]
    (left_out,) = map(ast.literal_eval, named)
    said = text.partition("`make bench` (")[2].partition("`--save`")[0]
    assert {f"bench_{name}" for name in left_out} | {"bench_page"} == set(re.findall(r"`(bench_\w+)`", said))


def test_every_field_of_a_record_and_every_outcome_is_explained() -> None:
    rows = re.findall(r"^\| (`\w+`(?:, `\w+`)*) \|", HOW_IT_WORKS.read_text(), re.MULTILINE)
    named = {name for row in rows for name in re.findall(r"\w+", row)}
    outcomes = {value for name, value in vars(Outcome).items() if name.isupper()}
    assert set(Record._fields) | outcomes <= named


def test_every_count_of_a_recorder_is_explained_and_no_other() -> None:
    packages = (ROOT / "chest", ROOT / "adapters")
    files = [path for package in packages for path in package.rglob("*.py") if "cli" not in path.parts]
    code = "\n".join(path.read_text() for path in files)
    counted = set(re.findall(r'ounters\.add\(\s*f?"([a-z_.]+)', code)) | set(re.findall(r'"(dropped\.[a-z_]+)"', code))
    for chest in (InfluxChest("influxdb://host/org/bucket"), OtlpChest("otlp://host")):
        counted |= {f"{reason}." for reason in chest.counts()}
    section = HOW_IT_WORKS.read_text().partition("is the state of this process")[2].partition("A count that is 0")[0]
    explained = set(
        re.findall(r"`([a-z_.]+)(?:<[a-z]+>)?`", "\n".join(re.findall(r"^\| (.+?) \|", section, re.MULTILINE)))
    )
    beside = {
        "ring.is_durable", "ring.capacity_bytes", "ring.pending_bytes", "delivery_is_running", "scheduled_transfers", "in_flight",
        "spool.",
    }  # fmt: skip
    assert explained - beside - {"last_error", "last_error_time"} == counted
    assert {name.partition(".")[0] for name in explained} == set(RecorderStats.__annotations__)


def test_every_dependency_has_its_reason_among_the_decisions_and_no_other_has() -> None:
    about = tomllib.loads((ROOT / "pyproject.toml").read_text())
    project = about["project"]
    lists = [
        about["build-system"]["requires"],
        project["dependencies"],
        *project["optional-dependencies"].values(),
        *about["dependency-groups"].values(),
    ]
    needed = {re.split(r"[^\w-]", text)[0] for texts in lists for text in texts if isinstance(text, str)} - {
        project["name"]
    }
    of_page = json.loads((ROOT / "ui" / "package.json").read_text())
    needed |= of_page["dependencies"].keys() | of_page["devDependencies"].keys()
    table = (DECISIONS / "dependencies.md").read_text().partition("| package |")[2].partition("\n\n")[0]
    rows = re.findall(r"^\| ([a-z].*?) \|", table, re.MULTILINE)
    explained = {name.split()[0] for row in rows for name in re.sub(r"\(.*\)", "", row).split(", ")}
    assert explained == needed


# -- the house -------------------------------------------------------------------------------------------------------------

ARCHITECTURE = ROOT / "docs" / "architecture.md"


def _floors() -> list[set[str]]:
    """The rows of the table of rooms: which room may import which, the highest floor first."""
    section = ARCHITECTURE.read_text().partition("\n## Rooms\n")[2].partition("\n## ")[0]
    cells = re.findall(r"^\| (`.+?) \|", section, re.MULTILINE)
    return [set(re.findall(r"`(?:adapters/)?([a-z_/.]+?)/?`", cell)) for cell in cells]


def test_the_floors_of_the_house_are_those_that_imports_are_held_to() -> None:
    contracts = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["importlinter"]["contracts"]
    layers = next(each["layers"] for each in contracts if each["type"] == "layers")
    held = [{name.replace(".", "/") for name in layer.split(" | ")} for layer in layers]
    assert [{path.removesuffix(".py") for path in floor} for floor in _floors()] == held


def _named_rooms() -> list[Path]:
    """Each folder that the section names: by its path, or by its name in the line that names the folder it is in."""
    section = ARCHITECTURE.read_text().partition("\n## Rooms\n")[2].partition("\n## ")[0]
    rooms: list[Path] = []
    for line in re.findall(r"^\| `.*|^The backends in .*", section, re.MULTILINE):
        names = re.findall(r"`([a-z_/]+)/`", line)
        paths = [ROOT / name for name in names if "/" in name]
        rooms += paths if line.startswith("|") else []
        inside = [folder for path in paths for folder in path.rglob("*") if any(folder.glob("*.py"))]
        for name in (name for name in names if "/" not in name):
            rooms += [folder for folder in inside if folder.name == name] or [ROOT / f"no {name}/ in {line[:40]}"]
    return rooms


def test_the_rooms_that_the_house_names_are_those_that_are_there() -> None:
    rooms = {file.parent for package in ("chest", "adapters") for file in (ROOT / package).rglob("*.py")}
    rooms -= {ROOT / "chest"}
    named = _named_rooms()
    assert sorted(map(str, rooms - {*named})) == [], "not named"
    assert sorted(map(str, {*named} - rooms)) == [], "not there"
    assert len(named) == len(rooms), "named twice"


def test_every_path_that_the_house_names_is_there() -> None:
    named = set(re.findall(r"`((?:chest|adapters|docs|tests|benchmarks|examples)/[\w/.]*)`", ARCHITECTURE.read_text()))
    assert named
    assert sorted(path for path in named if not (ROOT / path).exists()) == []


# -- links -----------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_links_to_files_and_headings_resolve(document: Path) -> None:
    broken = [target for target in _LINK.findall(_prose_of(document)) if not _resolves(document, target)]
    assert broken == []


def _resolves(document: Path, target: str) -> bool:
    if target.startswith("https://"):
        return True
    path, _, anchor = target.partition("#")
    file = document.parent / path if path else document
    return file.exists() and (not anchor or anchor in _anchors(file))


def _anchors(document: Path) -> set[str]:
    """As GitHub makes them of headings."""
    headings = re.findall(r"^#+ (.+)$", _prose_of(document), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def test_the_readme_leads_to_every_document() -> None:
    linked = {(ROOT / target).resolve() for target in _LINK.findall(_prose_of(README)) if "://" not in target}
    assert set(DOCUMENTS) - {README} <= linked


def test_the_site_leads_to_every_document() -> None:
    plan = (ROOT / "docs" / "site" / "mkdocs.yml").read_text().partition("\nnav:\n")[2]
    made = {"README.md": "index.md"}
    assert {made.get(document.name, document.name) for document in DOCUMENTS} | {"reference.md"} == set(
        re.findall(r"(?<!decisions/)\b[\w-]+\.md", plan)
    )


def test_a_warning_of_the_site_is_an_error_on_ci() -> None:
    recipe = (ROOT / "Makefile").read_text().partition("\ndocs: ")[2].partition("\n\n")[0]
    (build,) = (line for line in recipe.splitlines() if "mkdocs build" in line)
    assert "--strict" in build
    assert re.findall(r"--quiet|-q\b", build) == [], "a quiet MkDocs counts no warning"
    assert "\nmake docs\n" in (ROOT / ".ci" / "run").read_text()


def test_each_decision_is_a_dated_file_that_the_index_leads_to() -> None:
    index = (DECISIONS / "README.md").read_text()
    listed = {
        path: (day, title) for day, title, path in re.findall(r"^- (\S+): \[(.+)\]\((.+)\)$", index, re.MULTILINE)
    }
    written = {}
    for file in DECISIONS.glob("*/*.md"):
        title, day, reason = file.read_text().split("\n\n", 2)
        date.fromisoformat(day)
        assert reason.strip(), file
        written[file.relative_to(DECISIONS).as_posix()] = (day, title.removeprefix("# "))
    assert written == listed
    assert len(written) > 100


def test_links_of_the_decisions_lead_to_what_is_there() -> None:
    led = [
        (file, target)
        for file in DECISIONS.rglob("*.md")
        for target in _LINK.findall(_prose_of(file))
        if "://" not in target
    ]
    assert led
    assert [
        f"{file.name}: {target}" for file, target in led if not (file.parent / target.partition("#")[0]).exists()
    ] == []


def test_files_that_the_documents_name_are_there() -> None:
    named = {
        name
        for document in DOCUMENTS
        for name in _INLINE.findall(_prose_of(document))
        if re.fullmatch(r"(chest|tests|docs|benchmarks|\.ci)/[\w/.-]*", name)
    }
    assert named
    assert [name for name in sorted(named) if not (ROOT / name).exists()] == []


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_no_document_names_a_path_of_the_machine_it_was_written_on(document: Path) -> None:
    assert re.findall(r"(?<![\w.])/(?:root|work|home|Users|opt|mnt)/\S*", document.read_text()) == []
