"""The checks that are built in: of a database, of its migrations, and of Redis."""

from __future__ import annotations

from typing import Any

from chest.dockerflow import health
from chest.dockerflow.checks.messages import CheckMessage, Error, Info, Warning  # noqa: A004


def check_database_connected(db: Any) -> list[CheckMessage]:
    """An error message if the database does not answer ``SELECT 1``.

    :param db: a SQLAlchemy ``Engine``, or what has one as ``engine``: Flask-SQLAlchemy's ``SQLAlchemy`` (its default one).
    """
    from sqlalchemy import text
    from sqlalchemy.exc import DBAPIError, SQLAlchemyError

    try:
        with _engine_of(db).connect() as connection:
            connection.execute(text("SELECT 1"))
    except DBAPIError as error:
        return [Error(f"DB-API error: {error}", id=health.ERROR_DB_API_EXCEPTION)]
    except SQLAlchemyError as error:
        return [Error(f'Database misconfigured: "{error}"', id=health.ERROR_SQLALCHEMY_EXCEPTION)]
    return []


def check_migrations_applied(migrate: Any) -> list[CheckMessage]:
    """A message if the database does not have the heads of Alembic's migration scripts.

    :param migrate: Flask-Migrate's ``Migrate``; or anything with ``db`` (an ``Engine``, or what has one as ``engine``),
        ``directory`` and ``get_config(directory=...)``, which returns Alembic's ``Config``.
    """
    from alembic.migration import MigrationContext
    from alembic.script import ScriptDirectory
    from sqlalchemy.exc import SQLAlchemyError

    wanted = set(ScriptDirectory.from_config(migrate.get_config(directory=migrate.directory)).get_heads())
    try:
        with _engine_of(migrate.db).connect() as connection:
            applied = set(MigrationContext.configure(connection).get_current_heads())
    except SQLAlchemyError as error:
        text = f"Can't connect to database to check migrations: {error}"
        return [Info(text, id=health.INFO_CANT_CHECK_MIGRATIONS)]
    if applied == wanted:
        return []
    text = f"Unapplied migrations found: {', '.join(sorted(wanted))}"
    return [Warning(text, id=health.WARNING_UNAPPLIED_MIGRATION)]


def check_redis_connected(client: Any) -> list[CheckMessage]:
    """An error message if Redis does not answer ``PING``.

    :param client: redis-py's client, or Flask-Redis's ``FlaskRedis``. Give it a ``socket_timeout``.
    """
    try:
        import redis
    except ImportError:
        return [Error("There is no Redis client: pip install redis", id=health.ERROR_MISSING_REDIS_CLIENT)]
    try:
        is_answered = client.ping()
    except redis.ConnectionError as error:
        return [Error(f"Could not connect to redis: {error}", id=health.ERROR_CANNOT_CONNECT_REDIS)]
    except redis.RedisError as error:
        return [Error(f'Redis error: "{error}"', id=health.ERROR_REDIS_EXCEPTION)]
    except (AttributeError, TypeError, ValueError) as error:
        # A FlaskRedis without its init_app, or an invalid URL or option.
        return [Error(f'Redis misconfigured: "{error}"', id=health.ERROR_MISCONFIGURED_REDIS)]
    return [] if is_answered else [Error("Redis ping failed", id=health.ERROR_REDIS_PING_FAILED)]


def _engine_of(db: Any) -> Any:
    """The object's ``engine``, if it has one; otherwise the object itself."""
    return getattr(db, "engine", db)
