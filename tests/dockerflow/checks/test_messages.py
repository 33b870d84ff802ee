"""What a check says, and how bad it is."""

from __future__ import annotations

import pytest

from chest.dockerflow import checks


@pytest.mark.parametrize(
    ("kind", "level", "text"),
    [
        (checks.Debug, checks.DEBUG, "debug"),
        (checks.Info, checks.INFO, "info"),
        (checks.Warning, checks.WARNING, "warning"),
        (checks.Error, checks.ERROR, "error"),
        (checks.Critical, checks.CRITICAL, "critical"),
    ],
)
def test_each_kind_has_its_level(kind: type[checks.CheckMessage], level: int, text: str) -> None:
    assert kind("said").level == level
    assert checks.level_to_text(level) == text


def test_a_level_without_a_name_is_unknown_and_none_is_ok() -> None:
    assert (checks.level_to_text(35), checks.level_to_text(0)) == ("unknown", "ok")


def test_a_message_says_what_it_is_about() -> None:
    message = checks.Error("It is down", hint="Start it", obj="storage", id="shop.E001")
    assert str(message) == "storage: (shop.E001) It is down\n\tHINT: Start it"
    assert str(checks.Error("It is down")) == "?: It is down"
    assert repr(message) == "<Error: level=40, msg='It is down', hint='Start it', obj='storage', id='shop.E001'>"


def test_messages_that_say_the_same_are_equal() -> None:
    assert checks.Error("a", id="1") == checks.Error("a", id="1")
    assert checks.Error("a", id="1") != checks.Error("a", id="2")
    assert checks.Error("a", level=50) != checks.Error("a")
    assert checks.Error("a") != checks.Warning("a", level=checks.ERROR)


def test_serious_is_an_error_or_worse_unless_said_otherwise() -> None:
    assert checks.Error("a").is_serious()
    assert not checks.Warning("a").is_serious()
    assert checks.Warning("a").is_serious(checks.WARNING)
