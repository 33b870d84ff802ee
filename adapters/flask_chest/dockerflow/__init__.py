"""Dockerflow for Flask: the core's ``chest.dockerflow`` as an extension, under python-dockerflow's names."""

from __future__ import annotations

from flask_chest.dockerflow import checks
from flask_chest.dockerflow.app import Dockerflow

__all__ = ["Dockerflow", "checks"]
