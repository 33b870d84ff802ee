"""Requests of every shape under every option: what is served in C leaves the same behind as what is served in Python."""

from __future__ import annotations

import io
import os
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from enum import Enum
from fractions import Fraction
from pathlib import PurePosixPath
from typing import Any
from uuid import UUID
from wsgiref.util import FileWrapper

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from chest import current
from chest.native import IS_NATIVE
from chest.record.record import Record
from chest.request.client.user import UserIds
from chest.request.sanitizer.redaction import Redaction
from chest.settings.settings import SECRETS
from tests.support import examples

if not IS_NATIVE and "CI" not in os.environ:
    pytest.skip("Chest was installed without its compiled part", allow_module_level=True)

# Not above: it is skipped, too, and has no names then.
from tests.native.test_native import Both, Said


class Plan(Enum):
    FREE = 1


@dataclass
class Card:
    number: str
    pin: str = field(repr=False)


USERS = {
    "user": "42", "user of another type": UUID(int=7), "user by mail": "ada@example.com", "odd user": "é\0\ud800" + "x" * 300,
    "user with a secret": "https://ada:hunter2@host/", "user like a card": "4111 1111 1111 1111", "no user": "", "user with no text": Card("4", "1"),
}  # fmt: skip


class Response:
    """As Django's, WebOb's and Werkzeug's."""

    def __init__(self, chunks: list[bytes], error: Exception | None = None) -> None:
        self.chunks = chunks
        self.error = error

    def __iter__(self) -> Iterator[bytes]:
        return iter(self.chunks)

    def close(self) -> None:
        if self.error is not None:
            raise self.error


class Sized(Response):
    def __len__(self) -> int:
        return len(self.chunks)


class Sequence:
    def __getitem__(self, place: int) -> bytes:
        if place == 2:
            raise IndexError
        return b"ab"


class Again(list[bytes]):
    """No list, and yet one."""


class Shape(Said):
    """Answers in all the ways there are beside a list and a generator."""

    def app(self, environ: dict[str, Any], start_response: Any) -> Any:
        context = environ["chest.context"]
        how = self.how
        if how == "route":
            context.route = "/<it>"
        if how == "counts":
            current().increment("db_queries")
            current().increment("db_queries", 2.5)
            with context.timer("render"):
                pass
            context.update(render_ms=0.0)  # the time itself differs
        if how == "odd route":
            context.route = "/login?token=abc\0" + "r" * 600
        if how == "error":
            context.record_error(LookupError("https://ada:hunter2@host/ is not there" + "m" * 2000))
        if how == "attributes":
            context.attributes.update({"cart": {"a": Decimal(1)}, "token": "x", "trace_id": "mine"})
        if how in USERS:
            context.user = USERS[how]
        if how == "user and attributes":
            context.user, context.attributes["plan"] = "42", "premium"
        if how == "user as attribute":
            context.user, context.attributes["enduser.id"] = "42", "43"
        if how == "id":
            context.request_id = "é" * 300
        body = super().app(environ, start_response)
        if how == "file":
            return environ["wsgi.file_wrapper"](io.BytesIO(b"hello"))
        if how == "function's file":
            environ["wsgi.file_wrapper"] = lambda file: file
            return open("/dev/null", "rb")
        return {
            "close": Response([b"a", b"bc"]), "close raises": Response([b"a"], LookupError("close")), "sized": Sized([b"abc"]),
            "iter": iter([b"a", b"b"]), "map": map(bytes, [b"a"]), "sequence": Sequence(), "again": Again([b"a"]), "odd chunks": iter(["é", 3]),
            "bytes": b"abc", "empty": iter(()),
        }.get(how, body)  # fmt: skip


