"""The client of a request: the user that the request has loaded, if any, and the address; keys for limits of both."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from ipaddress import IPv6Address, ip_address, ip_network
from typing import TYPE_CHECKING, Any, Final

from flask import Flask

from chest import client_address, current
from chest.adapter import Settings, loaded_user_id
from flask_chest.app_settings import AppSettings
from flask_chest.contexts import SERVED_KEY, app_context, request_context

if TYPE_CHECKING:
    from flask_chest.extension import AppRecorder

__all__ = ["get_ip", "user_or_ip_key"]

LOGIN: Final = "_login_user"
"""Flask-Login's name on ``g`` for the user that it has loaded."""
USER_NAMES: Final = (LOGIN, "flask_httpauth_user")
"""The names on ``g`` of loaded users; the second is Flask-HTTPAuth's."""
_SETTINGS: Final = "chest.client"
"""Under this key ``app.extensions`` holds the settings of an application without a recorder."""
_BITS_OF_A_CLIENT: Final = 64
"""Of an IPv6 address: a client has at least a /64 for itself (RFC 6177), so 2^64 addresses."""
_SESSION_KEY: Final = "_user_id"
"""Flask-Login's key in the session."""


def get_ip() -> str | None:
    """The address of the client, by the options ``trusted_proxies`` and ``client_address_header``; None if unknown.

    By default nothing is trusted, and it is the address of the server's peer; see :func:`chest.client_address`. It needs no
    ``FlaskRecorder``: without one the options are read from ``app.config`` and the environment.

    :raises SettingsError: without a recorder, if these are invalid.
    """
    settings = _settings_of(app_context().app)
    environ = request_context().request.environ
    return client_address(environ, settings.trusted_proxies, settings.client_address_header)


def user_or_ip_key() -> str:
    """A key for limits: ``"user:<id>"``, or ``"ip:<address>"`` for a client that is not logged in.

    The id is that of the application (``current().user``), of Flask-Login or of Flask-HTTPAuth. No user is loaded for it: before the
    view, Flask-Login's id is that of the session, which is signed. An IPv6 client is known by its /64. All clients without an address
    share one key.

    Example::

        Limiter(user_or_ip_key, app=app, default_limits=["100 per minute"])
    """
    user_id = request_user()
    if user_id is None and hasattr(app_context().app, "login_manager"):
        user_id = request_context().session.get(_SESSION_KEY)
    if user_id not in (None, ""):
        return f"user:{user_id}"
    address = get_ip()
    if address is None:
        return "ip:unknown"
    if isinstance(ip_address(address), IPv6Address):
        address = str(ip_network((address, _BITS_OF_A_CLIENT), strict=False))
    return f"ip:{address}"


def _settings_of(app: Flask) -> Settings:
    recorded: AppRecorder | None = app.extensions.get("chest")
    if recorded is not None:
        return recorded.options.core
    known: Settings | None = app.extensions.get(_SETTINGS)
    return known or app.extensions.setdefault(_SETTINGS, AppSettings.resolve({}, app.config).core)


def user_on_g(names: Mapping[str, Any], session: Callable[[], Mapping[str, Any]] | None) -> object:
    """The id of the user that the request has loaded; None if it has loaded none. Nothing is loaded.

    :param names: names on ``g``; of others than :data:`USER_NAMES` nothing is read.
    :param session: gives the request's, which knows the id of a user whose object has expired. Called for such an object alone: Flask
        sends ``Vary: Cookie`` with the answer to a request whose session was accessed.
    """

    def of_session() -> object:
        return None if session is None else session().get(_SESSION_KEY)

    for name in USER_NAMES:
        if name in names:
            user_id = loaded_user_id(names[name], of_session if name is LOGIN else lambda: None)
            if user_id is not None:
                return user_id
    return None


def request_user() -> object:
    """The id of the request's user, as the application said or an extension has loaded it; None: neither. Loads no user.

    :raises LookupError: or another error, outside a request.
    """
    said = current().user
    if said is not None:
        return said
    of_request = request_context()
    served = of_request.request.environ.get(SERVED_KEY)
    # On a ``g`` that several requests share, another one may have left its user; the recorder knows.
    names = vars(app_context().g) if served is None or served.is_over else served.found(USER_NAMES)
    return user_on_g(names, lambda: of_request.session)
