"""``FlaskChestPostgreSQL``, ``FlaskChestMySQL`` and ``FlaskChestMongoDB`` on real servers."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pymongo
import pytest
import sqlalchemy
from flask import Flask, g
from flask_chest import FlaskChest, FlaskChestMongoDB, FlaskChestMySQL, FlaskChestPostgreSQL, flask_chest
from flask_chest.decorator import recorders_of

from chest.settings.chest_urls import schemes

SQL = [("postgresql", FlaskChestPostgreSQL), ("mariadb", FlaskChestMySQL)]
pytestmark = pytest.mark.skipif(
    not {"postgresql", "mariadb", "mongodb"} <= set(schemes()),
    reason="this release has no chests for databases on servers",
)


@pytest.fixture(autouse=True)
def _directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CHEST_DIRECTORY", str(tmp_path / "rings"))


def serve_one_request(chest: FlaskChest, raises: bool) -> None:
    """One request of a decorated view, and whatever is behind it brought to the chest."""
    app = Flask("shop")

    @app.get("/items/<int:item_id>")
    @flask_chest([chest], tracked_vars=["user_id", "cart", "is_beta"], raise_exceptions=raises)
    def item(item_id: int) -> str:
        g.user_id, g.cart, g.is_beta = "ä😀", {"items": [1, 2]}, True
        return ""

    assert app.test_client().get("/items/3").status_code == 200
    for recorder in recorders_of(app):
        assert recorder.close(60)
    chest.close()


def rows_of(url: str) -> list[tuple[Any, ...]]:
    engine = sqlalchemy.create_engine(
        url.replace("postgresql:", "postgresql+psycopg:").replace("mysql:", "mysql+pymysql:")
    )
    with engine.connect() as connection:
        found = connection.execute(
            sqlalchemy.text("SELECT unique_id, request_id, name, value FROM flask_chest ORDER BY unique_id")
        )
        rows = [tuple(row) for row in found]
    engine.dispose()
    return rows


@pytest.mark.parametrize("raises", [True, False])
@pytest.mark.parametrize(("server", "kind"), SQL)
def test_a_variable_is_a_row_as_in_sqlite(
    request: pytest.FixtureRequest, server: str, kind: Callable[..., FlaskChest], raises: bool
) -> None:
    url = request.getfixturevalue(server).new_url()
    chest = kind(db_uri=url)
    serve_one_request(chest, raises)
    rows = rows_of(url)
    assert [row[2:] for row in rows] == [("user_id", "ä😀"), ("cart", '{"items":[1,2]}'), ("is_beta", "1")]
    assert [row[0] for row in rows] == [1, 2, 3]
    assert len({row[1] for row in rows}) == 1


@pytest.mark.parametrize(("server", "kind"), SQL)
def test_a_table_of_that_shape_that_is_there_is_used(
    request: pytest.FixtureRequest, server: str, kind: Callable[..., FlaskChest]
) -> None:
    url = request.getfixturevalue(server).new_url()
    for _ in range(2):
        chest = kind(db_uri=url)
        chest.write([("user_id", "123", "r-1")])
        chest.check()
        chest.close()
    assert [row[1:] for row in rows_of(url)] == [("r-1", "user_id", "123")] * 2


@pytest.mark.parametrize("raises", [True, False])
def test_a_call_of_a_view_is_a_document(request: pytest.FixtureRequest, raises: bool) -> None:
    port = request.getfixturevalue("mongodb").port
    url = f"mongodb://127.0.0.1:{port}/flask_{raises}"
    serve_one_request(FlaskChestMongoDB(db_uri=url), raises)
    with pymongo.MongoClient(url) as client:
        [document] = client.get_default_database()["flask_chest"].find()
    assert document["variables"] == {"user_id": "ä😀", "cart": {"items": [1, 2]}, "is_beta": True}
    assert (document["route"], document["status"], document["service"]) == ("/items/<int:item_id>", 200, "shop")


def test_triples_that_are_written_by_hand_are_a_document_a_request(request: pytest.FixtureRequest) -> None:
    url = f"mongodb://127.0.0.1:{request.getfixturevalue('mongodb').port}/by_hand"
    chest = FlaskChestMongoDB(name="variables", db_uri=url)
    chest.write([("user_id", "123", "r-1"), ("plan", "free", "r-1"), ("user_id", "456", "r-2")])
    chest.close()
    with pymongo.MongoClient(url) as client:
        found = {each["request_id"]: each["variables"] for each in client.get_default_database()["variables"].find()}
    assert found == {"r-1": {"user_id": "123", "plan": "free"}, "r-2": {"user_id": "456"}}
