"""The examples of Django, Falcon, Bottle and Pyramid, as they say: under gunicorn, each with all that its adapter tells."""

from __future__ import annotations

import http.client
import http.cookies
import os
import re
import shutil
import subprocess
import sys
import urllib.parse
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

from chest.chests.query import Query
from chest.chests.registry import open_chest
from chest.record.record import Record
from tests import servers
from tests.processes import ROOT, clean_environment

_OF_EACH: Final = {"http.response.body.size", "chest.time_to_first_byte_ns", "exception.stacktrace", "url.scheme"}


class Example:
    """An example in a directory of its own, served; and the records of it."""

    def __init__(self, name: str, directory: Path) -> None:
        self.directory = directory
        shutil.copytree(ROOT / "examples" / name, directory, ignore=shutil.ignore_patterns("__pycache__", "*.sqlite3*"))
        self.environ = {
            "PYTHONPATH": os.pathsep.join(map(str, (ROOT, ROOT / "adapters", directory))),
            "CHEST_URLS": f"sqlite:///{directory}/chest.sqlite3",
            "CHEST_DIRECTORY": str(directory / "rings"),
            "PYTHONDONTWRITEBYTECODE": "1",
        }
        self._cookies: http.cookies.SimpleCookie = http.cookies.SimpleCookie()
        self.server: Any = None

    @contextmanager
    def served(self, app: str) -> Iterator[Example]:
        """Under gunicorn for the block."""
        with servers.gunicorn(app, self.directory, environ=self.environ) as self.server:
            yield self
            assert self.server.stop() == 0

    def ask(self, path: str, method: str = "GET", user: str = "", **form: str) -> int:
        """The status of the answer, read to its end; cookies are kept, as a browser does."""
        connection = http.client.HTTPConnection(servers.HOST, self.server.port, timeout=60)
        headers = {"Cookie": "; ".join(f"{name}={each.value}" for name, each in self._cookies.items())}
        if user:
            headers["X-User"] = user
        if form:
            headers["Content-Type"] = "application/x-www-form-urlencoded"
            form["csrfmiddlewaretoken"] = self._cookies["csrftoken"].value
        connection.request(method, path, urllib.parse.urlencode(form) or None, headers)
        response = connection.getresponse()
        response.read()
        for each in response.headers.get_all("Set-Cookie", []):
            self._cookies.load(each)
        connection.close()
        return response.status

    def python(self, *arguments: str, **environ: str) -> None:
        command = [sys.executable, *arguments]
        environment = clean_environment(**self.environ, **environ)
        done = subprocess.run(command, cwd=self.directory, env=environment, capture_output=True, text=True, timeout=300)
        assert done.returncode == 0, done.stderr

    def records(self) -> list[Record]:
        """In the order of the requests."""
        chest: Any = open_chest(self.environ["CHEST_URLS"])
        with chest:
            stored = [each.record for each in chest.read(Query(), after=None, limit=1000)]
        return sorted(stored, key=lambda record: record.time_ns)


def _told(record: Record) -> tuple[Any, ...]:
    attributes = {name: value for name, value in record.attributes.items() if name not in _OF_EACH}
    return record.status, record.route, record.error, attributes


def _last_frame(record: Record) -> str:
    found = re.findall(r'File "(?:.*/)?([\w.]+)", line \d+, in ([\w.<>]+)', record.attributes["exception.stacktrace"])
    return ":".join(found[-1])


def test_django_tells_route_exception_and_the_user_who_was_loaded_anyway(tmp_path: Path) -> None:
    servers.needs("django")
    example = Example("django_app", tmp_path / "django_app")
    example.python("manage.py", "migrate", "-v0")
    example.python(
        "manage.py",
        "createsuperuser",
        "--noinput",
        "--username=ada",
        "--email=ada@example.com",
        DJANGO_SUPERUSER_PASSWORD="pw",
    )
    with example.served("mysite.wsgi"):
        paths = [
            "/shop/items/2/",
            "/shop/items/0/",
            "/shop/items/100/",
            "/shop/items/2/buy/",
            "/shop/years/2026/",
            "/rows/",
        ]
        paths += ["/later/", "/forbidden/", "/broken/", "/missing/", "/whoami/", "/shop/items/2"]
        statuses = [example.ask(path) for path in paths]
        assert statuses == [200, 500, 404, 409, 200, 200, 200, 403, 500, 404, 200, 301]
        assert example.ask("/admin/login/") == 200
        assert example.ask("/admin/login/", "POST", username="ada", password="pw", next="/admin/") == 302
        assert [example.ask(path) for path in ("/shop/items/3/", "/whoami/", "/admin/")] == [200, 200, 200]
    commands, records = example.records()[:2], example.records()[2:]
    assert [(each.method, each.path, each.outcome) for each in commands] == [
        ("COMMAND", "migrate", "ok"), ("COMMAND", "createsuperuser", "ok"),
    ]  # fmt: skip
    item = "/shop/items/<int:number>/"
    names = {"django.view_name": "shop:item"}
    assert {record.service for record in (*commands, *records)} == {"mysite"}
    assert [_told(record) for record in records] == [
        (200, item, None, names),
        (500, item, "ZeroDivisionError", {**names, "exception.message": "division by zero"}),
        (404, item, None, names),
        (409, f"{item}buy/", "SoldOut", {"django.view_name": "shop:buy", "exception.message": "item 2 is sold out"}),
        (200, "/shop/years/(?P<year>\\d{4})/$", None, {"django.view_name": "shop:year"}),
        (200, "/rows/", None, {"django.view_name": "mysite.views.rows"}),
        (200, "/later/", None, {"django.view_name": "mysite.views.later"}),
        (403, "/forbidden/", None, {"django.view_name": "mysite.views.forbidden"}),
        (500, None, "ConnectionError", {"exception.message": "no connection to the stock"}),
        (404, None, None, {}),
        (200, "/whoami/", None, {"django.view_name": "mysite.views.whoami"}),
        (301, None, None, {}),
        (200, "/admin/login/", None, {"django.view_name": "admin:login"}),
        (302, "/admin/login/", None, {"django.view_name": "admin:login", "enduser.id": "1"}),
        (200, "/shop/items/<int:number>/", None, names),
        (200, "/whoami/", None, {"django.view_name": "mysite.views.whoami", "enduser.id": "1"}),
        (200, "/admin/", None, {"django.view_name": "admin:index", "enduser.id": "1"}),
    ]
    assert (records[5].variables, records[6].variables) == ({"rows": 3}, {"is_later": True})
    assert [_last_frame(records[index]) for index in (1, 3, 8)] == [
        "views.py:item", "views.py:buy", "middleware.py:sold_out.__call__",
    ]  # fmt: skip


