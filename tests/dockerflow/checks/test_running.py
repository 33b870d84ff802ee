"""Running checks: what they say is put together, and one that fails is an error of that check."""

from __future__ import annotations

import asyncio
import logging
from typing import Any

import pytest

from chest.dockerflow import checks, health


def warns() -> list[checks.CheckMessage]:
    return [checks.Warning("slow", id="shop.W001"), checks.Info("noted", id="shop.I001")]


def fails() -> list[checks.CheckMessage]:
    return [checks.Error("down", id="shop.E001")]


def is_well() -> list[checks.CheckMessage]:
    return []


async def warns_later() -> list[checks.CheckMessage]:
    await asyncio.sleep(0)
    return warns()


def raises() -> list[checks.CheckMessage]:
    raise ValueError("password=hunter2")


ALL = (("warns", warns), ("fails", fails), ("is_well", is_well))


@pytest.mark.parametrize("how", ["one by one", "at once"])
def test_results_have_each_status_the_worst_level_and_the_details_of_who_had_something_to_say(how: str) -> None:
    results = checks.run_checks(ALL) if how == "one by one" else asyncio.run(checks.run_checks_async(ALL))
    assert results == checks.ChecksResults(
        level=checks.ERROR,
        statuses={"warns": "warning", "fails": "error", "is_well": "ok"},
        details={
            "warns": {"status": "warning", "level": 30, "messages": {"shop.W001": "slow", "shop.I001": "noted"}},
            "fails": {"status": "error", "level": 40, "messages": {"shop.E001": "down"}},
        },
    )


def test_silenced_messages_do_not_count() -> None:
    results = checks.run_checks(ALL, silenced_check_ids=["shop.E001", "shop.W001"])
    assert results.level == checks.INFO
    assert results.statuses == {"warns": "info", "fails": "ok", "is_well": "ok"}
    assert results.details == {"warns": {"status": "info", "level": 20, "messages": {"shop.I001": "noted"}}}


@pytest.mark.parametrize("how", ["one by one", "at once"])
def test_an_asynchronous_check_is_awaited(how: str) -> None:
    both = (("later", warns_later), ("now", is_well))
    results = checks.run_checks(both) if how == "one by one" else asyncio.run(checks.run_checks_async(both))
    assert results.statuses == {"later": "warning", "now": "ok"}


@pytest.mark.parametrize("how", ["one by one", "at once"])
def test_a_check_that_raises_is_an_error_of_that_check_and_tells_only_the_log_why(
    how: str, caplog: pytest.LogCaptureFixture
) -> None:
    async def raises_later() -> None:
        raises()

    three = (("raises", raises), ("raises_later", raises_later), ("warns", warns))
    results = checks.run_checks(three) if how == "one by one" else asyncio.run(checks.run_checks_async(three))
    assert results.statuses == {"raises": "error", "raises_later": "error", "warns": "warning"}
    said = results.details["raises"]["messages"]
    assert said == {health.ERROR_CHECK_FAILED: "The check failed with ValueError; the log says more."}
    assert results.details["raises_later"]["messages"] == said
    told = [record for record in caplog.records if record.exc_info]
    assert [record.getMessage() for record in told] == [
        "chest: the Dockerflow check raises failed",
        "chest: the Dockerflow check raises_later failed",
    ]


@pytest.mark.parametrize("answer", [None, "all is well", [checks.Info("said"), "said"], {"a": 1}, 0])
def test_a_check_that_returns_no_messages_is_an_error_of_that_check(answer: Any) -> None:
    results = checks.run_checks([("it", lambda: answer)])
    assert list(results.details["it"]["messages"]) == [health.ERROR_CHECK_FAILED]


def test_a_check_may_return_one_message_or_yield_them() -> None:
    def yields() -> Any:
        yield checks.Info("one", id="1")
        yield checks.Info("two", id="2")

    results = checks.run_checks([("one", lambda: checks.Info("said", id="0")), ("yields", yields)])
    assert results.details["one"]["messages"] == {"0": "said"}
    assert results.details["yields"]["messages"] == {"1": "one", "2": "two"}


def test_what_checks_say_is_logged_at_its_level_under_the_reference_s_logger(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO, logger="dockerflow.checks.registry"):
        checks.run_checks(ALL, silenced_check_ids=["shop.W001"])
    assert [(record.name, record.levelno, record.getMessage()) for record in caplog.records] == [
        ("dockerflow.checks.registry", logging.WARNING, "shop.W001: slow"),
        ("dockerflow.checks.registry", logging.INFO, "shop.I001: noted"),
        ("dockerflow.checks.registry", logging.ERROR, "shop.E001: down"),
    ]
