"""``chest.dockerflow.checks``, where python-dockerflow's users of Flask look for them."""

from __future__ import annotations

from chest.dockerflow.checks import *  # noqa: F403
from chest.dockerflow.checks import __all__ as __all__
