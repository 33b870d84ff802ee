"""What users import of the stores, from one place."""

from __future__ import annotations

import subprocess
import sys

import pytest

import chest.chests
from chest.errors import MissingDependencyError


@pytest.mark.parametrize("name", chest.chests.__all__)
def test_a_name_is_exported_as_what_it_is_called(name: str) -> None:
    exported = getattr(chest.chests, name)
    assert (
        name == "Cursor" or exported.__name__ == name
    )  # which is a union: it has no name, or another one from 3.14 on
    assert name in dir(chest.chests)


def test_importing_the_contract_and_a_chest_loads_no_driver_of_the_others() -> None:
    code = """
import sys
from chest.chests import Chest, LogChest, MemoryChest, Query, ReadableChest, StoredRecord, open_chest
print([name for name in ("sqlalchemy", "sqlite3", "pymongo", "httpx", "influxdb_client") if name in sys.modules])
"""
    finished = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=300, check=True)
    assert finished.stdout == "[]\n"


def test_a_class_whose_driver_is_missing_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    for loaded in [name for name in sys.modules if name.startswith("chest.chests.mongodb")]:
        monkeypatch.delitem(sys.modules, loaded)
    monkeypatch.setitem(sys.modules, "pymongo", None)
    with pytest.raises(MissingDependencyError, match=r"pip install 'wsgi-chest\[mongo\]'"):
        from chest.chests import MongoChest  # noqa: F401


def test_a_name_that_is_not_exported_is_an_import_error() -> None:
    with pytest.raises(ImportError, match="NoSuchChest"):
        from chest.chests import NoSuchChest  # type: ignore[attr-defined]  # noqa: F401
