"""The trace that a request belongs to, by its ``traceparent`` header (W3C Trace Context, section 3.2)."""

from __future__ import annotations

import re
from typing import Final

_TRACEPARENT: Final = re.compile(r"(?!ff)[0-9a-f]{2}-(?!0{32})([0-9a-f]{32})-(?!0{16})[0-9a-f]{16}-[0-9a-f]{2}(?:-.*)?")


def trace_id_of(traceparent: object) -> str | None:
    """The trace id of a valid header; an invalid one is ignored as a whole."""
    match = _TRACEPARENT.fullmatch(traceparent) if isinstance(traceparent, str) else None
    return None if match is None else match[1]
