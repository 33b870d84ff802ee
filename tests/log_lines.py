"""The texts that Chest logs as warnings and errors, as its source has them."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).parent.parent
_METHODS: Final = frozenset(("warning", "error", "exception", "critical", "recovered"))
_ELSEWHERE: Final = ("chest/cli", "adapters/pytest_chest")
"""Where nothing runs beside an application."""


def log_texts() -> set[str]:
    """Each text, with ``...`` in the place of what differs from one time to another."""
    return {
        text for package in ("chest", "adapters") for file in (ROOT / package).rglob("*.py") for text in _texts_of(file)
    }


def _texts_of(file: Path) -> Iterator[str]:
    if file.relative_to(ROOT).as_posix().startswith(_ELSEWHERE):
        return
    for node in ast.walk(ast.parse(file.read_text())):
        if (
            isinstance(node, ast.Call)
            and isinstance(node.func, ast.Attribute)
            and node.func.attr in _METHODS
            and node.args
        ):
            text = _text_of(node.args[0])
            if re.search(r"[a-z]{2} [a-z]{2}|[a-z]{3,} ", text):
                yield text


def _text_of(node: ast.expr) -> str:
    if isinstance(node, ast.JoinedStr):
        return "".join(part.value if isinstance(part, ast.Constant) else "..." for part in node.values)
    if isinstance(node, ast.Constant) and isinstance(node.value, str):
        return re.sub(r"%(?:\.\d+)?[sdrg]", "...", node.value)
    return ""
