"""The page for the operator has each line of the log and each count, and what is logged is seen by the tests."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.log_lines import GIVEN, Source, given, last_error_texts, log_texts, unresolved, without_name

ROOT = Path(__file__).parent.parent
OPERATIONS = ROOT / "docs" / "operations.md"
HOW_IT_WORKS = ROOT / "docs" / "how-it-works.md"


def _first_cells(text: str) -> set[str]:
    return {first or second for first, second in re.findall(r"^\| (?:`` (.+?) ``|`(.+?)`) \|", text, re.MULTILINE)}


def test_the_page_for_the_operator_has_each_line_of_the_log_and_no_other() -> None:
    lines, _, recovered = OPERATIONS.read_text().partition("\n## Counts\n")[0].partition("\n## What `chest recover`")
    assert set(map(without_name, _first_cells(lines))) == log_texts()
    assert _first_cells(recovered) == last_error_texts() - log_texts(), (
        "what only last_error has would be seen by nobody"
    )


def test_the_text_of_each_call_that_logs_is_found() -> None:
    assert unresolved() == set()
    assert given() == set(GIVEN)


def test_the_page_for_the_operator_has_each_count_that_may_grow() -> None:
    counts = OPERATIONS.read_text().partition("\n## Counts\n")[2]
    section = HOW_IT_WORKS.read_text().partition("is the state of this process")[2].partition("A count that is 0")[0]
    cells = " ".join(re.findall(r"^\| (.+?) \|", section, re.MULTILINE))
    states = {
        "ring",
        "delivery_is_running",
        "scheduled_transfers",
        "in_flight",
        "spool",
        "last_error",
        "last_error_time",
    }
    named = set(re.findall(r"`([a-z_.]+?)(?:\.<[a-z]+>)?`", cells))
    assert _first_cells(counts) == {name for name in named if name not in states and not name.startswith("ring.")}


@pytest.mark.parametrize(
    ("code", "texts"),
    [
        ('log.warning("chest: %s is gone", name)', {"chest: ... is gone"}),
        ('text = f"the {name} is gone"\nlog.log(level, "chest: %s", text)', {"chest: the ... is gone"}),
        ('def why(): return "it is " + name\nlog.error("chest: %s", why())', {"chest: it is ..."}),
        ('notices.add("it is gone" if gone else "it is here")', {"it is gone", "it is here"}),
        ('def notices_of():\n said = []\n said.append("it is gone")\n return said', {"it is gone"}),
        ('counters.fault("it is %r", error)', {"it is ..."}),
        ('counters.error("it is gone")', set()),
    ],
)
def test_a_text_is_found_where_it_is_written(code: str, texts: set[str]) -> None:
    source = Source("some.py", code)
    assert set(source.logged()) == texts
    assert list(source.unresolved()) == []


def test_a_call_whose_text_is_not_found_is_told() -> None:
    assert list(Source("some.py", 'counters.error(f"{name}: {error}")').unresolved()) != []
    assert list(Source("some.py", 'log.error("%s", self.of_elsewhere)').unresolved()) == [
        "log.error('%s', self.of_elsewhere)"
    ]
