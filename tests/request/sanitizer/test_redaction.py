"""Whose values are never kept, and what a URL loses."""

from __future__ import annotations

import time
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chest.request.sanitizer.redaction import Redaction
from chest.settings.settings import REDACTED_BY_DEFAULT
from tests.request.middleware.client import Client

DEFAULT = Redaction(REDACTED_BY_DEFAULT, ())


@pytest.mark.parametrize(
    "name",
    (
        "password passwd pwd secret client_secret secret_key token access_token token_id authorization cookie set_cookie"
        " api_key stripe_api_key apikey stripe_apikey private_key ssh_private_key creditcard credit_card my_credit_card_no"
        " card_number gift_card_number cvv"
    ).split(),
)
def test_the_default_list_hides_credentials_and_payment_cards(name: str) -> None:
    assert DEFAULT.hides(name)


@pytest.mark.parametrize(
    "name",
    (
        "session_count passenger prompt_tokens author monkey cart_items user_id plan tokens tokenizer secretary authority cookie_consent"
        " keyboard card_type passwords_checked private api_version"
    ).split(),
)
def test_the_default_list_leaves_names_that_only_look_alike(name: str) -> None:
    assert not DEFAULT.hides(name)


@pytest.mark.parametrize(
    "name", ["PASSWORD", "Set-Cookie", "access-token", "X-API-Key", "X_Api-Key", "Client-Secret", "CVV"]
)
def test_case_does_not_count_and_a_dash_is_an_underscore(name: str) -> None:
    assert DEFAULT.hides(name)


@pytest.mark.parametrize(
    "name", ["accessToken", "apiKey", "APIKey", "clientSecret", "tokenId", "cardNumber", "setCookie"]
)
def test_camel_case_is_read_as_snake_case(name: str) -> None:
    assert DEFAULT.hides(name)


@pytest.mark.parametrize("name", ["sessionCount", "promptTokens", "cartItems", "Tokens", "TOKENS", "userId"])
def test_camel_case_hides_nothing_that_snake_case_would_leave(name: str) -> None:
    assert not DEFAULT.hides(name)


@pytest.mark.parametrize(
    "name", ["db.password", "http.request.header.authorization", "user[password]", "form.user[pwd]"]
)
def test_a_dotted_or_bracketed_name_is_judged_by_its_last_part(name: str) -> None:
    assert DEFAULT.hides(name)


@pytest.mark.parametrize("name", ["password.length", "tokens[0]", "", ".", "[]", "_"])
def test_other_parts_of_a_dotted_name_do_not_hide_it(name: str) -> None:
    assert not DEFAULT.hides(name)


@pytest.mark.parametrize("name", ["HTTP_AUTHORIZATION", "HTTP_COOKIE", "HTTP_X_API_KEY"])
def test_a_header_under_its_wsgi_name_is_hidden_as_the_header_is(name: str) -> None:
    assert DEFAULT.hides(name)


def test_unredacted_exempts_in_every_spelling_and_nothing_else() -> None:
    redaction = Redaction(REDACTED_BY_DEFAULT, ("access-token", "*.password"))
    assert [redaction.hides(name) for name in ("access_token", "accessToken", "ACCESS-TOKEN", "db.password")] == [
        False
    ] * 4
    assert redaction.hides("token_id")
    assert redaction.hides("password")


def test_globs_have_character_classes_with_dashes_in_them() -> None:
    redaction = Redaction(("x[a-c]-?",), ())
    assert redaction.hides("xb_1")
    assert not redaction.hides("xd_1")


def test_no_patterns_hide_nothing() -> None:
    assert not Redaction((), ()).hides("password")


def test_a_very_long_name_is_judged_by_its_ends() -> None:
    assert DEFAULT.hides("x" * 1_000_000 + "_token")
    assert DEFAULT.hides("secret_" + "x" * 1_000_000)
    assert not DEFAULT.hides("x" * 1_000_000)


def test_a_flood_of_names_is_not_all_remembered() -> None:
    redaction = Redaction(REDACTED_BY_DEFAULT, ())
    verdicts = redaction._names._verdicts
    for number in range(6_000):
        assert redaction.hides(f"n{number}_token")
        assert not redaction.hides(f"n{number}")
    assert len(verdicts) == 4096
    redaction.hides("n" * 200)
    assert max(map(len, verdicts)) <= 128


