"""``database_of``: which SQL databases there are, and where what differs between them is found; drivers load on use."""

from __future__ import annotations

from pkgutil import resolve_name
from typing import Final

from chest.chests.sql_database import Database
from chest.chests.sql_url import SQLTarget
from chest.errors import MissingDependencyError

_DATABASES: Final = {
    "sqlite": "chest.chests.sql_sqlite:SQLiteDatabase",
    "postgresql": "chest.chests.sql_postgresql:PostgreSQLDatabase",
    "mysql": "chest.chests.sql_mysql:MySQLDatabase",
}


def database_of(target: SQLTarget) -> Database:
    """The database that a URL names; nothing is connected to.

    :raises MissingDependencyError: its driver is not installed.
    :raises SettingsError: the URL cannot be meant as it stands.
    """
    try:
        kind: type[Database] = resolve_name(_DATABASES[target.backend])
    except ModuleNotFoundError as error:
        raise MissingDependencyError(
            f"The {target.backend} chest needs the package {error.name}: pip install 'wsgi-chest[sql]'"
        ) from error
    return kind(target)
