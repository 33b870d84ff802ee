"""The example application, served as its README says, by gunicorn and by uWSGI with four processes, and probed."""

from __future__ import annotations

import contextlib
import http.client
import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import pytest

from tests.processes import ROOT, clean_environment
from tests.servers.process import HOST, Server, is_missing, needs, running
from tests.support import wait_until

EXAMPLE = ROOT / "examples" / "dockerflow_app"


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    directory = tmp_path / "dockerflow_app"
    shutil.copytree(EXAMPLE, directory, ignore=shutil.ignore_patterns("__pycache__"))
    return directory


def served(directory: Path, command: Sequence[str], **environ: str) -> AbstractContextManager[Server]:
    """The example, under a server that finds its port in ``$PORT``."""

    def with_port(port: int) -> list[str]:
        return ["env", f"PORT={port}", *command]

    return running(command[0], with_port, directory, environment(directory, **environ))


def environment(directory: Path, **environ: str) -> dict[str, str]:
    return {
        "PYTHONPATH": os.pathsep.join(map(str, (ROOT, ROOT / "adapters", directory))),
        "CHEST_DIRECTORY": str(directory / "rings"),
        "CHEST_URLS": f"sqlite:///{directory}/chest.sqlite3",
        "PYTHONDONTWRITEBYTECODE": "1",
        **environ,
    }


def gunicorn(*options: str) -> list[str]:
    needs("gunicorn")
    return [sys.executable, "-m", "gunicorn", "--no-control-socket", *options]


def uwsgi() -> list[str]:
    program = shutil.which("uwsgi", path=f"{Path(sys.executable).parent}:{os.environ.get('PATH', '')}")
    if program is None:
        is_missing("uwsgi", "pip install uwsgi (it needs a C compiler)")
    return [str(program), "--ini", "uwsgi.ini", f"--virtualenv={sys.prefix}"]


def ask(server: Server, path: str, **headers: str) -> tuple[int, str]:
    connection = http.client.HTTPConnection(HOST, server.port, timeout=60)
    connection.request("GET", path, headers={name.replace("_", "-"): value for name, value in headers.items()})
    response = connection.getresponse()
    body = response.read().decode()
    connection.close()
    return response.status, body


def said(server: Server) -> list[dict[str, Any]]:
    """The lines of mozlog among what the server and its applications say."""
    return [json.loads(line) for line in server.log().splitlines() if line.startswith('{"Timestamp"')]


@pytest.mark.parametrize("command", [gunicorn, uwsgi])
def test_a_deployment_answers_its_probes_and_summarises_its_requests(
    command: Callable[[], list[str]], directory: Path
) -> None:
    with served(directory, command()) as server:
        status, version = ask(server, "/__version__")
        assert (status, json.loads(version)["version"]) == (200, "1.0")
        status, heartbeat = ask(server, "/__heartbeat__")
        assert status == 200
        assert {"prices_known", "check_chest_sqlite"} <= set(json.loads(heartbeat)["checks"])
        # On a busy machine a check may not have answered when the first one is due.
        wait_until(lambda: json.loads(ask(server, "/__heartbeat__")[1])["status"] == "ok")
        assert ask(server, "/__lbheartbeat__") == (200, "")
        assert ask(server, "/__error__")[0] == 404
        assert ask(server, "/items/3", X_Request_ID="order-42")[0] == 404
        wait_until(lambda: len([line for line in said(server) if line["Fields"].get("rid") == "order-42"]) == 2)
        warned, summary = [line for line in said(server) if line["Fields"]["rid"] == "order-42"]
        assert (warned["Type"], warned["Fields"]["msg"]) == ("shop", "Nobody sells item 3")
        assert (summary["Type"], summary["Fields"]["path"], summary["Logger"]) == (
            "request.summary",
            "/items/3",
            "shop",
        )
        ps = ["ps", "-o", "pid=", "--ppid", _master(server)]
        wait_until(lambda: len(subprocess.run(ps, stdout=subprocess.PIPE, check=False).stdout.split()) == 4)
        wait_until(lambda: _are_stored(directory, 2))  # uWSGI calls no exit hook in a worker that has just answered
        server.stop()
    assert _stored_paths(directory) == ["/__error__", "/items/3"]


def _master(server: Server) -> str:
    """``env`` and what kills a server with its test run become the server: its pid is theirs."""
    return str(server.process.pid)


def _stored_paths(directory: Path) -> list[str]:
    command = [sys.executable, "-m", "chest", "tail", "--no-follow", "--json", f"{directory}/chest.sqlite3"]
    shown = subprocess.run(command, env=clean_environment(**environment(directory)), capture_output=True, check=True)
    return sorted(json.loads(line)["path"] for line in shown.stdout.splitlines())


def _are_stored(directory: Path, count: int) -> bool:
    with contextlib.suppress(subprocess.CalledProcessError):  # the table may not be there yet
        return len(_stored_paths(directory)) == count
    return False


def test_the_plain_application_summarises_its_requests_through_its_chest(directory: Path) -> None:
    with served(directory, gunicorn("--workers=2", "plain:app")) as server:
        assert ask(server, "/__heartbeat__")[0] == 200
        assert ask(server, "/cart", User_Agent="probe", X_Request_ID="order-42") == (200, "shop\n")
        wait_until(lambda: said(server))
        (line,) = said(server)
    assert (line["Type"], line["Fields"]["agent"], line["Fields"]["rid"]) == ("request.summary", "probe", "order-42")


@pytest.mark.parametrize(("environ", "port"), [({}, 8000), ({"PORT": "8123"}, 8123)])
def test_gunicorn_listens_on_port_8000_unless_the_environment_says_another(
    environ: dict[str, str], port: int, directory: Path
) -> None:
    shown = subprocess.run(
        gunicorn("--print-config"), cwd=directory, env=clean_environment(**environment(directory), **environ),
        capture_output=True, text=True, timeout=300, check=True,
    ).stdout  # fmt: skip
    assert re.search(r"^bind\s*= (.*)$", shown, re.MULTILINE)[1] == f"[':{port}']"  # type: ignore[index]


def test_uwsgi_listens_on_port_8000_if_the_environment_says_none() -> None:
    config = (EXAMPLE / "uwsgi.ini").read_text()
    assert "if-not-env = PORT\nhttp-socket = :8000\nendif =\n" in config
