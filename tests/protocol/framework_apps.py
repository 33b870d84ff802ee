"""The same small site in several frameworks, by each one's own means: what differs is what they make of WSGI."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

Application = Callable[..., Any]


class SiteError(Exception):
    """What the sites raise."""


def _chunks() -> Iterator[bytes]:
    yield b"one "
    yield b""
    yield b"two"


def _chunks_that_fail() -> Iterator[bytes]:
    yield b"one "
    raise SiteError("in the stream")


def flask_site(file: Path) -> Application:
    """Flask: complete bodies, ``send_file`` with ranges and ETags, a stream in the request's context."""
    import flask

    site = flask.Flask("site")
    views: dict[str, Callable[..., Any]] = {
        "/": lambda: "<p>caf\u00e9</p>",
        "/json": lambda: {"query": flask.request.args},
        "/form": lambda: flask.jsonify(flask.request.form, sorted(flask.request.files)),
        "/stream": lambda: flask.Response(flask.stream_with_context(_chunks()), mimetype="text/plain"),
        "/stream-that-fails": lambda: flask.Response(_chunks_that_fail()),
        "/file": lambda: flask.send_file(file, mimetype="text/plain"),
        "/redirect": lambda: flask.redirect("/", 303),
        "/empty": lambda: ("", 204),
        "/abort": lambda: flask.abort(403),
        "/caf\u00e9/<name>": lambda name: name,
    }
    for path, view in views.items():
        site.add_url_rule(path, endpoint=path, view_func=view, methods=["POST" if path == "/form" else "GET"])

    @site.get("/cookies")
    def cookies() -> flask.Response:
        response = flask.Response("set")
        response.set_cookie("a", "1")
        response.set_cookie("b", "2", httponly=True)
        return response

    @site.get("/raises")
    def raises() -> str:
        raise SiteError("in the view")

    site.logger.disabled = True
    return site


def flask_site_in_debug(file: Path) -> Application:
    """Flask with errors let through, as its test client and debugger have them."""
    site: Any = flask_site(file)
    site.testing = True
    application: Application = site
    return application


def bottle_site(file: Path) -> Application:
    """Bottle: its own iterators with ``close()``, ``static_file`` by ``wsgi.file_wrapper``, errors as pages."""
    import bottle

    site = bottle.Bottle()
    site.get("/")(lambda: "<p>caf\u00e9</p>")
    site.get("/json")(lambda: {"query": dict(bottle.request.query)})
    site.post("/form")(lambda: {"form": dict(bottle.request.forms), "files": sorted(bottle.request.files)})
    site.get("/stream")(_chunks)
    site.get("/stream-that-fails")(_chunks_that_fail)
    site.get("/file")(lambda: bottle.static_file(file.name, root=str(file.parent), mimetype="text/plain"))
    site.get("/redirect")(lambda: bottle.redirect("/", 303))
    site.get("/empty")(lambda: bottle.HTTPResponse(status=204))
    site.get("/abort")(lambda: bottle.abort(403))
    site.get("/caf\u00e9/<name>")(lambda name: name)

    @site.get("/cookies")
    def cookies() -> str:
        bottle.response.set_cookie("a", "1")
        bottle.response.set_cookie("b", "2", httponly=True)
        return "set"

    @site.get("/raises")
    def raises() -> str:
        raise SiteError("in the view")

    return site


def falcon_site(file: Path) -> Application:
    """Falcon: lists of one chunk, streams as they are, errors let through by default."""
    import falcon

    class Resource:
        def __init__(self, answer: Callable[[Any, Any], None]) -> None:
            self.on_get = lambda request, response, **_: answer(request, response)
            self.on_post = self.on_get

    def raises(request: Any, response: Any) -> None:
        raise SiteError("in the view")

    def forbidden(request: Any, response: Any) -> None:
        raise falcon.HTTPForbidden

    def redirected(request: Any, response: Any) -> None:
        raise falcon.HTTPSeeOther("/")

    def cookies(request: Any, response: Any) -> None:
        response.set_cookie("a", "1")
        response.set_cookie("b", "2")

    def setting(**values: Any) -> Callable[[Any, Any], None]:
        def answer(request: Any, response: Any) -> None:
            for name, value in values.items():
                setattr(response, name, value() if callable(value) else value)

        return answer

    site = falcon.App()
    for path, answer in {
        "/": setting(text="<p>caf\u00e9</p>"),
        "/json": lambda request, response: setattr(response, "media", request.params),
        "/form": lambda request, response: setattr(response, "data", request.bounded_stream.read()),
        "/stream": setting(stream=_chunks),
        "/stream-that-fails": setting(stream=_chunks_that_fail),
        "/file": setting(stream=lambda: file.open("rb"), content_length=lambda: str(file.stat().st_size)),
        "/redirect": redirected,
        "/empty": setting(status=falcon.HTTP_204),
        "/abort": forbidden,
        "/caf\u00e9/{name}": lambda request, response: setattr(response, "text", request.path),
        "/cookies": cookies,
        "/raises": raises,
    }.items():
        site.add_route(path, Resource(answer))
    return site


def django_site(file: Path) -> Application:
    """Django: its response is the body, closed to tell that the request has finished; ``FileResponse`` lends its close."""
    import django
    from django.conf import settings

    if not settings.configured:
        settings.configure(
            ALLOWED_HOSTS=["*"],
            SECRET_KEY="tests",
            ROOT_URLCONF="chest_tests_django_urls",
            LOGGING_CONFIG=None,
            MIDDLEWARE=["django.middleware.common.CommonMiddleware", "django.middleware.http.ConditionalGetMiddleware"],
        )
        django.setup(set_prefix=False)
    from django.core.handlers.wsgi import WSGIHandler

    sys.modules["chest_tests_django_urls"] = _django_urls(file)
    return WSGIHandler()


def _django_urls(file: Path) -> ModuleType:
    from django import http
    from django.core.exceptions import PermissionDenied
    from django.urls import path

    def raises(request: Any) -> Any:
        raise SiteError("in the view")

    def forbidden(request: Any) -> Any:
        raise PermissionDenied

    def cookies(request: Any) -> Any:
        response = http.HttpResponse("set")
        response.set_cookie("a", "1")
        response.set_cookie("b", "2", httponly=True)
        return response

    module: Any = ModuleType("chest_tests_django_urls")
    module.urlpatterns = [
        path("", lambda request: http.HttpResponse("<p>caf\u00e9</p>")),
        path("json", lambda request: http.JsonResponse({"query": request.GET.dict()})),
        path("form", lambda request: http.JsonResponse([request.POST.dict(), sorted(request.FILES)], safe=False)),
        path("stream", lambda request: http.StreamingHttpResponse(_chunks())),
        path("stream-that-fails", lambda request: http.StreamingHttpResponse(_chunks_that_fail())),
        path("file", lambda request: http.FileResponse(file.open("rb"), content_type="text/plain")),
        path("redirect", lambda request: http.HttpResponseRedirect("/")),
        path("empty", lambda request: http.HttpResponse(status=204)),
        path("abort", forbidden),
        path("caf\u00e9/<str:name>", lambda request, name: http.HttpResponse(name)),
        path("cookies", cookies),
        path("raises", raises),
    ]
    return module  # type: ignore[no-any-return]


SITES: dict[str, Callable[[Path], Application]] = {
    "flask": flask_site,
    "flask in debug": flask_site_in_debug,
    "bottle": bottle_site,
    "falcon": falcon_site,
    "django": django_site,
}
