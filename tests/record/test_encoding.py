"""JSON in one place."""

from __future__ import annotations

import json
import math
import subprocess
import sys
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chest.record.decoding import record_of_json
from chest.record.encoding import decode, decode_with_json, encode, encode_with_json
from tests.support import make_record

json_values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**63 - 1)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=10,
)


@pytest.mark.slow
@given(json_values)
def test_a_value_comes_back_as_it_was(value: Any) -> None:
    assert decode(encode(value)) == value
    assert decode(encode(value).decode()) == value


@given(json_values)
def test_with_and_without_orjson_each_reads_what_the_other_wrote(value: Any) -> None:
    assert decode(encode_with_json(value)) == value
    assert json.loads(encode(value)) == value


def test_the_text_is_compact_utf_8() -> None:
    for encoded in (encode({"ä": [1, 2]}), encode_with_json({"ä": [1, 2]})):
        assert encoded == '{"ä":[1,2]}'.encode()


def test_what_json_cannot_hold_raises() -> None:
    for encoder in (encode, encode_with_json):
        for value in (object(), "\ud800"):
            with pytest.raises((TypeError, ValueError)):
                encoder(value)
    with pytest.raises(ValueError, match="JSON"):
        encode_with_json(math.nan)


@pytest.mark.parametrize("decoder", [decode, decode_with_json])
@pytest.mark.parametrize("text", ["{", "[" * 100_000], ids=["cut", "deep"])
def test_text_that_is_not_json_raises_value_error(decoder: Callable[[str], Any], text: str) -> None:
    with pytest.raises(ValueError):
        decoder(text)


@pytest.mark.parametrize("decoder", [decode, decode_with_json])
def test_what_could_not_be_written_again_is_not_read(decoder: Callable[[bytes | str], Any]) -> None:
    invalid = (
        rb'["\ud800"]',
        rb'{"\uDFFF": 1}',
        rb'["\udc00\ud800"]',
        b'["\xed\xa0\x80"]',
        '["\ud800"]',
        b"[NaN]",
        b"-Infinity",
        '["a"]'.encode("utf-16"),
        b"\xff",
    )
    for text in invalid:
        with pytest.raises(ValueError):
            decoder(text)
    assert decoder(rb'["\ud83d\ude00 \\ud800 \u00e4"]') == ["\N{GRINNING FACE} \\ud800 ä"]


@pytest.mark.parametrize("decoder", [decode, decode_with_json])
def test_a_foreign_record_with_a_lone_surrogate_is_none(
    decoder: Callable[[bytes | str], Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A target would refuse it, and no dead letter could hold it."""
    monkeypatch.setattr("chest.record.decoding.decode", decoder)
    record = make_record(path="PLACE")
    line = encode(record._asdict())
    assert record_of_json(line) == record
    assert record_of_json(line.replace(b"PLACE", rb"\ud800")) is None


def test_without_orjson_the_standard_library_does_it() -> None:
    program = """
import sys
sys.modules["orjson"] = None
from chest.record import encoding
assert encoding.encode is encoding.encode_with_json
assert encoding.decode is encoding.decode_with_json
from chest.record.decoding import record_of_json
assert record_of_json(b"[" * 100_000) is None
print(encoding.decode(encoding.encode({"a": 1})))
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=300, check=True)
    assert done.stdout == "{'a': 1}\n"
