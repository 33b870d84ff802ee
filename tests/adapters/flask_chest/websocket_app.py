"""A Flask application with Socket.IO, and with a websocket of flask-sock's, for the servers of ``test_websockets``."""

from __future__ import annotations

import os
from typing import Any

from flask import Flask, g
from flask_chest import FlaskRecorder, flask_chest
from flask_sock import Sock
from flask_socketio import SocketIO

app = Flask(__name__)
app.secret_key = "of a test"
socketio = SocketIO(app, async_mode=os.environ["SOCKETIO_MODE"])
sock = Sock(app)
recorder = FlaskRecorder(app)
recorder.record_events(socketio)


@socketio.on("join")
@flask_chest(chests=[os.environ["EVENTS_URL"]], tracked_vars={"GET": ["room"]}, raise_exceptions=True)
def join(data: dict[str, Any]) -> None:
    g.room = data["room"]


@socketio.on("join_later")
@flask_chest(chests=[os.environ["EVENTS_URL"]], tracked_vars={"GET": ["room"]}, raise_exceptions=False)
def join_later(data: dict[str, Any]) -> None:
    g.room = data["room"]


@sock.route("/echo")
def echo(ws: Any) -> None:
    ws.send(ws.receive())
