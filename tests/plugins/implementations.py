"""Each test of the request's path runs once for each implementation: compiled, in Python alone, and without orjson.

``make quick`` runs the first alone.

What serves is decided when ``chest`` is imported. So a test module is collected once more for each other implementation, with
all modules of Chest and of the tests loaded anew beside a module that is missing. The modules are exchanged before and after
each of its tests.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from types import ModuleType
from typing import Final

import pytest

from chest.native import IS_NATIVE
from tests.plugins.kinds import uses_server
from tests.processes import ROOT
from tests.support import IS_QUICK

_EXCHANGED: Final = frozenset(
    {"chest", "flask_chest", "django_chest", "falcon_chest", "bottle_chest", "pyramid_chest", "tests"}
)


class Implementation:
    """A plugin that collects the tests of some paths once more, over modules of which one is missing.

    :param name: stands in the names of the tests.
    :param missing: the module that cannot be imported.
    :param paths: files and folders of tests.
    """

    def __init__(self, name: str, missing: str, *paths: str) -> None:
        self.name = name
        self._missing = missing
        self._paths = tuple(ROOT / path for path in paths)
        self.is_tested_by = cache(self._is_tested_by)  # all tests of a file ask
        self._other_modules: dict[str, ModuleType | None] = {missing: None}

    def _is_tested_by(self, path: Path) -> bool:
        """True if the tests of this file run with this implementation."""
        return IS_NATIVE and not IS_QUICK and any(path.is_relative_to(each) for each in self._paths)

    def pytest_collect_file(self, file_path: Path, parent: pytest.Collector) -> pytest.Collector | None:
        """One more collector of a test module, beside pytest's own."""
        if not (file_path.match("test_*.py") and self.is_tested_by(file_path)):
            return None
        module: OtherModule = OtherModule.from_parent(parent, path=file_path)
        module.implementation = self
        return module

    @contextmanager
    def imported(self) -> Iterator[None]:
        """In this block, what is imported of Chest and of the tests has been loaded without the missing module."""
        self._exchange_modules()
        try:
            yield
        finally:
            self._exchange_modules()

    def _exchange_modules(self) -> None:
        names = [name for name in sys.modules if name.partition(".")[0] in _EXCHANGED or name == self._missing]
        these = {name: sys.modules.pop(name) for name in names}
        sys.modules.update(self._other_modules)  # type: ignore[arg-type]
        self._other_modules = {**these}


OTHERS: Final = (
    Implementation(
        "python", "chest.native._native",
        "tests/request", "tests/ring", "tests/protocol", "tests/native/test_hostile_applications.py",
        "tests/adapters/flask_chest/test_extension.py", "tests/delivery/test_background.py", "tests/record/test_record_id.py",
    ),
    Implementation(
        "no_orjson", "orjson",
        "tests/request/middleware", "tests/request/test_record_emitter.py", "tests/ring/test_ring.py",
    ),
)  # fmt: skip


class OtherModule(pytest.Module):
    """A test module that is loaded over another implementation."""

    implementation: Implementation

    def collect(self) -> list[pytest.Item | pytest.Collector]:
        """The tests but for those of servers, which are processes of their own."""
        with self.implementation.imported():
            found = list(super().collect())
        return [test for test in found if not (isinstance(test, pytest.Function) and uses_server(test))]


def pytest_configure(config: pytest.Config) -> None:
    """Have the other implementations collect too."""
    for implementation in OTHERS:
        config.pluginmanager.register(implementation)


@pytest.fixture(scope="module", autouse=True)
def implementation(request: pytest.FixtureRequest) -> str:
    """What serves: ``native``, ``python``, or what ``OTHERS`` names."""
    chosen: str = getattr(request, "param", "native" if IS_NATIVE else "python")
    return chosen


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Have the implementation in the test's name, if it runs with more than one."""
    module = metafunc.definition.getparent(pytest.Module)
    assert module is not None
    if any(implementation.is_tested_by(module.path) for implementation in OTHERS):
        name = module.implementation.name if isinstance(module, OtherModule) else "native"
        metafunc.parametrize("implementation", [name], indirect=True, scope="module")


@pytest.hookimpl(wrapper=True)
def pytest_runtest_protocol(item: pytest.Item) -> Iterator[object]:
    """Set up, call and tear down over the modules that the test was collected with."""
    module = item.getparent(pytest.Module)
    if not isinstance(module, OtherModule):
        return (yield)
    with module.implementation.imported():
        return (yield)
