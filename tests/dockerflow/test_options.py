"""Options: a config before the environment, mistakes refused at start and passed over in a request."""

from __future__ import annotations

from typing import Any

import pytest

from chest.dockerflow.options import DockerflowOptions, environment
from chest.errors import SettingsError


def options(config: dict[str, Any] | None = None, **environ: str) -> DockerflowOptions:
    return DockerflowOptions({} if config is None else config, environ)


def test_the_defaults_are_the_reference_s() -> None:
    given = options()
    assert given.heartbeat_failed_status_code == 500
    assert given.request_id_header_name is None
    assert (given.summary_log_querystring, given.error_endpoint, given.record_requests) == (False, False, False)
    assert (given.check_timeout_seconds, given.heartbeat_cache_seconds) == (5.0, 1.0)


@pytest.mark.parametrize(
    ("name", "text", "value"),
    [
        ("HEARTBEAT_FAILED_STATUS_CODE", "503", 503),
        ("REQUEST_ID_HEADER_NAME", "X-Cloud-Trace-Context", "X-Cloud-Trace-Context"),
        ("SUMMARY_LOG_QUERYSTRING", "true", True),
        ("SUMMARY_LOG_QUERYSTRING", "off", False),
        ("ERROR_ENDPOINT", "1", True),
        ("RECORD_REQUESTS", "Yes", True),
        ("CHECK_TIMEOUT_SECONDS", "0.5", 0.5),
        ("HEARTBEAT_CACHE_SECONDS", "0", 0.0),
    ],
)
def test_each_option_is_read_from_the_environment_and_from_a_config(name: str, text: str, value: Any) -> None:
    key = f"DOCKERFLOW_{name}"
    for given in (options(**{key: text}), options({key: value}), options({key: value}, **{key: "no meaning"})):
        assert getattr(given, name.lower()) == value


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("HEARTBEAT_FAILED_STATUS_CODE", "five hundred"),
        ("HEARTBEAT_FAILED_STATUS_CODE", 42),
        ("REQUEST_ID_HEADER_NAME", "X Id:"),
        ("SUMMARY_LOG_QUERYSTRING", "perhaps"),
        ("CHECK_TIMEOUT_SECONDS", -1),
        ("HEARTBEAT_CACHE_SECONDS", "nan"),
    ],
)
def test_what_is_invalid_is_refused_at_start_and_later_counts_as_not_given(name: str, value: Any) -> None:
    given = options({f"DOCKERFLOW_{name}": value})
    with pytest.raises(SettingsError, match=f"DOCKERFLOW_{name}=.*: expected "):
        given.refuse_mistakes()
    assert getattr(given, name.lower()) == getattr(options(), name.lower())


def test_a_config_that_changes_counts_at_once() -> None:
    config: dict[str, Any] = {}
    given = options(config)
    config["DOCKERFLOW_ERROR_ENDPOINT"] = True
    assert given.error_endpoint


def test_of_the_environment_only_options_are_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DOCKERFLOW_ERROR_ENDPOINT", "1")
    monkeypatch.setenv("DOCKERFLOW_SOMETHING", "1")
    assert environment() == {"DOCKERFLOW_ERROR_ENDPOINT": "1"}
