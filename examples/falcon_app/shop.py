"""A Falcon application that is recorded.

With Chest, Falcon and gunicorn installed, in this directory::

    CHEST_URLS=sqlite:///chest.sqlite3 gunicorn shop
    chest tail chest.sqlite3
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import falcon
from falcon_chest import FalconRecorder

from chest import ChestMiddleware, current


class SoldOut(Exception):
    pass


class Item:
    def on_get(self, req: falcon.Request, resp: falcon.Response, number: int) -> None:
        if number > 99:
            raise falcon.HTTPNotFound
        current()["item_id"] = number
        resp.media = {"price": 12 / number}

    def on_post(self, req: falcon.Request, resp: falcon.Response, number: int) -> None:
        raise SoldOut(f"item {number} is sold out")


class Rows:
    def on_get(self, req: falcon.Request, resp: falcon.Response) -> None:
        def lines() -> Iterator[bytes]:
            for number in range(3):
                current().increment("rows")
                yield b"%d\n" % number

        resp.stream = lines()


class WhoAmI:
    def on_get(self, req: falcon.Request, resp: falcon.Response) -> None:
        req.context.user = req.get_header("X-User")  # a real application would check it
        resp.media = {"user": req.context.user}


def answer_sold_out(req: falcon.Request, resp: falcon.Response, error: SoldOut, params: dict[str, Any]) -> None:
    raise falcon.HTTPConflict(title="sold out")


recorder = FalconRecorder()
app = falcon.App(middleware=[recorder])
app.set_error_reporter(recorder.report_error)  # of exceptions that were answered; Falcon 4.4 and later
app.add_error_handler(SoldOut, answer_sold_out)
app.add_route("/items/{number:int}", Item())
app.add_route("/rows", Rows())
app.add_route("/whoami", WhoAmI())

application = ChestMiddleware(app)
