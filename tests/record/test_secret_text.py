"""Which secrets are found in a text."""

from __future__ import annotations

import json
from urllib.parse import quote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chest.record.secret_names import is_secret_parameter
from chest.record.secret_text import is_card_number, may_hold_secret, without_secrets


def cleaned(text: str) -> str:
    return without_secrets(text, is_secret_parameter)


@pytest.mark.parametrize(
    "text",
    [
        "//user:hunter2@host/x",
        "https://h/?password[0]=hunter2",
        "https://h/?new_password=hunter2",
        "/a b?password=hunter2",
        "mysql://user:hunter2 x@host/db",
        "mysql://user:hunt<er2@host/db",
        "mysql://user:hunter2@x@host/db",
        "user=a&password=hunter2",
        "password=hunter2",
        "https://h/?password=!''hunter2&page=2",
        "login failed: password='hunter2 and more' user=bob",
        "https://h/?pass%2577ord=hunter2",
        "/x%3Fpassword%3Dhunter2",
        "/x%253Fpassword%253Dhunter2",
        "https://h/?next=https%3A%2F%2Fh%2F%3Ftoken%3Dhunter2",
        "https://h/?next=https%3A%2F%2Fu%3Ahunter2%40h",
        "https://h/?next=https://h/?token=hunter2",
        r"postgresql:\/\/u:hunter2@h\/db",
        '{"db_password": "hunter2"}',
        "{'apiKey': 'hunter2'}",
        json.dumps(json.dumps({"token": "hunter2"})),
        json.dumps(json.dumps(json.dumps({"token": "hunter2"}))),
        '{"a": {"password": ["hunter2", "hunt(er2"]}}',
        '{"pin": 123, "password": "cut off: hunter2',
        "{b'password': b'hunter2'}",
        "ImmutableMultiDict([('name', 'ada'), ('password', 'hunter2')])",
        "<QueryDict: {'password': ['hunter2']}>",
        "(b'authorization', b'Bearer hunter2')",
        r"https://h/?a=1\u0026password\u003dhunter2",
        "https://h/?a=1&#38;token&#61;hunter2",
        "&quot;token&quot;: &quot;hunter2&quot;",
        "https://h/?password = hunter2",
        "login with password: hunter2",
        "login with token: hunter2==",
        "Cookie: theme=dark; sessionid=hunter2; plan=a",
        "Authorization: Token hunter2",
        "X-Api-Key: hunter2",
        "<password>hunter2</password>",
        "https://hunter2@github.com/x.git",
        "Authorization: Bearer hunter2",
        "authorization: basic hunter2hunter2",
    ],
)
def test_a_secret_with_a_name_or_in_a_url_is_hidden(text: str) -> None:
    assert "hunter2" not in cleaned(text)
    assert "er2" not in cleaned(text)


@pytest.mark.parametrize(
    "secret",
    [
        "eyJhbGciOiJIUzI1NiIsInR5cCI6IkpXVCJ9.eyJzdWIiOiIxMjM0In0.SflKxwRJSMeKKF2QT4fwpM",
        "$2b$12$R9h/cIPz0gi.URNNX3kh2OPST9/PgBkqquzi.Ss7KIUgO2t0jWMUW",
        "$argon2id$v=19$m=65536,t=3,p=4$c29tZXNhbHQ$RdescudvJCsgt3ub+b4dWRWJTmaasd",
        "$6$rounds=5000$saltstring$svn8UoSVapNtMuq1ukKS4tPQd8iKwSMHWjlO",
        "pbkdf2_sha256$600000$salt$W0Z7ecdA+abcdefgh=",
        "pbkdf2:sha256:1000000$salt$0123456789abcdef0123456789abcdef",
        "scrypt:32768:8:1$salt$0123456789abcdef0123456789abcdef",
        "{SSHA}W0Z7ecdAabcdefghijk=",
        "-----BEGIN RSA PRIVATE KEY-----\nMIIEpAIBAAKCAQEA\n-----END RSA PRIVATE KEY-----",
        "-----BEGIN PRIVATE KEY-----\nMIIEpAIBAAKCAQEA",
        "4111 1111 1111 1111",
        "4111-1111-1111-1111",
        "5555555555554444",
        "378282246310005",
    ],
)
def test_what_is_a_secret_by_its_shape_is_hidden_under_any_name_and_amid_a_text(secret: str) -> None:
    assert cleaned(secret) == "[REDACTED]"
    assert cleaned(f"got {secret} instead") in ("got [REDACTED] instead", "got [REDACTED]")
    assert without_secrets(secret, is_secret_parameter, keeps_shapes=True) == secret


@pytest.mark.parametrize(
    "text",
    [
        "plain text, me@example.org, a=b, c:d",
        "http://host:8080/x and a mail to a@b.c",
        "https://medium.com/@user",
        "file:///C:/x@y",
        "page=2&sort=name",
        "a basic understanding, and the bearer of bad news",
        "4111111111111112",  # fails the check
        "1764421768000",  # milliseconds since 1970
        "1764421768000123",
        "20261129134501",
        "18e9c2647cdcd698750f8de891b0d118",
        "123e4567-e89b-12d3-a456-426614174000",
        "costs $20 and $100",
        "100% of 50%",
        '{"count": 3, "name": "x"}',
        "framework/network",
        "Basic authentication",
        "plan is Basic monthly",
        "Missing Bearer credentials",
        "Bearer authentication required",
        "password: must be longer",
        "duplicate key: user_id, key = 5",
        '{"token": null, "password": true, "key": 3}',
        "a\\b and &amp; c < d </b>",
    ],
)
def test_everything_else_stays_as_it_was(text: str) -> None:
    assert cleaned(text) == text


def test_a_card_number_is_told_by_network_length_and_check_digit() -> None:
    assert is_card_number("6011111111111117")
    assert not is_card_number("6011111111111118")
    assert not is_card_number("1234567890123452")


_PIECES = st.sampled_from(
    ["://", "//", "/", "?", "&", "=", ":", "@", "%3D", "%", "$2b$", "eyJ", ".", "token", "user", " ", '"', "{", "-", "4111", "Bearer ", "x1"]
)  # fmt: skip


@given(st.lists(_PIECES, max_size=40).map("".join))
def test_cleaning_finds_nothing_in_what_the_quick_look_passes(text: str) -> None:
    if not may_hold_secret(text):
        assert without_secrets(f"{text}", is_secret_parameter) == text
    assert cleaned(cleaned(text)) == cleaned(text)


@given(st.text("abcdefXYZ0123456789!*'", min_size=6, max_size=40), st.sampled_from(["", "quote", "twice"]))
def test_no_password_of_a_url_stays_however_it_is_encoded(password: str, encoding: str) -> None:
    written = password if not encoding else quote(password) if encoding == "quote" else quote(quote(password))
    assert written not in cleaned(f"connect to postgresql://bob:{written}@db.example/shop failed")
    assert written not in cleaned(f"GET /reset?token={written}&page=2")