_scalars = st.one_of(
    st.none(), st.booleans(), st.integers(-(2**64), 2**64), st.floats(), st.text(max_size=40), st.decimals(), st.uuids(), st.datetimes(),
    st.binary(max_size=9), st.sampled_from([
        4111111111111111, "4111 1111 1111 1111", "password: hunter2", "https://a:b@c/?d=e", "a=b", "12:30", "x" * 300, "é" * 5000, "x" * 20_000,
        "ada@example.com", "Bearer abcdef12", Plan.FREE, Card("4", "1"), date(2026, 1, 2), time(3, 4), timedelta(1), Fraction(1, 3), 1j, 2**70,
        PurePosixPath("/a=b"), object, UUID(int=0), Decimal("4111111111111111"), datetime(2026, 1, 2, tzinfo=UTC), LookupError("no"), float("nan"),
    ]),
)  # fmt: skip
_names = st.one_of(
    st.sampled_from(
        ["user_id", "plan", "cart", "a.b", "password", "sessionToken", "é", "", "x" * 200, "a\0", "kept_token"]
    ),
    st.integers(0, 30).map("n{}".format),
)
_values = st.recursive(
    _scalars,
    lambda inner: st.one_of(
        st.lists(inner, max_size=4), st.tuples(inner, inner), st.dictionaries(st.one_of(_names, st.integers()), inner, max_size=4),
        inner.map(lambda value: [value] * 250), inner.map(lambda value: [[[[[[[[[value]]]]]]]]]),
    ),
    max_leaves=6,
)  # fmt: skip
_variables = st.one_of(
    st.dictionaries(_names, _values, max_size=6),
    st.dictionaries(
        st.integers(0, 400).map("n{}".format), st.one_of(st.just(1), st.just(Decimal(1))), min_size=30, max_size=300
    ),
)
_environ = st.fixed_dictionaries(
    {"PATH_INFO": st.sampled_from(["/", "/items:batch", "/a=b", "/login?token=abc", "/caf\xc3\xa9", "/\ud800", "/" + "p" * 5000]),
     "REQUEST_METHOD": st.sampled_from(["GET", "HEAD", "PUT"])},
    optional={
        "HTTP_X_REQUEST_ID": st.sampled_from(["order-42", "Root=1-67891233", "no good", "a" * 129]),
        "HTTP_TRACEPARENT": st.sampled_from(["00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01", "x", ""]),
        "SCRIPT_NAME": st.sampled_from(["", "/shop", "/caf\xc3\xa9", "/token=abc"]),
        "wsgi.file_wrapper": st.just(FileWrapper),
    },
)  # fmt: skip
_shapes = st.builds(
    Shape, _environ, _variables,
    st.sampled_from(["usually", "tuple", "nothing", "says more", "counts", "close", "close raises", "sized", "iter", "map", "sequence", "again", "odd chunks", "bytes", "empty", "file",
                     "function's file", "route", "odd route", "error", "attributes", "id", "writes", "raises", "is excluded", "streams",
                     *USERS, "user and attributes", "user as attribute"]),
    st.sampled_from(["200 OK", "500 Oh", "odd"]),
)  # fmt: skip


def _renames(record: Record) -> bool:
    record.variables["seen"] = True
    return record.method != "PUT"


def _adds_an_attribute(record: Record) -> None:
    record.attributes["seen"] = record.error


def _raises(record: Record) -> bool:
    raise LookupError("a user's")


_options = st.fixed_dictionaries(
    {},
    optional={
        "echo_request_id": st.booleans(), "exclude_paths": st.just(["/a*", "/login"]), "sample": st.sampled_from([0.0, 1.0]),
        "tracked_vars": st.sampled_from([[], ["plan", "cart", "n1", "password"], {"GET": ["plan", "n2"]}]),
        "before_record": st.sampled_from([_renames, _adds_an_attribute, repr, _raises]), "keeps_messages": st.booleans(),
        "request_id_generator": st.sampled_from([lambda: "mine", lambda: "m\n", lambda: 1 / 0]),
        "redaction": st.sampled_from([Redaction((SECRETS,), ()), Redaction((SECRETS, "plan"), ("kept_*", "cart")), Redaction(("enduser.id",), ())]),
        "user_ids": st.sampled_from([UserIds("hashed", "key"), UserIds("none")]),
    },
)  # fmt: skip


@settings(
    max_examples=examples(400), deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large]
)
@given(_options, st.lists(_shapes, min_size=1, max_size=3))
def test_a_request_of_any_shape_is_answered_and_recorded_alike(options: dict[str, Any], requests: list[Shape]) -> None:
    both = Both(**options)
    for request in requests * 2:  # a name is known the second time
        fresh = Shape(request.environ, request.variables, request.how, request.status)
        quick, slow = both.answers(fresh)
        assert quick == slow
