"""The texts that Chest logs as warnings and errors, and what ``chest check`` shows as a note, as its source has them.

A text is found where it is logged: in the call, in a variable or a constant of the same file, or in a function. What
is called a notice is logged or shown later, so it is found by that word. The call whose text is not found is unresolved,
unless it logs what it was given: then its callers have the text.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from functools import cache
from itertools import product
from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).parent.parent
_LOGGING: Final = frozenset((
    "warning", "error", "exception", "critical", "recovered", "fault", "log", "add", "add_at_once", "say", "_warn", "Bypass",
))  # fmt: skip
"""Names of what takes a text to be logged."""
_ELSEWHERE: Final = ("chest/cli", "adapters/pytest_chest")
"""Where nothing runs beside an application."""
_WORDS: Final = re.compile(r"[a-z]{2} [a-z]{2}|[a-z]{3,} ")
GIVEN: Final = {
    ("chest/delivery/log.py", "message"): "RateLimitedLog logs what it was given",
    ("chest/delivery/log.py", "what"): "RateLimitedLog logs what it was given",
    ("chest/record/counters.py", "message"): "fault has the text of its callers",
    ("chest/recorder/directory_recovery.py", "text"): "what chest recover prints",
    ("chest/chests/kafka/topic.py", "0"): "a future of librdkafka is asked for its exception",
    ("adapters/flask_chest/decorator.py", "message"): "_warn logs once what it was given",
    ("chest/dockerflow/checks/running.py", "message.msg"): "the messages of checks, which /__heartbeat__ shows",
    ("chest/dockerflow/recorder_checks.py", "error"): "what chest check says of the store",
    ("adapters/flask_chest/dockerflow/hooks.py", "text"): "request.summary of Mozilla's mozlog",
    ("adapters/flask_chest/dockerflow/hooks.py", "ERROR_MESSAGE"): "what /__error__ answers",
    ("chest/dockerflow/middleware.py", "ERROR_MESSAGE"): "what /__error__ answers",
}
"""Calls that log what they were given, with the reason why no text is to be found."""


def log_texts() -> set[str]:
    """Each text, with ``...`` in the place of what differs from one time to another, without the product's name before it."""
    return {without_name(text) for source in _sources() for text in source.logged()}


def last_error_texts() -> set[str]:
    """Those that ``Counters.error`` is told, which logs nothing by itself."""
    return {
        without_name(text)
        for source in _sources()
        for call in source.calls(of_counters=True)
        for text in source.texts(call.args[0])
    }


def without_name(text: str) -> str:
    """The text as two places have it of which one writes the product's name before it."""
    return text.removeprefix("chest: ")


def unresolved() -> set[tuple[str, str]]:
    """Files, and the calls there whose text is not found."""
    return {(source.path, each) for source in _sources() for each in source.unresolved()}


def given() -> set[tuple[str, str]]:
    """The entries of :data:`GIVEN` that are met."""
    return {met for source in _sources() for call in source.calls() for met in source.given(call)}


@cache
def _sources() -> tuple[Source, ...]:
    files = {
        file.relative_to(ROOT).as_posix(): file.read_text()
        for package in ("chest", "adapters")
        for file in (ROOT / package).rglob("*.py")
    }
    return tuple(Source(path, text) for path, text in files.items() if not path.startswith(_ELSEWHERE))


@cache
def _functions() -> dict[str, tuple[Source, ast.FunctionDef]]:
    """Functions of modules, by their names."""
    return {name: (source, function) for source in _sources() for name, function in source.functions.items()}


