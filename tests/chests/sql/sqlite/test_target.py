"""What the URL of a SQLite chest says."""

from __future__ import annotations

from pathlib import Path

import pytest

from chest.chests.sql.columns import DEFAULT_TABLE
from chest.chests.sql.sqlite.target import DEFAULT_BUSY_TIMEOUT_MS, SQLiteTarget
from chest.errors import SettingsError


def test_without_options_everything_is_as_documented() -> None:
    target = SQLiteTarget.of("sqlite:////var/chest.sqlite3")
    assert (target.path, target.table, target.has_request_id_index, target.busy_timeout_ms) == (
        Path("/var/chest.sqlite3"),
        DEFAULT_TABLE,
        False,
        DEFAULT_BUSY_TIMEOUT_MS,
    )


def test_options_are_taken_out_of_the_url() -> None:
    target = SQLiteTarget.of("sqlite:///chest.sqlite3?table=requests&index=request_id&busy_timeout_ms=0")
    assert (target.table, target.has_request_id_index, target.busy_timeout_ms) == ("requests", True, 0)
    assert target.name == "sqlite:///chest.sqlite3?table=requests"


@pytest.mark.parametrize("table", ["1st", "a-b", 'a"b', "a b", "a;b", "schema.table", "täble", "a" * 64, "x&table=y"])
def test_a_table_that_is_not_a_plain_name_is_refused(table: str) -> None:
    with pytest.raises(SettingsError, match=r"\?table="):
        SQLiteTarget.of(f"sqlite:///chest.sqlite3?table={table}")


@pytest.mark.parametrize("index", ["id", "request_id,host", "true"])
def test_an_index_that_cannot_be_had_is_refused(index: str) -> None:
    with pytest.raises(SettingsError, match=r"\?index=request_id"):
        SQLiteTarget.of(f"sqlite:///chest.sqlite3?index={index}")


@pytest.mark.parametrize("timeout", ["-1", "1.5", "1s", "60001", "1000000", "\u0661"])
def test_a_timeout_that_is_not_a_number_of_milliseconds_is_refused(timeout: str) -> None:
    with pytest.raises(SettingsError, match="milliseconds"):
        SQLiteTarget.of(f"sqlite:///chest.sqlite3?busy_timeout_ms={timeout}")


def test_an_unknown_option_is_refused_with_the_nearest() -> None:
    with pytest.raises(SettingsError, match=r"no option \?tabel=\. Did you mean table\?"):
        SQLiteTarget.of("sqlite:///chest.sqlite3?tabel=x")


@pytest.mark.parametrize(
    "url",
    [
        "sqlite://",
        "sqlite:///",
        "sqlite:file",
        "sqlite:/file",
        "sqlite://host/file",
        "sqlite:///:memory:",
        "sqlite:///?table=x",
    ],
)
def test_a_url_without_a_file_is_refused_with_one_that_has_one(url: str) -> None:
    with pytest.raises(SettingsError, match=r"sqlite:///file\.sqlite3"):
        SQLiteTarget.of(url)


def test_a_uri_of_sqlite_s_own_is_refused() -> None:
    with pytest.raises(SettingsError, match="not a file: URI"):
        SQLiteTarget.of("sqlite:///file:chest.sqlite3?mode=ro")


def test_a_url_that_is_none_of_a_file_is_refused_without_its_password() -> None:
    with pytest.raises(SettingsError) as refusal:
        SQLiteTarget.of("sqlite://user:hunter2@host:port/db")
    assert "hunter2" not in str(refusal.value)


def test_an_option_that_is_given_twice_or_is_a_server_s_is_refused() -> None:
    for options in ("table=a&table=b", "timeout_seconds=3"):
        with pytest.raises(SettingsError):
            SQLiteTarget.of(f"sqlite:///file?{options}")


def test_codes_of_a_path_are_read_and_shown() -> None:
    target = SQLiteTarget.of("SQLITE:////tmp/Zo%C3%AB ☃+x%25%3Fy%20#h.sqlite3?table=x")
    assert target.path == Path("/tmp/Zoë ☃+x%?y #h.sqlite3")
    assert target.name == "sqlite:////tmp/Zo%C3%AB %E2%98%83+x%25%3Fy %23h.sqlite3?table=x"
