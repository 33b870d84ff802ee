"""``CheckMessage``: one finding of a check, with a level of ``logging``."""

from __future__ import annotations

from typing import Any, ClassVar, Final

DEBUG: Final = 10
INFO: Final = 20
WARNING: Final = 30
ERROR: Final = 40
CRITICAL: Final = 50

STATUSES: Final = {
    0: "ok",
    DEBUG: "debug",
    INFO: "info",
    WARNING: "warning",
    ERROR: "error",
    CRITICAL: "critical",
}


def level_to_text(level: int) -> str:
    """The name of a level; 0 (no message) is ``ok``, and a level without a name ``unknown``."""
    return STATUSES.get(level, "unknown")


class CheckMessage:
    """One finding of a check. Use the subclass for its level, such as :class:`Warning`.

    :param msg: what was found; every client of the heartbeat sees it, so write no secrets.
    :param level: another level than that of the class.
    :param hint: what to do about it.
    :param obj: the object that it is about.
    :param id: tells the kind of message, for ``silenced_checks``; a check that returns two messages needs two ids to show both.
    """

    level: int

    def __init__(
        self,
        msg: Any,
        level: int | None = None,
        hint: Any = None,
        obj: Any = None,
        id: str | None = None,  # noqa: A002 - python-dockerflow's name
    ) -> None:
        self.msg = msg
        if level:
            self.level = int(level)
        self.hint = hint
        self.obj = obj
        self.id = id

    _SHOWN: ClassVar = ("level", "msg", "hint", "obj", "id")

    def __eq__(self, other: object) -> bool:
        return isinstance(other, self.__class__) and all(
            getattr(self, name) == getattr(other, name) for name in self._SHOWN
        )

    __hash__ = None  # type: ignore[assignment]

    def __str__(self) -> str:
        about = "?" if self.obj is None else self.obj
        told_id = f"({self.id}) " if self.id else ""
        hint = f"\n\tHINT: {self.hint}" if self.hint else ""
        return f"{about}: {told_id}{self.msg}{hint}"

    def __repr__(self) -> str:
        shown = ", ".join(f"{name}={getattr(self, name)!r}" for name in self._SHOWN)
        return f"<{type(self).__name__}: {shown}>"

    def is_serious(self, level: int = ERROR) -> bool:
        """True if the message has this level, or a worse one."""
        return self.level >= level


class Debug(CheckMessage):
    """A detail."""

    level = DEBUG


class Info(CheckMessage):
    """Something to know."""

    level = INFO


class Warning(CheckMessage):  # noqa: A001 - python-dockerflow's name
    """Something to look at; the heartbeat still passes."""

    level = WARNING


class Error(CheckMessage):
    """The application does not work as it should: the heartbeat fails."""

    level = ERROR


class Critical(CheckMessage):
    """The application does not work at all: the heartbeat fails."""

    level = CRITICAL
