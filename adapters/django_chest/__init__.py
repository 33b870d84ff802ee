"""Chest for Django: routes, exceptions and the loaded user of each request, for records that ``chest.ChestMiddleware`` makes."""

from __future__ import annotations

import sys
from collections.abc import Callable
from functools import wraps
from typing import Any, Final

from chest.adapter import Bypass, MissingDependencyError, RecordsWork, record_answered, record_route, record_user

try:
    from django.core.exceptions import BadRequest, PermissionDenied, SuspiciousOperation
    from django.core.management.base import BaseCommand
    from django.core.signals import got_request_exception
    from django.http import Http404, HttpRequest, HttpResponseBase
    from django.http.multipartparser import MultiPartParserError
    from django.utils.functional import LazyObject, empty
except ModuleNotFoundError as error:
    if (error.name or "").partition(".")[0] != "django":
        raise
    raise MissingDependencyError("django_chest needs Django: pip install 'wsgi-chest[django]'") from error

__all__ = ["DjangoRecorder", "record_commands"]

_BYPASS: Final = (
    "Django served a request that leaves no record, since it did not pass ChestMiddleware. In wsgi.py write"
    " application = ChestMiddleware(get_wsgi_application()); under ASGI and in Django's test client nothing is recorded."
)
_STATUSES: Final[dict[type[Exception], int]] = {
    Http404: 404, PermissionDenied: 403, BadRequest: 400, SuspiciousOperation: 400, MultiPartParserError: 400,
}  # fmt: skip
"""What Django answers these with."""
SERVING: Final = frozenset({"runserver", "testserver", "shell", "dbshell", "test"})
"""Commands that serve, or that a person sits at: their duration says nothing."""


class DjangoRecorder:
    """An entry of ``MIDDLEWARE`` that tells the record of each request what Django knows of it.

    The route of the resolver, the name of the view (``django.view_name``), the exception that Django or other middleware
    answered, and the user, if the request loaded one. The record itself is made by :class:`chest.ChestMiddleware` around the
    WSGI application. Make it the last entry: it then sees exceptions before other middleware answers them.

    Example::

        MIDDLEWARE = [..., "django_chest.DjangoRecorder"]  # settings.py

        application = ChestMiddleware(get_wsgi_application())  # wsgi.py

    :param get_response: the rest of Django.
    """

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponseBase]) -> None:
        self._get_response = get_response
        self._bypass = Bypass(_BYPASS)
        got_request_exception.connect(_on_exception, dispatch_uid="django_chest")

    def __call__(self, request: HttpRequest) -> HttpResponseBase:
        environ = _environ_of(request)
        self._bypass.look(environ)
        try:
            return self._get_response(request)
        finally:
            match = request.resolver_match
            if match is not None:
                record_route(environ, f"/{match.route}", {"django.view_name": match.view_name})
            record_user(environ, _loaded_user(request))

    def process_exception(self, request: HttpRequest, exception: Exception) -> None:
        """The view raised; Django, or other middleware, answers."""
        status = next((status for kind, status in _STATUSES.items() if isinstance(exception, kind)), None)
        record_answered(_environ_of(request), exception, "django", status)


def _on_exception(request: Any = None, **_: Any) -> None:
    """Also for an exception of a middleware: Django sends its signal while it handles the exception, and answers 500."""
    error = sys.exc_info()[1]
    if error is not None:
        record_answered(_environ_of(request), error, "django", None)


def _environ_of(request: Any) -> dict[str, Any]:
    environ: dict[str, Any] = getattr(request, "environ", {})  # a request by ASGI has none
    return environ


def _loaded_user(request: HttpRequest) -> object:
    """The user; None if it was not loaded: ``request.user`` loads it when it is first looked at."""
    user = vars(request).get("user")
    return None if isinstance(user, LazyObject) and user._wrapped is empty else user


def record_commands(recorder: RecordsWork) -> None:
    """Leave a record of each management command that this process runs, with the name that is typed and the kind ``COMMAND``.

    Also of one that another calls by ``call_command``; not of :data:`SERVING`. Call it once, in ``manage.py`` or in the ``ready`` of
    an ``AppConfig``.

    Example::

        record_commands(Recorder(service="mysite"))

    :param recorder: a ``chest.Recorder``.
    """
    execute = BaseCommand.execute

    @wraps(execute)
    def execute_recorded(self: BaseCommand, *args: Any, **options: Any) -> Any:
        name = type(self).__module__.rpartition(".")[2]  # as Django finds the command
        if name in SERVING:
            return execute(self, *args, **options)
        with recorder.work(name, kind="command"):
            return execute(self, *args, **options)

    BaseCommand.execute = execute_recorded
