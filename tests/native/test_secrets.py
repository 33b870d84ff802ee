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
from tests.request.test_middleware import Client
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
