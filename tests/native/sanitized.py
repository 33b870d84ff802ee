"""``python -m tests.native.sanitized``: the tests of the compiled part with AddressSanitizer and UndefinedBehaviorSanitizer in it.

Further arguments are pytest's. Python is started again with the sanitizer's library loaded first, which gcc needs.
"""

from __future__ import annotations

import importlib.machinery
import importlib.util
import os
import subprocess
import sys
import sysconfig
import tempfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
BUILT = "CHEST_SANITIZED_MODULE"
FLAGS = "-std=c11 -O1 -g -fno-omit-frame-pointer -fsanitize=address,undefined -fno-sanitize-recover=undefined -shared -fPIC".split()
_TIMEOUT_SECONDS = 1800
"""Of one test: with sanitizers in it, on a busy machine, one takes ten times as long."""
# These install Chest again, or start processes that get no sanitizer.
LEFT_OUT = ["test_without_a_compiler", "test_another_interpreter"]
TESTS = ["tests/native", "tests/adapters/flask_chest/test_dispatch.py"]
"""Those that run each file of the compiled part."""


def build(module: Path) -> None:
    """Compile ``chest.native._native`` with the sanitizers."""
    sources = ROOT / "chest/native"
    includes = [f"-I{sources}", f"-I{sysconfig.get_path('include')}"]
    subprocess.run(
        ["gcc", *FLAGS, *includes, str(sources / "module.c"), "-o", str(module), "-lpthread", "-lrt", "-ldl"],
        check=True,
    )


def run(module: str, arguments: list[str]) -> int:
    """Run the tests with this module in the place of the one that is installed."""
    spec = importlib.util.spec_from_file_location(
        "chest.native._native", module, loader=importlib.machinery.ExtensionFileLoader("chest.native._native", module)
    )
    assert spec is not None
    assert spec.loader is not None
    loaded = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(loaded)
    sys.modules["chest.native._native"] = loaded
    kept = " and ".join(f"not {name}" for name in LEFT_OUT)
    return pytest.main(
        [*(arguments or TESTS), "-q", "-p", "no:cacheprovider", f"--timeout={_TIMEOUT_SECONDS}", "-k", kept]
    )


def main() -> int:
    """Build, and start Python again; the exit code is pytest's, or the sanitizer's."""
    if BUILT in os.environ:
        return run(os.environ[BUILT], sys.argv[1:])
    with tempfile.TemporaryDirectory(prefix="chest-sanitized-") as place:
        module = Path(place, "_native.so")
        build(module)
        library = subprocess.run(
            ["gcc", "-print-file-name=libasan.so"], check=True, capture_output=True, text=True
        ).stdout.strip()
        # Python's own leaks at its end are not Chest's, a bus error is what some tests wait for; its allocator would hide what lies beside an object.
        changed = {
            "LD_PRELOAD": library,
            "ASAN_OPTIONS": "detect_leaks=0:handle_sigbus=0",
            "PYTHONMALLOC": "malloc",
            BUILT: str(module),
        }
        command = [sys.executable, "-m", "tests.native.sanitized", *sys.argv[1:]]
        return subprocess.run(command, env=os.environ | changed, cwd=ROOT, check=False).returncode


if __name__ == "__main__":
    sys.exit(main())
