"""Names, limits, cycles and notes on the way through variables that are not plain."""

from __future__ import annotations

import time
import uuid
from collections.abc import Iterator, Mapping
from typing import Any

import pytest

from chest.request.sanitizer.limits import ENTRY_BYTES
from chest.request.sanitizer.redaction import Redaction
from chest.request.sanitizer.sanitize import Limits, Sanitizer
from chest.settings.settings import REDACTED_BY_DEFAULT


def clean(variables: dict[Any, Any], **limits: int) -> tuple[dict[str, Any], dict[str, Any]]:
    kept, notes = Sanitizer(Redaction(REDACTED_BY_DEFAULT, ()), Limits(**limits)).clean(variables)
    return kept, notes or {}


def reasons(variables: dict[Any, Any], **limits: int) -> dict[str, Any]:
    sanitized: dict[str, Any] = clean(variables, **limits)[1].get("chest.sanitized", {})
    return sanitized


def test_notes_name_the_place_by_a_dotted_path() -> None:
    variables = {"cart": {"items": [1, {"price": float("nan"), "name": "a\0"}]}}
    assert reasons(variables) == {"cart.items.1.price": "not_finite", "cart.items.1.name": "nul"}


def test_no_more_than_twenty_places_are_noted_and_the_rest_is_counted() -> None:
    noted = reasons({"many": [float("nan")] * 50})
    assert len(noted) == 21
    assert noted["..."] == 30


def test_hidden_names_are_counted_and_their_values_replaced_wherever_they_are() -> None:
    variables = {"token": "a", "user": {"Password": {"old": 1}, "name": "x"}, "list": [{"api-key": None}]}
    kept, notes = clean(variables)
    assert kept == {
        "token": "[REDACTED]",
        "user": {"Password": "[REDACTED]", "name": "x"},
        "list": [{"api-key": "[REDACTED]"}],
    }
    assert notes == {"chest.redacted": 3}


def test_a_hidden_name_is_hidden_the_second_time_too() -> None:
    sanitizer = Sanitizer(Redaction(REDACTED_BY_DEFAULT, ()))
    for _ in range(3):
        assert sanitizer.clean({"token": "a", "nested": {"cvv": 1}}) == (
            {"token": "[REDACTED]", "nested": {"cvv": "[REDACTED]"}},
            {"chest.redacted": 2},
        )


def test_a_url_is_cleaned_counted_and_noted() -> None:
    kept, notes = clean({"dsn": "postgres://u:p@h/db", "link": {"href": "/reset?token=a"}})
    assert kept == {"dsn": "postgres://u:[REDACTED]@h/db", "link": {"href": "/reset?token=REDACTED"}}
    assert notes == {"chest.sanitized": {"dsn": "redacted", "link.href": "redacted"}, "chest.redacted": 2}


def test_a_password_is_found_although_the_text_is_cut_within_it() -> None:
    text = "x" * 90 + " postgres://user:" + "secret" * 20 + "@host/db"
    kept, _ = clean({"dsn": text}, value_bytes=120 + ENTRY_BYTES + 3)
    assert "secret" not in kept["dsn"]
    assert len(kept["dsn"]) == 120


@pytest.mark.parametrize(
    ("key", "name"),
    [
        (1, "1"),
        (1.5, "1.5"),
        (True, "true"),
        (None, "null"),
        (b"abc", "abc"),
        ((1, "a"), '[1, "a"]'),
        (uuid.UUID(int=1), "00000000-0000-0000-0000-000000000001"),
        (float("nan"), "NaN"),
        (2**70, "1180591620717411303424"),
        ("a\0b", "a\ufffdb"),
        ("a\ud800", "a\ufffd"),
        ("n" * 200, "n" * 128),
        ("postgres://u:p@h", "postgres://u:[REDACTED]@h"),
        (object, "<type>"),
    ],
)
def test_a_key_becomes_short_text_and_the_entry_says_so(key: object, name: str) -> None:
    for variables, path in (({key: 1}, name), ({"it": {key: 1}}, f"it.{name}")):
        kept, notes = clean(variables)
        assert (kept.get("it", kept)) == {name: 1}
        assert notes["chest.sanitized"].pop(path) == "key"
        assert set(notes["chest.sanitized"].values()) <= {"redacted"}


class Name(str):
    """A subclass, as members of StrEnum are."""


def test_a_name_of_a_subclass_of_str_becomes_a_plain_one() -> None:
    sanitizer = Sanitizer(Redaction((), ()))
    for _ in range(3):
        kept, notes = sanitizer.clean({Name("user_id"): 1, "it": {Name("user_id"): 2}})
        assert kept == {"user_id": 1, "it": {"user_id": 2}}
        assert {type(name) for name in (*kept, *kept["it"])} == {str}
        assert notes is None


