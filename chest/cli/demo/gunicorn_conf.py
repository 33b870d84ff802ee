"""How the demonstration runs gunicorn: two processes of four threads, and a hook that drains a worker that ends."""

from __future__ import annotations

from chest.gunicorn import worker_exit

__all__ = ["control_socket_disable", "graceful_timeout", "threads", "timeout", "worker_class", "worker_exit", "workers"]

workers = 2
worker_class = "gthread"
threads = 4
timeout = 30
graceful_timeout = 4
control_socket_disable = True  # gunicorn 25.1 and later would put a socket into the user's home
