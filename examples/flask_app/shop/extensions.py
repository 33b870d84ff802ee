"""The extensions, made once and bound to an application by its factory."""

from __future__ import annotations

from flask_chest import FlaskRecorder

recorder = FlaskRecorder()