@pytest.mark.parametrize(
    ("text", "cleaned"),
    [
        ("postgres://user:p%40ss@host/db", "postgres://user:[REDACTED]@host/db"),
        ("redis://:secret@host:6379/0", "redis://:[REDACTED]@host:6379/0"),
        ("mysql+pymysql://user@server:pw@host/db", "mysql+pymysql://user@server:[REDACTED]@host/db"),
        ("mongodb://u:pw@h1:1,h2:2/db?authSource=a", "mongodb://u:[REDACTED]@h1:1,h2:2/db?authSource=a"),
        ("http://u:p@ss@host/", "http://u:[REDACTED]@host/"),
        ("HTTP://U:P@[::1]:80/", "HTTP://U:[REDACTED]@[::1]:80/"),
        ("://u:p@h", "://u:[REDACTED]@h"),
        ("https://token@github.com/x", "https://[REDACTED]@github.com/x"),
        ("could not reach 'amqp://u:p@h//': refused", "could not reach 'amqp://u:[REDACTED]@h//': refused"),
        ("http://a,http://u:p@b/ and\nhttp://u:q@c", "http://a,http://u:[REDACTED]@b/ and\nhttp://u:[REDACTED]@c"),
        ("https://x/?next=https://u:p@h/", "https://x/?next=https://u:[REDACTED]@h/"),
        ('{"u":"http://u:p@h/","m":"a@b"}', '{"u":"http://u:[REDACTED]@h/","m":"a@b"}'),
    ],
)
def test_a_url_loses_its_password_and_nothing_else(text: str, cleaned: str) -> None:
    assert DEFAULT.clean_text(text) == cleaned


@pytest.mark.parametrize("password", ["pa/ss", "pa?ss", "pa#ss", "/pass", "a/b@c"])
def test_a_password_that_should_have_been_percent_encoded_is_found(password: str) -> None:
    assert DEFAULT.clean_text(f"postgres://user:{password}@host/db") == "postgres://user:[REDACTED]@host/db"


@pytest.mark.parametrize(
    ("text", "cleaned"),
    [
        ("https://h/p?sig=abc%3D&x=1", "https://h/p?sig=REDACTED&x=1"),
        ("https://h?X-Amz-Signature=a&X-Amz-Date=3", "https://h?X-Amz-Signature=REDACTED&X-Amz-Date=3"),
        ("https://h?x=1&X-Amz-Credential=a/b", "https://h?x=1&X-Amz-Credential=REDACTED"),
        ("https://h?X-Amz-Security-Token=a==", "https://h?X-Amz-Security-Token=REDACTED"),
        ("https://h?AWSAccessKeyId=a&Signature=b", "https://h?AWSAccessKeyId=REDACTED&Signature=REDACTED"),
        ("https://h?X-Goog-Signature=a#top", "https://h?X-Goog-Signature=REDACTED#top"),
        ("https://h?api_key=a&accessToken=b", "https://h?api_key=REDACTED&accessToken=REDACTED"),
        ("https://h/cb#access_token=a&state=b", "https://h/cb#access_token=REDACTED&state=b"),
        ("https://h?user%5Bpassword%5D=a", "https://h?user%5Bpassword%5D=REDACTED"),
        ("(see https://h?token=abc).", "(see https://h?token=REDACTED)."),
        ("'https://h?token=abc', then", "'https://h?token=REDACTED', then"),
        ("https://h?a=1;sig=x;b=2", "https://h?a=1;sig=REDACTED;b=2"),
        ("https://h?sig=x;y;z&b=2", "https://h?sig=REDACTED&b=2"),
        ("GET /reset?token=abc&x=1 HTTP/1.1", "GET /reset?token=REDACTED&x=1 HTTP/1.1"),
        ("/reset?token=abc", "/reset?token=REDACTED"),
    ],
)
def test_a_url_loses_the_values_of_secret_and_signed_parameters(text: str, cleaned: str) -> None:
    assert DEFAULT.clean_text(text) == cleaned


@pytest.mark.parametrize(
    "text",
    [
        "",
        "plain text, me@example.org, a=b, c:d",
        "http://host:80/a@b",
        "https://medium.com/@user",
        "http://[::1]:5432/db@x",
        "http://user:@host/",
        "https://h/?page=2&q=a+b&sig=",
        "sqlite:////var/lib/chest.sqlite3",
        "file:///C:/x@y",
        "://",
        "/?=&=&?#",
    ],
)
def test_text_without_a_secret_stays_as_it_is(text: str) -> None:
    assert DEFAULT.clean_text(text) == text


