"""Feature flags, from the config; a record says which flags its request asked for, and what they said."""

from __future__ import annotations

from flask import Flask, current_app

from chest import current


def is_active(name: str) -> bool:
    """True if the feature is on."""
    active = name in current_app.config["FLAGS"]
    current()[f"flag.{name}"] = active
    return active


def init_app(app: Flask) -> None:
    """Templates may ask, too."""
    app.jinja_env.globals["is_active"] = is_active
