"""A hook of MkDocs: the pages that lie beside ``docs/``, the reference, and links that lead out of the site."""

from __future__ import annotations

import inspect
import os
import re
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path
from typing import Any, Final, NamedTuple

from mkdocs.exceptions import PluginError
from mkdocs.structure.files import File, Files

ROOT: Final = Path(__file__).resolve().parents[2]
DOCS: Final = ROOT / "docs"
BESIDE: Final = ("CONTRIBUTING.md", "CHANGELOG.md", "SECURITY.md", "RELEASING.md")
PUBLIC: Final = (
    "chest", "chest.chests", "chest.query", "chest.transfer", "chest.instruments", "chest.metrics", "chest.dashboard", "chest.dockerflow",
    "chest.dockerflow.checks", "chest.gunicorn", "chest.testing", "chest.adapter", "flask_chest", "flask_chest.client",
    "flask_chest.dockerflow", "django_chest", "falcon_chest", "pyramid_chest", "bottle_chest", "celery_chest", "rq_chest", "huey_chest",
    "pytest_chest",
)  # fmt: skip
"""The modules in the order of the reference."""
_OF_PYTHON: Final = ("StartResponse", "WSGIApplication", "WSGIEnvironment")
_WSGIREF: Final = "https://docs.python.org/3/library/wsgiref.html#module-wsgiref.types"
_LINK: Final = re.compile(r"(!?\[[^\]\n]*\])\(([^)\s]+)\)")


def on_files(files: Files, config: Any) -> Files:
    """Add the pages that are made."""
    made = {name: (ROOT / name).read_text() for name in BESIDE}
    made["index.md"] = (ROOT / "README.md").read_text()
    made["reference.md"] = _reference()
    for name, text in made.items():
        files.append(File.generated(config, name, content=_within_the_site(text, ROOT)))
    return files


def on_page_markdown(markdown: str, page: Any, **_: Any) -> str:
    """Have links of the repository lead to pages of the site, or be words if what they lead to is no page."""
    made = page.file.src_uri in (*BESIDE, "index.md", "reference.md")
    return markdown if made else _within_the_site(markdown, (DOCS / page.file.src_uri).parent)


def on_page_content(html: str, page: Any, **_: Any) -> None:
    """Refuse a reference in which a public name is missing.

    :raises PluginError: with the names.
    """
    if page.file.src_uri == "reference.md":
        anchors = {place.anchor for names in _shown().values() for place in names.values()}
        missing = [anchor for anchor in sorted(anchors) if f'id="{anchor}"' not in html]
        if missing:
            raise PluginError(f"reference.md lacks {', '.join(missing)}")


class Place(NamedTuple):
    """Where a name is shown: by its module, or the module itself."""

    module: str
    name: str = ""

    @property
    def anchor(self) -> str:
        return ".".join(filter(None, self))


def _reference() -> str:
    """Each module with what it exports; what is shown elsewhere is a link."""
    parts = ["# Reference", "What may be imported; nothing else is public."]
    for module, names in _shown().items():
        here = [name for name, place in names.items() if place == (module, name)]
        links = [f"[`{name}`](#{place.anchor})" for name, place in names.items() if place != (module, name)]
        parts.append(f"::: {module}\n    options:\n      members: [{', '.join(here)}]")
        parts += [f"`{module}` also exports {', '.join(links)}."] if links else []
    of_python = ", ".join(f"`{name}`" for name in _OF_PYTHON)
    parts.append(f"{of_python} of `chest.adapter` are types of [wsgiref.types]({_WSGIREF}).")
    return "\n\n".join(parts) + "\n"


def _shown() -> dict[str, dict[str, Place]]:
    """For each module, where each of its names is shown: what two modules export is shown with the first."""
    modules = [*PUBLIC]
    first: dict[int, Place] = {}
    shown: dict[str, dict[str, Place]] = {}
    for module in modules:
        shown[module] = {}
        for name, value in _exported(module):
            if inspect.ismodule(value):
                shown[module][name] = Place(value.__name__)
                modules += [value.__name__] if value.__name__ not in modules else []
            else:
                here = Place(module, name)
                shown[module][name] = first.setdefault(id(value), here) if hasattr(value, "__qualname__") else here
    return shown


def _exported(module: str) -> Iterator[tuple[str, Any]]:
    found = import_module(module)
    names = getattr(found, "__all__", None) or [name for name in vars(found) if name.isupper()]
    return ((name, getattr(found, name)) for name in names if name not in _OF_PYTHON)


def _within_the_site(text: str, folder: Path) -> str:
    """The text with its links changed; a picture that the site lacks is left for MkDocs to warn of.

    :param folder: from which links of the text lead.
    """
    at = folder.relative_to(DOCS) if folder.is_relative_to(DOCS) else "."

    def led(found: re.Match[str]) -> str:
        shown, target = found.groups()
        path, _, anchor = target.partition("#")
        if not path or "://" in target:
            return found[0]
        file = _file_of((folder / path).resolve())
        if not file:
            return found[0] if shown.startswith("!") else shown[1:-1]
        return f"{shown}({os.path.relpath(file, at)}{anchor and '#' + anchor})"

    return _LINK.sub(led, text)


def _file_of(file: Path) -> str:
    """The page or picture of the site that a file of the repository is; "" if it is none."""
    if file.suffix in (".md", ".png") and file.is_relative_to(DOCS):
        return str(file.relative_to(DOCS))
    made = {ROOT / name: name for name in BESIDE} | {ROOT / "README.md": "index.md"}
    return made.get(file, "")
