"""The fenced blocks of the documents: each is run by a test, or a reason says why none runs it."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import Final, NamedTuple

ROOT: Final = Path(__file__).parent.parent
DOCUMENTS: Final = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").glob("*.md")])
EXAMPLES: Final = sorted((ROOT / "examples").rglob("*.md"))
FENCE: Final = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)


class Block(NamedTuple):
    """A fenced block of a document."""

    document: Path
    line: int
    language: str
    text: str

    def __str__(self) -> str:
        return f"{self.document.name}:{self.line}"

    @property
    def place(self) -> str:
        """The path of its document."""
        return self.document.relative_to(ROOT).as_posix()

    @property
    def has_commands(self) -> bool:
        """Not code of Python, which is all run, nor a picture or what a command prints."""
        if self.language == "text":
            return re.search(r"^(\$ |chest )", self.text, re.MULTILINE) is not None
        return self.language != "python"


def blocks_of(document: Path) -> Iterator[Block]:
    """Its blocks, from the first to the last."""
    text = document.read_text()
    for match in FENCE.finditer(text):
        yield Block(document, text.count("\n", 0, match.start()) + 1, match[1], match[2])


def block_of(place: str, begin: str) -> Block:
    """The only block of a document that begins so."""
    (found,) = (block for block in blocks_of(ROOT / place) if block.text.startswith(begin))
    return found


def chest_commands(block: Block, places: dict[str, str]) -> list[list[str]]:
    """The arguments of each ``chest ...`` of a block, with other places in them, and so that each ends by itself.

    :param places: expressions, and what stands here for what they match.
    """
    commands = []
    for line in block.text.splitlines():
        words = shlex.split(line.removeprefix("$ "))
        if words[:1] != ["chest"]:
            continue
        for expression, here in places.items():
            words = [re.sub(expression, lambda _, here=here: here, word) for word in words]
        if words[1] == "drain":
            words.append("--once")
        if words[1] == "forget" and "--dry-run" not in words:
            words.append("--yes")
        commands.append([word for word in words[1:] if word != "--follow"])
    return commands
