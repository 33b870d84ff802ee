"""The servers that the tests run against, one a file; each is a process of its own that ends with the test run."""

from tests.servers.process import HOST, Server, free_port, needs, needs_program
from tests.servers.wsgi import gunicorn, is_idle, uwsgi, uwsgi_without_threads, waitress, werkzeug, wsgiref

__all__ = [
    "HOST",
    "Server",
    "free_port",
    "gunicorn",
    "is_idle",
    "needs",
    "needs_program",
    "uwsgi",
    "uwsgi_without_threads",
    "waitress",
    "werkzeug",
    "wsgiref",
]
