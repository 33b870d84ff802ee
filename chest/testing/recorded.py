"""``TestRecords``: the records that the recorders of this process leave during a test."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, ClassVar, Final, overload

from chest.record.messages import cut
from chest.record.record import Record
from chest.recorder.observed_records import observed_records

_MOST_SHOWN: Final = 20
_MOST_CHARACTERS: Final = 300
_MISSING: Final = object()


class TestRecords(Sequence[Record]):
    """What all recorders of this process record in a ``with`` block: the fixture ``chest_records``.

    Each look waits until what was offered is delivered. The order is that in which the requests began. Records of other
    processes, such as a server that the test started, are not among them. One block at a time.

    Example::

        def test_an_item_is_recorded(client, chest_records):
            client.get("/items/7")
            assert chest_records[-1].route == "/items/<int:id>"
            chest_records.assert_recorded(route="/items/<int:id>", user_id=42)
    """

    __test__: ClassVar = False  # pytest would take it for tests

    def __enter__(self) -> TestRecords:
        observed_records.begin()
        return self

    def __exit__(self, *_: object) -> None:
        observed_records.end()

    def __len__(self) -> int:
        return len(observed_records.so_far())

    @overload
    def __getitem__(self, place: int) -> Record: ...
    @overload
    def __getitem__(self, place: slice) -> list[Record]: ...
    def __getitem__(self, place: int | slice) -> Record | list[Record]:
        return observed_records.so_far()[place]

    def clear(self) -> None:
        """Forget what there is so far."""
        observed_records.begin()

    def assert_recorded(self, **expected: Any) -> Record:
        """The first record that has all of these; an AssertionError that shows the records, if none has.

        :param expected: a field's value (``route=``, ``status=``), else a variable's, else an attribute's, by name; compared with
            ``==``, so ``unittest.mock.ANY`` and ``pytest.approx`` serve. A variable that has a field's name is found by ``variables={...}``.
        """
        __tracebackhide__ = True
        records = observed_records.so_far()
        for record in records:
            if not _different(record, expected):
                return record
        raise AssertionError("\n".join(_told(records, expected)))

    def __repr__(self) -> str:
        return "\n".join(["<records of this test:", *map(_line, observed_records.so_far()), ">"])


def _different(record: Record, expected: dict[str, Any]) -> list[str]:
    """The names for which the record has another value, or none."""
    return [name for name, value in expected.items() if not _equal(_value_of(record, name), value)]


def _equal(found: object, expected: object) -> bool:
    return found is not _MISSING and bool(expected == found)


def _value_of(record: Record, name: str) -> object:
    if name in Record._fields:
        return getattr(record, name)
    return record.variables.get(name, record.attributes.get(name, _MISSING))


def _told(records: Sequence[Record], expected: dict[str, Any]) -> Iterable[str]:
    wanted = ", ".join(f"{name}={value!r}" for name, value in expected.items()) or "anything"
    if not records:
        yield f"nothing was recorded in this test, so no record has {wanted}"
        return
    yield f"none of {len(records)} records has {wanted}; the nearest first:"
    nearest = sorted(records, key=lambda record: len(_different(record, expected)))
    for record in nearest[:_MOST_SHOWN]:
        yield _line(record)
        for name in _different(record, expected):
            found = _value_of(record, name)
            yield f"    {name} is {'not there' if found is _MISSING else cut(repr(found), _MOST_CHARACTERS)}"
    if len(records) > _MOST_SHOWN:
        yield f"  and {len(records) - _MOST_SHOWN} more"


def _line(record: Record) -> str:
    status = record.outcome if record.status is None else f"{record.status} {record.outcome}"
    error = f" {record.error}" if record.error else ""
    text = f"  {record.method} {record.path} {status}{error} route={record.route!r} request_id={record.request_id!r} {record.variables!r}"
    return cut(text, _MOST_CHARACTERS)
