"""How many records a second reach each engine for many hosts from a full ring, beside the plainest loop over its client?

Both get the same records, in batches of the same size, into the same server, one after the other in every round; the loop has them
ready as objects, encodes them as a user would, and waits for the answers of each batch. ``chest drain`` gets as many from the rings of
several processes. For a stream also: how many records a second does
a transfer take from it, acknowledged, into a chest that discards them?
"""

from __future__ import annotations

import asyncio
import statistics
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Final, NamedTuple, TypeAlias

import pytest

from benchmarks.bench_delivery_thread import LINE_BYTES, Speed, copies, delivery_speed, timed
from benchmarks.rig.contenders import DiscardingChest, sample_record
from benchmarks.rig.fan_in import PROCESSES, drain_speed
from benchmarks.rig.report import Report, Target, question_of
from benchmarks.rig.stores_without_sql import post_spans, produce
from chest.chests.contract import StreamChest
from chest.chests.registry import open_chest
from chest.record.encoding import encode
from chest.record.record import Record
from chest.settings.settings import Settings
from chest.transfer import StreamTransfer

_RING_BYTES: Final = 8 * 1024 * 1024
_ROUNDS: Final = 5

Batches: TypeAlias = Sequence[Sequence[Record]]


class Engine(NamedTuple):
    """An engine that runs, with nothing in it."""

    new_url: Callable[[], str]
    """The chest URL of a new place in it."""
    loop: Callable[[Batches], object]
    """Stores the records by the engine's own client, in the plainest way."""
    loop_name: str
    aim: float
    """Records a second."""


class Found(NamedTuple):
    """Of one engine: the medians of the rounds."""

    ours: Speed
    drained: Speed
    """By ``chest drain``, of several processes."""
    theirs: Speed
    taken_on: Speed | None
    """By a transfer out of it, if it is a stream."""
    aim: float
    loop_name: str


@contextmanager
def nats() -> Iterator[Engine]:
    """NATS JetStream; nats-py's ``publish`` with the id in a header, a batch gathered."""
    import nats as client

    from tests.servers.nats import PASSWORD, USER, nats
    from tests.servers.process import HOST

    async def publish(port: int, stream: str, batches: Batches) -> None:
        connection = await client.connect(f"nats://{HOST}:{port}", user=USER, password=PASSWORD)
        jetstream = connection.jetstream(publish_async_max_pending=10_000)
        await jetstream.add_stream(name=stream, subjects=[f"{stream}.records"], duplicate_window=3600)
        for batch in batches:
            await asyncio.gather(
                *(
                    jetstream.publish(f"{stream}.records", encode(record._asdict()), headers={"Nats-Msg-Id": record.id})
                    for record in batch
                )
            )
        await connection.close()

    with nats() as server:
        yield Engine(
            server.new_url,
            lambda batches: asyncio.run(publish(server.port, server.new_stream(), batches)),
            "nats-py, publish gathered",
            20_000,
        )


@contextmanager
def kafka() -> Iterator[Engine]:
    """A broker of Kafka's protocol; confluent-kafka's ``produce`` with a report for each message, and a flush a batch."""
    from tests.servers.kafka import kafka

    with kafka() as server:

        def loop(batches: Batches) -> None:
            topic = server.new_topic()
            with open_chest(server.url(topic, "partitions=6")) as chest:
                chest.open()
            produce(server.brokers, topic, ([(each.id, encode(each._asdict())) for each in batch] for batch in batches))

        yield Engine(lambda: server.new_url("partitions=6"), loop, "confluent-kafka, produce and flush", 20_000)


@contextmanager
def clickhouse() -> Iterator[Engine]:
    """ClickHouse's engine; httpx's post of the records as JSON, a batch a request."""
    import httpx

    from tests.servers.clickhouse import PASSWORDS, USER, clickhouse
    from tests.servers.process import HOST

    with clickhouse() as server:

        def post(batches: Batches) -> None:
            database, names = server.new_database(), ", ".join(Record._fields)
            with open_chest(server.url(database)) as chest:
                chest.open()
            query = f"INSERT INTO {database}.chest_records ({names}) FORMAT JSONEachRow"
            with httpx.Client(trust_env=False, auth=(USER, PASSWORDS[USER])) as client:
                for batch in batches:
                    body = b"\n".join(encode(record._asdict() | _json_texts(record)) for record in batch)
                    url = f"http://{HOST}:{server.port}/"
                    client.post(url, params={"query": query}, content=body, timeout=60).raise_for_status()

        yield Engine(server.new_url, post, "httpx, post of JSONEachRow", 100_000)


@contextmanager
def otlp() -> Iterator[Engine]:
    """A collector that drops what it took; httpx's post of spans from opentelemetry-proto's constructors, a batch a request."""
    from tests.servers.otlp import forgetful_rotel
    from tests.servers.process import HOST

    with forgetful_rotel() as port:
        url = f"http://{HOST}:{port}/v1/traces"
        yield Engine(
            lambda: f"otlp://{HOST}:{port}", lambda batches: post_spans(url, batches), "httpx, post of spans", 20_000
        )