_SECRETS = st.sampled_from(
    [
        "=", "@", "%3D", "$2b$12$R9h/cIPz0gi.URNNX3kh2O", "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxIn0.c2ln", "Bearer ", "basic ", "abc123def",
        "4111 1111", " 1111 1111", "1111-1111", "4111-1111-", "5555555555554444", '{"pin": "1234"}', "{SSHA}W0Z7ecdAabc", "//u:pw@h",
        "-----BEGIN PRIVATE KEY-----", "password", "user", "?", "&", " ", "é",
    ]
)  # fmt: skip


@given(st.lists(_SECRETS, max_size=8).map("".join), st.lists(_SECRETS, max_size=4).map("".join))
def test_a_request_keeps_what_is_left_when_its_texts_are_clean(value: str, path: str) -> None:
    def app(environ: Any, start_response: Any) -> list[bytes]:
        environ["chest.context"]["seen"] = value
        start_response("200 OK", [])
        return [b""]

    client = Client(app, redaction=DEFAULT)
    for _ in range(2):  # a name is known from the second one on
        client.records.clear()
        client.get("/" + path.encode().decode("latin-1"))
        assert client.record.variables["seen"] == DEFAULT.clean_text(value)
        assert client.record.path == DEFAULT.clean_text("/" + path)


@pytest.mark.parametrize("number", [4111111111111111, 378282246310005, 30569309025904])
def test_a_card_number_is_hidden_as_a_number_too(number: int) -> None:
    def app(environ: Any, start_response: Any) -> list[bytes]:
        environ["chest.context"] |= {"seen": number, "next": number + 1, "exempt": number, "list": [number]}
        start_response("200 OK", [])
        return [b""]

    client = Client(app, redaction=Redaction(REDACTED_BY_DEFAULT, ("exempt",)))
    for _ in range(2):
        client.records.clear()
        client.get()
        assert client.record.variables == {
            "seen": "[REDACTED]", "next": number + 1, "exempt": number, "list": ["[REDACTED]"],
        }  # fmt: skip


def test_unredacted_exempts_parameters_too() -> None:
    redaction = Redaction(REDACTED_BY_DEFAULT, ("sig", "token"))
    assert redaction.clean_text("https://h?sig=a&token=b&cvv=c") == "https://h?sig=a&token=b&cvv=REDACTED"


def test_signatures_are_removed_even_if_no_names_are_redacted() -> None:
    assert Redaction((), ()).clean_text("https://u:p@h?sig=a&token=b") == "https://u:[REDACTED]@h?sig=REDACTED&token=b"


_PIECES = [
    "://",
    "/",
    "?",
    "#",
    "&",
    ";",
    "=",
    ":",
    "@",
    "u",
    "sig",
    "token",
    "A",
    ".",
    "%",
    " ",
    "[",
    "]",
    "'",
    '"',
    "1",
]


@given(st.lists(st.sampled_from(_PIECES), max_size=30).map("".join))
def test_cleaning_twice_is_cleaning_once(text: str) -> None:
    once = DEFAULT.clean_text(text)
    assert DEFAULT.clean_text(once) == once


_HOSTILE = [
    "://", "a://b", "://a:", "://a:b/", "://u:x/a@", "://:x#", "://u:@", "?", "/?", "/?a=", " /", "://a:x/:", "&A.=1",
    "/?sig=)", ";a", ";a=", ";", "&%=1", "[]=", "://[", "@", "=", "://u:1", "/x?token=a.", "://u:" + "/" * 50,
]  # fmt: skip


@pytest.mark.parametrize("prefix", ["", "://", "/x?", "://u:x/", "/?sig=a"])
@pytest.mark.parametrize("piece", _HOSTILE)
def test_no_text_makes_it_slow(prefix: str, piece: str) -> None:
    text = (prefix + piece * (15_000 // len(piece)))[:14_990] + "=@/"
    begin = time.thread_time()
    DEFAULT.clean_text(text)
    assert time.thread_time() - begin < 0.3  # 0.1 to 5 ms; work in proportion to the square would take 1.2 s


def test_a_route_that_the_application_made_of_a_path_loses_its_secrets() -> None:
    def app(environ: dict[str, Any], start_response: Any) -> list[bytes]:
        environ["chest.context"].route = environ["PATH_INFO"]
        start_response("200 OK", [])
        return [b""]

    client = Client(app, redaction=DEFAULT)
    client.get("/reset/token=hunter2")
    assert client.record.route == "/reset/token=REDACTED"
    client.records.clear()
    client.get("/items/<int:id>")
    assert client.record.route == "/items/<int:id>"


def test_a_key_that_is_learnt_has_a_name() -> None:
    redaction = Redaction(REDACTED_BY_DEFAULT, ())
    redaction.learn_keys("=x&page=2&=")
    assert redaction.plain_keys == {"page"}
