"""What of a request is kept."""

from __future__ import annotations

from typing import Any

import pytest

from chest.record.record import Record
from chest.request.closed_contexts import current
from chest.request.sanitizer.redaction import Redaction
from chest.request.selection import Selection
from tests.request.middleware.client import Client, hello


def app_with(status: str = "200 OK", **variables: Any) -> Any:
    def app(environ: dict[str, Any], start_response: Any) -> list[bytes]:
        environ["chest.context"].update(variables)
        start_response(status, [])
        return [b""]

    return app


def test_a_list_of_names_keeps_these_variables() -> None:
    client = Client(app_with(user_id=1, plan=2, cart=3), tracked_vars=["user_id", "cart", "absent"])
    client.get()
    assert client.record.variables == {"user_id": 1, "cart": 3}


def test_a_mapping_keeps_by_method_and_nothing_for_a_method_that_is_not_named() -> None:
    client = Client(app_with(user_id=1, data=2), tracked_vars={"get": ["user_id"], "POST": ["user_id", "data"]})
    for method in ("GET", "POST", "DELETE"):
        client.get(REQUEST_METHOD=method)
    assert [record.variables for record in client.records] == [{"user_id": 1}, {"user_id": 1, "data": 2}, {}]


@pytest.mark.parametrize(
    ("globs", "excluded", "kept"),
    [
        (["/healthz", "/ready"], ["/healthz", "/ready"], ["/", "/healthz/x"]),
        (["/static/*"], ["/static/app.js", "/static/"], ["/static", "/x/static/y"]),
        (["/static/*", "/healthz", "*.ico"], ["/static/a", "/healthz", "/favicon.ico"], ["/healthz2"]),
    ],
)
def test_excluded_paths_leave_no_record_and_have_a_context_of_which_nothing_is_kept(
    globs: list[str], excluded: list[str], kept: list[str]
) -> None:
    seen: list[bool] = []

    def app(environ: dict[str, Any], start_response: Any) -> list[bytes]:
        seen.append(environ["chest.context"].is_being_recorded)
        current()["ignored"] = environ["chest.context"]["ignored"] = 1
        start_response("200 OK", [])
        return [b""]

    client = Client(app, exclude_paths=globs)
    for path in (*excluded, *kept):
        client.get(path)
    assert [record.path for record in client.records] == kept
    assert seen == [False] * len(excluded) + [True] * len(kept)


def test_before_record_drops_by_returning_false_and_only_by_that() -> None:
    answers: list[object] = [False, None, True, 0, ""]
    seen: list[Record] = []

    def judge(record: Record) -> object:
        seen.append(record)
        return answers[len(seen) - 1]

    client = Client(hello, before_record=judge)
    for _ in answers:
        client.get()
    assert client.records == seen[1:]


def test_what_before_record_changes_is_recorded() -> None:
    def change(record: Record) -> None:
        record.variables["cart"]["items"] = 3
        record.attributes.pop("url.scheme")
        record.attributes["seen"] = [1, 2]

    client = Client(app_with(cart={"items": 2}), before_record=change)
    client.get()
    assert client.record.variables == {"cart": {"items": 3}}
    assert (client.record.attributes["seen"], "url.scheme" in client.record.attributes) == ([1, 2], False)


def test_variables_that_before_record_made_unfit_for_a_record_are_left_out() -> None:
    client = Client(app_with(plan=1), before_record=lambda record: record.variables.update(odd=object()))
    client.get()
    assert client.record.variables == {}
    assert client.record.attributes["chest.sanitized"] == {"variables": "not_encodable"}


def test_a_before_record_that_raises_loses_nothing() -> None:
    client = Client(hello, before_record=lambda record: 1 / 0)
    client.get()
    assert client.record.status == 200
    assert client.process.counters.get("before_record_failed") == 1


def test_a_sample_keeps_its_share_and_says_which() -> None:
    client = Client(hello, sample=0.25)
    for _ in range(4000):
        client.get()
    assert 800 < len(client.records) < 1200
    assert {record.attributes["chest.sample_rate"] for record in client.records} == {0.25}


def test_a_sample_of_nothing_still_keeps_errors_and_slow_requests() -> None:
    client = Client(hello, sample=0.0)
    client.get()
    assert client.records == []
    client = Client(app_with("503 Down"), sample=0.0)
    client.get()
    assert client.record.attributes["chest.sample_rate"] == 1.0
    client = Client(hello, sample=0.0, keep_slower_ms=0.0)
    client.get()
    assert client.record.attributes["chest.sample_rate"] == 1.0


def test_the_sample_is_decided_by_the_id_and_so_the_same_when_asked_again() -> None:
    selection = Selection(sample=0.5)
    ids = [f"{number:032x}" for number in range(200)]
    first = [selection.sample_rate(record_id, "ok", 1) for record_id in ids]
    assert first == [selection.sample_rate(record_id, "ok", 1) for record_id in ids]
    assert 0 < first.count(None) < 200


def test_secrets_are_redacted_by_name_nested_ones_too() -> None:
    redaction = Redaction(["password", "*_token"], [])
    variables = {"Password": "x", "user": {"access-token": "y", "name": "z"}, "session_id": "s"}
    client = Client(app_with(**variables), redaction=redaction)
    client.get()
    assert client.record.variables == {
        "Password": "[REDACTED]",
        "user": {"access-token": "[REDACTED]", "name": "z"},
        "session_id": "s",
    }
