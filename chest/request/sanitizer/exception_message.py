"""``message_of``: what an exception says, without the values that a database or a validator put into its text."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from itertools import islice
from typing import Any, Final

from chest.record.secret_text import REDACTED

MESSAGE: Final = "exception.message"
"""OpenTelemetry's name, and the attribute of the record."""
_MOST_CHARACTERS: Final = 4096
"""More than is kept in the end: a secret is taken out before the message is cut."""
_MOST_VALUES: Final = 200
_SHORTEST_VALUE: Final = 4
"""Shorter ones stand in any text by chance."""

# What drivers and validators say of the data that was refused: a text that stands in each, and what stays of it. Each has a (, a ", a :, a ' or a =.
_VALUES: Final = (
    (
        "ey (",
        re.compile(r"([Kk]ey \([^\n]*?\))=\((?:[^\n]*\)|[^\n]*\Z)"),
        rf"\1=({REDACTED})",
    ),  # PostgreSQL: unique, foreign key, exclusion
    (
        "Failing row contains (",
        re.compile(r"(Failing row contains )\((?:.*\)|.*\Z)", re.DOTALL),
        rf"\1({REDACTED})",
    ),  # PostgreSQL: not null, check
    (
        '"',
        re.compile(
            r"((?:invalid input (?:syntax|value) for|malformed|field value out of range)[^:\n]*: )\"(?:[^\n]*\"|[^\n]*\Z)"
        ),
        rf'\1"{REDACTED}"',
    ),
    ('"', re.compile(r"((?:value|Token) )\"[^\n]*\"( is (?:out of range|invalid))"), rf'\1"{REDACTED}"\2'),
    (
        "CONTEXT: ",
        re.compile(r"^(CONTEXT: +).*", re.MULTILINE | re.DOTALL),
        rf"\1{REDACTED}",
    ),  # PostgreSQL: a line of the input
    (
        "LINE ",
        re.compile(r"^LINE \d+:[^\n]*(?:\n\s*\^)?\n?", re.MULTILINE),
        "",
    ),  # PostgreSQL: the statement, perhaps with its values
    (
        "Duplicate entry '",
        re.compile(r"(Duplicate entry )'(?:.*'( for key)|.*\Z)", re.DOTALL),
        rf"\1'{REDACTED}'\2",
    ),  # MySQL
    (
        "value: '",
        re.compile(r"((?:Incorrect|Truncated incorrect) [\w ]*value: )'(?:.*'( for )|.*'|.*\Z)", re.DOTALL),
        rf"\1'{REDACTED}'\2",
    ),
    (
        "to use near '",
        re.compile(r"(right syntax to use near )'(?:.*'( at line)|.*\Z)", re.DOTALL),
        rf"\1'{REDACTED}'\2",
    ),
    (
        'unrecognized token: "',
        re.compile(r"(unrecognized token: )\"(?:.*\"|.*\Z)", re.DOTALL),
        rf'\1"{REDACTED}"',
    ),  # SQLite
    (
        "duplicate key value is (",
        re.compile(r"(duplicate key value is )\((?:.*\)|.*\Z)", re.DOTALL),
        rf"\1({REDACTED})",
    ),  # SQL Server
    (
        "[parameters: ",
        re.compile(r"(\[parameters: )(?:.*\]|.*\Z)", re.DOTALL),
        rf"\1{REDACTED}]",
    ),  # SQLAlchemy, in the text of another exception
    ("dup key: {", re.compile(r"(dup key: )\{(?:.*\}|.*\Z)", re.DOTALL), rf"\1{{{REDACTED}}}"),  # MongoDB
    (", full error: ", re.compile(r", full error: .*", re.DOTALL), ""),  # PyMongo: the server's whole answer
    ("input_value=", re.compile(r"(input_value=).*?(?:(, input_type=)|\Z)", re.DOTALL), rf"\1{REDACTED}\2"),  # pydantic
)


def message_of(error: BaseException) -> str:
    """The exception's text, cut; an exception whose ``__str__`` raises gives its class.

    An exception that holds a statement and its parameters, as SQLAlchemy's do, says the driver's words and the statement.
    """
    try:
        text = _of_statement(error) or str(error)
        text = text[:_MOST_CHARACTERS]
        if not ("(" in text or '"' in text or ":" in text or "'" in text or "=" in text):
            return text
        for mark, expression, kept in _VALUES:
            if mark in text:
                text = expression.sub(kept, text)
        return text
    except Exception:  # noqa: BLE001 - the application's __str__
        return type(error).__name__


def _of_statement(error: BaseException) -> str | None:
    """What an exception says that has a statement and parameters of its own; None for every other."""
    told = getattr(error, "__dict__", None)
    if not isinstance(told, dict) or not isinstance(told.get("statement"), str) or "params" not in told:
        return None
    cause = told.get("orig")
    said = (
        f"({type(cause).__module__}.{type(cause).__name__}) {cause}"
        if cause is not None
        else str(error.args[0] if error.args else "")
    )
    for value in islice(_texts(told["params"]), _MOST_VALUES):
        said = said.replace(value, REDACTED)
    return f"{said}\n[SQL: {told['statement']}]"


def _texts(parameters: Any) -> Iterator[str]:
    """The values among a statement's parameters that could stand in a message."""
    if isinstance(parameters, Mapping):
        parameters = parameters.values()
    if isinstance(parameters, str):
        if len(parameters) >= _SHORTEST_VALUE:
            yield parameters
    elif isinstance(parameters, (list, tuple)) or type(parameters).__name__ == "dict_values":
        for each in parameters:
            yield from _texts(each)
    elif isinstance(parameters, (int, float)) and len(str(parameters)) >= _SHORTEST_VALUE:
        yield str(parameters)
