"""The file of an ndjson chest: whole blocks of lines, appended one after the other, plain or compressed.

A gzip file may consist of members, one after the other (RFC 1952, 2.2), and a reader sees their contents joined. A
block is one member here, and says its length in an extra field of its header (2.3.1.1): so the end of the last whole one is
found without unpacking them, and what a killed writer left behind it is cut off before more is appended.
"""

from __future__ import annotations

import struct
import zlib
from abc import ABC, abstractmethod
from collections.abc import Iterator
from typing import BinaryIO, Final, NamedTuple

from chest.errors import SchemaMismatch

__all__ = ["Block", "GzipLines", "Lines", "PlainLines"]

_HEADER: Final = struct.Struct("<4sIBBHBBHI")
"""Magic, method and flags; no time; no hint; unknown system; length of the extra field; its name, its length, its value."""
_GZIP: Final = b"\x1f\x8b\x08\x04"
_NAME: Final = (ord("C"), ord("H"))
_TRAILER: Final = struct.Struct("<II")
_LEVEL: Final = 6
_SCANNED_AT_ONCE: Final = 64 * 1024


class Block(NamedTuple):
    """Some lines, and where they stand in the file."""

    start: int
    end: int
    lines: bytes


class Lines(ABC):
    """How blocks are packed."""

    @abstractmethod
    def packed(self, lines: bytes) -> bytes:
        """A block of these lines, as it is appended."""

    @abstractmethod
    def blocks(self, file: BinaryIO, start: int) -> Iterator[Block]:
        """The whole blocks from this place on; what a writer left unfinished at the end is passed over."""

    @abstractmethod
    def whole_end(self, file: BinaryIO, start: int) -> int:
        """Where the last whole block ends, if one begins or ends at ``start``."""

    @abstractmethod
    def last_block(self, file: BinaryIO) -> Block | None:
        """The last whole block."""


class PlainLines(Lines):
    """Text as it is; a block is a line."""

    def packed(self, lines: bytes) -> bytes:
        return lines

    def blocks(self, file: BinaryIO, start: int) -> Iterator[Block]:
        file.seek(start)
        for line in file:
            if line.endswith(b"\n"):
                yield Block(start, start := start + len(line), line)

    def whole_end(self, file: BinaryIO, start: int) -> int:
        end = file.seek(0, 2)  # and not from ``start``, which another file in its place may have within a line
        while end:
            begin = max(0, end - _SCANNED_AT_ONCE)
            file.seek(begin)
            newline = file.read(end - begin).rfind(b"\n")
            if newline >= 0:
                return begin + newline + 1
            end = begin
        return 0

    def last_block(self, file: BinaryIO) -> Block | None:
        end = self.whole_end(file, 0)
        if not end:
            return None
        begin = end - 1
        while begin:
            scanned_from = max(0, begin - _SCANNED_AT_ONCE)
            file.seek(scanned_from)
            newline = file.read(begin - scanned_from).rfind(b"\n")
            begin = scanned_from if newline < 0 else scanned_from + newline + 1
            if newline >= 0:
                break
        file.seek(begin)
        return Block(begin, end, file.read(end - begin))


class GzipLines(Lines):
    """Compressed; a block is a member."""

    def packed(self, lines: bytes) -> bytes:
        deflate = zlib.compressobj(_LEVEL, zlib.DEFLATED, -zlib.MAX_WBITS)
        body = deflate.compress(lines) + deflate.flush()
        length = _HEADER.size + len(body) + _TRAILER.size
        header = _HEADER.pack(_GZIP, 0, 0, 255, 8, *_NAME, 4, length)
        return header + body + _TRAILER.pack(zlib.crc32(lines), len(lines) & 0xFFFFFFFF)

    def blocks(self, file: BinaryIO, start: int) -> Iterator[Block]:
        for begin, end in self._members(file, start):
            yield self._block(file, begin, end)

    def whole_end(self, file: BinaryIO, start: int) -> int:
        for _, end in self._members(file, start):
            start = end
        return start

    def last_block(self, file: BinaryIO) -> Block | None:
        last = None
        for member in self._members(file, 0):
            last = member
        return None if last is None else self._block(file, *last)

    def _members(self, file: BinaryIO, start: int) -> Iterator[tuple[int, int]]:
        size = file.seek(0, 2)
        while start + _HEADER.size <= size:
            file.seek(start)
            magic, *_, first, second, _, length = _HEADER.unpack(file.read(_HEADER.size))
            if magic != _GZIP or (first, second) != _NAME:
                raise SchemaMismatch("it is not a file that Chest compressed: name a new one")
            if start + length > size:
                return
            yield start, start + length
            start += length

    def _block(self, file: BinaryIO, begin: int, end: int) -> Block:
        file.seek(begin)
        try:
            return Block(begin, end, zlib.decompress(file.read(end - begin), 16 + zlib.MAX_WBITS))
        except zlib.error as error:
            raise SchemaMismatch(f"it is damaged at byte {begin} ({error})") from error
