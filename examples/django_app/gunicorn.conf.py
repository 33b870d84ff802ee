"""How gunicorn runs the project."""

from __future__ import annotations

from chest.gunicorn import worker_exit

__all__ = ["control_socket_disable", "worker_exit", "workers", "wsgi_app"]

wsgi_app = "mysite.wsgi"
workers = 2
control_socket_disable = True  # gunicorn 25.1 and later would put a socket into the user's home
