"""``chest.dockerflow.checks`` under the import path of python-dockerflow for Flask."""

from __future__ import annotations

from chest.dockerflow.checks import *  # noqa: F403
from chest.dockerflow.checks import __all__ as __all__
