"""What the URL of an SQL chest says."""

from __future__ import annotations

import pytest

from chest.chests.sql.chest import SQLChest
from chest.chests.sql.columns import DEFAULT_TABLE
from chest.chests.sql.url import SQLTarget
from chest.errors import SettingsError


def test_without_options_everything_is_as_documented() -> None:
    target = SQLTarget.of("postgresql://host/shop")
    assert (target.url.database, target.table, target.has_request_id_index, target.timeout_seconds) == (
        "shop",
        DEFAULT_TABLE,
        False,
        10.0,
    )


def test_an_unknown_option_is_refused_with_the_nearest() -> None:
    with pytest.raises(SettingsError, match=r"no option \?tabel=\. Did you mean table\?"):
        SQLTarget.of("postgresql://host/shop?tabel=x")


def test_a_url_that_cannot_be_read_is_refused_without_its_password() -> None:
    with pytest.raises(SettingsError) as refusal:
        SQLTarget.of("postgresql://user:hunter2@host:port/db")
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


def test_codes_of_a_database_s_name_are_read() -> None:
    assert SQLTarget.of("postgresql://host/my%20shop%3F?table=x").url.database == "my shop?"


@pytest.mark.parametrize("scheme", ["postgresql+asyncpg", "postgresql+psycopg2", "mysql+mysqldb", "oracle", "sqlite"])
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
        ("mysql://host/db?busy_timeout_ms=3", "There are: index, ssl_ca"),
    ],
)
def test_an_option_of_another_database_is_refused(url: str, hint: str) -> None:
    with pytest.raises(SettingsError, match=hint):
        SQLTarget.of(url)


@pytest.mark.parametrize("seconds", ["0", "-1", "601", "1e3", "x"])
def test_a_timeout_that_is_not_a_number_of_seconds_is_refused(seconds: str) -> None:
    with pytest.raises(SettingsError, match=r"\?timeout_seconds="):
        SQLTarget.of(f"postgresql://host/db?timeout_seconds={seconds}")


@pytest.mark.parametrize("url", ["postgresql://host", "mysql://host/", "mariadb://"])
def test_a_server_without_a_database_is_refused(url: str) -> None:
    with pytest.raises(SettingsError, match="names no database"):
        SQLChest(url)


def test_a_mode_of_ssl_that_there_is_not_is_refused() -> None:
    with pytest.raises(SettingsError, match="VERIFY_IDENTITY"):
        SQLChest("mysql://host/db?ssl_mode=verify-full")


@pytest.mark.parametrize(
    ("url", "name"),
    [
        ("postgresql://me:x@/shop?host=a,b", "postgresql://me:***@a,b/shop"),
        ("postgresql://me:x@/shop?host=a,b&port=1,2&table=t", "postgresql://me:***@a:1,b:2/shop?table=t"),
        ("postgresql://me:x@one:5/shop?host=a,b", "postgresql://me:***@a:5,b:5/shop"),
        ("postgresql://me:x@one/-?port=7", "postgresql://me:***@one:7/-"),
        ("postgresql:///shop?host=/run/one", "postgresql://%2Frun%2Fone/shop"),
        ("mysql://me:x@localhost/shop?unix_socket=/run/one", "mysql://me:***@%2Frun%2Fone/shop"),
    ],
)
def test_a_place_that_an_option_names_is_part_of_the_label_by_which_a_spool_is_found(url: str, name: str) -> None:
    assert SQLTarget.of(url).name == name


@pytest.mark.parametrize("query", ["port=x", "host=a,b&port=1,2,3", "port=1,2"])
def test_ports_that_fit_no_hosts_are_refused(query: str) -> None:
    with pytest.raises(SettingsError, match=r"\?port="):
        SQLTarget.of(f"postgresql:///shop?{query}")
