"""What SQLAlchemy, Redis, MongoDB and Django's connections took of a request's time."""

from __future__ import annotations

import asyncio
from contextlib import suppress

import pymongo
import pytest
import redis as redis_py
import sqlalchemy
from flask import Flask
from flask_redis import FlaskRedis
from redis.asyncio import Redis as AsyncRedis

from chest.instruments import instrument_pymongo, instrument_redis, instrument_sqlalchemy
from tests.instruments.conftest import Inside
from tests.processes import run_python
from tests.servers import Server


def test_statements_of_an_engine_are_counted_also_those_that_fail(inside: Inside) -> None:
    engine = sqlalchemy.create_engine("sqlite://")
    for _ in range(2):
        instrument_sqlalchemy(engine)

    def view() -> None:
        with engine.connect() as connection:
            connection.execute(sqlalchemy.text("SELECT 1"))
            with suppress(sqlalchemy.exc.OperationalError):
                connection.execute(sqlalchemy.text("SELECT nothing"))
            connection.execute(sqlalchemy.text("SELECT 2"))

    record = inside(view)
    assert record.variables["db_count"] == 3
    assert 0 < record.variables["db_ms"] < 60_000
    with engine.connect() as connection:
        assert connection.execute(sqlalchemy.text("SELECT 1")).scalar() == 1, "outside of a request"
    engine.dispose()


@pytest.mark.server
def test_commands_of_redis_are_counted_and_a_pipeline_is_one(inside: Inside, redis: Server) -> None:
    client = redis_py.Redis(port=redis.port)
    for _ in range(2):
        instrument_redis(client)

    def view() -> None:
        client.set("a", 1)
        assert client.get("a") == b"1"
        with client.pipeline() as pipeline:
            assert pipeline.incr("a").incr("a").execute() == [2, 3]
        with suppress(redis_py.ResponseError):
            client.lpush("a", 1)

    record = inside(view)
    assert record.variables["redis_count"] == 4
    assert 0 < record.variables["redis_ms"] < 60_000
    client.close()


@pytest.mark.server
def test_commands_of_an_asynchronous_redis_client_are_counted_and_a_pipeline_is_one(
    inside: Inside, redis: Server
) -> None:
    async def commands() -> None:
        async with AsyncRedis(port=redis.port) as client:
            instrument_redis(client)
            await asyncio.gather(client.set("later", 1), client.get("other"))
            async with client.pipeline() as pipeline:
                assert await pipeline.incr("later").incr("later").execute() == [2, 3]

    record = inside(lambda: asyncio.run(commands()))
    assert record.variables["redis_count"] == 3
    assert 0 < record.variables["redis_ms"] < 60_000


@pytest.mark.server
def test_commands_of_flask_redis_are_counted(inside: Inside, redis: Server) -> None:
    client, app = FlaskRedis(), Flask("shop")
    app.config["REDIS_URL"] = f"redis://127.0.0.1:{redis.port}/0"
    with pytest.raises(TypeError, match="FlaskRedis"):
        instrument_redis(client)  # it has no client yet
    client.init_app(app)
    instrument_redis(client)
    assert inside(lambda: client.get("other")).variables["redis_count"] == 1
    client.close()


@pytest.mark.server
def test_commands_of_mongodb_are_counted_also_those_that_fail(inside: Inside, mongodb: Server) -> None:
    client: pymongo.MongoClient[dict[str, object]] = pymongo.MongoClient(
        port=mongodb.port, event_listeners=[instrument_pymongo()]
    )

    def view() -> None:
        client.instruments.things.insert_one({"a": 1})
        assert client.instruments.things.find_one({"a": 1})
        with suppress(pymongo.errors.OperationFailure):
            client.instruments.command("nothing")

    record = inside(view)
    client.drop_database("instruments")
    client.close()
    assert record.variables["mongo_count"] == 3
    assert 0 < record.variables["mongo_ms"] < 60_000


@pytest.mark.slow
def test_statements_of_djangos_connections_are_counted() -> None:
    code = """
import django
from django.conf import settings
settings.configure(DATABASES={name: {"ENGINE": "django.db.backends.sqlite3", "NAME": ":memory:"} for name in ("default", "other")})
django.setup()
from django.db import connection, connections
from chest import ChestMiddleware, MemoryChest
from chest.instruments import instrument_django
connection.ensure_connection()
for _ in range(2):
    instrument_django()
def application(environ, start_response):
    for each in (connection, connections["other"]):
        with each.cursor() as cursor:
            cursor.execute("SELECT 1")
            try:
                cursor.execute("SELECT nothing")
            except django.db.OperationalError:
                pass
    connection.close()
    with connection.cursor() as cursor:
        cursor.execute("SELECT 1")
    start_response("200 OK", [])
    return []
chest = MemoryChest()
app = ChestMiddleware(application, chests=[chest])
app({"REQUEST_METHOD": "GET", "PATH_INFO": "/"}, lambda *_: None)
app.recorder.close()
variables = chest.records[0].variables
print(variables["db_count"], 0 < variables["db_ms"] < 60_000)
"""
    assert run_python(code) == "5 True\n"
