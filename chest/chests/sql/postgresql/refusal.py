"""``kind_of_refusal``: why no connection to PostgreSQL was made, from its words: libpq passes no code with them."""

from __future__ import annotations

import re
from typing import Final

from chest.errors import ChestError, ChestUnavailable, LoginRefused, TLSRefused, UnknownDatabase, UnknownHost

__all__ = ["kind_of_refusal"]

_BY_SERVER: Final[tuple[tuple[type[ChestError], str], ...]] = (
    (UnknownDatabase, r"database (\"\" )?does not exist|database \d+ does not exist|no such database"),
    (TLSRefused, r"connection requires a valid client certificate|SSL required"),
    (
        LoginRefused,
        r"no pg_hba\.conf entry|pg_hba\.conf rejects|(\S+ )?authentication failed|role \"\" (does not exist|is not permitted)"
        r"|permission denied for database|no such user|login rejected",
    ),
)
"""How the message of the server, or of pgbouncer, begins. All others are not mistakes of the user: too many connections, starting,
stopping, a database that takes no connections now."""

_BY_CLIENT: Final[tuple[tuple[type[ChestError], str], ...]] = (
    (UnknownHost, r"failed to resolve host|could not translate host name"),
    (LoginRefused, r"no password supplied"),
    # A connection that is lost under TLS, which has nothing to do with certificates.
    (
        ChestUnavailable,
        r"SSL SYSCALL|unexpected eof|closed unexpectedly|reset by peer|[Tt]oo many open files|timeout expired",
    ),
    (TLSRefused, r"\bSSL\b|certificate|private key file"),
)
"""What stands in a message of libpq or psycopg."""


def kind_of_refusal(told: str) -> type[ChestError]:
    """The error that a message of a connection that was not made is; ChestUnavailable if the words are not known.

    A server may speak another language, and then no cure is named: none is better than a false one.

    :param told: in one line.
    """
    said = re.sub(r'"[^"]*"', '""', told)  # names may be any words
    _, is_by_server, words = said.rpartition("FATAL: ")
    if is_by_server:
        return next((kind for kind, pattern in _BY_SERVER if re.match(pattern, words)), ChestUnavailable)
    return next((kind for kind, pattern in _BY_CLIENT if re.search(pattern, said)), ChestUnavailable)
