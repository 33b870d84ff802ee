"""The messages that are written from tables, read by OpenTelemetry's own package; and what it writes, read here."""

from __future__ import annotations

import math
from typing import Any

import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTracePartialSuccess
from opentelemetry.proto.resource.v1.resource_pb2 import Resource

from chest.chests.otlp.request import failure_of
from chest.chests.otlp.values import key_values
from chest.chests.otlp.wire import fields_of, tag, varint
from tests.servers.otlp.sink import plain

LENGTHS = (0, 1, 100, 122, 123, 124, 125, 126, 127, 128, 253, 254, 255, 256, 1023, 1024, 16_383, 16_384, 70_000)
"""Around those at which a length takes a byte more, of a text or of what stands around it."""
NUMBERS = (0, 1, 127, 128, 1023, 1024, 16_384, 2**31, 2**63 - 1)


def read(pairs: dict[Any, Any]) -> dict[str, Any]:
    """What another program makes of the names and values."""
    return plain(Resource.FromString(key_values(tag(1), pairs.items())).attributes)


@pytest.mark.parametrize("length", LENGTHS)
@pytest.mark.parametrize("character", ["a", "é", "🧺"])
def test_a_text_of_any_length_arrives(length: int, character: str) -> None:
    text = character * length
    assert read({"text": text, "list": [text, text], "pairs": {text: text}, "behind": 1}) == {
        "text": text,
        "list": [text, text],
        "pairs": {text: text},
        "behind": 1,
    }
    assert read({text: "value"}) == {text: "value"}


@pytest.mark.parametrize("number", [*NUMBERS, *(-number for number in NUMBERS), -(2**63)])
def test_a_number_arrives(number: int) -> None:
    assert read({"number": number, "list": [number]}) == {"number": number, "list": [number]}
    assert read({"number": number / 7}) == {"number": number / 7}


def test_a_value_of_any_type_arrives_as_that_type() -> None:
    values = {
        "yes": True,
        "no": False,
        "none": None,
        "bytes": b"\0\xff",
        "empty": "",
        "huge": 1e300,
        "endless": math.inf,
    }
    found = read({**values, "list": [*values.values()], "pairs": values})
    assert found == {**values, "list": [*values.values()], "pairs": values}
    assert [type(each) for each in found["list"]] == [type(each) for each in values.values()]


def test_names_that_are_equal_and_not_the_same_are_told_apart() -> None:
    assert read({1: "one"}) == {"1": "one"}
    assert read({True: "yes"}) == {"True": "yes"}
    assert read({1.0: "float"}) == {"1.0": "float"}


def test_a_text_that_no_message_can_hold_is_mended_also_as_a_name() -> None:
    assert read({"a\0\ud800": "b\0\udfff"}) == {"a\ufffd\ufffd": "b\ufffd\ufffd"}


@pytest.mark.parametrize("number", NUMBERS)
@pytest.mark.parametrize("length", LENGTHS)
def test_a_message_of_another_program_is_read(number: int, length: int) -> None:
    message = ExportTracePartialSuccess(rejected_spans=number, error_message="é" * length).SerializeToString()
    assert failure_of(message) == (number, "é" * length)


def test_what_is_cut_off_is_no_message() -> None:
    whole = ExportTracePartialSuccess(rejected_spans=300, error_message="why").SerializeToString()
    first = len(varint(300)) + 1
    assert fields_of(whole) == {1: 300, 2: b"why"}
    assert fields_of(whole[:first]) == {1: 300}
    for length in {*range(1, len(whole))} - {first}:
        with pytest.raises(ValueError, match="protobuf"):
            fields_of(whole[:length])


@pytest.mark.parametrize(
    "content", [b"<html>", b"\xff" * 20, b"\x0b", b"\x0a\xff", b"\x12\xff\xff\xff\xff\xff\xff\xff\xff\x7fa"]
)
def test_what_is_no_message_says_nothing(content: bytes) -> None:
    assert failure_of(content) == (0, "")


def test_fields_that_are_not_known_are_passed_over() -> None:
    fixed = tag(7, 1) + bytes(8) + tag(8, 5) + bytes(4)
    assert fields_of(fixed + tag(1, 0) + varint(3) + tag(9) + varint(1) + b"x") == {1: 3, 9: b"x"}