@contextmanager
def postgresql(*, is_partitioned: bool = False) -> Iterator[Engine]:
    """PostgreSQL; psycopg's COPY, a batch a transaction, into a table with the same keys, indexes and partitions."""
    import psycopg
    from sqlalchemy.engine import make_url

    from tests.servers.postgresql import partitioned, postgresql

    with postgresql() as server:

        def new_url() -> str:
            url = server.new_url()
            return partitioned(url, range(30)) if is_partitioned else url

        def copy(batches: Batches) -> None:
            url = new_url()
            with open_chest(url) as chest:
                chest.open()
            columns, stored_at = ", ".join((*Record._fields, "stored_at")), datetime.now(UTC)
            with psycopg.connect(make_url(url).render_as_string(hide_password=False)) as connection:
                for batch in batches:
                    with connection.cursor().copy(f"COPY chest_records ({columns}) FROM STDIN") as copying:
                        for record in batch:
                            copying.write_row((*(record._asdict() | _json_texts(record)).values(), stored_at))
                    connection.commit()

        yield Engine(new_url, copy, "psycopg, COPY", 20_000)


def _json_texts(record: Record) -> dict[str, str]:
    return {"variables": encode(record.variables).decode(), "attributes": encode(record.attributes).decode()}


ENGINES: Final[dict[str, Callable[[], AbstractContextManager[Engine]]]] = {
    "NATS JetStream": nats,
    "Kafka's protocol": kafka,
    "ClickHouse": clickhouse,
    "A collector (OTLP)": otlp,
    "PostgreSQL": postgresql,
    "PostgreSQL, partitioned by day": partial(postgresql, is_partitioned=True),
}


def measure(
    names: Sequence[str] = tuple(ENGINES), rounds: int = _ROUNDS, ring_bytes: int = _RING_BYTES
) -> dict[str, Found]:
    """What is found for each engine that can be started."""
    found: dict[str, Found] = {}
    with tempfile.TemporaryDirectory(prefix="chest-bench-") as directory:
        place = Path(directory)
        records = copies(sample_record(place), ring_bytes // LINE_BYTES)
        for name in names:
            try:
                with ENGINES[name]() as engine:
                    found[name] = _found(engine, place / "ring", ring_bytes, records, rounds)
            except pytest.skip.Exception as missing:
                print(f"{name} is left out: {missing}")
    return found


def _found(engine: Engine, ring: Path, ring_bytes: int, records: Sequence[Record], rounds: int) -> Found:
    size = Settings().batch_records
    batches = [records[start : start + size] for start in range(0, len(records), size)]
    ours, drained, theirs, taken_on = [], [], [], []
    for _ in range(rounds):
        url = engine.new_url()
        with open_chest(url) as chest:
            chest.open()
            ours.append(delivery_speed(ring, ring_bytes, records, chest))
            if isinstance(chest, StreamChest):
                transfer = StreamTransfer(chest, DiscardingChest())
                taken_on.append(timed(len(records), lambda: transfer.run().written == len(records)))  # noqa: B023
        drained.append(drain_speed(engine.new_url(), ring_bytes // PROCESSES))
        theirs.append(timed(len(records), lambda: engine.loop(batches) is None))
    taken = _median(taken_on) if taken_on else None
    return Found(_median(ours), _median(drained), _median(theirs), taken, engine.aim, engine.loop_name)


def _median(speeds: Sequence[Speed]) -> Speed:
    return Speed(*map(statistics.median, zip(*speeds, strict=True)))


def report() -> Report:
    """Records a second, and CPU of this process a record."""
    found = measure()
    rows: list[tuple[str, float, float]] = []
    for name, each in found.items():
        rows.append(
            (f"{name}: Chest, ring to the engine", each.ours.records_per_second, each.ours.cpu_ns_per_record / 1e3)
        )
        rows.append((f"{name}: {each.loop_name}", each.theirs.records_per_second, each.theirs.cpu_ns_per_record / 1e3))
        drained = each.drained
        label = f"{name}: chest drain, of {PROCESSES} processes"
        rows.append((label, drained.records_per_second, drained.cpu_ns_per_record / 1e3))
        if each.taken_on is not None:
            taken = each.taken_on
            rows.append((f"{name}: a transfer out of it", taken.records_per_second, taken.cpu_ns_per_record / 1e3))
    return Report(
        question_of(__doc__),
        ("", "records/s", "CPU µs/record"),
        rows,
        targets=[
            Target(f"records a second into {name}", each.ours.records_per_second, "at least", each.aim)
            for name, each in found.items()
        ],
    )


if __name__ == "__main__":
    print(report())