class Source:
    """A file of Python."""

    def __init__(self, path: str, text: str) -> None:
        self.path = path
        tree = ast.parse(text)
        self._nodes = list(ast.walk(tree))
        self._assignments = [(target, node) for node in self._nodes for target in _targets_of(node)]
        self.functions = {each.name: each for each in tree.body if isinstance(each, ast.FunctionDef)}

    def calls(self, *, of_counters: bool = False) -> Iterator[ast.Call]:
        for node in self._nodes:
            if isinstance(node, ast.Call) and node.args:
                name, receiver = _name_of(node.func)
                is_meant = name in _LOGGING and (name != "add" or receiver.endswith("notices"))
                if is_meant and (name == "error" and receiver.endswith("counters")) is of_counters:
                    yield node

    def given(self, call: ast.Call) -> set[tuple[str, str]]:
        return GIVEN.keys() & {(self.path, ast.unparse(each)) for each in _message_of(call)}

    def logged(self) -> Iterator[str]:
        for call in self.calls():
            if not self.given(call):
                yield from self._of_call(call)
        for function in self._nodes:
            if isinstance(function, ast.FunctionDef) and "notice" in function.name:
                yield from self._of_function(function)
        for target, node in self._assignments:
            if "notice" in ast.unparse(target):
                yield from self.texts(node.value)

    def unresolved(self) -> Iterator[str]:
        for call in (*self.calls(), *self.calls(of_counters=True)):
            is_notice = any("notice" in ast.unparse(each) for each in _message_of(call))
            if not (is_notice or self.given(call) or self._of_call(call)):
                yield ast.unparse(call)

    def _of_call(self, call: ast.Call) -> set[str]:
        what, *details = _message_of(call)
        if found := self.texts(what):
            return found
        shown = "".join(_plain(what))  # "chest: %s": the text is among what is put into it
        return {
            shown.replace("...", "{}").format(*parts)
            for parts in product(*(self.texts(each) or {"..."} for each in details))
            if _WORDS.search(" ".join(parts)) and shown.count("...") == len(details)
        }

    def texts(self, node: ast.expr, seen: tuple[str, ...] = ()) -> set[str]:
        """What the expression may be, if it has words."""
        return {text for text in self._any(node, seen) if _WORDS.search(text)}

    def _any(self, node: ast.expr, seen: tuple[str, ...]) -> set[str]:
        match node:
            case ast.IfExp():
                return self._any(node.body, seen) | self._any(node.orelse, seen)
            case ast.BinOp(op=ast.Add()):
                return {
                    a + b
                    for a, b in product(self._any(node.left, seen) or {"..."}, self._any(node.right, seen) or {"..."})
                }
            case ast.List() | ast.Tuple():
                return {text for each in node.elts for text in self._any(each, seen)}
            case ast.ListComp():
                return self._any(node.elt, seen)
            case ast.Name() if node.id not in seen:
                return self._of_name(node.id, (*seen, node.id))
            case ast.NamedExpr():
                return self._any(node.value, seen)
            case ast.Call(func=ast.Attribute(value=value, attr="format")):
                return {re.sub(r"\{\w*(?:![rsa])?\}", "...", text) for text in self._any(value, seen)}
            case ast.Call(func=ast.Name(id=name)) if name not in seen and (found := self._function(name)):
                source, function = found
                return source._of_function(function, (*seen, name))
        return _plain(node)

    def _function(self, name: str) -> tuple[Source, ast.FunctionDef] | None:
        return (self, self.functions[name]) if name in self.functions else _functions().get(name)

    def _of_name(self, name: str, seen: tuple[str, ...]) -> set[str]:
        assigned = [
            node.value for target, node in self._assignments if isinstance(target, ast.Name) and target.id == name
        ]
        return {text for each in assigned for text in self._any(each, seen)}

    def _of_function(self, function: ast.FunctionDef, seen: tuple[str, ...] = ()) -> set[str]:
        """What it returns, or appends to what it returns."""
        found: set[str] = set()
        returned = [
            node.value for node in ast.walk(function) if isinstance(node, ast.Return) and node.value is not None
        ]
        for node in ast.walk(function):
            if isinstance(node, ast.Call) and _name_of(node.func) in {
                ("append", ast.unparse(each)) for each in returned
            }:
                found |= self.texts(node.args[0], seen)
        return found.union(*(self.texts(each, seen) for each in returned))


def _name_of(function: ast.expr) -> tuple[str, str]:
    """The name of what is called, and what it is called of."""
    if isinstance(function, ast.Attribute):
        return function.attr, ast.unparse(function.value)
    return (function.id, "") if isinstance(function, ast.Name) else ("", "")


def _targets_of(node: ast.AST) -> list[ast.expr]:
    """What an assignment sets; nothing if it is none, or gives no value."""
    if isinstance(node, ast.Assign):
        return node.targets
    return [node.target] if isinstance(node, ast.AnnAssign | ast.NamedExpr) and node.value is not None else []


def _message_of(call: ast.Call) -> list[ast.expr]:
    """Without the level that ``Logger.log`` takes before it."""
    return call.args[1:] if _name_of(call.func)[0] == "log" else call.args


def _plain(node: ast.expr) -> set[str]:
    if isinstance(node, ast.JoinedStr):
        return {"".join(part.value if isinstance(part, ast.Constant) else "..." for part in node.values)}
    if isinstance(node, ast.Constant) and isinstance(node.value, str):
        return {re.sub(r"%(?:\.\d+)?[sdrg]", "...", node.value)}
    return set()
