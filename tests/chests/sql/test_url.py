"""What the URL of an SQL chest says."""

from __future__ import annotations

import pytest

from chest.chests.sql import SQLChest
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


@pytest.mark.parametrize(
    ("scheme", "backend"),
    [
        ("postgres", "postgresql"),
        ("postgresql", "postgresql"),
        ("postgresql+psycopg", "postgresql"),
        ("mysql", "mysql"),
        ("mariadb", "mysql"),
        ("mysql+pymysql", "mysql"),
    ],
)
def test_a_server_may_be_named_as_people_name_it(scheme: str, backend: str) -> None:
    target = SQLTarget.of(f"{scheme}://me:p%40ss@host:1/shop?table=requests&timeout_seconds=2.5")
    assert (target.backend, target.table, target.timeout_seconds) == (backend, "requests", 2.5)
    assert target.name == f"{scheme}://me:***@host:1/shop?table=requests"
    assert target.url.password == "p@ss"


@pytest.mark.parametrize("scheme", ["postgresql+asyncpg", "postgresql+psycopg2", "mysql+mysqldb", "oracle"])
def test_another_driver_is_refused_with_what_to_write(scheme: str) -> None:
    with pytest.raises(SettingsError, match="write postgresql:"):
        SQLTarget.of(f"{scheme}://host/db")


def test_options_of_the_driver_are_told_to_it_alone() -> None:
    target = SQLTarget.of("postgresql://host/db?sslmode=verify-full&sslrootcert=/ca.pem&index=request_id")
    assert target.driver_options == {"sslmode": "verify-full", "sslrootcert": "/ca.pem"}
    assert SQLTarget.of("mysql://host/db?ssl-mode=required&ssl-ca=/ca.pem").driver_options == {
        "ssl_mode": "required",
        "ssl_ca": "/ca.pem",
    }


@pytest.mark.parametrize(
    ("url", "hint"),
    [
        ("postgresql://host/db?sslmod=require", "sslmode"),
        ("mysql://host/db?sslca=/x", "ssl_ca"),
        ("mysql://host/db?timeout=3", "timeout_seconds"),
        ("sqlite:///file?timeout_seconds=3", "There are: busy_timeout_ms, index, table"),
    ],
)
def test_an_option_of_another_database_is_refused(url: str, hint: str) -> None:
    with pytest.raises(SettingsError, match=hint):
        SQLTarget.of(url)


@pytest.mark.parametrize("seconds", ["0", "-1", "601", "1e3", "x"])
def test_a_timeout_that_is_no_number_of_seconds_is_refused(seconds: str) -> None:
    with pytest.raises(SettingsError, match=r"\?timeout_seconds="):
        SQLTarget.of(f"postgresql://host/db?timeout_seconds={seconds}")


@pytest.mark.parametrize("url", ["postgresql://host", "mysql://host/", "mariadb://"])
def test_a_server_without_a_database_is_refused(url: str) -> None:
    with pytest.raises(SettingsError, match="names no database"):
        SQLChest(url)


def test_a_mode_of_ssl_that_there_is_not_is_refused() -> None:
    with pytest.raises(SettingsError, match="VERIFY_IDENTITY"):
        SQLChest("mysql://host/db?ssl_mode=verify-full")
