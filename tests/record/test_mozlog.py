"""One line a message, whatever is in it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import date
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chest.record import mozlog


class Unprintable:
    def __repr__(self) -> str:
        raise RuntimeError("no repr")


class Unreadable(Mapping[str, Any]):
    def __getitem__(self, key: str) -> Any:
        raise RuntimeError("no item")

    def __iter__(self) -> Any:
        raise RuntimeError("no keys")

    def __len__(self) -> int:
        return 1


def line_of(**fields: Any) -> str:
    message = mozlog.message(
        time_ns=1, kind="test", logger="shop", hostname="host", severity=mozlog.INFO, pid=7, fields=fields
    )
    return mozlog.one_line(message)


def written(**fields: Any) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(line_of(**fields))["Fields"]
    return found


def test_a_message_has_the_format_s_names() -> None:
    assert json.loads(line_of(msg="hello")) == {
        "Timestamp": 1,
        "Type": "test",
        "Logger": "shop",
        "Hostname": "host",
        "EnvVersion": "2.0",
        "Severity": 6,
        "Pid": 7,
        "Fields": {"msg": "hello"},
    }


@pytest.mark.parametrize("end", ["\n", "\r\n", "\v", "\f", "\x1c", "\x85", "\u2028", "\u2029"])
def test_no_line_break_of_a_value_is_one_in_the_line(end: str) -> None:
    line = line_of(msg=f'a{end}{{"Type": "forged"}}', **{f"name{end}": [end]})
    assert len(line.splitlines()) == 1
    assert written(msg=f"a{end}b")["msg"] == f"a{end}b"


def test_what_json_does_not_know_is_written_as_its_repr() -> None:
    assert written(day=date(2026, 1, 2), bytes=b"\n", names={"one"}) == {
        "day": "datetime.date(2026, 1, 2)",
        "bytes": "b'\\n'",
        "names": "{'one'}",
    }


def test_a_repr_that_raises_is_survived() -> None:
    assert written(it=Unprintable()) == {"it": "<Unprintable whose repr raises RuntimeError>"}


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        (float("nan"), "nan"),
        (float("-inf"), "-inf"),
        ({(1, 2): 3}, {"(1, 2)": 3}),
        ([float("nan"), {"deep": Unprintable()}], ["nan", {"deep": "<Unprintable whose repr raises RuntimeError>"}]),
        pytest.param(10**5000, "<integer of 16610 bits>", id="an integer too long for Python"),
    ],
)
def test_what_json_refuses_is_written_all_the_same(value: Any, shown: Any) -> None:
    assert written(value=value, beside=1) == {"value": shown, "beside": 1}


def test_a_mapping_that_raises_a_circle_and_a_deep_well_are_survived() -> None:
    circle: list[Any] = []
    circle.append(circle)
    well: Any = "water"
    for _ in range(100_000):
        well = [well]
    line = line_of(raises={"it": Unreadable(), (): 1}, circle=circle, well=well, beside=1)
    assert len(line.splitlines()) == 1
    assert json.loads(line)["Fields"]["beside"] == 1
    assert len(line) < 100_000


_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.binary(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text() | st.integers() | st.tuples(st.integers()), inner),
    max_leaves=10,
)


@pytest.mark.slow
@given(st.dictionaries(st.text(), _values))
def test_any_value_is_one_line_of_json_in_ascii(fields: dict[str, Any]) -> None:
    line = line_of(msg="said", values=fields)
    assert line.isascii()
    assert len(line.splitlines()) == 1
    assert json.loads(line, parse_constant=pytest.fail)["Fields"]["msg"] == "said"
