"""More stores of ``bench_chests``: MongoDB, ClickHouse, Kafka, a server that takes InfluxDB's writes, an HTTP endpoint, and a collector's."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Final

from benchmarks.rig.stores import Batches, Store
from chest.chests.registry import open_chest
from chest.record.encoding import encode
from chest.record.record import Record
from tests.processes import clean_environment
from tests.servers.process import HOST

_RIVAL: Final = "rival"
_SINK: Final = """
import sys
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

class Sink(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    def do_POST(self):
        self.rfile.read(int(self.headers["Content-Length"]))
        self.send_response_only(204)
        self.end_headers()

server = ThreadingHTTPServer(("127.0.0.1", 0), Sink)
print(server.server_port, flush=True)
server.serve_forever()
"""


@contextmanager
def mongodb() -> Iterator[Store]:
    """MongoDB; pymongo's ``insert_many`` of documents that are ready, unordered, into a collection with the same index."""
    from pymongo import MongoClient

    from tests.servers.mongodb import mongodb

    with mongodb() as server:
        url = f"mongodb://{HOST}:{server.port}/bench"

        def bulk(batches: Batches) -> Callable[[], None]:
            moment = datetime.now(UTC)
            names = ("_id", *Record._fields[1:])
            documents = [
                [
                    dict(zip(names, record, strict=True))
                    | {"seq": record.time_ns, "stored_at": moment, "time": moment}
                    for record in batch
                ]
                for batch in batches
            ]  # fmt: skip
            with open_chest(f"{url}?collection={_RIVAL}") as chest:
                chest.open()

            def store() -> None:
                with MongoClient(HOST, server.port) as client:
                    for batch in documents:
                        client.bench[_RIVAL].insert_many(batch, ordered=False)

            return store

        yield Store(lambda: open_chest(url), bulk, "insert_many", 0.7)


@contextmanager
def influxdb() -> Iterator[Store]:
    """VictoriaMetrics, by InfluxDB's protocol; influxdb-client's synchronous write of points that are ready."""
    from influxdb_client import InfluxDBClient, Point
    from influxdb_client.client.write_api import SYNCHRONOUS

    from tests.servers.victoria_metrics import victoria_metrics

    def point_of(record: Record) -> Point:
        point = Point(_RIVAL).time(record.time_ns)
        for name in ("method", "route", "status", "outcome", "service"):
            point.tag(name, getattr(record, name))
        fields = {"duration_ms": record.duration_ns / 1e6, "request_id": record.request_id, **record.variables}
        for name, value in fields.items():
            point.field(name, float(value) if type(value) is int else value)
        return point

    with victoria_metrics() as server:

        def bulk(batches: Batches) -> Callable[[], None]:
            points = [[point_of(record) for record in batch] for batch in batches]

            def store() -> None:
                with InfluxDBClient(f"http://{HOST}:{server.port}", "token", org="org") as client:
                    writing = client.write_api(write_options=SYNCHRONOUS)
                    for batch in points:
                        writing.write(bucket="bucket", record=batch)

            return store

        url = f"influxdb://{HOST}:{server.port}/org/bucket?token=token"
        yield Store(lambda: open_chest(url), bulk, "write of points", 0.7)


@contextmanager
def clickhouse() -> Iterator[Store]:
    """ClickHouse's engine; an httpx client that inserts rows which are ready as JSON, into a table of the same kind."""
    import httpx

    from tests.servers.clickhouse import PASSWORDS, USER, clickhouse

    with clickhouse() as server:
        database = server.new_database()

        def bulk(batches: Batches) -> Callable[[], None]:
            names = ", ".join(("place", *Record._fields))
            with open_chest(server.url(database, query=f"table={_RIVAL}")) as chest:
                chest.open()
            bodies = [
                b"\n".join(
                    encode(
                        record._asdict()
                        | {"place": place, "variables": encode(record.variables).decode()}
                        | {"attributes": encode(record.attributes).decode()}
                    )
                    for place, record in enumerate(batch)
                )
                for batch in batches
            ]
            params = {"query": f"INSERT INTO {database}.{_RIVAL} ({names}) FORMAT JSONEachRow"}

            def store() -> None:
                with httpx.Client(trust_env=False, auth=(USER, PASSWORDS[USER])) as client:
                    for body in bodies:
                        url = f"http://{HOST}:{server.port}/"
                        client.post(url, params=params, content=body, timeout=60).raise_for_status()

            return store

        yield Store(lambda: open_chest(server.url(database)), bulk, "post of JSONEachRow", 0.7)


@contextmanager
def http() -> Iterator[Store]:
    """An endpoint that reads and forgets; an httpx client that posts the same records as JSON."""
    import httpx

    with _sink() as port:
        url = f"http://{HOST}:{port}/records"

        def bulk(batches: Batches) -> Callable[[], None]:
            objects = [[record._asdict() for record in batch] for batch in batches]

            def store() -> None:
                with httpx.Client(trust_env=False) as client:
                    for batch in objects:
                        client.post(url, json=batch).raise_for_status()

            return store

        yield Store(lambda: open_chest(url), bulk, "post of JSON", 0.7)


@contextmanager
def otlp() -> Iterator[Store]:
    """An endpoint that reads and forgets; an httpx client that makes spans as opentelemetry-proto's constructors do, and posts them."""
    with _sink() as port:
        url = f"http://{HOST}:{port}/v1/traces"
        yield Store(
            lambda: open_chest(f"otlp://{HOST}:{port}"),
            lambda batches: lambda: post_spans(url, batches),
            "post of spans",
            0.7,
        )


def post_spans(url: str, batches: Batches) -> None:
    """Post a span a record with httpx, a batch a request, made as opentelemetry-proto's constructors make them."""
    import httpx
    from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
    from opentelemetry.proto.common.v1.common_pb2 import AnyValue, KeyValue
    from opentelemetry.proto.trace.v1.trace_pb2 import ResourceSpans, ScopeSpans, Span

    fields = {str: "string_value", bool: "bool_value", int: "int_value", float: "double_value"}

    def span_of(record: Record) -> Span:
        values = {
            **record.attributes,
            **record.variables,
            "http.request.method": record.method,
            "url.path": record.path,
        }
        values |= {"http.response.status_code": record.status, "id": record.id, "request_id": record.request_id}
        return Span(
            trace_id=bytes.fromhex(record.id), span_id=bytes.fromhex(record.id[16:]), name=record.method, kind=2,
            start_time_unix_nano=record.time_ns, end_time_unix_nano=record.time_ns + record.duration_ns,
            attributes=[
                KeyValue(key=name, value=AnyValue(**{fields[type(value)]: value})) for name, value in values.items()
            ],
        )  # fmt: skip

    with httpx.Client(trust_env=False, headers={"Content-Type": "application/x-protobuf"}) as client:
        for batch in batches:
            scoped = ScopeSpans(spans=map(span_of, batch))
            body = ExportTraceServiceRequest(resource_spans=[ResourceSpans(scope_spans=[scoped])])
            client.post(url, content=body.SerializeToString()).raise_for_status()


@contextmanager
def kafka() -> Iterator[Store]:
    """A broker of Kafka's protocol; confluent-kafka's ``produce`` of records as JSON, and a flush a batch."""
    from tests.servers.kafka import kafka

    with kafka() as server:
        topic, rival = server.new_topic(), server.new_topic()
        with open_chest(server.url(rival, "partitions=6")) as chest:
            chest.open()

        def bulk(batches: Batches) -> Callable[[], None]:
            messages = (((record.id, encode(record._asdict())) for record in batch) for batch in batches)
            return lambda: produce(server.brokers, rival, messages)

        yield Store(lambda: open_chest(server.url(topic, "partitions=6")), bulk, "produce and flush", 0.7)


def produce(brokers: str, topic: str, batches: Iterable[Iterable[tuple[str, bytes]]]) -> None:
    """Send keys and values with confluent-kafka, as safely as the chest does, with a report for each message and a flush a batch."""
    from confluent_kafka import Producer

    settings = {"acks": "all", "enable.idempotence": True, "compression.type": "zstd", "linger.ms": 20}
    producer = Producer({"bootstrap.servers": brokers, **settings})
    errors: list[object] = []

    def note(error: object, _: object) -> None:
        if error is not None:
            errors.append(error)

    for batch in batches:
        for key, value in batch:
            producer.produce(topic, value, key, on_delivery=note)
        producer.flush(60)
    assert not errors


@contextmanager
def _sink() -> Iterator[int]:
    """A process that reads requests and forgets them; gives its port."""
    command = [sys.executable, "-c", _SINK]
    with subprocess.Popen(command, env=clean_environment(), stdout=subprocess.PIPE, text=True) as sink:
        try:
            assert sink.stdout is not None
            yield int(sink.stdout.readline())
        finally:
            sink.kill()