def test_keys_that_become_the_same_text_lose_neither_value() -> None:
    kept, notes = clean({"it": {1: "a", "1": "b", 1.0 + 1e-20j: "c", b"1": "d", "1#4": "e"}})
    assert sorted(kept["it"].values()) == ["a", "b", "c", "d", "e"]
    assert list(kept["it"])[:2] == ["1", "1#2"]
    assert notes["chest.sanitized"]["it.1#2"] == "key"


def test_long_names_that_are_cut_to_the_same_text_lose_neither_value() -> None:
    kept, _ = clean({f"{'n' * 300}{number}": number for number in range(200)})
    assert sorted(kept.values()) == list(range(200))
    assert max(map(len, kept)) == 128


def test_a_secret_is_hidden_although_its_name_is_cut_or_is_no_text() -> None:
    kept, notes = clean({"x" * 500 + "_token": "a", b"password": "b", ("token",): 1})
    assert list(kept.values()) == ["[REDACTED]"] * 3
    assert notes["chest.redacted"] == 3


def test_a_cycle_is_cut_where_it_closes() -> None:
    loop: dict[str, Any] = {"name": "a"}
    loop["self"] = loop
    loop["list"] = [loop]
    kept, notes = clean({"loop": loop})
    assert kept == {"loop": {"name": "a", "self": "[CYCLE]", "list": ["[CYCLE]"]}}
    assert notes["chest.sanitized"] == {"loop.self": "cycle", "loop.list.0": "cycle"}


def test_what_is_shared_but_no_cycle_is_kept_twice() -> None:
    shared = [1]
    assert clean({"a": {"x": shared, "y": shared}}) == ({"a": {"x": [1], "y": [1]}}, {})


def test_containers_are_kept_down_to_the_depth() -> None:
    assert clean({"a": [[[1]]], "b": [[]]}, depth=2) == (
        {"a": [["[DEPTH]"]], "b": [[]]},
        {"chest.sanitized": {"a.0.0": "depth"}},
    )
    assert clean({"a": [], "b": 1}, depth=0)[0] == {"a": "[DEPTH]", "b": 1}


def test_a_container_keeps_its_first_items() -> None:
    assert clean({"a": [1, 2, 3], "b": {1: 1, 2: 2, 3: 3}, "c": (1, 2)}, items_per_container=2) == (
        {"a": [1, 2], "b": {"1": 1, "2": 2}, "c": [1, 2]},
        {"chest.sanitized": {"a": "items", "b.1": "key", "b.2": "key", "b": "items"}},
    )


def test_a_record_keeps_its_first_variables() -> None:
    kept, notes = clean({f"v{number}": number for number in range(300)})
    assert list(kept) == [f"v{number}" for number in range(256)]
    assert notes["chest.sanitized"] == {"*": "keys"}


def test_a_long_text_is_cut_between_characters() -> None:
    kept, notes = clean({"a": "é" * 100, "b": "x" * 1000, "c": "short"}, value_bytes=101 + ENTRY_BYTES + 1)
    assert kept == {"a": "é" * 50, "b": "x" * 101, "c": "short"}
    assert notes["chest.sanitized"] == {"a": "value_bytes", "b": "value_bytes"}


def test_one_large_variable_leaves_room_for_the_others() -> None:
    blob = [{"text": "x" * 100, "number": number} for number in range(200)]
    kept, notes = clean({"blob": blob, "user_id": "123", "text": "x" * 10_000})
    assert kept["user_id"] == "123"
    assert len(kept["text"]) == 10_000
    assert 0 < len(kept["blob"]) < 200
    assert set(notes["chest.sanitized"].values()) == {"value_bytes"}


def test_the_variables_of_a_record_fit_into_its_bytes() -> None:
    kept, notes = clean({f"v{number}": "x" * 15_000 for number in range(10)})
    assert sum(map(len, kept.values())) <= 64 * 1024
    assert [len(value) for value in kept.values()][:4] == [15_000] * 4
    assert "record_bytes" in notes["chest.sanitized"].values()
    assert notes["chest.sanitized"]["*"] == "record_bytes"


def test_a_huge_text_is_not_copied_as_a_whole() -> None:
    huge = ("é" * 1000 + "://u:p@h?") * 10_000
    view = memoryview(b"\xff" * 10_000_000)
    tracemalloc = pytest.importorskip("tracemalloc", reason="this Python does not say how much memory was taken")
    tracemalloc.start()
    try:
        kept, _ = clean({"huge": huge, "name": {huge: 1}, "bytes": view})
        peak_bytes = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert len(kept["huge"].encode()) <= 16 * 1024
    assert peak_bytes < 1_000_000


