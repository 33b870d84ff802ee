"""A chat on Socket.IO: a record for each event, with the id of the handshake."""

from __future__ import annotations

from flask import Flask
from flask_socketio import emit, join_room

from chest import current
from shop.extensions import socketio


@socketio.on("join")
def join(room: str) -> None:
    """Enter a room."""
    current()["room"] = room
    join_room(room)
    emit("joined", room)


@socketio.on("say")
def say(text: str) -> None:
    """Tell everyone; an exception ends the event, not the connection."""
    if not text:
        raise ValueError("nothing to say")
    emit("said", text, broadcast=True)


def init_app(app: Flask) -> None:
    """The handlers are registered when this module is imported."""
