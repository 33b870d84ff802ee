"""What a package index shows: the project's links, and the README with links that lead there from anywhere.

Links in the README are relative, for a checkout. The address of the repository stands once, in ``pyproject.toml``
(``[tool.hatch.metadata.hooks.custom]``); without one the index shows the words of a link without the link.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from hatchling.metadata.plugin.interface import MetadataHookInterface

_RELATIVE = re.compile(r"(!?)\[([^\]\n]*)\]\((?!https?://|#)([^)\s]+)\)")
PAGES = {"Documentation": "docs", "Changelog": "CHANGELOG.md", "Security": "SECURITY.md"}
"""Beside the repository and its issues: the path of each in the repository."""


class MetadataHook(MetadataHookInterface):
    """Fills in ``readme`` and ``urls``."""

    def update(self, metadata: dict[str, Any]) -> None:
        """Called by hatchling for each build.

        :param metadata: the table ``project``.
        """
        repository = self.config.get("repository", "").rstrip("/")
        text = Path(self.root, "README.md").read_text(encoding="utf-8")
        metadata["readme"] = {"content-type": "text/markdown", "text": long_description(text, repository)}
        metadata["urls"] = urls(repository)


def urls(repository: str) -> dict[str, str]:
    """The project's links; none without the address of the repository."""
    if not repository:
        return {}
    pages = {name: f"{repository}/blob/main/{path}" for name, path in PAGES.items()}
    return {"Source": repository, "Issues": f"{repository}/issues", **pages}


def long_description(readme: str, repository: str) -> str:
    """The README as an index shows it.

    :param readme: Markdown with links relative to the repository.
    :param repository: the address of the repository; "" if it has none yet.
    """

    def absolute(found: re.Match[str]) -> str:
        image, words, target = found.groups()
        if not repository:
            return "" if image else words
        return f"{image}[{words}]({repository}/{'raw' if image else 'blob'}/main/{target})"

    return _RELATIVE.sub(absolute, readme)
