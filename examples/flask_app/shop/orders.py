"""Orders: a request that may fail in the ways that an application expects, and a streamed one."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from flask import Blueprint, Response, g, request, stream_with_context

from shop.catalogue import ITEMS

blueprint = Blueprint("orders", __name__)


class OutOfStock(Exception):
    """The item is sold out. An error handler answers it; the record has its class."""


@blueprint.errorhandler(OutOfStock)
def out_of_stock(error: OutOfStock) -> tuple[dict[str, str], int]:
    """The answer to a customer who came too late."""
    return {"message": f"{error} is sold out"}, 409


@blueprint.post("/")
def order() -> tuple[dict[str, Any], int]:
    """Buy what ``{"item_id": 2, "quantity": 1, "card_number": "…"}`` says."""
    wanted = request.get_json()
    item = ITEMS[wanted["item_id"]]
    g.item_id, g.quantity = item["item_id"], wanted.get("quantity", 1)
    g.card_number = wanted.get("card_number")  # stored as [REDACTED], like everything of that name
    if item["in_stock"] < g.quantity:
        raise OutOfStock(item["name"])
    g.total = item["price"] * g.quantity
    return {"total": g.total}, 201


@blueprint.get("/export")
def export() -> Response:
    """A price list as CSV, streamed; recorded when its last row was sent."""

    def rows() -> Iterator[str]:
        g.rows_exported = 0
        for item in ITEMS.values():
            g.rows_exported += 1
            yield f"{item['item_id']},{item['name']},{item['price']}\n"

    return Response(stream_with_context(rows()), mimetype="text/csv")
