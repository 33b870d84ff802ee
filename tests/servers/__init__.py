"""The servers that the tests run against, one a file; each is a process of its own that ends with the test run."""

from tests.servers.process import HOST, Server, free_port, is_missing, needs, needs_program
from tests.servers.wsgi import (
    cheroot,
    forking,
    granian,
    gunicorn,
    is_idle,
    pywsgi,
    uwsgi,
    uwsgi_without_threads,
    waitress,
    werkzeug,
    wsgiref,
)

__all__ = [
    "HOST",
    "Server",
    "cheroot",
    "forking",
    "free_port",
    "granian",
    "gunicorn",
    "is_idle",
    "is_missing",
    "needs",
    "needs_program",
    "pywsgi",
    "uwsgi",
    "uwsgi_without_threads",
    "waitress",
    "werkzeug",
    "wsgiref",
]
