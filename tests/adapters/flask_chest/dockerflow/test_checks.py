"""The built-in checks, against a real PostgreSQL, a real Redis and real migrations of Alembic."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import flask_migrate
import pytest
import redis as redis_client
from flask import Flask
from flask_chest.dockerflow import Dockerflow
from flask_chest.dockerflow.checks import (
    check_database_connected,
    check_migrations_applied,
    check_redis_connected,
    get_checks,
)
from flask_migrate import Migrate
from flask_redis import FlaskRedis
from flask_sqlalchemy import SQLAlchemy
from sqlalchemy import create_engine
from sqlalchemy.exc import SQLAlchemyError

from chest.dockerflow import health
from tests.servers.database import DatabaseServer
from tests.servers.process import Server, free_port

HOST = "127.0.0.1"

# By the env.py that Flask-Migrate makes.
pytestmark = pytest.mark.filterwarnings("ignore:'get_engine' is deprecated:DeprecationWarning")


def app_of(url: str) -> tuple[Flask, SQLAlchemy]:
    app = Flask("shop")
    app.config["SQLALCHEMY_DATABASE_URI"] = url.replace("postgresql:", "postgresql+psycopg:")
    app.config["DOCKERFLOW_HEARTBEAT_CACHE_SECONDS"] = 0
    db = SQLAlchemy(app)

    class Item(db.Model):  # type: ignore[name-defined,misc]
        id = db.Column(db.Integer, primary_key=True)

    return app, db


@pytest.fixture
def shop(postgresql: DatabaseServer) -> Iterator[tuple[Flask, SQLAlchemy]]:
    app, db = app_of(postgresql.new_url())
    yield app, db
    with app.app_context():
        db.engine.dispose()


def heartbeat(app: Flask) -> tuple[int, dict[str, dict[str, str]]]:
    response = app.test_client().get("/__heartbeat__")
    return response.status_code, {name: detail["messages"] for name, detail in response.json["details"].items()}


# -- the database ----------------------------------------------------------------------------------------------------------


def test_a_database_that_answers_passes(shop: tuple[Flask, SQLAlchemy]) -> None:
    app, db = shop
    Dockerflow(app, db=db)
    assert "check_database_connected" in get_checks()
    assert heartbeat(app) == (200, {})


def test_an_engine_will_do(shop: tuple[Flask, SQLAlchemy]) -> None:
    app, db = shop
    with app.app_context():
        engine = db.engine
    assert check_database_connected(engine) == []


def test_a_database_that_is_stopped_fails_and_passes_again(
    shop: tuple[Flask, SQLAlchemy], postgresql: DatabaseServer
) -> None:
    app, db = shop
    Dockerflow(app, db=db)
    assert heartbeat(app)[0] == 200
    postgresql.server.stop()
    try:
        status, messages = heartbeat(app)
    finally:
        postgresql.server.start()
    assert status == 500
    assert list(messages["check_database_connected"]) == [health.ERROR_DB_API_EXCEPTION]
    assert heartbeat(app)[0] == 200


def test_a_driver_that_cannot_connect_is_told_without_the_password() -> None:
    engine = create_engine(f"postgresql+psycopg://shop:hunter2@{HOST}:{free_port()}/shop")
    (message,) = check_database_connected(engine)
    assert message.id == health.ERROR_DB_API_EXCEPTION
    assert "hunter2" not in str(message)


def test_what_sqlalchemy_raises_by_itself_is_a_misconfiguration() -> None:
    class Misconfigured:
        @property
        def engine(self) -> Any:
            raise SQLAlchemyError("no URL")

    (message,) = check_database_connected(Misconfigured())
    assert message.id == health.ERROR_SQLALCHEMY_EXCEPTION


# -- migrations ------------------------------------------------------------------------------------------------------------


@pytest.fixture
def migrated(shop: tuple[Flask, SQLAlchemy], tmp_path: Path) -> tuple[Flask, Migrate]:
    """An application with one migration that is not applied."""
    app, db = shop
    migrate = Migrate(app, db, directory=str(tmp_path / "migrations"))
    with app.app_context():
        flask_migrate.init()
        script = tmp_path / "migrations" / "env.py"
        line = "fileConfig(config.config_file_name)"
        assert line in script.read_text()
        script.write_text(script.read_text().replace(line, ""))  # it would disable the loggers of this whole test run
        flask_migrate.migrate(message="items")
    return app, migrate


def test_migrations_that_are_not_applied_are_a_warning_until_they_are(migrated: tuple[Flask, Migrate]) -> None:
    app, migrate = migrated
    Dockerflow(app, migrate=migrate)
    status, messages = heartbeat(app)
    assert status == 200
    assert list(messages["check_migrations_applied"]) == [health.WARNING_UNAPPLIED_MIGRATION]
    with app.app_context():
        flask_migrate.upgrade()
    assert heartbeat(app) == (200, {})


def test_migrations_that_cannot_be_looked_for_are_told_and_fail_nothing(
    migrated: tuple[Flask, Migrate], postgresql: DatabaseServer
) -> None:
    app, migrate = migrated
    postgresql.server.stop()
    try:
        with app.app_context():
            (message,) = check_migrations_applied(migrate)
    finally:
        postgresql.server.start()
    assert message.id == health.INFO_CANT_CHECK_MIGRATIONS


# -- Redis -----------------------------------------------------------------------------------------------------------------


def test_redis_that_answers_passes_by_either_client(redis: Server) -> None:
    client = redis_client.Redis(HOST, redis.port)
    assert check_redis_connected(client) == []
    client.close()
    app = Flask("shop")
    app.config["REDIS_URL"] = f"redis://{HOST}:{redis.port}/0"
    store = FlaskRedis(app)
    Dockerflow(app, redis=store)
    assert heartbeat(app) == (200, {})
    store.close()


def test_redis_that_is_not_there_fails() -> None:
    client = redis_client.Redis(HOST, free_port(), retry=None)
    (message,) = check_redis_connected(client)
    assert message.id == health.ERROR_CANNOT_CONNECT_REDIS


def test_redis_that_refuses_is_an_error_of_its_own(redis: Server) -> None:
    client = redis_client.Redis(HOST, redis.port)
    client.execute_command("ACL", "SETUSER", "limited", "on", ">word", "-@all")
    limited = redis_client.Redis(HOST, redis.port, username="limited", password="word")
    (message,) = check_redis_connected(limited)
    assert message.id == health.ERROR_REDIS_EXCEPTION
    limited.close()
    client.close()


def test_a_ping_without_an_answer_fails() -> None:
    class Silent:
        def ping(self) -> bool:
            return False

    assert [message.id for message in check_redis_connected(Silent())] == [health.ERROR_REDIS_PING_FAILED]


def test_a_client_without_its_application_is_a_misconfiguration() -> None:
    assert [message.id for message in check_redis_connected(FlaskRedis())] == [health.ERROR_MISCONFIGURED_REDIS]


def test_without_the_package_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "redis", None)
    (message,) = check_redis_connected(object())
    assert (message.id, "pip install redis" in str(message)) == (health.ERROR_MISSING_REDIS_CLIENT, True)
