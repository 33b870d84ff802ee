"""``UserIds``: how the id of a request's user is kept; ``loaded_user_id``: the id of a user that the request has loaded."""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Callable
from typing import Any, Final
from uuid import UUID

from chest.native import agree
from chest.record.text import storable_text
from chest.request.fields import as_text
from chest.request.request_id import MOST_CHARACTERS

USER: Final = "enduser.id"
"""OpenTelemetry's name, and the attribute of the record."""
agree(USER=USER)

PLAIN: Final = "plain"
HASHED: Final = "hashed"
NONE: Final = "none"
_KEPT_BYTES: Final = 16
"""Of the 32 of SHA-256: two of a billion users have the same hash with a probability of 1.5e-21."""


class UserIds:
    """Turns the id of a user into what the record keeps.

    :param way: ``plain``; ``hashed``, which keeps an HMAC-SHA-256 of the id, cut to 32 hexadecimal digits: the same id and key give the
        same hash in every process and release; ``none``.
    :param key: the key of the hash.
    """

    def __init__(self, way: str = PLAIN, key: str | None = None) -> None:
        self._way = way
        self._key = (key or "").encode(errors="backslashreplace")

    def kept(self, user_id: object) -> str:
        """The id as it is kept; "" if none is."""
        text = "" if self._way == NONE else storable_text(as_text(user_id), MOST_CHARACTERS)
        if self._way != HASHED or not text:
            return text
        return hmac.digest(self._key, text.encode(), hashlib.sha256)[:_KEPT_BYTES].hex()


def loaded_user_id(user: Any, if_expired: Callable[[], object] = lambda: None) -> object:
    """The id of a user object that a framework has loaded; None of an anonymous one, and if the id is not in memory.

    Takes the object of Flask-Login (``get_id``), of Django (``pk``), and an id itself. No attribute is read that would ask a
    database: of an object that SQLAlchemy has expired, as after a commit, the id is not in memory. For adapters.

    :param user: an object that the request has already.
    :param if_expired: knows the id of such an object by other means.
    """
    if user is None or isinstance(user, (str, UUID)) or type(user) is int:
        return user
    try:
        state = getattr(user, "_sa_instance_state", None)
        if state is not None and state.expired_attributes:
            return if_expired()
        is_authenticated = getattr(user, "is_authenticated", True)
        if not (is_authenticated() if callable(is_authenticated) else is_authenticated):
            return None
        get_id = getattr(user, "get_id", None)
        return get_id() if callable(get_id) else getattr(user, "pk", None)
    except Exception:  # noqa: BLE001 - the application's class: a record must not fail the request
        return None
