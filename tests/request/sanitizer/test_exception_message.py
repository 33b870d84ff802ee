"""What is kept of an exception's text."""

from __future__ import annotations

import sqlite3
from typing import Any

import pytest

from chest.request.sanitizer.exception_message import message_of
from chest.request.sanitizer.redaction import Redaction
from chest.settings.settings import REDACTED_BY_DEFAULT
from tests.request.middleware.client import Client

HASH = "$2b$12$R9h/cIPz0gi.URNNX3kh2OPST9"


def statement_error(params: Any, words: str = "UNIQUE constraint failed: user.email") -> Exception:
    from sqlalchemy.exc import IntegrityError

    return IntegrityError("INSERT INTO user (email, hash) VALUES (?, ?)", params, sqlite3.IntegrityError(words))


@pytest.mark.parametrize(
    "params",
    [
        ("ada@example.org", HASH),
        {"email": "ada@example.org", "hash": HASH},
        [("bob@example.org", "x"), ("ada@example.org", HASH)],
        [{"email": "ada@example.org", "hash": HASH}],
    ],
)
def test_a_statement_stays_and_its_parameters_go(params: Any) -> None:
    error = statement_error(params, words="UNIQUE constraint failed: user.email (ada@example.org)")
    said = message_of(error)
    assert said == (
        f"({sqlite3.IntegrityError.__module__}.IntegrityError) UNIQUE constraint failed: user.email ([REDACTED])\n"
        "[SQL: INSERT INTO user (email, hash) VALUES (?, ?)]"
    )


@pytest.mark.parametrize(
    "text",
    [
        'duplicate key value violates unique constraint "user_email_key"\nDETAIL:  Key (email)=(ada@example.org) already exists.',
        'insert or update violates foreign key\nDETAIL:  Key (a, b)=(1, ada@example.org) is not present in table "t".',
        'null value in column "x"\nDETAIL:  Failing row contains (1, ada@example.org, null).',
        'invalid input syntax for type integer: "ada@example.org"',
        "syntax error\nLINE 1: INSERT INTO t VALUES ('ada@example.org')\n        ^",
        "(1062, \"Duplicate entry 'ada@example.org' for key 'user.email'\")",
        "(1366, \"Incorrect integer value: 'ada@example.org' for column 'x' at row 1\")",
        'E11000 duplicate key error collection: shop.user index: email_1 dup key: { email: "ada@example.org" }',
        "Document failed validation, full error: {'errInfo': {'email': 'ada@example.org'}}",
        "1 validation error for User\nage\n  [type=int_parsing, input_value='ada@example.org', input_type=str]",
        'date/time field value out of range: "ada@example.org"',
        'value "ada@example.org" is out of range for type integer',
        'invalid json\nDETAIL:  Token "ada@example.org" is invalid.\nCONTEXT:  JSON data, line 1: ada@example.org...',
        "x\nCONTEXT:  unnamed portal with parameters: $1 = 'ada@example.org'",
        "(1064, \"You have an error in your SQL syntax; the right syntax to use near 'ada@example.org')' at line 1\")",
        "(1292, \"Truncated incorrect DOUBLE value: 'ada@example.org'\")",
        'unrecognized token: "\'ada@example.org"',
        "Cannot insert duplicate key row in object 'dbo.U'. The duplicate key value is (ada@example.org).",
        "not saved: (sqlite3.IntegrityError) x\n[SQL: INSERT INTO user VALUES (?)]\n[parameters: ('ada@example.org',)]",
        "Failing row contains (ada@example.org, " + "y, " * 3000 + "null).",
        "Duplicate entry 'ada@example.org" + "x" * 5000 + "' for key 'a'",
        "1 validation error [type=x, input_value='ada@example.org" + "x" * 5000 + "', input_type=str]",
    ],
)
def test_what_a_database_or_a_validator_quotes_of_the_data_goes(text: str) -> None:
    said = message_of(ValueError(text))
    assert "ada@example.org" not in said
    assert said.split()[0] == text.split()[0]


def test_an_exception_that_cannot_be_read_gives_its_class() -> None:
    class Mute(Exception):
        def __str__(self) -> str:
            raise RuntimeError

    assert message_of(Mute()) == "Mute"


def failing(environ: Any, start_response: Any) -> list[bytes]:
    raise ValueError("cannot log in: db_password=hunter2, user=bob")


def test_a_pair_that_sounds_secret_is_hidden_in_a_message() -> None:
    client = Client(failing, redaction=Redaction(REDACTED_BY_DEFAULT, ()))
    with pytest.raises(ValueError, match="log in"):
        client.get("/")
    assert client.record.attributes["exception.message"] == "cannot log in: db_password=REDACTED, user=bob"


def test_messages_may_be_left_out() -> None:
    client = Client(failing, keeps_messages=False)
    with pytest.raises(ValueError, match="log in"):
        client.get("/")
    assert client.record.error == "ValueError"
    assert "exception.message" not in client.record.attributes


def test_what_surrounds_a_quoted_value_stays() -> None:
    assert message_of(ValueError("Duplicate entry 'a'b' for key 'user.email'")).endswith(
        "'[REDACTED]' for key 'user.email'"
    )
    assert message_of(ValueError("Key (email)=(a) already exists.")) == "Key (email)=([REDACTED]) already exists."
    assert message_of(ValueError('malformed array literal: "a" here')) == 'malformed array literal: "[REDACTED]" here'
