"""``DockerflowOptions``: python-dockerflow's options ``DOCKERFLOW_...``, from a config mapping or the environment."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from typing import Any, Final, NamedTuple

from chest.errors import SettingsError

__all__ = ["DockerflowOptions", "environment"]

PREFIX: Final = "DOCKERFLOW_"
_TRUE: Final = frozenset(("1", "true", "yes", "on"))
_FALSE: Final = frozenset(("0", "false", "no", "off", ""))


class DockerflowOptions(NamedTuple):
    """Options, read when they are used, so that a later change of the config counts. The config wins over the environment.

    An invalid value is refused by :meth:`refuse_mistakes`; later it counts as not given, since a request is no place to
    complain.
    """

    config: Mapping[str, Any]
    environ: Mapping[str, str]
    """The variables that :func:`environment` found."""

    @property
    def heartbeat_failed_status_code(self) -> int:
        """``DOCKERFLOW_HEARTBEAT_FAILED_STATUS_CODE``: the status of a heartbeat with a check at error or worse (500)."""
        return int(self._given("HEARTBEAT_FAILED_STATUS_CODE", _status, 500))

    @property
    def request_id_header_name(self) -> str | None:
        """``DOCKERFLOW_REQUEST_ID_HEADER_NAME``: the header that a request's id comes in (as the recorder has it)."""
        name: str | None = self._given("REQUEST_ID_HEADER_NAME", _header, None)
        return name

    @property
    def summary_log_querystring(self) -> bool:
        """``DOCKERFLOW_SUMMARY_LOG_QUERYSTRING``: whether ``request.summary`` has the query (no)."""
        return bool(self._given("SUMMARY_LOG_QUERYSTRING", _flag, False))

    @property
    def error_endpoint(self) -> bool:
        """``DOCKERFLOW_ERROR_ENDPOINT``: whether there is ``/__error__``, which raises (no)."""
        return bool(self._given("ERROR_ENDPOINT", _flag, False))

    @property
    def record_requests(self) -> bool:
        """``DOCKERFLOW_RECORD_REQUESTS``: whether requests to Dockerflow's paths leave records in the chests (no)."""
        return bool(self._given("RECORD_REQUESTS", _flag, False))

    @property
    def check_timeout_seconds(self) -> float:
        """``DOCKERFLOW_CHECK_TIMEOUT_SECONDS``: after which a check counts as hanging (5)."""
        return float(self._given("CHECK_TIMEOUT_SECONDS", _seconds, 5.0))

    @property
    def heartbeat_cache_seconds(self) -> float:
        """``DOCKERFLOW_HEARTBEAT_CACHE_SECONDS``: for which a heartbeat's result is kept (1)."""
        return float(self._given("HEARTBEAT_CACHE_SECONDS", _seconds, 1.0))

    @property
    def heartbeat_shows_stores(self) -> bool:
        """``DOCKERFLOW_HEARTBEAT_SHOWS_STORES``: whether a heartbeat says why a store fails, with its host, user and database (no)."""
        return bool(self._given("HEARTBEAT_SHOWS_STORES", _flag, False))

    def refuse_mistakes(self) -> None:
        """Refuse invalid options.

        :raises SettingsError: an option is invalid.
        """
        for name, parse in _PARSERS.items():
            key = PREFIX + name
            given = self.config.get(key, self.environ.get(key))
            try:
                if given is not None:
                    parse(given)
            except (TypeError, ValueError):
                raise SettingsError(f"{key}={given!r}: expected {parse.__doc__}") from None

    def _given(self, name: str, parse: Callable[[Any], Any], default: Any) -> Any:
        key = PREFIX + name
        given = self.config.get(key)
        if given is None:
            given = self.environ.get(key)
        if given is None:
            return default
        try:
            return parse(given)
        except (TypeError, ValueError):
            return default


def environment() -> dict[str, str]:
    """The environment variables that are options, as they are now."""
    return {PREFIX + name: os.environ[PREFIX + name] for name in _PARSERS if PREFIX + name in os.environ}


def _flag(given: Any) -> bool:
    """true or false"""
    if isinstance(given, str):
        if given.strip().lower() not in _TRUE | _FALSE:
            raise ValueError
        return given.strip().lower() in _TRUE
    return bool(given)


def _status(given: Any) -> int:
    """an HTTP status, 200 to 599"""
    if not 200 <= int(given) <= 599:
        raise ValueError
    return int(given)


def _seconds(given: Any) -> float:
    """seconds, from 0 to 3600"""
    if not 0.0 <= float(given) <= 3600.0:
        raise ValueError
    return float(given)


def _header(given: Any) -> str | None:
    """the name of a header"""
    if not isinstance(given, str) or not given.replace("-", "").replace("_", "").isalnum():
        raise ValueError
    return given


_PARSERS: Final[Mapping[str, Callable[[Any], Any]]] = {
    "HEARTBEAT_FAILED_STATUS_CODE": _status,
    "REQUEST_ID_HEADER_NAME": _header,
    "SUMMARY_LOG_QUERYSTRING": _flag,
    "ERROR_ENDPOINT": _flag,
    "RECORD_REQUESTS": _flag,
    "CHECK_TIMEOUT_SECONDS": _seconds,
    "HEARTBEAT_CACHE_SECONDS": _seconds,
    "HEARTBEAT_SHOWS_STORES": _flag,
}
