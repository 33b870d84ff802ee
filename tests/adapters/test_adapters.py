"""The adapters of Django, Falcon, Bottle and Pyramid beside what their examples show: requests that are not recorded."""

from __future__ import annotations

import logging
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any, Final

import bottle
import falcon
import pytest
from bottle_chest import BottleRecorder
from django.utils.functional import SimpleLazyObject
from django_chest import DjangoRecorder
from falcon_chest import FalconRecorder

from chest import current
from chest.adapter import ENVIRON_KEY, record_answered, record_route, record_user
from chest.request.selection import Selection
from tests.protocol.exchange import Exchange, Recorded, environ_of

Application = Callable[..., Any]


def _falcon() -> Application:
    class Item:
        def on_get(self, req: Any, resp: Any, number: str) -> None:
            current().route = "/own" if number == "9" else current().route
            resp.text = number

    site = falcon.App(middleware=[FalconRecorder()])
    site.add_route("/items/{number}", Item())
    return site


def _bottle() -> Application:
    site = bottle.Bottle()
    site.install(BottleRecorder())

    @site.get("/items/<number>")
    def item(number: str) -> str:
        current().route = "/own" if number == "9" else current().route
        return number

    return site


def _pyramid() -> Application:
    from pyramid.config import Configurator
    from pyramid.response import Response

    def item(request: Any) -> Any:
        current().route = "/own" if request.matchdict["number"] == "9" else current().route
        return Response(request.matchdict["number"])

    with Configurator() as config:
        config.include("pyramid_chest")
        config.add_route("item", "items/{number}")
        config.add_view(item, route_name="item")
        application: Application = config.make_wsgi_app()
        return application


def _django() -> Application:
    recorder = DjangoRecorder(lambda request: SimpleNamespace(content=request.path[-1:].encode()))

    def site(environ: dict[str, Any], start_response: Any) -> list[bytes]:
        match = SimpleNamespace(route="items/<number>", view_name="item")
        request: Any = SimpleNamespace(environ=environ, path=environ["PATH_INFO"], resolver_match=match)
        if environ["PATH_INFO"] == "/items/9":
            current().route = "/own"
        start_response("200 OK", [])
        return [recorder(request).content]

    return site


SITES: Final[dict[str, tuple[Callable[[], Application], str]]] = {
    "Falcon": (_falcon, "/items/{number}"),
    "Bottle": (_bottle, "/items/<number>"),
    "Pyramid": (_pyramid, "/items/{number}"),
    "Django": (_django, "/items/<number>"),
}
pytestmark = pytest.mark.filterwarnings(
    "ignore:pkg_resources", "ignore:Deprecated call to `pkg_resources", "ignore:'cgi'"
)


@pytest.fixture(params=SITES)
def name(request: pytest.FixtureRequest) -> str:
    """One framework after the other."""
    return str(request.param)


def test_requests_that_pass_no_middleware_are_answered_and_said_once(
    name: str, caplog: pytest.LogCaptureFixture
) -> None:
    site = SITES[name][0]()
    with caplog.at_level(logging.WARNING, "chest"):
        assert [Exchange().run(site, environ_of("/items/3")).text for _ in range(3)] == [b"3"] * 3
    [said] = [record.getMessage() for record in caplog.records]
    assert said.startswith(f"chest: {name} served a request that leaves no record")
    assert "ChestMiddleware(" in said


def test_an_excluded_request_is_answered_without_a_record_or_a_warning(
    name: str, caplog: pytest.LogCaptureFixture
) -> None:
    recorded = Recorded(SITES[name][0](), Selection(exclude_paths=["/items/*"]))
    assert Exchange().run(recorded, environ_of("/items/3")).text == b"3"
    assert (recorded.records, caplog.records) == ([], [])


def test_the_route_that_an_application_says_itself_stays(name: str) -> None:
    make, route = SITES[name]
    recorded = Recorded(make())
    for path in ("/items/3", "/items/9"):
        assert Exchange().run(recorded, environ_of(path)).error is None
    assert [record.route for record in recorded.records] == [route, "/own"]


def test_no_user_is_loaded_for_a_record() -> None:
    def load() -> Any:
        raise AssertionError("loaded")

    for user, expected in ((SimpleLazyObject(load), None), (SimpleNamespace(pk=7, is_authenticated=True), "7")):

        def app(environ: dict[str, Any], start_response: Any, user: Any = user) -> list[bytes]:
            request: Any = SimpleNamespace(environ=environ, user=user, resolver_match=None)
            DjangoRecorder(lambda request: None)(request)
            start_response("200 OK", [])
            return [b""]

        recorded = Recorded(app)
        Exchange().run(recorded, environ_of())
        assert recorded.record.attributes.get("enduser.id") == expected


def test_the_first_exception_and_the_applications_own_user_stay() -> None:
    def app(environ: dict[str, Any], start_response: Any) -> list[bytes]:
        environ[ENVIRON_KEY].user = "ada"
        record_user(environ, 42)
        record_answered(environ, LookupError("first"), "falcon", None)
        record_answered(environ, ValueError("second"), "falcon", 500)
        start_response("500 Oops", [])
        return [b""]

    recorded = Recorded(app)
    Exchange().run(recorded, environ_of())
    assert (recorded.record.error, recorded.record.attributes["enduser.id"]) == ("LookupError", "ada")


@pytest.mark.parametrize("environ", [{}, {ENVIRON_KEY: None}, {ENVIRON_KEY: 3}], ids=str)
def test_outside_a_recorded_request_an_adapter_records_nothing(environ: dict[str, Any]) -> None:
    before = environ.copy()
    record_route(environ, "/", {"name": "x"})
    record_answered(environ, ValueError(), "falcon", None)
    record_user(environ, 42)
    assert environ == before
