"""A small shop, to have something to record: a Flask application and a plain WSGI one mounted beside it."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Iterable, Iterator
from typing import Any, Final

from flask import Blueprint, Flask, Response, abort, request, stream_with_context
from werkzeug.middleware.dispatcher import DispatcherMiddleware

from chest import ChestMiddleware, current
from chest.cli.demo.exchange import WORKER_HEADER
from chest.request.wsgi import StartResponse, WSGIApplication, WSGIEnvironment

SERVICE: Final = "shop"

_ITEMS: Final[dict[int, dict[str, Any]]] = {
    number: {"item_id": number, "name": name, "price": price}
    for number, (name, price) in enumerate(
        [
            ("Linen notebook", 12.5),
            ("Brass pencil", 8.9),
            ("Desk lamp", 64.0),
            ("Ink, blue black", 9.8),
            ("Paper knife", 17.2),
            ("Globe", 149.0),
            ("Map chest", 420.0),
            ("Magnifying glass", 23.4),
        ],
        start=1,
    )
}
_SLOW_ITEM_ID: Final = 7
_PREMIUM_USERS: Final = frozenset({"ada", "grace"})
_PAGE_ROWS: Final = 20

pages = Blueprint("shop", __name__)


def make_app(store_url: str, ring_directory: str) -> ChestMiddleware:
    """The shop as a server runs it, recorded.

    :param store_url: URL of the chest, such as ``sqlite:////tmp/demo/chest.sqlite3``.
    :param ring_directory: path of the directory for ring files.
    """
    both: WSGIApplication = DispatcherMiddleware(make_shop(), {"/feed": feed})
    return ChestMiddleware(
        both,
        chests=[store_url],
        directory=ring_directory,
        ring_bytes=4 * 1024 * 1024,
        service=SERVICE,
        release="1.0",
        exclude_paths=["/health"],
    )


def make_shop() -> Flask:
    """The Flask application alone."""
    shop = Flask(__name__)
    shop.config["PROPAGATE_EXCEPTIONS"] = True  # what a handler raises reaches the middleware, and gunicorn answers 500
    shop.register_blueprint(pages)
    shop.register_error_handler(404, not_found)
    shop.before_request(describe_request)
    shop.after_request(say_whether_complete)
    return shop


def not_found(error: Exception) -> tuple[str, int]:
    """A whole body; the page that Flask would make is an iterator, whose record would be left only at its close."""
    return "nothing of that name\n", 404


def describe_request() -> None:
    """Record the user and the route; the header stands for a session."""
    record = current()
    record.route = request.url_rule.rule if request.url_rule else None
    record["user_id"] = user_id = request.headers.get("X-User", "anonymous")
    record["plan"] = "premium" if user_id in _PREMIUM_USERS else "free"


def say_whether_complete(response: Response) -> Response:
    """Have a body that is all there recorded before its first byte is sent.

    So a worker killed the next moment still leaves the record of every request it answered; otherwise a request is
    recorded when the server closes the response, after the last byte.
    """
    if response.is_sequence:
        current().body_is_complete()
    return response


@pages.get("/health")
def health() -> dict[str, str]:
    """For the program that waits for the server; excluded from recording."""
    return {"status": "ok"}


@pages.get("/")
def home() -> dict[str, Any]:
    """The front page."""
    _query(milliseconds=2)
    return {"items": list(_ITEMS.values())}


@pages.get("/items/<int:item_id>")
def item(item_id: int) -> dict[str, Any]:
    """One item, or 404; one of them is slow, for ``chest find --slower-than`` to find."""
    current()["item_id"] = item_id
    _query(milliseconds=60 if item_id == _SLOW_ITEM_ID else 4)
    return _ITEMS.get(item_id) or abort(404)


@pages.get("/search")
def search() -> dict[str, Any]:
    """Items by a part of their name."""
    record = current()
    record["search_text"] = text = request.args.get("q", "").lower()
    _query(milliseconds=15)
    with record.timer("rank"):
        found = sorted((each for each in _ITEMS.values() if text in each["name"].lower()), key=str)
    record.increment("items_found", len(found))
    return {"items": found}


@pages.post("/cart")
def cart() -> tuple[dict[str, Any], int]:
    """Buy what is in the JSON body: ``{"item_ids": [1, 2], "card_number": "…"}``."""
    order = request.get_json()
    bought = [_ITEMS[item_id] for item_id in order["item_ids"] if item_id in _ITEMS]
    record = current()
    record["cart_items"] = len(bought)
    record["cart_total"] = total = sum(each["price"] for each in bought)
    record["card_number"] = order["card_number"]  # careless, as applications are: stored as [REDACTED]
    for _ in bought:
        _query(milliseconds=5)
    return {"total": total}, 201


@pages.get("/export")
def export() -> Response:
    """Rows of the price list, streamed page by page; ``?rows=`` says how many."""
    rows = request.args.get("rows", default=200, type=int)
    headers = {WORKER_HEADER: str(os.getpid())}
    return Response(stream_with_context(_price_list(rows)), mimetype="text/csv", headers=headers)


@pages.get("/broken")
def broken() -> str:
    """A handler with a mistake in it."""
    _query(milliseconds=3)
    raise PaymentProviderError("the payment provider did not answer")


class PaymentProviderError(RuntimeError):
    """What ``/broken`` raises."""


def feed(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
    """A plain WSGI application beside the Flask one; it finds the record in its environ."""
    record = environ["chest.context"]
    record.route = "/feed"
    record["user_id"] = environ.get("HTTP_X_USER", "anonymous")
    record["entries"] = len(_ITEMS)
    body = json.dumps(list(_ITEMS.values())).encode()
    start_response("200 OK", [("Content-Type", "application/json"), ("Content-Length", str(len(body)))])
    return [body]


def _price_list(rows: int) -> Iterator[str]:
    for first in range(0, rows, _PAGE_ROWS):
        _query(milliseconds=4)
        page = range(first, min(first + _PAGE_ROWS, rows))
        current().increment("rows_exported", len(page))
        yield "".join(f"{row},{_ITEMS[row % len(_ITEMS) + 1]['name']}\n" for row in page)


def _query(milliseconds: float) -> None:
    """Stand for a database: wait as long as one would take, and record the time as ``db_ms`` and ``db_count``."""
    with current().timer("db"):
        time.sleep(milliseconds / 1000)
