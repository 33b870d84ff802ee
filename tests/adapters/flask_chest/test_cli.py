"""``flask chest``: the commands that look, through the application's own configuration."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import click
import pytest
from click.testing import Result
from flask import Flask
from flask_chest import FlaskRecorder

from chest.chests.memory import MemoryChest
from chest.record.record import Record
from chest.request.client.user import UserIds
from chest.testing.records import make_record
from tests.processes import clean_environment

Run = Callable[..., Result]


@pytest.fixture(autouse=True)
def _own_state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    monkeypatch.setattr("chest.system.directory.temporary_directory", lambda: tmp_path / "no-such")
    monkeypatch.setenv("COLUMNS", "300")


@pytest.fixture
def shelf() -> Iterator[MemoryChest]:
    """Holds one record."""
    chest = MemoryChest("memory:flask-cli")
    chest.write([record("r-1")])
    yield chest
    chest.clear()


def record(request_id: str) -> Record:
    return make_record(request_id=request_id, service="shop", path="/items/3")


def runner(app: Flask) -> Run:
    def run(*arguments: str) -> Result:
        result: Result = app.test_cli_runner().invoke(args=["chest", *arguments])
        if result.exception is not None and not isinstance(result.exception, SystemExit):
            raise result.exception
        return result

    return run


@pytest.fixture
def run(shelf: MemoryChest, tmp_path: Path) -> Run:
    """``flask chest`` of an application whose config names the chest."""
    app = Flask("shop")
    app.config.update(CHEST_URLS=shelf.name, CHEST_RELEASE="v1")
    FlaskRecorder(app, directory=tmp_path, sample=0.5)
    return runner(app)


def test_tail_shows_the_applications_records(run: Run) -> None:
    result = run("tail", "--no-follow", "--json")
    assert (result.exit_code, json.loads(result.stdout)["request_id"]) == (0, "r-1")


def test_show_shows_a_request_whole(run: Run) -> None:
    result = run("show", "r-1")
    assert result.exit_code == 0
    assert "/items/3" in result.stdout


def test_show_of_an_unknown_request_says_where_it_looked(run: Run) -> None:
    result = run("show", "r-2")
    assert (result.exit_code, result.stderr) == (
        1,
        "chest: memory:flask-cli has no record whose id is r-2, or begins so\n",
    )


def test_check_looks_at_each_of_the_applications_chests(run: Run) -> None:
    result = run("check")
    assert (result.exit_code, result.stdout) == (0, "ok      memory:flask-cli\n")


def test_a_chest_that_was_made_by_hand_is_looked_at_as_well(tmp_path: Path) -> None:
    app, chest = Flask("shop"), MemoryChest()
    chest.write([record("by-hand")])
    FlaskRecorder(app, chests=[chest], directory=tmp_path)
    assert "by-hand" in runner(app)("tail", "--no-follow").stdout
    assert runner(app)("check").stdout == "ok      memory\n"


def test_a_chest_that_could_not_take_records_is_exit_code_1(tmp_path: Path) -> None:
    app = Flask("shop")
    FlaskRecorder(app, chests=[f"sqlite:///{tmp_path}/no/such/file.sqlite3"], directory=tmp_path)
    result = runner(app)("check")
    assert result.exit_code == 1
    assert result.stdout.startswith("failed")


def test_a_url_that_is_typed_counts_more(run: Run) -> None:
    other = MemoryChest("memory:other")
    other.write([record("other")])
    assert "other" in run("tail", "memory:other", "--no-follow").stdout
    other.clear()


def test_without_chests_the_store_of_the_applications_service_is_used() -> None:
    app = Flask("shop")
    FlaskRecorder(app)
    result = runner(app)("tail", "--no-follow")
    assert result.exit_code == 2
    assert "service 'shop' has no directory" in result.stderr


def test_settings_shows_what_holds_for_the_application_and_who_said_so(run: Run) -> None:
    shown = {each["name"]: each for each in map(json.loads, run("settings", "--json").stdout.splitlines())}
    assert (shown["release"]["value"], shown["release"]["source"]) == ("v1", "config")
    assert (shown["sample"]["value"], shown["sample"]["source"]) == (0.5, "argument")
    assert (shown["service"]["value"], shown["service"]["source"]) == ("shop", "default")
    assert (shown["g"]["value"], shown["g"]["source"], shown["g"]["environment"]) == ("all", "default", "CHEST_G")


def test_settings_are_shown_for_people(run: Run) -> None:
    shown = run("settings").stdout
    assert "\ng = all\n" in shown
    assert "\nrelease = v1   (default: -)\n    CHEST_RELEASE, from config." in shown


def test_the_commands_of_no_one_application_are_not_there(run: Run) -> None:
    help_text = run("--help").stdout
    assert all(name in help_text for name in ("tail", "show", "check", "settings"))
    assert run("demo").exit_code == run("recover").exit_code == 2


def test_a_command_that_was_mistyped_is_answered_with_the_nearest(run: Run) -> None:
    assert "did you mean 'tail'?" in run("tial").stderr


def test_a_command_of_the_applications_own_is_not_replaced(tmp_path: Path) -> None:
    app = Flask("shop")

    @app.cli.command("chest")
    def own() -> None:
        """Count what is in the chest."""
        click.echo("three doubloons")

    FlaskRecorder(app, chests=[MemoryChest()], directory=tmp_path)
    assert runner(app)().stdout == "three doubloons\n"


def test_the_flask_program_finds_the_command_and_the_records(tmp_path: Path) -> None:
    (tmp_path / "shop.py").write_text(
        "from flask import Flask, g\n"
        "from flask_chest import FlaskRecorder\n"
        "recorder = FlaskRecorder()\n"
        "def create_app():\n"
        "    app = Flask('shop')\n"
        "    app.config.from_prefixed_env()\n"
        "    recorder.init_app(app)\n"
        "    app.get('/')(lambda: setattr(g, 'user_id', '123') or 'hello')\n"
        "    return app\n"
        "if __name__ == '__main__':\n"
        "    app = create_app()\n"
        "    app.test_client().get('/', headers={'X-Request-ID': 'r-7'})\n"
        "    app.extensions['chest'].recorder.close()\n"
    )
    environment = clean_environment(
        PYTHONPATH=":".join(sys.path),
        FLASK_CHEST_URLS=f"sqlite:///{tmp_path}/chest.sqlite3",
        FLASK_CHEST_DIRECTORY=str(tmp_path / "rings"),
    )

    def called(*command: str) -> str:
        return subprocess.run(
            [sys.executable, *command], cwd=tmp_path, env=environment, capture_output=True, text=True, check=True
        ).stdout

    called("shop.py")
    shown: dict[str, Any] = json.loads(called("-m", "flask", "--app", "shop", "chest", "show", "r-7", "--json"))
    assert (shown["route"], shown["variables"]) == ("/", {"user_id": "123"})


def test_find_finds_a_user_whom_the_application_hashes(shelf: MemoryChest, tmp_path: Path) -> None:
    key = "k" * 16
    shelf.write([make_record(request_id="r-2", attributes={"enduser.id": UserIds("hashed", key).kept("42")})])
    app = Flask("shop")
    FlaskRecorder(app, chests=[shelf], directory=tmp_path, user_ids="hashed", user_ids_key=key)
    result = runner(app)("find", "--user", "42", "--json")
    assert [json.loads(line)["request_id"] for line in result.stdout.splitlines()] == ["r-2"]
    assert runner(app)("forget", "--user", "42", "--yes").exit_code == 0
    assert [each.request_id for each in shelf.records] == ["r-1"]


def test_the_other_commands_have_the_application_s_settings_too(run: Run, tmp_path: Path, shelf: MemoryChest) -> None:
    assert str(tmp_path) in run("status").stdout
    assert "Records recovered: 0" in run("recover", str(tmp_path)).stdout
    assert f"Draining {tmp_path} into {shelf.name}" in run("drain", "--once", str(tmp_path)).stdout
    assert "Dead letters: 0" in run("dead", "list").stderr
    moved = run("transfer", shelf.name, f"ndjson:{tmp_path}/moved.ndjson")
    assert moved.exit_code == 0
    assert len((tmp_path / "moved.ndjson").read_text().splitlines()) == 1


def test_the_demonstration_has_an_application_of_its_own(run: Run) -> None:
    assert run("demo").exit_code == 2
    assert "demo" not in run("--help").stdout