def test_falcon_tells_template_resource_and_exception(tmp_path: Path) -> None:
    servers.needs("falcon")
    with Example("falcon_app", tmp_path / "falcon_app").served("shop") as example:
        _ask_the_shop(example)
        assert example.ask("/items/2", "DELETE") == 405
        assert [example.ask("/whoami", user=user) for user in ("ada", "")] == [200, 200]
    item, names = "/items/{number:int}", {"falcon.resource": "Item"}
    records = example.records()
    assert [_told(record) for record in records] == [
        (200, item, None, names),
        (500, item, "ZeroDivisionError", {**names, "exception.message": "division by zero"}),
        (404, item, None, names),
        (409, item, "SoldOut", {**names, "exception.message": "item 2 is sold out"}),
        (200, "/rows", None, {"falcon.resource": "Rows"}),
        (404, None, None, {}),
        (405, item, None, names),
        (200, "/whoami", None, {"falcon.resource": "WhoAmI", "enduser.id": "ada"}),
        (200, "/whoami", None, {"falcon.resource": "WhoAmI"}),
    ]
    _assert_of_the_shop(records, "shop.py:Item.on_get", "shop.py:Item.on_post")


def test_bottle_tells_rule_callback_and_exception(tmp_path: Path) -> None:
    servers.needs("bottle")
    with Example("bottle_app", tmp_path / "bottle_app").served("shop") as example:
        _ask_the_shop(example)
        assert example.ask("/busy") == 503
    item, names = "/items/<number:int>", {"bottle.callback": "item"}
    records = example.records()
    assert [_told(record) for record in records] == [
        (200, item, None, names),
        (500, item, "ZeroDivisionError", {**names, "exception.message": "division by zero"}),
        (404, item, None, names),
        (409, item, "SoldOut", {"bottle.callback": "buy", "exception.message": "item 2 is sold out"}),
        (200, "/rows", None, {"bottle.callback": "rows"}),
        (404, None, None, {}),
        (503, "/busy", "HTTPError", {"bottle.callback": "busy", "exception.message": "(503, 'busy')"}),
    ]
    _assert_of_the_shop(records, "shop.py:item", "shop.py:buy")


def test_pyramid_tells_pattern_name_and_exception(tmp_path: Path) -> None:
    servers.needs("pyramid")
    with Example("pyramid_app", tmp_path / "pyramid_app").served("shop") as example:
        _ask_the_shop(example)
        assert [example.ask("/whoami", user="ada"), example.ask("/items/2", user="ada")] == [200, 200]
    item, names = "/items/{number}", {"pyramid.route_name": "item"}
    records = example.records()
    assert [_told(record) for record in records] == [
        (200, item, None, names),
        (
            500,
            item,
            "ZeroDivisionError",
            {**names, "exception.message": "division by zero", "chest.status_inferred": True},
        ),
        (404, item, None, names),
        (409, item, "SoldOut", {**names, "exception.message": "item 2 is sold out"}),
        (200, "/rows", None, {"pyramid.route_name": "rows"}),
        (404, None, None, {}),
        (200, "/whoami", None, {"pyramid.route_name": "whoami", "enduser.id": "ada"}),
        (200, item, None, names),  # the view asked for no user, so no policy was asked
    ]
    _assert_of_the_shop(records, "shop.py:item", "shop.py:buy")


def _ask_the_shop(example: Example) -> None:
    asked = [example.ask(path) for path in ("/items/2", "/items/0", "/items/100")]
    assert [*asked, example.ask("/items/2", "POST"), example.ask("/rows"), example.ask("/missing")] == [
        200, 500, 404, 409, 200, 404,
    ]  # fmt: skip


def _assert_of_the_shop(records: list[Record], of_failure: str, of_answered: str) -> None:
    assert (_last_frame(records[1]), _last_frame(records[3])) == (of_failure, of_answered)
    assert (records[0].variables, records[4].variables) == ({"item_id": 2}, {"rows": 3})
