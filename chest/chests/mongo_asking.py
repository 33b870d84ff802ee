"""``asking``: one call of a MongoDB server, that ends in time and fails as an error of Chest."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pymongo
from pymongo import MongoClient
from pymongo.errors import PyMongoError

from chest.chests.mongo_failure import error_of
from chest.chests.mongo_target import MongoTarget


@contextmanager
def asking(client: MongoClient[dict[str, Any]], target: MongoTarget) -> Iterator[None]:
    """Errors of the driver as errors of Chest, and an end to every wait.

    Where no server is known that takes writes, one is waited for first: within the time out the driver would wait for
    one all of that time.
    """
    try:
        if not client.topology_description.has_writable_server():
            client.admin.command("ping")
        with pymongo.timeout(target.timeout_seconds):
            yield
    except PyMongoError as error:
        raise error_of(target.name, error, target.timeout_seconds, target.without_secrets) from None
