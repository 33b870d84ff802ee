"""``FlaskWork``: a job or a command of a Flask application, with what it sets on ``flask.g``."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from chest import RequestContext
from chest.adapter import RequestMetadata, Work
from flask_chest.contexts import app_context
from flask_chest.g_variables import OWNER, data_of
from flask_chest.used_g import Before


class FlaskWork(Work):
    """Work that also records what it sets on ``flask.g``, if an application context is there when it begins."""

    takes_all_of_g: Callable[[], bool]
    """True if variables of ``g`` are taken that no decorator names."""

    def __enter__(self) -> RequestContext:
        context = super().__enter__()
        try:
            g = app_context().g
            owner = vars(g).get(OWNER)
            if (
                owner is None or owner.is_over
            ) and self.takes_all_of_g():  # else it is a part of a request, whose g it is
                context.attach_metadata(_OnG(g))
        except (LookupError, RuntimeError, TypeError):  # no application context, or a class for g without a __dict__
            pass
        return context

    def _again(self) -> FlaskWork:
        again = FlaskWork(self._works, self._name, self._request_id, self._kind)
        again.takes_all_of_g = self.takes_all_of_g
        return again


class _OnG(RequestMetadata):
    """Brings what a piece of work set on ``g`` into its record."""

    def __init__(self, g: Any) -> None:
        self._names, self._before = vars(g), Before(g)

    def at_end(self, context: RequestContext) -> None:
        try:
            for name, value in self._before.set_since(data_of(self._names)).items():
                if name not in context:
                    context[name] = value
            self._before.let_go()
        except Exception:  # noqa: BLE001 - a class of the application's for g: the record is made without
            pass
