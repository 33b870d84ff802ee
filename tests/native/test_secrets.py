"""Which texts are looked at for secrets: C and Python must not differ, else one of them keeps a password."""

from __future__ import annotations

import os

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from chest import native
from chest.native import IS_NATIVE
from chest.record.secret_text import may_hold_secret_in_python
from chest.request.sanitizer.redaction import Redaction
from chest.settings.settings import SECRETS
from tests.native.answering import answer_with
from tests.request.middleware.client import Client
from tests.support import examples

if not IS_NATIVE and "CI" not in os.environ:
    pytest.skip("Chest was installed without its compiled part", allow_module_level=True)

PIECES = [
    "=", "@", "%", "$", ":", "://", ":\\/", "'", '"', " ", "\t", "]", "(", "b", "<", "/", "\\", "u00", "&", "#", "quot", "-", "-----BEGIN",
    "{", "S", "M", "C", "ey", "J", "A", "y", "Bearer", "bearer", "BASIC", "basic", "bEARER", "1", "12345", "123456789012", "é", "\u2028", "word", "_", "\n",
]  # fmt: skip


@settings(deadline=None, max_examples=examples(3000))
@given(st.lists(st.sampled_from(PIECES), max_size=8).map("".join))
@example("password: hunter2")
@example("('password', 'hunter2')")
@example("<password>hunter2</password>")
def test_a_text_is_looked_at_in_c_whenever_it_is_in_python(text: str) -> None:
    assert native.may_hold_secret(text) == may_hold_secret_in_python(text)


@pytest.mark.parametrize(
    "text", ["password: hunter2", "login ('password', 'hunter2')", "password&#58; hunter2", '"password" : "hunter2"']
)
def test_a_secret_in_a_text_is_hidden_also_once_the_variable_is_known(text: str) -> None:
    client = Client(answer_with({"note": "first"}, {"note": text}), redaction=Redaction((SECRETS,), ()))
    client.get()
    client.get()
    assert "hunter2" not in str(client.records[-1].variables)


QUERIES = ["page=2", "a=1", "b=", "=", "==", "token=hunter2", "password=", "password", "-: ", ".: ", ":/", "://", "http://", "https://h/?", "xhttp://",
           "authorization:/", "authorization://", "&amp;", "&lt;", "&gt;", "&#61;", ";", "&", "?", " ", " = ", "\\", "\\/", "'", '"', "%3D",
           "hunter2", "1234567890123", "Bearer ", "</password>", "\u2003", "\x1c", "ü=1"]  # fmt: skip


@settings(deadline=None, max_examples=examples(3000))
@given(st.lists(st.sampled_from(QUERIES), max_size=7).map("".join))
@example("page=2&lt;password&gt;hunter2&lt;/password&gt;")
@example("page=2 password.: hunter2")
@example("page=2 authorization://hunter2")
@example('page=2&password"=: hunter2')
def test_a_text_with_keys_that_were_seen_before_loses_what_it_loses_in_python(text: str) -> None:
    redaction = Redaction((SECRETS,), ())
    client = Client(answer_with({"note": "page=2&a=1&b=2&ü=1"}, {"note": text}), redaction=redaction)
    client.get()
    client.get()
    client.get()
    client.get()
    assert [record.variables["note"] for record in client.records[1::2]] == [redaction.clean_text(text)] * 2


@pytest.mark.parametrize("key", ["token", "password", "sig", "api_key"])
def test_a_key_whose_value_is_a_secret_is_not_learnt(key: str) -> None:
    redaction = Redaction((SECRETS,), ())
    redaction.learn_keys(f"page=2&{key}=&{key.upper()}=x")
    assert redaction.plain_keys == {"page"}
