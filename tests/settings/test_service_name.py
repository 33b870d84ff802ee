"""The default name of a service is the application's own, whatever wraps the application and stands before it."""

from __future__ import annotations

import subprocess
import sys
import sysconfig
import types
from functools import partial
from pathlib import Path
from typing import Any

import bottle
import falcon
import flask
import pytest
from django.core.handlers.wsgi import WSGIHandler
from werkzeug.middleware.dispatcher import DispatcherMiddleware
from werkzeug.middleware.proxy_fix import ProxyFix

from chest import ChestMiddleware, Recorder
from chest.settings.service_name import service_of


def plain(environ: Any, start_response: Any) -> list[bytes]:
    return []


class Site:
    def __call__(self, environ: Any, start_response: Any) -> list[bytes]:
        return []

    def serve(self, environ: Any, start_response: Any) -> list[bytes]:
        return []


class Wrapper:
    """A middleware of a company's."""

    def __init__(self, application: Any) -> None:
        self.application = application

    def __call__(self, environ: Any, start_response: Any) -> Any:
        return self.application(environ, start_response)


def wrapped(app: Any) -> Any:
    """A middleware that is a function."""

    def middleware(environ: Any, start_response: Any) -> Any:
        return app(environ, start_response)

    middleware.__module__ = "company.middleware"
    return middleware


Wrapper.__module__ = "company.middleware"
shop = flask.Flask("shop")


@pytest.mark.parametrize(
    ("app", "name"),
    [
        (shop, "shop"),
        (shop.wsgi_app, "shop"),
        (plain, __name__),
        (partial(plain), __name__),
        (Site(), __name__),
        (Site().serve, __name__),
        (Site, __name__),
        (ProxyFix(shop), "shop"),
        (ProxyFix(plain), __name__),
        (DispatcherMiddleware(ProxyFix(shop.wsgi_app), {"/other": plain}), "shop"),
        (Wrapper(Wrapper(shop)), "shop"),
        (wrapped(shop), "shop"),
        (wrapped(Wrapper(plain)), __name__),
        (flask.Flask("a shop/with ä"), "a-shop-with--"),
    ],
)
def test_the_name_is_the_application_s_own(app: Any, name: str) -> None:
    assert service_of(app) == name


def test_a_middleware_of_chest_is_looked_through(tmp_path: Path) -> None:
    with Recorder(["memory:"], directory=tmp_path) as recorder:
        assert service_of(ChestMiddleware(shop, recorder=recorder)) == "shop"


def test_middleware_that_holds_itself_ends_the_search() -> None:
    endless = Wrapper(None)
    endless.application = Wrapper(endless)
    assert service_of(endless) is None


@pytest.mark.parametrize("settings", ["mysite.settings", "mysite.settings.production", "mysite"])
def test_a_django_project_has_the_name_of_its_settings(settings: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DJANGO_SETTINGS_MODULE", settings)
    assert service_of(WSGIHandler.__new__(WSGIHandler)) == "mysite"


def test_a_pyramid_application_has_the_name_of_the_package_that_configured_it() -> None:
    # In the place of a router: Pyramid cannot be imported beside a setuptools of today.
    router: Any = Wrapper(None)
    router.registry = types.SimpleNamespace(package_name="store")
    assert service_of(router) == "store"


@pytest.mark.parametrize("make", [falcon.App, bottle.Bottle])
def test_an_object_of_a_framework_has_the_name_of_the_package_that_holds_it(
    make: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    app = make()
    assert service_of(app) is None
    module: Any = types.ModuleType("market.wsgi")
    module.application = app
    monkeypatch.setitem(sys.modules, "market.wsgi", module)
    assert service_of(ProxyFix(app)) == "market"


def test_the_copy_of_bottle_among_the_commands_is_the_framework_too(monkeypatch: pytest.MonkeyPatch) -> None:
    app = bottle.Bottle()
    module: Any = types.ModuleType("market.wsgi")
    module.application = app
    monkeypatch.setitem(sys.modules, "market.wsgi", module)
    monkeypatch.setattr(bottle, "__file__", str(Path(sysconfig.get_path("scripts")) / "bottle.py"))
    assert service_of(app) == "market"


def test_a_program_that_is_started_as_a_file_has_the_file_s_name(tmp_path: Path) -> None:
    (tmp_path / "kiosk.py").write_text(
        "import falcon\n"
        "from chest.settings.service_name import service_of\n"
        "def app(environ, start_response): ...\n"
        "api = falcon.App()\n"
        "print(service_of(app), service_of(api))\n"
    )
    finished = subprocess.run([sys.executable, "kiosk.py"], cwd=tmp_path, capture_output=True, text=True, timeout=300)
    assert finished.stdout == "kiosk kiosk\n", finished.stderr


def test_applications_that_a_company_s_subclass_wraps_are_services_of_their_own(tmp_path: Path) -> None:
    namespace: dict[str, Any] = {"ChestMiddleware": ChestMiddleware, "__name__": "company_wsgi"}
    exec(
        "class CompanyMiddleware(ChestMiddleware):\n"
        "    def __init__(self, app, **options):\n"
        "        super().__init__(app, **options)\n",
        namespace,
    )
    names = []
    for app in (flask.Flask("shop"), flask.Flask("market"), plain):
        middleware = namespace["CompanyMiddleware"](app, chests=["memory:"], directory=tmp_path)
        names.append(middleware.recorder.request_side.resource.service)
        middleware.recorder.close()
    assert names == ["shop", "market", __name__]


def test_an_application_without_a_name_is_said(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    for options in ({}, {"service": "shop"}, {"enabled": False}):
        ChestMiddleware(falcon.App(), chests=["memory:"], directory=tmp_path, **options).recorder.close()
    assert [message.partition(";")[0] for message in caplog.messages] == [
        "chest: App does not say which application it is, so its records are of the service 'app', as those of any other"
        " such application"
    ]
