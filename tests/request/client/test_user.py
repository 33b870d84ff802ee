"""The user of a request: how the record shows the id, and which ids are in memory."""

from __future__ import annotations

import hashlib
import hmac
from typing import Any
from uuid import UUID

import pytest

from chest import current
from chest.request.client.user import USER, UserIds, loaded_user_id
from chest.request.sanitizer.redaction import Redaction
from tests.request.middleware.client import Client, hello

SHOWN = {
    "text": ("42", "42"),
    "number": (42, "42"),
    "UUID": (UUID(int=7), "00000000-0000-0000-0000-000000000007"),
    "mail address": ("ada@example.com", "ada@example.com"),
    "long": ("x" * 300, "x" * 255),
    "no store takes it": ("a\0\ud800", "a\ufffd\ufffd"),
}


def record_of(user_id: object, *, attributes: dict[str, Any] | None = None, **options: Any) -> dict[str, Any]:
    def app(environ: dict[str, Any], start_response: Any) -> Any:
        if user_id is not None:
            environ["chest.context"].user = user_id
        current().attributes.update(attributes) if attributes else None
        return hello(environ, start_response)

    client = Client(app, **options)
    client.get()
    return _said(client)


def _said(client: Client) -> dict[str, Any]:
    return {
        name: value
        for name, value in client.record.attributes.items()
        if name not in ("http.response.body.size", "url.scheme")
    }


@pytest.mark.parametrize("name", SHOWN)
def test_a_user_is_recorded_as_text(name: str) -> None:
    said, shown = SHOWN[name]
    assert record_of(said) == {USER: shown}


def test_a_request_without_a_user_has_no_such_attribute() -> None:
    assert record_of(None) == {}
    assert record_of("") == {}


def test_the_user_can_be_read_back_until_and_after_the_end() -> None:
    seen = []

    def app(environ: dict[str, Any], start_response: Any) -> Any:
        seen.append((context := current()).user)
        current().user = 42
        seen.extend((context, context.user))
        return hello(environ, start_response)

    client = Client(app)
    client.get()
    nobody, context, user = seen
    assert (nobody, user, context.user) == (None, 42, 42)
    context.user = 43
    assert client.process.counters.get("late_writes") == 1
    assert _said(client) == {USER: "42"}


def test_an_attribute_of_that_name_is_the_application_s_word_and_kept_by_the_same_rule() -> None:
    assert record_of("42", attributes={USER: "43"}) == {USER: "43"}
    assert record_of(None, attributes={USER: "43", "plan": "free"}, user_ids=UserIds("none")) == {"plan": "free"}


def test_a_hashed_user_is_an_hmac_with_the_key_and_the_same_for_a_number_and_its_text() -> None:
    expected = hmac.new(b"a key", b"42", hashlib.sha256).hexdigest()[:32]
    for said in ("42", 42):
        assert record_of(said, user_ids=UserIds("hashed", "a key")) == {USER: expected}
    assert record_of("42", user_ids=UserIds("hashed", "another key"))[USER] != expected
    assert record_of("", user_ids=UserIds("hashed", "a key")) == {}


def test_a_user_is_redacted_by_the_name_of_the_attribute() -> None:
    kept = record_of("42", redaction=Redaction(("enduser.id",), ()))
    assert kept == {USER: "[REDACTED]", "chest.redacted": 1}


class Loaded:
    is_authenticated = True

    def get_id(self) -> str:
        return "7"


class Anonymous(Loaded):
    is_authenticated = False


class AuthenticatedByMethod(Loaded):
    def is_authenticated(self) -> bool:  # type: ignore[override]
        return True


class Raising(Loaded):
    def get_id(self) -> str:
        raise LookupError("no session")


class Expired(Loaded):
    def __init__(self) -> None:
        self._sa_instance_state = type("State", (), {"expired_attributes": {"id"}})()


class OfDjango:
    is_authenticated = True
    pk = 7


@pytest.mark.parametrize(
    ("user", "user_id"),
    [
        (Loaded(), "7"),
        (Anonymous(), None),
        (AuthenticatedByMethod(), "7"),
        (Raising(), None),
        (Expired(), None),
        (OfDjango(), 7),
        ("ada", "ada"),
        (7, 7),
        (None, None),
        (True, None),
        ({"sub": "7"}, None),
    ],
)
def test_the_id_of_a_loaded_user_is_read_and_nothing_is_loaded(user: Any, user_id: object) -> None:
    assert loaded_user_id(user) == user_id
