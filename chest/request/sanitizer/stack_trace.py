"""``stack_of``: the place where an exception was raised, as short text without values of the program."""

from __future__ import annotations

from types import TracebackType
from typing import Final

STACK: Final = "exception.stacktrace"
"""OpenTelemetry's name, and the attribute of the record."""
_MOST_FRAMES: Final = 10
_OWN: Final = (
    "chest.request.", "chest.middleware", "chest.dockerflow.",
    "flask_chest.", "django_chest", "falcon_chest", "bottle_chest", "pyramid_chest",
)  # fmt: skip
"""Modules of Chest's that stand between a server, an application and its framework."""
_PACKAGES: Final = "site-packages/"


def stack_of(error: BaseException) -> str:
    """The last 10 frames of an exception's traceback in Python's form, and its class; "" if it has no traceback.

    Without lines of source, which would be read from files while a request waits, without the exception's message, and without
    frames of Chest's own. A file of an installed package is named from its package on.
    """
    try:
        trace: TracebackType | None = error.__traceback__
        traces: list[TracebackType] = []
        while trace is not None:
            traces.append(trace)
            trace = trace.tb_next
        frames: list[str] = []
        for trace in reversed(traces):
            frame, code = trace.tb_frame, trace.tb_frame.f_code
            if not str(frame.f_globals.get("__name__")).startswith(_OWN):
                file = code.co_filename.rpartition(_PACKAGES)[2]
                frames.append(f'  File "{file}", line {trace.tb_lineno}, in {code.co_qualname}')
                if len(frames) == _MOST_FRAMES:
                    break
        if not frames:
            return ""
        name = type.__dict__["__name__"].__get__(type(error))
        return "\n".join(["Traceback (most recent call last):", *reversed(frames), name])
    except Exception:  # noqa: BLE001 - globals of the application's making
        return ""
