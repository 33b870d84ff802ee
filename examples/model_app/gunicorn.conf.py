"""How gunicorn runs the shop."""

from __future__ import annotations

from chest.gunicorn import worker_exit

__all__ = ["control_socket_disable", "threads", "worker_class", "worker_exit", "workers", "wsgi_app"]

wsgi_app = "shop:create_app()"
workers = 2
worker_class = "gthread"
threads = 8  # an open websocket takes one
control_socket_disable = True  # gunicorn 25.1 and later would put a socket into the user's home
