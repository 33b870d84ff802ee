"""``chest.dockerflow.checks.messages``, where python-dockerflow's users of Flask look for them."""

from __future__ import annotations

from chest.dockerflow.checks.messages import *  # noqa: F403
