"""docs/postgresql.md, followed word for word: the roles that it makes can do what they are for, and no more."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy.engine import make_url

from chest.chests.sql.chest import SQLChest
from chest.errors import ChestUnavailable
from chest.testing.records import make_record

PAGE = Path(__file__).parents[4] / "docs" / "postgresql.md"
Execute = Callable[[str], list[tuple[Any, ...]]]


@pytest.mark.parametrize("server", ["postgresql"], indirect=True)
def test_the_writer_only_writes_and_the_reader_only_reads(url: str, chest: SQLChest, execute: Execute) -> None:
    roles, grants, size, *_ = re.findall(r"^```sql\n(.*?)^```$", PAGE.read_text(), re.MULTILINE | re.DOTALL)
    with chest:
        chest.open()
        chest.write([make_record()])  # as the owner
    for statement in [
        *re.findall(r"CREATE ROLE \w+_(?:writer|reader) [^;]+", roles),
        *re.findall(r"GRANT [^;]+", grants),
    ]:
        execute(re.sub(r"\bchest_(writer|reader)\b", r"page_\1", statement))
    assert execute(size)[0][1] == 1
    passwords = dict(re.findall(r"CREATE ROLE chest_(\w+) LOGIN PASSWORD '([^']+)'", roles))
    writer, reader = (
        SQLChest(make_url(url).set(username=f"page_{role}", password=passwords[role]).render_as_string(False))
        for role in ("writer", "reader")
    )
    with writer:
        writer.check()
        writer.open()
        killed = make_record(outcome="killed", status=None)
        writer.write([killed])
        writer.write([killed._replace(outcome="ok", status=200)])  # the note is replaced
        with pytest.raises(ChestUnavailable):
            writer.read()
    with reader:
        found = [stored.record for stored in reader.read()]
        assert [record.outcome for record in found] == ["ok", "ok"]
        with pytest.raises(ChestUnavailable):
            reader.write([make_record()])
    for role in ("writer", "reader"):
        execute(f"DROP OWNED BY page_{role}; DROP ROLE page_{role}")
