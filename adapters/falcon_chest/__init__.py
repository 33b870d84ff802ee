"""Chest for Falcon: routes and exceptions of each request, for records that ``chest.ChestMiddleware`` makes."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Final

from chest.adapter import Bypass, record_answered, record_route, record_user

if TYPE_CHECKING:
    from falcon import Request, Response

__all__ = ["FalconRecorder"]

_BYPASS: Final = (
    "Falcon served a request that leaves no record, since it did not pass ChestMiddleware. Give the server"
    " ChestMiddleware(app); falcon.testing.TestClient(app) records nothing."
)


class FalconRecorder:
    """A middleware component that tells the record of each request what Falcon knows of it.

    The template of the route, the class of the resource (``falcon.resource``), the user that the application keeps as
    ``req.context.user`` and, from Falcon 4.4 on, the exception that an error handler answered. The record itself is made by :class:`chest.ChestMiddleware` around the application.

    Example::

        recorder = FalconRecorder()
        app = falcon.App(middleware=[recorder])
        app.set_error_reporter(recorder.report_error)
        application = ChestMiddleware(app)
    """

    def __init__(self) -> None:
        self._bypass = Bypass(_BYPASS)

    def process_request(self, req: Request, resp: Response) -> None:
        """Falcon has a request."""
        self._bypass.look(req.env)

    def process_resource(self, req: Request, resp: Response, resource: object, params: Mapping[str, Any]) -> None:
        """Falcon has found its resource."""
        if req.uri_template is not None:
            record_route(req.env, req.uri_template, {"falcon.resource": type(resource).__qualname__})

    def process_response(self, req: Request, resp: Response, resource: object, req_succeeded: bool) -> None:
        """Falcon answers."""
        record_user(req.env, getattr(req.context, "__dict__", {}).get("user"))

    def report_error(self, req: Request, error: Exception, params: Mapping[str, Any], handled: bool) -> None:
        """An exception was raised: give this to ``app.set_error_reporter``, or call it from a reporter of your own."""
        record_answered(req.env, error, "falcon", getattr(error, "status_code", None))
