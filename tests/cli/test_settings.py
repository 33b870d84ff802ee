"""``chest settings``: what holds, who said so; and the documentation that is derived from it."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from click.testing import Result

from chest.settings.settings import options

Run = Callable[..., Result]
DOCUMENT = Path(__file__).parents[2] / "docs" / "options.md"


def described(run: Run) -> dict[str, dict[str, Any]]:
    return {each["name"]: each for each in map(json.loads, run("settings", "--json").stdout.splitlines())}


def test_the_documentation_is_what_is_derived(run: Run) -> None:
    derived = run("settings", "--markdown").stdout
    assert DOCUMENT.read_text(encoding="utf-8") == derived, "python -m chest settings --markdown > docs/options.md"


def test_the_documentation_does_not_depend_on_the_environment(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    derived = run("settings", "--markdown").stdout
    monkeypatch.setenv("CHEST_SAMPLE", "nonsense")
    assert run("settings", "--markdown").stdout == derived


def test_every_option_is_documented_with_its_environment_name_and_meaning(run: Run) -> None:
    derived = run("settings", "--markdown").stdout
    for option in options():
        row = next(line for line in derived.splitlines() if line.startswith(f"| `{option.name}` |"))
        assert option.key in row
        assert option.meaning in row


def test_every_option_is_shown_with_where_its_value_comes_from(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CHEST_SAMPLE", "0.25")
    shown = described(run)
    assert list(shown) == [option.name for option in options()]
    assert shown["sample"] | {"meaning": "", "type": ""} == {
        "name": "sample",
        "value": 0.25,
        "source": "environment",
        "default": 1.0,
        "unit": "share",
        "meaning": "",
        "type": "",
        "side": "request",
        "environment": "CHEST_SAMPLE",
    }
    assert shown["enabled"]["source"] == "default"


def test_values_that_json_lacks_are_shown_as_text_or_list(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CHEST_DIRECTORY", "/var/lib/chest")
    monkeypatch.setenv("CHEST_TRACKED_VARS", '{"GET": ["user_id"]}')
    shown = described(run)
    assert shown["directory"]["value"] == "/var/lib/chest"
    assert shown["tracked_vars"]["value"] == {"GET": ["user_id"]}


def test_an_infinite_value_is_shown_as_json(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CHEST_KEEP_SLOWER_MS", "inf")
    assert described(run)["keep_slower_ms"]["value"] == "inf"


@pytest.mark.parametrize("form", [["--json"], []])
def test_passwords_in_urls_are_not_shown(run: Run, monkeypatch: pytest.MonkeyPatch, form: list[str]) -> None:
    monkeypatch.setenv("CHEST_URLS", "postgresql://shop:hunter2@db/shop")
    monkeypatch.setenv("COLUMNS", "300")
    shown = run("settings", *form).output
    assert "postgresql://shop:***@db/shop" in shown
    assert "hunter2" not in shown


def test_each_option_is_shown_with_value_default_environment_name_and_meaning_in_80_columns(
    run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CHEST_FLUSH_SECONDS", "2")
    monkeypatch.setenv("CHEST_RELEASE", "[red]v1[/red]")
    monkeypatch.setenv("CHEST_DIRECTORY", "/var/lib/shop")
    monkeypatch.setenv("COLUMNS", "80")
    shown = run("settings").stdout
    assert max(map(len, shown.splitlines())) <= 80
    assert (
        "flush_seconds = 2 seconds   (default: 0.2 seconds)\n    CHEST_FLUSH_SECONDS, from environment. How long"
        in shown
    )
    assert "release = [red]v1[/red]" in shown
    assert "chests = sqlite:////var/lib/shop/chest.sqlite3" in shown
    assert "before_record = -\n    CHEST_BEFORE_RECORD (config), from default." in shown


def test_a_key_is_not_shown(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CHEST_USER_IDS", "hashed")
    monkeypatch.setenv("CHEST_USER_IDS_KEY", "hunter2-hunter2-hunter2")
    for form in ([], ["--json"]):
        shown = run("settings", *form).stdout
        assert "hunter2" not in shown
        assert "***" in shown


def test_a_bad_value_in_the_environment_is_one_line_and_exit_code_2(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CHEST_FLUSH_SECONDS", "abc")
    result = run("settings")
    assert result.exit_code == 2
    assert (
        result.stderr == "chest: CHEST_FLUSH_SECONDS='abc' (environment): expected a number from 0.01 to 60 (seconds)\n"
    )
