"""``get_version``: the version object that a deployment left beside the application."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

__all__ = ["get_version"]


def get_version(root: str | os.PathLike[str]) -> dict[str, Any] | None:
    """The content of ``version.json``; None where there is no such file.

    :param root: the directory in which it lies.
    :raises ValueError: the file is no JSON object.
    :raises OSError: it is there and cannot be read.
    """
    file = Path(root, "version.json")
    if not file.exists():
        return None
    version = json.loads(file.read_bytes())
    if not isinstance(version, dict):
        raise ValueError(f"it holds a {type(version).__name__}, and no JSON object")
    return version
