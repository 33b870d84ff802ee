"""A view run inside of a request, and its record."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest

from chest import ChestMiddleware, MemoryChest, Record, Recorder

Inside = Callable[..., Record]


@pytest.fixture
def inside(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Inside]:
    """Calls what it is given inside of a request, and gives its record."""
    chest = MemoryChest()
    recorder = Recorder([chest], directory=tmp_path_factory.mktemp("rings"))

    def call(view: Callable[[], object], **environ: Any) -> Record:
        def application(environ: dict[str, Any], start_response: Any) -> list[bytes]:
            view()
            start_response("200 OK", [])
            return []

        app = ChestMiddleware(application, recorder=recorder)
        given = {"REQUEST_METHOD": "GET", "PATH_INFO": "/", "wsgi.url_scheme": "http", "HTTP_X_REQUEST_ID": "r-1"}
        list(app(given | environ, lambda *_: None))
        assert recorder.flush(60)
        return chest.records[-1]

    yield call
    recorder.close()
