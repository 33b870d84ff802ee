"""``copy_rows``: many new rows into PostgreSQL by COPY, which costs the server half of an insert that knows of conflicts."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from sqlalchemy.engine import Connection
from sqlalchemy.exc import DBAPIError

__all__ = ["copy_rows"]


def copy_rows(
    connection: Connection,
    table: str,
    columns: Sequence[str],
    rows: Sequence[tuple[Any, ...]],
    meanwhile: Callable[[], object],
) -> bool:
    """Send the rows by COPY; True if all are stored. False if one was stored before, or is refused.

    :param connection: to PostgreSQL, in a transaction, which has to be rolled back after False.
    :param table: a checked name.
    :param meanwhile: called when all is sent, and the server works on it.
    :raises DBAPIError: the server failed.
    """
    import psycopg  # the chest that calls has it

    driver: Any = connection.connection.driver_connection
    names = ", ".join(f'"{column}"' for column in columns)
    try:
        with driver.cursor() as cursor, cursor.copy(f'COPY "{table}" ({names}) FROM STDIN') as copy:
            for row in rows:
                copy.write_row(row)
            meanwhile()
    except (psycopg.IntegrityError, psycopg.DataError):
        return False
    except psycopg.Error as error:  # here, as SQLAlchemy would have it
        raise DBAPIError.instance(None, None, error, psycopg.Error) from error
    return True
