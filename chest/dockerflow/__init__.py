"""What Mozilla's Dockerflow asks of an application, for any WSGI application; for Flask: ``flask_chest.dockerflow``."""

from __future__ import annotations

from chest.dockerflow.dockerflow import Dockerflow
from chest.dockerflow.middleware import DockerflowMiddleware
from chest.wsgi import Answer

__all__ = ["Answer", "Dockerflow", "DockerflowMiddleware"]
