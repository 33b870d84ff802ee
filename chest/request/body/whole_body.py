"""``whole_bytes``: the body of a Werkzeug response, if it exists as a whole although the response returns an iterator.

Every page of a Flask application is such a response. A complete body is recorded before it is returned, as a list is. Werkzeug is
never imported here.
"""

from __future__ import annotations

import sys
from types import GeneratorType
from typing import Any, Final

WHOLE_KINDS: Final[set[type]] = set()
"""The classes of responses seen so far that return their bodies as Werkzeug's own does; an application has few."""
OF_WERKZEUG: Final[list[Any]] = []
"""Once such a class was seen: the class of the iterator, and the code of the generator within, for the compiled part."""
_MOST_KINDS: Final = 256
"""An application that makes a class for each response has each judged anew."""
_RESPONSES: Final = "werkzeug.wrappers.response"
_NAMES: Final = ("__call__", "get_wsgi_response", "get_app_iter", "iter_encoded", "close")


def whole_bytes(body: Any) -> int:
    """How many bytes the body has, if a response of Werkzeug's returned all of it; -1 for any other body.

    :param body: what an application returned. Nothing of it is iterated.
    """
    werkzeug = sys.modules.get(_RESPONSES)
    try:
        if werkzeug is None or type(body) is not werkzeug.ClosingIterator:
            return -1
        close_chunks, close = body._callbacks  # only one of them if no body is sent: HEAD, 204, 304
        encoded, response = close_chunks.__self__, close.__self__
        if (
            type(encoded) is GeneratorType
            and encoded.gi_code is werkzeug._iter_encoded.__code__
            and close.__func__ is werkzeug.Response.close
            and is_whole(response)
            and type(response.response) in (list, tuple)
        ):
            return sum([len(chunk) if type(chunk) is bytes else len(chunk.encode()) for chunk in response.response])
    except Exception:  # noqa: BLE001 - of another release of Werkzeug's, or chunks that are no text: it is a stream
        pass
    return -1


def is_whole(response: Any) -> bool:
    """True if no callback waits for the end of a response, and its class returns the body as Werkzeug's own does.

    A callback is what ``Response.call_on_close`` adds: its list is private and has no public reader.
    """
    if response._on_close:
        return False
    kind = type(response)
    if kind in WHOLE_KINDS:
        return True
    is_known = _hands_out_as_werkzeug(kind)
    if is_known and len(WHOLE_KINDS) < _MOST_KINDS:
        WHOLE_KINDS.add(kind)
        werkzeug = sys.modules[_RESPONSES]
        encode = getattr(werkzeug, "_iter_encoded", None)
        OF_WERKZEUG[:] = getattr(werkzeug, "ClosingIterator", None), getattr(encode, "__code__", None)
    return is_known


def _hands_out_as_werkzeug(kind: Any) -> bool:
    """True if this class makes the body as Werkzeug's own does, and sets ``Content-Length``."""
    own = sys.modules[_RESPONSES].Response
    return bool(kind.automatically_set_content_length) and all(
        getattr(kind, name) is getattr(own, name) for name in _NAMES
    )
