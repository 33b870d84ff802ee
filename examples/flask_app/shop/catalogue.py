"""What the shop sells."""

from __future__ import annotations

from typing import Any

from flask import Blueprint, abort, g, request

ITEMS: dict[int, dict[str, Any]] = {
    1: {"item_id": 1, "name": "Linen notebook", "price": 12.5, "in_stock": 40},
    2: {"item_id": 2, "name": "Desk lamp", "price": 64.0, "in_stock": 3},
    3: {"item_id": 3, "name": "Globe", "price": 149.0, "in_stock": 0},
}

blueprint = Blueprint("catalogue", __name__)


@blueprint.before_app_request
def remember_user() -> None:
    """The user, on ``g``: what ``g`` holds when the request ends is recorded, without naming it."""
    g.user_id = request.headers.get("X-User", "anonymous")


@blueprint.get("/health")
def health() -> dict[str, str]:
    """For a load balancer; excluded in ``config``."""
    return {"status": "ok"}


@blueprint.get("/items/<int:item_id>")
def item(item_id: int) -> dict[str, Any]:
    """One item, or 404."""
    g.item_id = item_id
    return ITEMS.get(item_id) or abort(404)


@blueprint.get("/search")
def search() -> list[dict[str, Any]]:
    """The items with ``?q=`` in their names."""
    g.search_text = text = request.args.get("q", "").lower()
    with g.chest.timer("search"):
        found = [item for item in ITEMS.values() if text in item["name"].lower()]
    g.items_found = len(found)
    return found
