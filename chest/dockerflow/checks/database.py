"""``check_database_connected``: whether a database answers, through SQLAlchemy."""

from __future__ import annotations

from typing import Any

from chest.dockerflow import health
from chest.dockerflow.checks.messages import CheckMessage, Error


def check_database_connected(db: Any) -> list[CheckMessage]:
    """An error message if the database does not answer ``SELECT 1``.

    :param db: a SQLAlchemy ``Engine``, or what has one as ``engine``: Flask-SQLAlchemy's ``SQLAlchemy`` (its default one).
    """
    from sqlalchemy import text
    from sqlalchemy.exc import DBAPIError, SQLAlchemyError

    try:
        with engine_of(db).connect() as connection:
            connection.execute(text("SELECT 1"))
    except DBAPIError as error:
        return [Error(f"DB-API error: {error}", id=health.ERROR_DB_API_EXCEPTION)]
    except SQLAlchemyError as error:
        return [Error(f'Database misconfigured: "{error}"', id=health.ERROR_SQLALCHEMY_EXCEPTION)]
    return []


def engine_of(db: Any) -> Any:
    """The object's ``engine``, if it has one; otherwise the object itself."""
    return getattr(db, "engine", db)
