"""A Bottle application that is recorded.

With Chest, Bottle and gunicorn installed, in this directory::

    CHEST_URLS=sqlite:///chest.sqlite3 gunicorn shop
    chest tail chest.sqlite3
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import bottle
from bottle_chest import BottleRecorder

from chest import ChestMiddleware, current


class SoldOut(Exception):
    pass


app = bottle.Bottle()


@app.install
def answer_sold_out(callback: Callable[..., Any]) -> Callable[..., Any]:
    def answered(*args: Any, **kwargs: Any) -> Any:
        try:
            return callback(*args, **kwargs)
        except SoldOut:
            return bottle.HTTPResponse("sold out", status=409)

    return answered


app.install(BottleRecorder())  # the last: it sees an exception before another plugin answers it


@app.get("/items/<number:int>")
def item(number: int) -> dict[str, float]:
    if number > 99:
        bottle.abort(404)
    current()["item_id"] = number
    return {"price": 12 / number}


@app.post("/items/<number:int>")
def buy(number: int) -> None:
    raise SoldOut(f"item {number} is sold out")


@app.get("/rows")
def rows() -> Iterator[str]:
    for number in range(3):
        current().increment("rows")
        yield f"{number}\n"


@app.get("/busy")
def busy() -> None:
    bottle.abort(503, "busy")


application = ChestMiddleware(app)