def test_huge_containers_are_not_walked_past_the_limit() -> None:
    class Counting(Mapping[int, Any]):
        read = 0

        def __getitem__(self, key: int) -> Any:
            Counting.read += 1
            return Counting() if key % 2 else key

        def __iter__(self) -> Iterator[int]:
            return iter(range(10_000_000))

        def __len__(self) -> int:
            return 10_000_000

    clean({f"v{number}": Counting() for number in range(256)})
    # 64 KiB at 16 bytes an entry and more are some 3,000 entries; a little more is read than is paid for.
    assert Counting.read < 20_000


def test_the_worst_of_small_objects_takes_milliseconds() -> None:
    level: list[Any] = [0] * 200
    for _ in range(12):
        level = [level] * 200
    secret = "/?token=" + "x" * 30_000
    begin = time.thread_time()
    kept, _ = clean({"wide": level, "urls": [secret] * 200, "keys": [{secret: 1}] * 200, "empty": [[]] * 200})
    assert time.thread_time() - begin < 1.0
    assert set(kept) == {"wide", "urls", "keys", "empty"}


def test_long_texts_that_redaction_makes_short_are_not_looked_at_without_end() -> None:
    assert len(clean({"urls": ["/?token=" + "x" * 30_000] * 200})[0]["urls"]) < 5


class Growing(Mapping[str, int]):
    """Adds to the container that holds it while that container is walked through, as another thread may."""

    def __init__(self, container: Any) -> None:
        self.container = container

    def __getitem__(self, key: str) -> int:
        raise NotImplementedError

    def __len__(self) -> int:
        raise NotImplementedError

    def __iter__(self) -> Iterator[str]:
        if type(self.container) is dict:
            self.container[len(self.container)] = 1
        else:
            self.container.append(1)
        return iter(())


@pytest.mark.parametrize("size", [1, 250])
def test_a_container_that_grows_meanwhile_is_kept_as_it_was(size: int) -> None:
    mapping: dict[Any, Any] = {number: number for number in range(size)}
    mapping[0] = Growing(mapping)
    items: list[Any] = [0] * size
    items[0] = Growing(items)
    kept, _ = clean({"mapping": mapping, "items": items})
    assert len(mapping) == len(items) == size + 1
    assert len(kept["mapping"]) == len(kept["items"]) == min(size, 200)


class SelfKeyed(Mapping[Any, int]):
    """Hashable, and its own key: a way down without an end that leads through keys."""

    def __getitem__(self, key: Any) -> int:
        return 1

    def __iter__(self) -> Iterator[Any]:
        return iter((SelfKeyed(), SelfKeyed(), SelfKeyed()))

    def __len__(self) -> int:
        return 3

    __hash__ = object.__hash__


def test_keys_within_keys_come_to_an_end() -> None:
    begin = time.thread_time()
    kept, _ = clean({"it": SelfKeyed()})
    assert time.thread_time() - begin < 1.0
    assert len(kept["it"]) == 3


def test_little_stack_left_costs_values_but_raises_nothing() -> None:
    sanitizer = Sanitizer(Redaction(REDACTED_BY_DEFAULT, ()))

    def deep(levels_left: int) -> None:
        """Clean at each of the last levels that the interpreter has."""
        try:
            deep(levels_left - 1)
        except RecursionError:
            pass
        results.append(sanitizer.clean({"a": [[[[1]]]], "token": "x", "b": {uuid.UUID(int=1): 1}}))

    results: list[Any] = []
    try:
        deep(10_000)
    except RecursionError:
        pass
    whole = {"a": [[[[1]]]], "token": "[REDACTED]", "b": {"00000000-0000-0000-0000-000000000001": 1}}
    assert results[-1][0] == whole
    assert all(isinstance(kept, dict) and "x" not in kept.values() for kept, _ in results)


class Interrupting(Mapping[str, int]):
    def __getitem__(self, key: str) -> int:
        raise KeyboardInterrupt

    def __iter__(self) -> Iterator[str]:
        return iter("a")

    def __len__(self) -> int:
        return 1


def test_what_ends_the_process_is_not_held_up() -> None:
    with pytest.raises(KeyboardInterrupt):
        clean({"it": Interrupting()})


def test_running_out_of_memory_costs_its_own_value_only() -> None:
    class Greedy(Interrupting):
        def __getitem__(self, key: str) -> int:
            raise MemoryError

    assert clean({"it": Greedy(), "a": 1})[0]["a"] == 1
