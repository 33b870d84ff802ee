"""A shop in the shape of a Flask style guide; every request, job, event and command of it leaves a record."""

from __future__ import annotations

import os
from pathlib import Path

from flask import Flask
from flask_chest.dockerflow import Dockerflow
from werkzeug.middleware.dispatcher import DispatcherMiddleware

from chest.instruments import instrument_redis, instrument_sqlalchemy
from chest.metrics import metrics_app
from shop import errors, events, flags, health, jobs, limits, payments
from shop.config import CONFIGS
from shop.extensions import (
    bcrypt,
    cache,
    cors,
    csrf,
    db,
    limiter,
    login,
    mail,
    migrate,
    moment,
    recorder,
    redis,
    socketio,
    talisman,
)
from shop.views import accounts, api, catalogue, orders


def create_app(config: str | None = None) -> Flask:
    """The application; ``config`` or ``SHOP_CONFIG`` names a class of ``shop.config``."""
    app = Flask(__name__)
    app.config.from_object(CONFIGS[config or os.environ.get("SHOP_CONFIG", "development")]())
    bind_extensions(app)
    for module in (accounts, api, catalogue, orders):
        app.register_blueprint(module.blueprint)
    csrf.exempt(api.blueprint)
    app.extensions["metrics"] = metrics_app(app.extensions["chest"].recorder)
    app.wsgi_app = DispatcherMiddleware(app.wsgi_app, {"/metrics": app.extensions["metrics"]})
    return app


def bind_extensions(app: Flask) -> None:
    """Bind each. The recorder comes after SocketIO, whose requests it is to see, and before what may answer a request."""
    socketio.init_app(app, message_queue=app.config["REDIS_URL"], async_mode="threading")
    recorder.init_app(app)
    talisman.init_app(
        app,
        force_https=app.config["TALISMAN_FORCE_HTTPS"],
        session_cookie_secure=app.config["SESSION_COOKIE_SECURE"],
        content_security_policy={"default-src": "'self'", "script-src": ["'self'", "cdnjs.cloudflare.com"]},
    )
    db.init_app(app)
    migrate.init_app(app, db, directory=str(Path(app.root_path).parent / "migrations"))
    redis.init_app(app)
    for extension in (bcrypt, cache, cors, csrf, limiter, login, mail, moment):
        extension.init_app(app)
    with app.app_context():
        instrument_sqlalchemy(db.engine)
    instrument_redis(redis)
    Dockerflow(app, db=db, redis=redis, migrate=migrate)
    for module in (errors, events, flags, health, jobs, limits, payments):
        module.init_app(app)
