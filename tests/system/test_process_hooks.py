"""What a process is told by its server."""

from __future__ import annotations

import sys
import types
from typing import Any

import pytest

from chest.system.process_hooks import lack_of_threads


@pytest.mark.parametrize(
    ("release", "options", "is_lacking"),
    [
        ((2, 0, 26, 0, b""), {}, True),
        ((2, 0, 26, 0, b""), {"enable-threads": b"false"}, True),
        ((2, 0, 26, 0, b""), {"enable-threads": True}, False),
        ((2, 0, 26, 0, b""), {"enable-threads": b"true"}, False),
        ((2, 0, 26, 0, b""), {"threads": b"2"}, False),
        ((2, 0, 27, 0, b""), {}, False),
        ((2, 1, 0, 0, b"dev"), {"enable-threads": b"false"}, False),
    ],
)
def test_a_uwsgi_that_runs_no_threads_by_itself_is_told_by_its_release_and_its_options(
    monkeypatch: pytest.MonkeyPatch, release: tuple[Any, ...], options: dict[str, Any], is_lacking: bool
) -> None:
    uwsgi: Any = types.ModuleType("uwsgi")
    uwsgi.version_info, uwsgi.opt = release, options
    monkeypatch.setitem(sys.modules, "uwsgi", uwsgi)
    notice = lack_of_threads()
    assert (notice is not None) == is_lacking
    if notice is not None:
        assert "uWSGI 2.0.26" in notice
        assert "--enable-threads" in notice


def test_nothing_is_lacking_elsewhere(monkeypatch: pytest.MonkeyPatch) -> None:
    assert lack_of_threads() is None
    monkeypatch.setitem(sys.modules, "uwsgi", types.ModuleType("uwsgi"))  # some other module of that name
    assert lack_of_threads() is None
