"""The API for programs: a token for name and password (Flask-HTTPAuth), which PyJWT checks from then on."""

from __future__ import annotations

import time
from collections.abc import Callable
from functools import wraps
from typing import Any

import jwt
from flask import Blueprint, current_app, g, request

from chest import current
from shop.errors import NotAuthorized
from shop.extensions import httpauth
from shop.models import User

blueprint = Blueprint("api", __name__, url_prefix="/api")

httpauth.verify_password(User.called)


@blueprint.post("/token")
@httpauth.login_required
def token() -> dict[str, str]:
    """A token for five minutes."""
    claims = {"sub": str(httpauth.current_user().id), "exp": int(time.time()) + 300}
    return {"token": jwt.encode(claims, current_app.config["SECRET_KEY"], algorithm="HS256")}


def jwt_required(view: Callable[..., Any]) -> Callable[..., Any]:
    """Let a request pass that has a valid token, and tell its record whose it is."""

    @wraps(view)
    def checked(*args: Any, **kwargs: Any) -> Any:
        kind, _, text = request.headers.get("Authorization", "").partition(" ")
        try:
            claims = jwt.decode(
                text if kind == "Bearer" else "", current_app.config["SECRET_KEY"], algorithms=["HS256"]
            )
        except jwt.InvalidTokenError as error:
            raise NotAuthorized(type(error).__name__) from error
        current().user = g.customer_id = claims["sub"]
        return view(*args, **kwargs)

    return checked


@blueprint.get("/whoami")
@jwt_required
def whoami() -> dict[str, str]:
    """The customer's number."""
    return {"id": g.customer_id}
