"""What the shop sells: a page, a cached list, an async view."""

from __future__ import annotations

import asyncio

import click
from flask import Blueprint, Response, g, make_response, render_template

from chest import current
from shop import flags
from shop.extensions import cache, db, limiter, recorder
from shop.models import Item

blueprint = Blueprint("catalogue", __name__, cli_group=None)


@blueprint.get("/")
def index() -> str:
    """A page with the time of the visitor's zone (Flask-Moment)."""
    return render_template("index.html", items=db.session.scalars(db.select(Item)).all())


@blueprint.get("/items")
@limiter.limit("5 per minute")
@cache.cached(timeout=60, response_hit_indication=True)
def items() -> Response:
    """All items. A cached answer runs none of this; Flask-Caching says so on ``g``, and so in the record."""
    g.items_found = db.session.scalar(db.select(db.func.count(Item.id)))
    return make_response([item.as_json() for item in db.session.scalars(db.select(Item))])


@blueprint.get("/items/<int:item_id>")
def item(item_id: int) -> dict[str, object]:
    """One item, or 404."""
    found = db.get_or_404(Item, item_id)
    return found.as_json() | ({"in_stock": found.in_stock} if flags.is_active("stock") else {})


@blueprint.get("/prices")
async def prices() -> dict[str, int]:
    """Asks three sources at once; each counts in the record of this request."""

    async def ask(source: int) -> int:
        await asyncio.sleep(0.001)
        current().increment("sources_asked")
        return source

    return {"best": min(await asyncio.gather(*map(ask, (12, 9, 15))))}


@blueprint.cli.command("restock")
@click.argument("item_id", type=int)
@click.argument("quantity", type=int)
@recorder.work("restock", kind="command")
def restock(item_id: int, quantity: int) -> None:
    """``flask --app shop restock 3 10``: recorded as work that is no request."""
    g.item_id, g.quantity = item_id, quantity
    db.get_or_404(Item, item_id).in_stock += quantity
    db.session.commit()
