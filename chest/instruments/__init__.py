"""Log lines that name their request, calls that pass its id on, and counts and times of databases and other services.

Nothing is counted unless you ask for it. A library is imported only by the function for that library.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from chest.system.lazy import loaded_on_use

if TYPE_CHECKING:
    from chest.instruments.django_connections import instrument_django
    from chest.instruments.httpx_client import instrument_httpx
    from chest.instruments.logs import RequestLogFilter, request_processor
    from chest.instruments.outgoing import outgoing_headers
    from chest.instruments.pymongo_commands import instrument_pymongo
    from chest.instruments.redis_client import instrument_redis
    from chest.instruments.requests_session import instrument_requests
    from chest.instruments.sqlalchemy_engine import instrument_sqlalchemy

__all__ = [
    "RequestLogFilter",
    "instrument_django",
    "instrument_httpx",
    "instrument_pymongo",
    "instrument_redis",
    "instrument_requests",
    "instrument_sqlalchemy",
    "outgoing_headers",
    "request_processor",
]

_HOMES: Final = {
    "RequestLogFilter": "chest.instruments.logs",
    "instrument_django": "chest.instruments.django_connections",
    "instrument_httpx": "chest.instruments.httpx_client",
    "instrument_pymongo": "chest.instruments.pymongo_commands",
    "instrument_redis": "chest.instruments.redis_client",
    "instrument_requests": "chest.instruments.requests_session",
    "instrument_sqlalchemy": "chest.instruments.sqlalchemy_engine",
    "outgoing_headers": "chest.instruments.outgoing",
    "request_processor": "chest.instruments.logs",
}

if not TYPE_CHECKING:
    __getattr__ = loaded_on_use(__name__, _HOMES)
