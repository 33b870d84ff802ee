"""What the URL of an SQL chest says."""

from __future__ import annotations

import pytest

from chest.chests.sql_url import DEFAULT_BUSY_TIMEOUT_MS, DEFAULT_TABLE, SQLTarget
from chest.errors import SettingsError


def test_without_options_everything_is_as_documented() -> None:
    target = SQLTarget.of("sqlite:////var/chest.sqlite3")
    assert (target.url.database, target.table, target.has_request_id_index, target.busy_timeout_ms) == (
        "/var/chest.sqlite3",
        DEFAULT_TABLE,
        False,
        DEFAULT_BUSY_TIMEOUT_MS,
    )


def test_options_are_taken_out_of_the_url() -> None:
    target = SQLTarget.of("sqlite:///chest.sqlite3?table=requests&index=request_id&busy_timeout_ms=0")
    assert (target.table, target.has_request_id_index, target.busy_timeout_ms) == ("requests", True, 0)
    assert target.name == "sqlite:///chest.sqlite3?table=requests"


@pytest.mark.parametrize("table", ["1st", "a-b", 'a"b', "a b", "a;b", "schema.table", "täble", "a" * 64, "x&table=y"])
def test_a_table_that_is_no_plain_name_is_refused(table: str) -> None:
    with pytest.raises(SettingsError, match=r"\?table="):
        SQLTarget.of(f"sqlite:///chest.sqlite3?table={table}")


@pytest.mark.parametrize("index", ["id", "request_id,host", "true"])
def test_an_index_that_cannot_be_had_is_refused(index: str) -> None:
    with pytest.raises(SettingsError, match=r"\?index=request_id"):
        SQLTarget.of(f"sqlite:///chest.sqlite3?index={index}")


@pytest.mark.parametrize("timeout", ["-1", "1.5", "1s", "60001", "1000000", "\u0661"])
def test_a_timeout_that_is_no_number_of_milliseconds_is_refused(timeout: str) -> None:
    with pytest.raises(SettingsError, match="milliseconds"):
        SQLTarget.of(f"sqlite:///chest.sqlite3?busy_timeout_ms={timeout}")


def test_an_unknown_option_is_refused_with_the_nearest() -> None:
    with pytest.raises(SettingsError, match=r"no option \?tabel=\. Did you mean table\?"):
        SQLTarget.of("sqlite:///chest.sqlite3?tabel=x")


def test_a_url_that_cannot_be_read_is_refused_without_its_password() -> None:
    with pytest.raises(SettingsError) as refusal:
        SQLTarget.of("sqlite://user:hunter2@host:port/db")
    error: BaseException | None = refusal.value
    assert "hunter2" not in str(error)
    assert refusal.value.__suppress_context__
