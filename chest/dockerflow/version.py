"""``get_version``: reads the version object that a deployment put beside the application."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

__all__ = ["get_version"]


def get_version(root: str | os.PathLike[str]) -> dict[str, Any] | None:
    """The content of ``version.json``; None if the file does not exist.

    :param root: the directory of the file.
    :raises ValueError: the file does not hold a JSON object.
    :raises OSError: the file exists and cannot be read.
    """
    file = Path(root, "version.json")
    if not file.exists():
        return None
    version = json.loads(file.read_bytes())
    if not isinstance(version, dict):
        raise ValueError(f"it holds a {type(version).__name__}, not a JSON object")
    return version
