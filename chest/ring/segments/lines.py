"""The lines in a segment: whole ones, and how NUL bytes of a lost page are read."""

from __future__ import annotations

import mmap
from typing import Any, Final, NamedTuple

_PIECE_BYTES: Final = 64 * 1024
_USUAL_LINE_BYTES: Final = 256
_PAGE_BYTES: Final = 4096
"""The smallest page: what a file system loses is no less."""


class Lines(NamedTuple):
    """Whole lines as they stand in a segment."""

    data: bytes
    """Empty if no line is whole there."""
    hole: int | None
    """Offset of the first NUL byte behind them; None if the piece that was read has none."""


def whole_lines(segment: Any, begin: int, limit: int, end: int | None = None) -> Lines:
    """About ``limit`` bytes of lines from ``begin`` on, up to the first NUL byte; a line longer than that comes whole.

    :param end: offset up to which the segment is written; None if only its bytes show it.
    """
    end = len(segment) if end is None else end
    piece = segment[begin : min(begin + limit, end)]
    hole = piece.find(b"\0")
    if hole < 0 and b"\n" not in piece:
        piece = segment[begin:end]
        hole = piece.find(b"\0")
    data = piece[: piece.rfind(b"\n", 0, len(piece) if hole < 0 else hole) + 1]
    return Lines(data, None if hole < 0 else begin + hole)


class Hole(NamedTuple):
    """NUL bytes between lines: a page that was lost."""

    end: int
    """Offset of the next whole line; the line that began in the hole is lost."""
    lines: int
    """About how many were lost, by the length of those around."""


def hole_at(segment: mmap.mmap, begin: int, end: int) -> Hole | None:
    """The first NUL bytes between two positions that have lines behind them; None if nothing more was written."""
    data = segment[begin:end]
    before, nul, behind = data.partition(b"\0")
    rest = behind.lstrip(b"\0")
    if not nul or not rest:
        return None
    whole = rest.partition(b"\n")[2]
    return Hole(end - len(whole), lines_of(len(data) - len(before) - len(whole), before + whole.replace(b"\0", b"")))


def lost_page_at(segment: mmap.mmap, begin: int) -> Hole | None:
    """As :func:`hole_at`, of a segment that is being written: the line that is being copied is no hole."""
    hole = segment.find(b"\0", begin)
    if hole < 0:
        return None
    end_of_hole = next_written(segment, hole)
    if end_of_hole == len(segment) or is_unfinished_line(segment, hole, end_of_hole):
        return None
    return hole_at(segment, begin, len(segment))


def lines_of(size: int, others: bytes = b"") -> int:
    """About how many lines so many bytes were, by these others beside them."""
    count = others.count(b"\n")
    return max(1, round(size * count / len(others) if count else size / _USUAL_LINE_BYTES))


def next_written(segment: Any, begin: int) -> int:
    """Offset of the first byte other than NUL, from ``begin`` on; the segment's end if all are NUL.

    Behind the first NUL nothing is written; but a file system may have lost a page between the lines.
    """
    for start in range(begin, len(segment), _PIECE_BYTES):
        piece = segment[start : start + _PIECE_BYTES].lstrip(b"\0")
        if piece:
            return min(start + _PIECE_BYTES, len(segment)) - len(piece)
    return len(segment)


def is_unfinished_line(segment: Any, hole: int, end_of_hole: int) -> bool:
    """True if NUL bytes stand in the last line because its copying has not ended, or was cut off by a kill.

    Its offer has not returned, so nothing is lost. Many processors copy the end of a line before its middle. A lost page
    ends where a page ends; the copying of a long line stops there by a chance of one in thousands.
    """
    if end_of_hole - hole >= _PAGE_BYTES and end_of_hole % _PAGE_BYTES == 0:
        return False
    rest = segment[end_of_hole:].rstrip(b"\0")
    return rest.find(b"\n") in (-1, len(rest) - 1)
