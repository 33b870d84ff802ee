"""``shell_of``: the command that opens a database's own shell as a chest's URL says, so that it can only read."""

from __future__ import annotations

import shutil
from typing import TYPE_CHECKING, Final, NamedTuple

from chest.chests.registry import builtin_factory
from chest.chests.sql.sqlite.target import SQLiteTarget
from chest.settings.chest_urls import BUILTIN, scheme_of

if TYPE_CHECKING:
    from chest.chests.sql.url import SQLTarget

__all__ = ["Shell", "shell_of", "sql_target_of"]

_MYSQL_PORT: Final = 3306
_TLS_FILES: Final = ("ssl_ca", "ssl_cert", "ssl_key")
_READS_ONLY: Final = "--init-command=SET SESSION TRANSACTION READ ONLY"


class Shell(NamedTuple):
    """A command and what it needs. A password stands in the environment only: others can see the arguments."""

    arguments: list[str]
    environment: dict[str, str]


def sql_target_of(url: str) -> SQLiteTarget | SQLTarget | None:
    """What the URL of an SQL chest says; None if it is of another chest.

    :raises SettingsError: invalid chest URL.
    :raises MissingDependencyError: the chest's driver is not installed.
    """
    scheme = scheme_of(url)
    if scheme == "sqlite":
        return SQLiteTarget.of(url)
    if scheme not in BUILTIN or BUILTIN[scheme].factory != BUILTIN["postgresql"].factory:
        return None
    builtin_factory(scheme)  # which says what to install
    from chest.chests.sql.url import SQLTarget  # with SQLAlchemy behind it

    return SQLTarget.of(url)


def shell_of(target: SQLiteTarget | SQLTarget) -> Shell:
    """The store's own shell: it connects to the same place as the chest, and checks the server's certificate at least as strictly.

    :raises SettingsError: an option of the URL is invalid.
    """
    if isinstance(target, SQLiteTarget):
        return Shell(["sqlite3", "-readonly", str(target.path)], {})
    return _psql(target) if target.backend == "postgresql" else _mysql(target)


def _psql(target: SQLTarget) -> Shell:
    """psql takes the options of the driver, as both are libpq's."""
    from psycopg.conninfo import make_conninfo

    of_url = target.url.translate_connect_args(username="user", database="dbname")
    password = of_url.pop("password", None)
    secret = {"PGPASSWORD": str(password)} if password else {}
    place = make_conninfo(**{**of_url, **target.driver_options})
    return Shell(["psql", place], {"PGOPTIONS": "-c default_transaction_read_only=on", **secret})


def _mysql(target: SQLTarget) -> Shell:
    """With all that the tool would else take from its own files, or do in another way than the driver: for localhost it uses a socket."""
    tool = "mariadb" if shutil.which("mariadb") else "mysql"
    url, socket = target.url, target.driver_options.get("unix_socket")
    place = (
        [f"--socket={socket}", "--protocol=SOCKET"]
        if socket
        else ["-h", url.host or "localhost", "-P", str(url.port or _MYSQL_PORT), "--protocol=TCP"]
    )
    user = ["-u", url.username] if url.username else []
    secret = {"MYSQL_PWD": str(url.password)} if url.password else {}
    return Shell([tool, *place, *user, *_tls(tool, target), _READS_ONLY, url.database or ""], secret)


def _tls(tool: str, target: SQLTarget) -> list[str]:
    from chest.chests.sql.mysql.dialect import ssl_mode_of

    mode = ssl_mode_of(target)
    if mode == "PREFERRED":
        return []
    if mode == "DISABLED":
        return ["--skip-ssl" if tool == "mariadb" else f"--ssl-mode={mode}"]
    # MariaDB's tool knows no modes, and refuses a plain connection only if it verifies the certificate, with the host's name.
    how = "--ssl-verify-server-cert" if tool == "mariadb" else f"--ssl-mode={mode}"
    options = target.driver_options
    files = [f"--{name.replace('_', '-')}={options[name]}" for name in _TLS_FILES if name in options]
    return [how, *files]
