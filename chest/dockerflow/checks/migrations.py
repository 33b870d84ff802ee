"""``check_migrations_applied``: whether all of Alembic's migrations were applied to a database."""

from __future__ import annotations

from typing import Any

from chest.dockerflow import health
from chest.dockerflow.checks.database import engine_of
from chest.dockerflow.checks.messages import CheckMessage, Info, Warning  # noqa: A004


def check_migrations_applied(migrate: Any) -> list[CheckMessage]:
    """A message if the database does not have the heads of the migration scripts.

    :param migrate: Flask-Migrate's ``Migrate``; or anything with ``db`` (an ``Engine``, or what has one as ``engine``),
        ``directory`` and ``get_config(directory=...)``, which returns Alembic's ``Config``.
    """
    from alembic.migration import MigrationContext
    from alembic.script import ScriptDirectory
    from sqlalchemy.exc import SQLAlchemyError

    wanted = set(ScriptDirectory.from_config(migrate.get_config(directory=migrate.directory)).get_heads())
    try:
        with engine_of(migrate.db).connect() as connection:
            applied = set(MigrationContext.configure(connection).get_current_heads())
    except SQLAlchemyError as error:
        text = f"Can't connect to database to check migrations: {error}"
        return [Info(text, id=health.INFO_CANT_CHECK_MIGRATIONS)]
    if applied == wanted:
        return []
    text = f"Unapplied migrations found: {', '.join(sorted(wanted))}"
    return [Warning(text, id=health.WARNING_UNAPPLIED_MIGRATION)]
