"""The chest of one row a variable, on a server."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from chest.chests.sql.variables import VariablesChest
from chest.errors import LoginRefused, RecordRejected
from chest.testing.records import make_record
from tests.servers.database import DatabaseServer

everywhere = pytest.mark.parametrize("server", ["postgresql", "mariadb", "mysql57"], indirect=True)


@everywhere
def test_a_server_gets_the_same_rows(url: str) -> None:
    with VariablesChest(f"{url}?table=variables") as chest:
        chest.check()
        chest.write([make_record(request_id="r-1", variables={"b": "x\\\"'%s{},", "a": None})])
        chest.write([])
        chest.write_triples([("c", [1, "é"], "r-2"), ("d", False, "r-2"), ("e", 1.5, "r-2"), ("f", "", "r-2")])
        chest.write_triples((f"name-{place}", place, "r-3") for place in range(3000))
        with pytest.raises(RecordRejected):
            chest.write_triples([("good", "1", "r-4"), ("bad", "\ud800", "r-4")])
        with chest.writing.use() as connection:
            rows = connection.exec_driver_sql("SELECT * FROM variables ORDER BY unique_id").all()
    assert rows[:6] == [
        (1, "r-1", "b", "x\\\"'%s{},"),
        (2, "r-1", "a", None),
        (3, "r-2", "c", '[1,"é"]'),
        (4, "r-2", "d", "0"),
        (5, "r-2", "e", "1.5"),
        (6, "r-2", "f", ""),
    ]
    assert [row[2] for row in rows[6:]] == [f"name-{place}" for place in range(3000)]


@everywhere
def test_a_variable_that_a_trigger_refuses_costs_no_other_record(
    server: DatabaseServer, url: str, execute: Callable[[str], list[tuple[Any, ...]]]
) -> None:
    with VariablesChest(f"{url}?table=variables") as chest:
        chest.open()
        if server.scheme == "postgresql":
            execute(
                "CREATE FUNCTION rule() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN IF NEW.value = 'bad' THEN"
                " RAISE EXCEPTION 'no such plan'; END IF; RETURN NEW; END $$;"
                "CREATE TRIGGER rule BEFORE INSERT ON variables FOR EACH ROW EXECUTE FUNCTION rule()"
            )
        else:
            execute(
                "CREATE TRIGGER own_rule BEFORE INSERT ON variables FOR EACH ROW BEGIN IF NEW.value = 'bad' THEN"
                " SIGNAL SQLSTATE '45000' SET MESSAGE_TEXT = 'no such plan'; END IF; END"
            )
        good, bad = [make_record(variables={"plan": "good"}) for _ in range(5)], make_record(variables={"plan": "bad"})
        with pytest.raises(RecordRejected, match="no such plan") as refusal:
            chest.write([*good[:3], bad, *good[3:]])
        assert refusal.value.ids == (bad.id,)
        chest.write(good)
        assert execute("SELECT value FROM variables") == [("good",)] * 5


@everywhere
def test_a_user_who_may_not_write_variables_is_told_so_by_the_check(url: str, url_of_user: Callable[..., str]) -> None:
    with VariablesChest(f"{url}?table=variables") as chest:
        chest.open()
        chest.check()
    with VariablesChest(f"{url_of_user('SELECT ON variables')}?table=variables") as chest:
        for act in (chest.check, chest.open, lambda: chest.write([make_record()])):
            with pytest.raises(LoginRefused):
                act()
