"""The SQL chest on servers that refuse a connection: the reason and the cure are the true ones."""

from __future__ import annotations

import resource
import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Any

import pytest
from sqlalchemy.engine import make_url

from chest.chests.sql.chest import SQLChest
from chest.chests.sql.postgresql.refusal import kind_of_refusal
from chest.errors import ChestError, ChestUnavailable, LoginRefused, TLSRefused, UnknownDatabase, UnknownHost
from tests.servers.database import DatabaseServer

Execute = Callable[[str], list[tuple[Any, ...]]]
UrlOfUser = Callable[..., str]

everywhere = pytest.mark.parametrize("server", ["postgresql", "mariadb", "mysql57"], indirect=True)
on_mysql = pytest.mark.parametrize("server", ["mariadb", "mysql57"], indirect=True)
on_postgresql = pytest.mark.parametrize("server", ["postgresql"], indirect=True)


def _refuses(url: str, kind: type[ChestError]) -> None:
    with SQLChest(url) as chest:
        for act in (chest.open, chest.check):
            with pytest.raises(ChestError) as refusal:
                act()
            assert type(refusal.value) is kind, refusal.value


@on_postgresql
@pytest.mark.parametrize(
    ("change", "kind"),
    [
        ("ALTER ROLE {user} CONNECTION LIMIT 0", ChestUnavailable),
        ("ALTER DATABASE {database} CONNECTION LIMIT 0", ChestUnavailable),
        ("ALTER ROLE {user} NOLOGIN", LoginRefused),
        ("ALTER ROLE {user} PASSWORD 'another'", LoginRefused),
        ("ALTER ROLE {user} PASSWORD NULL", LoginRefused),
        ("ALTER ROLE {user} VALID UNTIL '2000-01-01'", LoginRefused),
        ("ALTER ROLE {user} RENAME TO other_{user}", LoginRefused),
        ("REVOKE CONNECT ON DATABASE {database} FROM PUBLIC", LoginRefused),
    ],
)
def test_a_refused_connection_to_postgresql_is_told_by_its_true_reason(
    url: str, url_of_user: UrlOfUser, execute: Execute, change: str, kind: type[ChestError]
) -> None:
    limited = make_url(url_of_user())
    execute(change.format(user=limited.username, database=limited.database))
    _refuses(limited.render_as_string(hide_password=False), kind)


@on_postgresql
def test_a_database_of_postgresql_that_takes_no_connections_is_there(
    server: DatabaseServer, url: str, execute: Execute
) -> None:
    frozen = make_url(server.new_url())
    execute(f"ALTER DATABASE {frozen.database} ALLOW_CONNECTIONS false")
    _refuses(frozen.render_as_string(hide_password=False), ChestUnavailable)


@pytest.mark.parametrize(
    ("said", "kind"),
    [
        ('FATAL: no pg_hba.conf entry for host "10.0.0.1", user "a", database "b", no encryption', LoginRefused),
        ('FATAL: no pg_hba.conf entry for host "10.0.0.1", user "a", database "b", SSL off', LoginRefused),
        ('FATAL: no pg_hba.conf entry for replication connection from host "10.0.0.1", no encryption', LoginRefused),
        ('FATAL: pg_hba.conf rejects connection for host "10.0.0.1", user "a", database "b", no encryption', LoginRefused),
        ('FATAL: password authentication failed for user "the database system is"', LoginRefused),
        ('FATAL: password authentication failed for user "certificate"', LoginRefused),
        ('FATAL: LDAP authentication failed for user "SSL"', LoginRefused),
        ('FATAL: role "database" does not exist', LoginRefused),
        ('FATAL: no such user: a', LoginRefused),
        ('FATAL: connection requires a valid client certificate', TLSRefused),
        ('FATAL: database "role" does not exist', UnknownDatabase),
        ("FATAL: no such database: shop", UnknownDatabase),
        ("FATAL: sorry, too many clients already", ChestUnavailable),
        ("FATAL: remaining connection slots are reserved for roles with the SUPERUSER attribute", ChestUnavailable),
        ('FATAL: too many connections for role "password authentication failed"', ChestUnavailable),
        ('FATAL: too many connections for database "role"', ChestUnavailable),
        ('FATAL: cannot connect to invalid database "shop"', ChestUnavailable),
        ("FATAL: the database system is not yet accepting connections", ChestUnavailable),
        ("FATAL: query_wait_timeout", ChestUnavailable),
        ('FATAL: Rolle »shop« existiert nicht', ChestUnavailable),
        ('connection to server at "ssl.certificate.example", port 5432 failed: Connection refused', ChestUnavailable),
        ('connection to server at "role", port 5432 failed: server closed the connection unexpectedly', ChestUnavailable),
        ("consuming input failed: SSL SYSCALL error: EOF detected", ChestUnavailable),
        ("SSL connection has been closed unexpectedly", ChestUnavailable),
        ("connection failed: SSL error: unexpected eof while reading", ChestUnavailable),
        ("connection failed: SSL error: certificate verify failed", TLSRefused),
        ("connection failed: server does not support SSL, but SSL was required", TLSRefused),
        ('connection failed: root certificate file "/x" does not exist', TLSRefused),
        ("connection failed: fe_sendauth: no password supplied", LoginRefused),
        ("failed to resolve host 'db1': [Errno -2] Name or service not known", UnknownHost),
    ],
)  # fmt: skip
def test_the_words_of_a_refusal_name_no_false_cure(said: str, kind: type[ChestError]) -> None:
    assert kind_of_refusal(said) is kind


@on_mysql
@pytest.mark.parametrize(
    ("change", "kind"),
    [
        ("SET PASSWORD FOR {user} = PASSWORD('another')", LoginRefused),
        ("ALTER USER {user} PASSWORD EXPIRE", LoginRefused),
        ("ALTER USER {user} ACCOUNT LOCK", LoginRefused),
        ("DROP USER {user}", LoginRefused),
        ("REVOKE ALL, GRANT OPTION FROM {user}", LoginRefused),
    ],
)
def test_a_refused_connection_to_mysql_is_told_by_its_true_reason(
    url: str, url_of_user: UrlOfUser, execute: Execute, change: str, kind: type[ChestError]
) -> None:
    limited = make_url(url_of_user(f"ALL ON {make_url(url).database}.*"))
    execute(change.format(user=f"{limited.username}@127.0.0.1"))
    _refuses(limited.render_as_string(hide_password=False), kind)


@everywhere
def test_a_process_without_a_descriptor_left_says_so(server: DatabaseServer, url: str) -> None:
    localhost = make_url(url).set(host="localhost").render_as_string(hide_password=False)
    chests = [SQLChest(url), SQLChest(localhost)]
    for chest in chests:
        with suppress(ChestUnavailable), chest:  # the driver is loaded
            chest.check()
    with _no_descriptors():
        told = []
        for chest in chests:
            with pytest.raises(ChestUnavailable) as refusal:
                chest.check()
            told.append(refusal.value)
    assert [type(error) for error in told] == [ChestUnavailable, ChestUnavailable]
    assert all("no file descriptor left" in str(error) for error in told), told


@contextmanager
def _no_descriptors() -> Iterator[None]:
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    taken: list[socket.socket] = []
    try:
        resource.setrlimit(resource.RLIMIT_NOFILE, (min(512, before[1]), before[1]))
        with suppress(OSError):
            while True:
                taken.append(socket.socket())
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, before)
        for each in taken:
            each.close()
