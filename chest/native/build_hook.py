"""Compiles ``chest.native._native`` while Chest is being built or installed; if that fails, Chest is installed without it."""

from __future__ import annotations

import os
import shutil
import sys
import sysconfig
import tempfile
from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface
from setuptools import Distribution, Extension
from setuptools.command.build_ext import build_ext

MODULE = "chest.native._native"
SOURCES = "chest/native"
UNWANTED = "WSGI_CHEST_PURE_PYTHON"
"""With this in the environment, and not empty or 0, nothing is compiled."""
REQUIRED = "WSGI_CHEST_REQUIRE_NATIVE"
"""With this in the environment, and not empty or 0, a build without the compiled part is an error: for wheels that are published."""
WARNINGS = ("-Wall", "-Wextra", "-Werror")
"""For such a build; a user's compiler may warn of what nobody here has seen, and still build."""


def is_asked_for(variable: str) -> bool:
    """True if this is set in the environment."""
    return os.environ.get(variable, "0") not in ("", "0")


def refuse_interpreter() -> None:
    """End the build of the compiled part if the interpreter or the system has not what it relies on.

    :raises RuntimeError: with the reason.
    """
    if sys.implementation.name != "cpython":
        raise RuntimeError(f"it is for CPython, and this is {sys.implementation.name}")
    if sysconfig.get_config_var("Py_GIL_DISABLED"):
        raise RuntimeError("it relies on the interpreter's lock (GIL), and this is a free-threaded build")
    if sys.platform != "linux":
        raise RuntimeError(f"it is for Linux, and this is {sys.platform}")


class BuildHook(BuildHookInterface[Any]):
    """Adds the compiled module to a wheel; for an editable installation it lies beside its sources."""

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Called by hatchling before each build.

        :param version: ``editable`` or ``standard``.
        :param build_data: what goes into the wheel besides what is there; read by hatchling.
        """
        if is_asked_for(UNWANTED) and is_asked_for(REQUIRED):
            raise RuntimeError(f"{UNWANTED} and {REQUIRED} are both set: unset one of them")
        sources = Path(self.root, SOURCES)
        if version == "editable":
            for stale in sources.glob(
                f"_native{sysconfig.get_config_var('EXT_SUFFIX')}"
            ):  # not that of another interpreter
                stale.unlink()
        if is_asked_for(UNWANTED):
            return
        self._place = tempfile.mkdtemp(prefix="chest-build-")
        try:
            refuse_interpreter()
            compiled = self._compile(sources, is_stripped=version != "editable")
        except Exception as error:  # whatever a compiler that is not there, or another one, leads to
            shutil.rmtree(self._place)
            if is_asked_for(REQUIRED):
                raise
            self.app.display_warning(
                f"Chest is installed without its compiled part, so each request costs more: {error}"
            )
            return
        if version == "editable":
            beside = sources / f".{compiled.name}.new"
            shutil.copy2(compiled, beside)
            beside.replace(sources / compiled.name)  # a process that has the other one open keeps it
        else:
            build_data["force_include"][str(compiled)] = f"{SOURCES}/{compiled.name}"
        build_data["pure_python"] = False
        build_data["infer_tag"] = True

    def finalize(self, version: str, build_data: dict[str, Any], artifact_path: str) -> None:
        """Called by hatchling when the wheel is made."""
        shutil.rmtree(getattr(self, "_place", ""), ignore_errors=True)

    def _compile(self, sources: Path, *, is_stripped: bool) -> Path:
        extension = Extension(
            MODULE,
            [str(sources / "module.c")],
            include_dirs=[str(sources)],
            extra_compile_args=["-std=c11", "-O3", *(WARNINGS if is_asked_for(REQUIRED) else ())],
            extra_link_args=["-Wl,-s"] if is_stripped else [],  # a fifth of the size
            libraries=["pthread", "rt", "dl"],  # before glibc 2.34 semaphores, timers and dlsym are there
        )
        command = build_ext(Distribution({"name": "wsgi-chest", "ext_modules": [extension]}))
        command.build_lib = command.build_temp = self._place
        command.ensure_finalized()
        command.run()
        return Path(self._place, *MODULE.split(".")).with_name(f"_native{sysconfig.get_config_var('EXT_SUFFIX')}")
