"""A shop that says how it is: Dockerflow's paths, and ``request.summary`` in mozlog on standard output."""

from logging.config import dictConfig

from flask import Flask, abort
from flask_chest import FlaskRecorder
from flask_chest.dockerflow import Dockerflow, checks

PRICES = {1: 12, 2: 30}

dictConfig(
    {
        "version": 1,
        "disable_existing_loggers": False,
        "filters": {"request_id": {"()": "chest.dockerflow.RequestIdLogFilter"}},
        "handlers": {
            "console": {
                "class": "chest.dockerflow.MozlogHandler",
                "name": "shop",
                "filters": ["request_id"],
            }
        },
        "root": {"handlers": ["console"], "level": "INFO"},
    }
)

app = Flask(__name__)
app.config.from_prefixed_env()
FlaskRecorder(app)
dockerflow = Dockerflow(app)  # version.json lies beside this package


@checks.register
def prices_known():
    return [] if PRICES else [checks.Error("There are no prices", id="shop.health.E001")]


@app.get("/items/<int:item_id>")
def item(item_id):
    if item_id not in PRICES:
        app.logger.warning("Nobody sells item %s", item_id)
        abort(404)
    return {"price": PRICES[item_id]}
