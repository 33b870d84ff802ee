"""Tests over another build of the compiled part: the one that counts which of its lines run (``make coverage``)."""

from __future__ import annotations

import ctypes
import os
import sys
from importlib.util import module_from_spec, spec_from_file_location
from typing import Final

BUILD_VARIABLE: Final = "NATIVE_BUILD_OF_TESTS"
"""The environment variable with the path of that build; without it the installed one is used."""

_MODULE: Final = "chest.native._native"


def load_build() -> None:
    """Have ``chest`` find that build; to be called before ``chest`` is imported."""
    path = os.environ.get(BUILD_VARIABLE)
    spec = spec_from_file_location(_MODULE, path) if path else None
    if spec is not None and spec.loader is not None:
        sys.modules[_MODULE] = module = module_from_spec(spec)
        spec.loader.exec_module(module)


def pytest_unconfigure() -> None:
    """Write what was counted; a worker of pytest-xdist ends without what C does at exit."""
    path = os.environ.get(BUILD_VARIABLE)
    if path:
        ctypes.CDLL(path).write_coverage()
