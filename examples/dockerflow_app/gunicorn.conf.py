import os

from chest.gunicorn import worker_exit  # noqa: F401

bind = f":{os.environ.get('PORT', '8000')}"
workers = 4
wsgi_app = "shop:app"
