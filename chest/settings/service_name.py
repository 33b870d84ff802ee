"""``service_of``: the default of the option ``service``, from the application itself.

The module that calls Chest has no say: a company's shared subclass of ``ChestMiddleware`` would make all its applications one
service, with one directory and one store.
"""

from __future__ import annotations

import os
import sys
import sysconfig
from collections.abc import Iterator
from functools import partial
from inspect import isclass, isroutine
from pathlib import Path
from typing import Any, Final

DEFAULT_SERVICE: Final = "app"
_INNER: Final = ("app", "wsgi_app", "application")
"""Under these names a middleware keeps what it wraps: werkzeug, whitenoise, Django's static files, and most others."""
_DEPTH: Final = 20


def service_of(app: object) -> str | None:
    """The name of an application; None if it says nothing of itself.

    Looked at are the application and, behind middleware, what it wraps. The first that has one of these gives the name:

    1. ``import_name``, as Flask's ``app`` has;
    2. Django's handler: the first part of ``DJANGO_SETTINGS_MODULE``;
    3. Pyramid's router: the package of its configuration;
    4. a function or a class: its module;
    5. an object whose class is not of an installed package: the module of the class;
    6. another object (``falcon.App()``, ``bottle.Bottle()``): the package with a module that has it in a global variable.

    Of a program that was started as a file, the name is the file's without its ending.
    """
    for each in _with_inner(app):
        name = _own_name(each)
        if name:
            return _as_service(name)
    return None


def _with_inner(app: object) -> Iterator[object]:
    """What is wrapped innermost comes first: a middleware is not the application."""
    layers = [app]
    while len(layers) < _DEPTH:
        inner = _inner_of(layers[-1])
        if inner is None or any(inner is layer for layer in layers):
            break
        layers.append(inner)
    return reversed(layers)


def _inner_of(app: Any) -> object | None:
    """What a partial, a bound method, a middleware or a function around an application stands before."""
    if isinstance(app, partial):
        return app.func
    owner: object = getattr(app, "__self__", None) if isroutine(app) else None
    if owner is not None:
        return owner
    if isroutine(app) or isclass(app):
        names = getattr(getattr(app, "__code__", None), "co_freevars", ())
        cells = getattr(app, "__closure__", None) or ()
        found: dict[str, object] = {name: _content(cell) for name, cell in zip(names, cells, strict=False)}
    elif _text(app, "import_name"):
        return None  # Flask's ``wsgi_app`` is its own
    else:
        found = {name: _attribute(app, name) for name in _INNER}
    return next((found[name] for name in _INNER if callable(found.get(name))), None)


def _own_name(app: object) -> str | None:
    defined_in = _text(app if isroutine(app) or isclass(app) else type(app), "__module__")
    if _text(app, "import_name"):
        return _text(app, "import_name")
    if defined_in.startswith("django."):
        return os.environ.get("DJANGO_SETTINGS_MODULE", "").partition(".")[0]
    if _text(_attribute(app, "registry"), "package_name"):
        return _text(_attribute(app, "registry"), "package_name")
    if isroutine(app) or isclass(app) or not _is_installed(defined_in):
        return defined_in
    return _holder_of(app, without=defined_in.partition(".")[0])


def _holder_of(app: object, without: str) -> str | None:
    """The first package, by name, one of whose modules has the application in a global variable."""
    modules = list(sys.modules.items())
    packages = {name.partition(".")[0] for name, module in modules if _has_global(module, app)}
    packages.discard(without)
    return min(packages, key=lambda name: (name == "__main__", name), default=None)


def _has_global(module: object, app: object) -> bool:
    variables = getattr(module, "__dict__", {})
    return any(value is app for value in list(variables.values()))


def _is_installed(module: str) -> bool:
    """True for a module of the standard library, of an installed package, or of the interpreter itself."""
    file = getattr(sys.modules.get(module), "__file__", None)
    if file is None:
        return module != "__main__"
    kinds = ["stdlib", "platstdlib", "purelib", "platlib"]
    if module != "__main__":
        # A command that lies there, such as gunicorn, finds the copy of a module that installs itself as a command, too, as Bottle does.
        kinds.append("scripts")
    paths = sysconfig.get_paths()
    return any(Path(file).is_relative_to(paths[kind]) for kind in kinds)


def _content(cell: Any) -> object:
    try:
        return cell.cell_contents
    except ValueError:  # not filled yet
        return None


def _attribute(app: object, name: str) -> object:
    try:
        return getattr(app, name, None)
    except Exception:  # noqa: BLE001 - a proxy outside its context raises what it likes
        return None


def _text(app: object, name: str) -> str:
    value = _attribute(app, name)
    return value if isinstance(value, str) else ""


def _as_service(name: str) -> str | None:
    """The name in the characters of a directory's; of ``__main__`` that of the file that was started."""
    if name == "__main__":
        name = Path(getattr(sys.modules["__main__"], "__file__", None) or DEFAULT_SERVICE).stem
    safe = "".join(letter if letter.isascii() and (letter.isalnum() or letter in "._-") else "-" for letter in name)
    return safe[:100].strip(".") or None
