"""Registering checks."""

from __future__ import annotations

import logging

import pytest

from chest.dockerflow import checks


def all_is_well() -> list[checks.CheckMessage]:
    return []


def says(text: str) -> list[checks.CheckMessage]:
    return [checks.Info(text, id="says")]


@pytest.mark.parametrize("as_decorator", [checks.register, checks.register()], ids=["bare", "called"])
def test_a_check_is_registered_under_its_function_s_name(as_decorator: object) -> None:
    assert as_decorator(all_is_well) is all_is_well  # type: ignore[operator]
    assert checks.get_checks() == {"all_is_well": all_is_well}


def test_a_check_may_be_given_a_name() -> None:
    checks.register(name="storage")(all_is_well)
    checks.register(all_is_well, "cache")
    assert list(checks.get_checks()) == ["storage", "cache"]


def test_a_check_that_takes_arguments_is_registered_with_them() -> None:
    checks.register_partial(says, "one")
    checks.register_partial(says, "two", name="second")
    results = checks.run_checks(checks.get_checks().items())
    assert [detail["messages"] for detail in results.details.values()] == [{"says": "one"}, {"says": "two"}]
    assert list(results.statuses) == ["says", "second"]


def test_a_second_check_of_a_name_takes_the_first_one_s_place() -> None:
    checks.register(name="it")(all_is_well)
    checks.register_partial(says, "later", name="it")
    assert list(checks.run_checks(checks.get_checks().items()).details) == ["it"]


def test_clearing_forgets_all() -> None:
    registry = checks.get_checks()
    checks.register(all_is_well)
    checks.clear_checks()
    assert checks.get_checks() == {}
    assert checks.get_checks() is registry


def test_registering_is_said_to_the_logger_that_the_reference_has(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.DEBUG, logger="dockerflow.checks.registry"):
        checks.register(all_is_well)
    assert [(record.name, record.getMessage()) for record in caplog.records] == [
        ("dockerflow.checks.registry", "Register Dockerflow check all_is_well")
    ]
