"""A hook of MkDocs: the pages that lie beside ``docs/``, the reference, and links that lead out of the site."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import Any, Final

from mkdocs.structure.files import File, Files

ROOT: Final = Path(__file__).resolve().parents[2]
BESIDE: Final = ("CONTRIBUTING.md", "CHANGELOG.md", "SECURITY.md", "RELEASING.md")
PUBLIC: Final = (
    "chest", "chest.chests", "chest.query", "chest.transfer", "chest.dockerflow", "chest.testing", "chest.adapter", "flask_chest",
    "django_chest", "falcon_chest", "pyramid_chest", "bottle_chest", "celery_chest", "rq_chest", "huey_chest",
)  # fmt: skip
_LINK: Final = re.compile(r"\[([^\]\n]*)\]\(([^)\s]+)\)")


def on_files(files: Files, config: Any) -> Files:
    """Add the pages that are made."""
    made = {name: (ROOT / name).read_text() for name in BESIDE}
    made["index.md"] = (ROOT / "README.md").read_text()
    names = "\n\n".join(f"::: {module}" for module in PUBLIC)
    made["reference.md"] = f"# Reference\n\nWhat may be imported; nothing else is public.\n\n{names}\n"
    for name, text in made.items():
        files.append(File.generated(config, name, content=_within_the_site(text, ROOT)))
    return files


def on_page_markdown(markdown: str, page: Any, **_: Any) -> str:
    """Have links of the repository lead to pages of the site, or be words if what they lead to is no page."""
    made = page.file.src_uri in (*BESIDE, "index.md", "reference.md")
    return markdown if made else _within_the_site(markdown, (ROOT / "docs" / page.file.src_uri).parent)


def _within_the_site(text: str, folder: Path) -> str:
    """The text with its links changed.

    :param folder: from which links of the text lead.
    """
    at = folder.relative_to(ROOT / "docs") if folder.is_relative_to(ROOT / "docs") else "."

    def led(found: re.Match[str]) -> str:
        words, target = found.groups()
        path, _, anchor = target.partition("#")
        if not path or "://" in target:
            return found[0]
        page = _page_of((folder / path).resolve())
        return f"[{words}]({os.path.relpath(page, at)}{anchor and '#' + anchor})" if page else words

    return _LINK.sub(led, text)


def _page_of(file: Path) -> str:
    """The page of the site that a file of the repository is; "" if it is none."""
    if file.suffix == ".md" and file.is_relative_to(ROOT / "docs"):
        return str(file.relative_to(ROOT / "docs"))
    made = {ROOT / name: name for name in BESIDE} | {ROOT / "README.md": "index.md"}
    return made.get(file, "")
