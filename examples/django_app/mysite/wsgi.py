"""The application that the server gets."""

from __future__ import annotations

import os

from django.core.wsgi import get_wsgi_application

from chest import ChestMiddleware

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "mysite.settings")

application = ChestMiddleware(get_wsgi_application())
