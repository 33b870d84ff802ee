"""Orders: a validated body, a payment, and two jobs."""

from __future__ import annotations

from flask import Blueprint, current_app, g, request
from pydantic import BaseModel, ConfigDict, PositiveInt

from shop.errors import OutOfStock
from shop.extensions import csrf, db
from shop.jobs import send_receipt, write_report
from shop.models import Item, User
from shop.payments import payments
from shop.views.api import jwt_required

blueprint = Blueprint("orders", __name__, url_prefix="/orders")


class Order(BaseModel):
    """What a client sends."""

    model_config = ConfigDict(extra="forbid")

    item_id: PositiveInt
    quantity: PositiveInt = 1


@blueprint.post("/")
@csrf.exempt
@jwt_required
def order() -> tuple[dict[str, object], int]:
    """Buy; the receipt goes out by mail, after the answer."""
    wanted = Order.model_validate(request.get_json())
    g.item_id, g.quantity = wanted.item_id, wanted.quantity
    item = db.get_or_404(Item, wanted.item_id)
    if item.in_stock < wanted.quantity:
        raise OutOfStock(item.name)
    total = item.price * wanted.quantity
    payment = payments().pay(total)
    send_receipt.delay(db.session.get(User, int(g.customer_id)).name, total)
    current_app.extensions["rq"].enqueue(write_report, "2026-11")
    return {"payment": payment, "total": total}, 201


@blueprint.get("/broken")
def broken() -> dict[str, object]:
    """An error that the shop's handler for all exceptions answers."""
    raise RuntimeError("the printer is on fire")
