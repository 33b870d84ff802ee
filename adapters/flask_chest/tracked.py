"""The two functions behind Flask-Chest's decorator, for programs that call them in a request."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Mapping, Sequence

from flask import g, request

from chest.adapter import clean_request_id
from flask_chest.chests.base import FlaskChest, Triple

__all__ = ["set_custom_request_id", "write_tracked_variables"]


def set_custom_request_id(request_id_generator: Callable[[], object] | None) -> None:
    """Give the request an id, in ``g.custom_request_id``, cut at 255 characters.

    :param request_id_generator: makes the id; None: ``str(uuid.uuid4())``.
    """
    made = request_id_generator() if callable(request_id_generator) else uuid.uuid4()
    g.custom_request_id = clean_request_id(made)


def write_tracked_variables(
    chests: Sequence[FlaskChest], tracked_vars: Mapping[str, Sequence[str]], raise_exceptions: bool
) -> None:
    """Write variables on ``g`` to chests now; the request waits for them.

    :param chests: objects of Flask-Chest's classes.
    :param tracked_vars: names on ``g`` by method; those that are not set are left out.
    :param raise_exceptions: True raises a chest's exception; False logs it at the level debug.
    """
    request_id = getattr(g, "custom_request_id", None)
    names = [name for method, names in tracked_vars.items() if method.upper() == request.method for name in names]
    triples: list[Triple] = [(name, getattr(g, name), request_id or "") for name in names if hasattr(g, name)]
    for chest in chests:
        try:
            chest.write(list(triples))
        except Exception as error:
            if raise_exceptions:
                raise
            if chest.logger is not None:
                chest.logger.debug("%s: %s", chest.label, error)
