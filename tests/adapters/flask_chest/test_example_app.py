"""The example application, as its README runs it: under gunicorn with two workers, and looked at with ``flask chest``."""

from __future__ import annotations

import http.client
import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from tests import servers
from tests.processes import ROOT, clean_environment

EXAMPLE = ROOT / "examples" / "flask_app"


class Shop:
    """The example in a directory of its own, and its server."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.environ = {
            "PYTHONPATH": os.pathsep.join(map(str, (ROOT, ROOT / "adapters", directory))),
            "CHEST_DIRECTORY": str(directory / "rings"),
            "PYTHONDONTWRITEBYTECODE": "1",
        }
        self.server: Any = None

    def ask(self, path: str, method: str = "GET", body: Any = None, **headers: str) -> http.client.HTTPResponse:
        connection = http.client.HTTPConnection(servers.HOST, self.server.port, timeout=60)
        headers = {name.replace("_", "-"): value for name, value in headers.items()}
        data = None if body is None else json.dumps(body)
        connection.request(method, path, data, {"Content-Type": "application/json", **headers})
        response = connection.getresponse()
        response.text = response.read().decode()  # type: ignore[attr-defined]
        connection.close()
        return response

    def flask(self, *arguments: str) -> str:
        command = [sys.executable, "-m", "flask", "--app", "shop", "chest", *arguments]
        environment = clean_environment(**self.environ)
        done = subprocess.run(
            command, cwd=self.directory, env=environment, capture_output=True, text=True, check=False, timeout=300
        )
        assert done.returncode == 0, done.stderr
        return done.stdout

    def records(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self.flask("tail", "--no-follow", "--json", "-n", "1000").splitlines()]


@pytest.fixture
def shop(tmp_path: Path) -> Iterator[Shop]:
    directory = tmp_path / "flask_app"
    shutil.copytree(EXAMPLE, directory, ignore=shutil.ignore_patterns("__pycache__", "*.sqlite3*"))
    shop = Shop(directory)
    config = f"--config={directory / 'gunicorn.conf.py'}"
    with servers.gunicorn("shop:create_app()", directory, config, "--workers=2", environ=shop.environ) as server:
        shop.server = server
        yield shop


def test_every_answered_request_has_its_record_once(shop: Shop) -> None:
    with ThreadPoolExecutor(8) as clients:
        answered = list(
            clients.map(lambda number: shop.ask(f"/items/{number % 4}", X_User=f"u{number}").headers, range(60))
        )
    assert shop.server.stop() == 0
    recorded = shop.records()
    assert sorted(record["request_id"] for record in recorded) == sorted(each["X-Request-ID"] for each in answered)
    assert {record["route"] for record in recorded} == {"/items/<int:item_id>"}
    assert {record["variables"]["user_id"] for record in recorded} == {f"u{number}" for number in range(60)}


def test_what_the_readme_asks_is_recorded_as_it_shows(shop: Shop) -> None:
    assert shop.ask("/items/2", X_User="ada").status == 200
    assert shop.ask("/search?q=lamp", X_User="ada").status == 200
    assert shop.ask("/orders/", "POST", {"item_id": 3, "card_number": "4111"}, X_User="ada").status == 409
    assert shop.ask("/orders/export").text.count("\n") == 3  # type: ignore[attr-defined]
    assert shop.ask("/health").status == 200
    last = shop.ask("/orders/", "POST", {"item_id": 2}, X_Request_ID="order-42")
    assert (last.status, last.headers["X-Request-ID"]) == (201, "order-42")
    shop.server.stop()
    by_path = {(record["path"], record["status"]): record for record in shop.records()}
    assert {path for path, _ in by_path} == {"/items/2", "/search", "/orders/", "/orders/export"}
    sold_out = by_path["/orders/", 409]
    assert (sold_out["error"], sold_out["outcome"], sold_out["route"]) == ("OutOfStock", "ok", "/orders/")
    assert sold_out["attributes"]["flask.blueprint"] == "orders"
    assert sold_out["variables"] == {"user_id": "ada", "item_id": 3, "quantity": 1, "card_number": "[REDACTED]"}
    assert by_path["/orders/export", 200]["variables"] == {"user_id": "anonymous", "rows_exported": 3}
    assert by_path["/search", 200]["variables"].keys() >= {"items_found", "search_ms", "search_count"}
    assert "order-42" in shop.flask("show", "order-42")
    assert shop.flask("check").startswith("ok")


def test_the_readme_names_only_what_is_there() -> None:
    readme = (EXAMPLE / "README.md").read_text()
    for name in re.findall(r"`((?:shop/)?\w+(?:\.conf)?\.py)`", readme):
        assert (EXAMPLE / name).is_file() or (EXAMPLE / "shop" / name).is_file(), name
