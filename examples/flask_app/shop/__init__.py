"""A small shop, in the shape of a Flask application that grows: a factory, blueprints, extensions, config from outside."""

from __future__ import annotations

from flask import Flask

from shop import catalogue, orders
from shop.extensions import recorder


def create_app() -> Flask:
    """The application, configured by its defaults and ``FLASK_…`` in the environment."""
    app = Flask(__name__)
    app.config.from_object("shop.config")
    app.config.from_prefixed_env()
    recorder.init_app(app)
    app.register_blueprint(catalogue.blueprint)
    app.register_blueprint(orders.blueprint, url_prefix="/orders")
    return app
