"""The plug-in for pytest: a test sees what its requests left, and the developer's own files stay as they were."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import textwrap
from pathlib import Path

from tests.processes import ROOT, clean_environment

_CONFTEST = """
import flask, flask_chest, pytest

recorder = flask_chest.FlaskRecorder()


def create_app():
    app = flask.Flask("shop")
    app.config["TESTING"] = True
    recorder.init_app(app)

    @app.route("/items/<int:id>")
    def item(id):
        flask.g.user_id = 42 if id else 1 / id
        return "item"

    return app


@pytest.fixture
def client():
    return create_app().test_client()


@pytest.fixture(scope="session")
def session_client():
    return create_app().test_client()
"""


def run_pytest(directory: Path, tests: str, *options: str, returns: int = 0, **environ: str) -> str:
    """Run these tests as a user does who has configured nothing, and return what pytest said."""
    (directory / "conftest.py").write_text(_CONFTEST)
    (directory / "test_shop.py").write_text(textwrap.dedent(tests))
    home = directory / "home"
    home.mkdir(exist_ok=True)
    environ = {
        "HOME": str(home), "XDG_STATE_HOME": "", "PYTHONPATH": f"{ROOT}{os.pathsep}{ROOT / 'adapters'}", **environ
    }  # fmt: skip
    command = ["-m", "pytest", "-q", "-c", os.devnull, "--rootdir", str(directory), "-p", "no:cacheprovider", *options]
    done = subprocess.run(
        [sys.executable, *command, "test_shop.py"],
        cwd=directory,
        env=clean_environment(**environ),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=800,
    )
    assert done.returncode == returns, done.stdout
    return done.stdout


def files_in(home: Path) -> list[Path]:
    return [path for path in home.rglob("*") if path.is_file()]


_TESTS = """
    import subprocess, sys

    import chest, pytest

    def test_one(client, chest_records):
        assert list(chest_records) == []
        client.get("/items/7")
        assert [record.route for record in chest_records] == ["/items/<int:id>"]
        assert chest_records[0].variables == {"user_id": 42}

    def test_two(session_client, assert_recorded, chest_records):
        session_client.get("/items/7", headers={"X-Request-ID": "order-42"})
        record = assert_recorded(route="/items/<int:id>", user_id=42, status=200)
        assert record.request_id == "order-42"
        chest_records.clear()
        with pytest.raises(ZeroDivisionError):
            session_client.get("/items/0")
        assert_recorded(error="ZeroDivisionError", outcome="error", **{"exception.message": "division by zero"})
        assert len(chest_records) == 1

    def test_without_the_fixture(session_client):
        session_client.get("/items/8")

    def test_three(session_client, chest_records):
        assert len(chest_records) == 0
        app = chest.ChestMiddleware(lambda environ, start_response: start_response("204 No Content", []) and [])
        app({"REQUEST_METHOD": "GET", "PATH_INFO": "/plain", "wsgi.url_scheme": "http"}, lambda *_: print)
        with app.recorder.work("send_email", kind="job"):
            session_client.get("/items/9")
        del app
        assert [record.path for record in chest_records] == ["/plain", "send_email", "/items/9"]

    def test_with_a_process(chest_records):
        code = "import conftest; print(conftest.create_app().test_client().get('/items/7').status)"
        assert subprocess.check_output([sys.executable, "-c", code], text=True) == "200 OK\\n"
        assert len(chest_records) == 0
"""


def test_each_test_sees_the_records_of_its_own_requests_and_the_home_has_no_file(tmp_path: Path) -> None:
    assert "5 passed" in run_pytest(tmp_path, _TESTS)
    assert files_in(tmp_path / "home") == []


def test_with_pytest_xdist_too_and_a_chest_that_is_named_has_the_records(tmp_path: Path) -> None:
    assert "5 passed" in run_pytest(tmp_path, _TESTS, "-n", "2", CHEST_URLS=f"ndjson:{tmp_path}/out.ndjson")
    assert files_in(tmp_path / "home") == []
    assert len((tmp_path / "out.ndjson").read_text().splitlines()) == 8


def test_an_assertion_that_fails_shows_what_there_was(tmp_path: Path) -> None:
    said = run_pytest(
        tmp_path,
        """
        def test_nothing(assert_recorded):
            assert_recorded(user_id=42)

        def test_another(client, assert_recorded):
            client.get("/items/7")
            client.get("/none")
            assert_recorded(route="/items/<int:id>", user_id=43, plan="free")
        """,
        returns=1,
    )
    assert "AssertionError: nothing was recorded in this test, so no record has user_id=42" in said
    shown = [line.removeprefix("E").strip() for line in said.splitlines() if line.startswith("E ")]
    assert shown[1].endswith(
        "none of 2 records has route='/items/<int:id>', user_id=43, plan='free'; the nearest first:"
    )
    assert shown[2].startswith("GET /items/7 200 ok route='/items/<int:id>'")
    assert shown[3:5] == ["user_id is 42", "plan is not there"]
    assert "assert_recorded(self" not in said, "the traceback ends in the test"


def test_starting_pytest_does_not_import_chest(tmp_path: Path) -> None:
    (tmp_path / "test_it.py").write_text("import sys\ndef test_it():\n    assert 'chest' not in sys.modules\n")
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-c", os.devnull, "-p", "no:cacheprovider", "test_it.py", "--fixtures"],
        cwd=tmp_path, env=clean_environment(), capture_output=True, text=True, timeout=800,
    )  # fmt: skip
    assert re.search(r"^chest_records -- ", done.stdout, re.MULTILINE), done.stdout + done.stderr
    code = "import sys, pytest_chest; sys.exit('chest' in sys.modules)"
    environment = clean_environment(PYTHONPATH=f"{ROOT}{os.pathsep}{ROOT / 'adapters'}")
    subprocess.run([sys.executable, "-c", code], env=environment, check=True, timeout=800)
