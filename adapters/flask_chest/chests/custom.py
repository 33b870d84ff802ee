"""``FlaskChestCustomWriter``: sends the variables of each request as a POST request, whose payload a function of the user makes."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

from flask import Flask

from chest import Record, RecordRejected, SettingsError
from chest.adapter import builtin_factory, safe_url
from flask_chest.chests.base import FlaskChest, Triple, triples_of

__all__ = ["FlaskChestCustomWriter"]

_DEFAULT_LOGGER: Final = logging.getLogger("flask_chest")


class FlaskChestCustomWriter(FlaskChest):
    """The variables of each request as a POST request, with a body of your making.

    Needs ``pip install 'wsgi-chest[http]'``. Connections are kept alive, every wait has an end, and certificates are
    verified if you say so: ``verify=False`` is what Flask-Chest documented, so it is the default here, and warned of where
    it matters; Chest's own HTTP chest (``chests=["https://host/path"]``) verifies.

    :param app: see :class:`FlaskChest`.
    :param https: True if the endpoint speaks TLS.
    :param host: the endpoint's host.
    :param port: its port; none: the scheme's own.
    :param headers: sent with every request.
    :param payload_generator: called with ``(variable_name, variable_value, request_id)`` of each variable, returns the
        body: a dict is sent as form fields, text and bytes as they are. In the request (``raise_exceptions=True``) it sees
        values as the view left them, of any type; through a recorder, what the record holds: JSON values, redacted.
    :param verify: True verifies certificates; or the path of a file of certificates to trust.
    :param success_status_codes: the answers that mean "stored".
    :param logger: see :class:`FlaskChest`.
    :param name: a label for messages; none: the URL.
    :param url: the endpoint, instead of ``https``, ``host`` and ``port``.
    :param params: parameters for the URL.
    :param proxies: proxies' URLs by scheme.
    :raises MissingDependencyError: httpx is not installed.
    :raises SettingsError: ``payload_generator`` is missing, or the address is invalid.
    """

    def __init__(
        self,
        app: Flask | None = None,
        https: bool = False,
        host: str = "localhost",
        port: int | str = "",
        headers: Mapping[str, str] | None = None,
        payload_generator: Callable[[Sequence[Triple]], Any] | None = None,
        verify: bool | str = False,
        success_status_codes: Sequence[int] = (200,),
        logger: logging.Logger | None = None,
        *,
        name: str | None = None,
        url: str | None = None,
        params: Mapping[str, Any] | None = None,
        proxies: str | Mapping[str, str] | None = None,
    ) -> None:
        if not callable(payload_generator):
            raise SettingsError(
                "FlaskChestCustomWriter needs payload_generator=, a function that makes the body of a list of"
                " (variable_name, variable_value, request_id)."
            )
        self.url = url = url or f"http{'s' if https else ''}://{host}{f':{port}' if port not in ('', None) else ''}"
        super().__init__(app, name or safe_url(url), logger)
        self._payload_generator = payload_generator
        self._verify, self._success_status_codes = verify, list(success_status_codes)
        self._header_names, self._param_names = list(headers or {}), list(params or {})
        self._proxy_names = list(proxies) if isinstance(proxies, Mapping) else []
        factory = builtin_factory("https")
        self._http: Any = factory(
            url, headers=headers, params=params, proxies=proxies, verify=verify,
            success_status_codes=success_status_codes, name=self.label,
        )  # fmt: skip
        if verify is False and url.lower().startswith("https:"):
            (logger or _DEFAULT_LOGGER).warning(
                "chest: %s verifies no certificate, so anyone on the way can read and change what it sends: give it verify=True,"
                " or the path of a file with the certificate to trust.",
                self.label,
            )

    def write(self, context_tuple_list: Sequence[Triple]) -> None:
        self.post(context_tuple_list)

    def post(self, context_tuple_list: Sequence[Triple], idempotency_key: str | None = None) -> None:
        """:meth:`write`, with a key by which the endpoint can tell a request that comes again."""
        try:
            payload = self._payload_generator(context_tuple_list)
        except Exception as error:
            message = f"{self.label}: payload_generator raised {type(error).__name__}: {error}"
            raise RecordRejected(message) from error
        self._http.send(payload, idempotency_key)
        self._say(len(context_tuple_list))

    def write_record(self, record: Record) -> None:
        if type(self).write is FlaskChestCustomWriter.write:
            self.post(triples_of(record), record.id)
        else:
            super().write_record(record)

    def to_dict(self) -> dict[str, Any]:
        """A description; of headers, parameters and proxies only the names, since their values may be secret; ``str()`` gives it as JSON."""
        return {
            "type": "custom_writer",
            "name": self.name,
            "url": safe_url(self.url),
            "headers": self._header_names,
            "params": self._param_names,
            "proxies": self._proxy_names,
            "verify": self._verify,
            "success_status_codes": self._success_status_codes,
        }

    def check(self) -> None:
        self._http.check()

    def close(self) -> None:
        self._http.close()
