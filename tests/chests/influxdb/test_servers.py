"""The InfluxDB chest on real engines: InfluxDB behind version 2 of its interface, and VictoriaMetrics."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from uuid import uuid4

import httpx
import pytest

from chest import Recorder
from chest.chests.influxdb.chest import InfluxChest
from chest.chests.influxdb.line_protocol import timestamp
from chest.errors import ChestUnavailable, RecordRejected
from chest.record.record import Record
from chest.testing.records import make_record
from tests.chests import server_contract
from tests.chests.server_contract import Place, ServerChestContract
from tests.processes import run_python
from tests.recording_server import Reply
from tests.servers import HOST, Server
from tests.servers.influxdb_v2 import InfluxV2, influx_v2

AN_INSTANT_NS = 1_795_633_000_000_000_000


@pytest.fixture
def v2(influxdb: Server) -> Iterator[InfluxV2]:
    with influx_v2(influxdb) as server:
        yield server


@pytest.fixture
def chest(v2: InfluxV2) -> Iterator[InfluxChest]:
    with InfluxChest(v2.url()) as chest:
        yield chest


def records_at_instants(count: int, **changes: Any) -> list[Record]:
    return [make_record(time_ns=AN_INSTANT_NS + place * 1_000_000, **changes) for place in range(count)]


class TestServer(ServerChestContract):
    write_marker = commit_marker = b"POST /api/v2/write"
    open_connects = False
    tls_query = "tls"

    @pytest.fixture(autouse=True)
    def _remembered(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """InfluxDB keeps no ``id``, but a time that is made of it: by this a record is known again."""
        self.made: dict[int, Record] = {}

        def batch() -> list[Record]:
            records = records_at_instants(20)
            start = AN_INSTANT_NS + len(self.made) * 1_000_000
            records = [each._replace(time_ns=start + place * 1_000_000) for place, each in enumerate(records)]
            self.made |= {timestamp(record.time_ns, record.id): record for record in records}
            return records

        monkeypatch.setattr(server_contract, "_batch", batch)

    @pytest.fixture
    def place(self, v2: InfluxV2) -> Place:
        self.v2 = v2

        def url(
            *, port: int = v2.port, host: str = HOST, password: str = v2.token, database: str = v2.bucket,
            query: str = "",
        ) -> str:  # fmt: skip
            scheme = "influxdb+https" if query == "tls" else "influxdb"
            options = "" if query == "tls" else query
            return f"{scheme}://{host}:{port}/{v2.org}/{database}?{options}&token={httpx.QueryParams(t=password)['t']}"

        return Place(v2, url, v2.token)  # type: ignore[arg-type]

    def stored_records(self, place: Place) -> list[Record]:
        return [self.made[point["time"]] for point in self.v2.points()]


# -- the same record, again ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("shape", ["request", "variable"])
def test_a_batch_that_comes_again_is_stored_once(v2: InfluxV2, shape: str) -> None:
    records = records_at_instants(10)
    with InfluxChest(v2.url(f"shape={shape}")) as chest:
        chest.write(records[:6])
        chest.write(records)
        chest.write([*records, records[0]])
    with InfluxChest(v2.url(f"shape={shape}")) as chest:
        chest.write(records)
    points = v2.points()
    assert len(points) == len(records) * (1 if shape == "request" else len(records[0].variables))
    assert {point["time"] // 10_000 for point in points} == {record.time_ns // 10_000 for record in records}


def test_ten_thousand_records_are_all_stored(chest: InfluxChest, v2: InfluxV2) -> None:
    records = records_at_instants(10_000)
    for start in range(0, len(records), 1000):
        chest.write(records[start : start + 1000])
    assert len(v2.points("shop")) == 10_000
    assert len(v2.series()) == 1


def test_two_processes_may_write_at_once(v2: InfluxV2) -> None:
    code = """
        import sys
        from chest.chests.registry import open_chest
        from chest.testing.records import make_record

        start = int(sys.argv[2])
        with open_chest(sys.argv[1]) as chest:
            for batch in range(20):
                times = range(start + batch * 50, start + batch * 50 + 50)
                chest.write([make_record(time_ns=time * 1_000_000) for time in times])
    """
    threads = [
        threading.Thread(target=run_python, args=(code, v2.url(), 1_795_633_000_000 + number * 1000))
        for number in range(2)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(v2.points("shop")) == 2000


# -- values --------------------------------------------------------------------------------------------------------------


def test_text_of_every_plane_comes_back_as_it_was(chest: InfluxChest, v2: InfluxV2) -> None:
    planes = "".join(chr(plane * 0x10000 + offset) for plane in range(17) for offset in (0x61, 0x3042, 0xFFFD))
    controls = "".join(map(chr, range(0x20))) + "\x7f\u2028\u2029\ufeff\u202e'\"`;--%?\\{}$.,="
    variables = {"planes": planes, "controls": controls, "emoji": "👩‍👩‍👧‍👦", "a,b=c d\"e'": "x\\"}
    chest.write([make_record(variables=variables, route="/a, b=\\c/é", service="shop, =front")])
    (point,) = v2.points()
    variables["controls"] = controls.replace("\n", "\\n").replace("\r", "\\r")
    variables["a,b=c d'e'"] = variables.pop("a,b=c d\"e'")
    assert {name: point[name] for name in variables} == variables
    assert (point["measurement"], point["route"]) == ("shop, =front", "/a, b=\\c/é")


def test_the_largest_and_smallest_values_are_stored(v2: InfluxV2) -> None:
    variables = {
        "largest": 1.7976931348623157e308, "smallest": 5e-324, "negative": -0.5, "int": 2**63 - 1, "long": "x" * 16384,
        "nan": float("nan"), "infinite": float("inf"), "none": None, "whole": 2**63 - 1, "empty": "",
    }  # fmt: skip
    with InfluxChest(v2.url("integers=whole")) as chest:
        chest.write([make_record(variables=variables, time_ns=2**63 - 1, duration_ns=2**63 - 1, status=999)])
        chest.write([make_record(variables={"": ""}, time_ns=0, method="", route=None, status=None, outcome="")])
    latest, first = sorted(v2.points(), key=lambda point: -point["time"])
    assert [latest[name] for name in ("largest", "smallest", "negative", "long", "empty")] == [
        1.7976931348623157e308, 5e-324, -0.5, "x" * 16384, "",
    ]  # fmt: skip
    assert latest["whole"] == 2**63 - 1
    assert not {"nan", "infinite", "none"} & set(latest)
    assert 0 <= first["time"] < 10_000


# -- types ---------------------------------------------------------------------------------------------------------------


def test_a_field_that_another_program_wrote_with_another_type_loses_no_value(v2: InfluxV2) -> None:
    """Also our own fields, and second names that are taken in their turn."""
    taken = 'shop user=true,user_string=1,duration_ms="slow",items=3i,request\\ time=1i ' + str(AN_INSTANT_NS)
    answer = httpx.post(
        f"http://{HOST}:{v2.port}/api/v2/write", params={"org": v2.org, "bucket": v2.bucket}, content=taken,
        headers={"Authorization": f"Token {v2.token}"}, trust_env=False,
    )  # fmt: skip
    assert answer.status_code == 204
    records = records_at_instants(3, variables={"user": "ada", "items": 1.5, "request time": 2})
    with InfluxChest(v2.url()) as chest:
        chest.write(records)
        asked = len(v2.received)
        chest.write(records)
        assert len(v2.received) == asked + 1, "what was learned is known"
        assert chest.type_conflicts == 2 * 3 * 3, "duration_ms, user and items; a whole number fits an integer field"
    points = [point for point in v2.points("shop") if "request_id" in point]
    assert len(points) == 3
    for point in points:
        assert point["user_string_string"] == "ada"
        assert point["items_float"] == 1.5
        assert point["request time"] == 2
        assert point["duration_ms_float"] == 1.234567


def test_values_of_many_types_under_one_name_are_all_kept(chest: InfluxChest, v2: InfluxV2) -> None:
    values = [1, "a", True, 2.5, {"b": 1}, [1]]
    chest.write([each._replace(variables={"v": v}) for each, v in zip(records_at_instants(6), values, strict=True)])
    found = [{name: v for name, v in point.items() if name.startswith("v")} for point in v2.points("shop")]
    assert found == [
        {"v": 1}, {"v_string": "a"}, {"v_boolean": True}, {"v": 2.5}, {"v_string": '{"b":1}'}, {"v_string": "[1]"},
    ]  # fmt: skip
    assert chest.type_conflicts == 4


def test_a_second_name_never_takes_the_place_of_another_variable(chest: InfluxChest, v2: InfluxV2) -> None:
    first, second = records_at_instants(2)
    chest.write([first._replace(variables={"v": 1})])
    chest.write([second._replace(variables={"v": "second", "v_string": "own"})])
    point = v2.points("shop")[-1]
    assert sorted(value for name, value in point.items() if name.startswith("v")) == ["own", "second"]


# -- what the server refuses -----------------------------------------------------------------------------------------------


def test_of_a_batch_that_cannot_be_read_nothing_is_stored_and_the_record_is_named(
    chest: InfluxChest, v2: InfluxV2, monkeypatch: pytest.MonkeyPatch
) -> None:
    good, bad = records_at_instants(2)
    bad = bad._replace(variables={"v": "bad"})
    monkeypatch.setattr("chest.chests.influxdb.line_protocol._value", lambda value: "NaN" if value == "bad" else "1")
    with pytest.raises(RecordRejected, match="unable to parse") as refusal:
        chest.write([good, bad])
    assert refusal.value.ids == (bad.id,)
    assert v2.points() == []
    chest.write([good])
    assert len(v2.points()) == 1


def test_a_body_that_is_too_large_is_split_and_a_record_that_is_too_large_is_named(
    chest: InfluxChest, v2: InfluxV2
) -> None:
    v2.most_bytes = 3000
    records = records_at_instants(50)
    chest.write(records)
    assert len(v2.points()) == 50
    huge = make_record(variables={"long": "x" * 4000})
    with pytest.raises(RecordRejected, match="413") as refusal:
        chest.write([*records_at_instants(3), huge])
    assert refusal.value.ids == (huge.id,)


def test_a_series_whose_name_is_too_long_is_refused(chest: InfluxChest) -> None:
    long = make_record(route="/" + "x" * 70_000)
    with pytest.raises(RecordRejected, match="unable to parse") as refusal:
        chest.write([make_record(), long])
    assert refusal.value.ids == (long.id,)
    assert len(str(refusal.value)) < 600


@pytest.mark.parametrize("gzip", ["", "gzip=1"])
def test_a_server_that_is_overloaded_is_tried_again_when_it_asked_to(v2: InfluxV2, gzip: str) -> None:
    v2.faults = [Reply(status=503, headers={"Retry-After": "7"}), Reply(status=429, headers={"Retry-After": "9"})]
    record = make_record()
    with InfluxChest(v2.url(gzip)) as chest:
        for seconds in (7, 9):
            with pytest.raises(ChestUnavailable) as error:
                chest.write([record])
            assert error.value.retry_after == seconds
        chest.write([record])
    assert len(v2.points()) == 1
    assert ("content-encoding" in v2.received[-1].headers) == bool(gzip)


def test_a_check_stores_nothing(chest: InfluxChest, v2: InfluxV2) -> None:
    chest.check()
    assert v2.points() == []


# -- growth ----------------------------------------------------------------------------------------------------------------


def test_routes_variables_and_services_without_end_make_no_series_and_fields_without_end(v2: InfluxV2) -> None:
    records = [
        record._replace(route=f"/users/{place}", variables={f"v{place}": place}, service=f"s{place % 20}")
        for place, record in enumerate(records_at_instants(300))
    ]
    with InfluxChest(v2.url("most_values=10")) as chest:
        chest.write(records)
        overflows = chest.overflows
        chest.write(records[:1])
    points = v2.points()
    assert len(points) == 300, "no request is lost"
    assert len({point["route"] for point in points}) == 11
    assert {point["measurement"] for point in points} == {*(f"s{number}" for number in range(10)), "_overflow"}
    assert len({name for point in points for name in point if name.startswith("v")}) == 10
    kept = [json.loads(point["_overflow"]) for point in points if "_overflow" in point]
    assert sorted(value for each in kept for value in each.values()) == list(range(10, 300))
    assert overflows == {"route": 290, "variable": 290, "service": 150}
    assert len(v2.series()) <= 11 * 11


def test_what_became_of_values_is_told_by_the_recorder(v2: InfluxV2, tmp_path: Path) -> None:
    with Recorder([v2.url("most_values=10")], directory=tmp_path, service="shop") as recorder:
        recorder.prepare()
        for place in range(30):
            variables = {"user": place if place else "nobody"}
            assert recorder.offer(make_record(route=f"/users/{place}", variables=variables))
        assert recorder.flush(60)
        stats, [chest] = recorder.stats(), recorder.chests
    assert stats["overflows"] == {chest.name: 20}
    assert stats["type_conflicts"] == {chest.name: 29}


def test_in_the_shape_of_variables_names_without_end_become_one_measurement(v2: InfluxV2) -> None:
    with InfluxChest(v2.url("shape=variable&most_values=3")) as chest:
        chest.write([make_record(variables={f"v{place}": place for place in range(10)})])
        assert chest.overflows == {"variable": 7}
    assert len(v2.points()) == 10
    assert sorted(json.loads(point["value"]).popitem() for point in v2.points("_overflow")) == [
        (f"v{place}", place) for place in range(3, 10)
    ]


# -- VictoriaMetrics -------------------------------------------------------------------------------------------------------


class Victoria:
    """Reads what stands in VictoriaMetrics under one service."""

    def __init__(self, server: Server) -> None:
        self._base = f"http://{HOST}:{server.port}"
        self.service = f"s{uuid4().hex[:12]}"
        self.url = f"influxdb://{HOST}:{server.port}/any/any?token=x"

    def series(self, pattern: str | None = None) -> list[dict[str, Any]]:
        httpx.get(f"{self._base}/internal/force_flush", trust_env=False)
        match = {"match[]": '{__name__=~"%s.*"}' % (pattern or self.service)}
        found = httpx.get(f"{self._base}/api/v1/export", params=match, trust_env=False).text
        return [json.loads(line) for line in found.splitlines()]


@pytest.fixture
def victoria(victoria_metrics: Server) -> Victoria:
    return Victoria(victoria_metrics)


def test_victoria_metrics_takes_the_numbers_of_every_request(victoria: Victoria) -> None:
    records = records_at_instants(500, service=victoria.service)
    with InfluxChest(victoria.url) as chest:
        chest.check()
        chest.write(records)
    (durations,) = [each for each in victoria.series() if each["metric"]["__name__"].endswith("_duration_ms")]
    assert len(durations["values"]) == 500
    assert durations["metric"]["route"] == "/items/<int:id>"
    assert durations["metric"]["outcome"] == "ok"


def test_a_value_cannot_write_a_point_of_its_own(victoria: Victoria, v2: InfluxV2) -> None:
    """VictoriaMetrics begins a line at every line end, also inside of a text."""
    evil = f"evil{uuid4().hex[:12]}"
    for end in ("\n", "\r", "\r\n"):
        value = f'x"{end}{evil},tag=1 value=99 {AN_INSTANT_NS}{end}y'
        variables = {"note": value, value: 1.0}
        (record,) = records_at_instants(1, service=victoria.service, route=value, variables=variables)
        for url in (victoria.url, v2.url()):
            with InfluxChest(url, custom_tags={value: value}) as chest:
                chest.write([record])
    assert victoria.series(evil) == []
    assert victoria.series()
    assert {point["measurement"] for point in v2.points()} == {victoria.service}
