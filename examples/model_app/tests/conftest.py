"""An application for all tests, with its tables; each test has a client of its own. The servers are those of ``DATABASE_URL`` and ``REDIS_URL``."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from flask import Flask
from flask.testing import FlaskClient
from flask_migrate import upgrade
from shop import create_app


@pytest.fixture(scope="session")
def app() -> Iterator[Flask]:
    app = create_app("testing")
    with app.app_context():
        upgrade()
    yield app
    app.extensions["chest"].recorder.close()


@pytest.fixture
def client(app: Flask) -> FlaskClient:
    return app.test_client()
