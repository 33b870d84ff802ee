"""Rotel 0.0.1, a collector of OpenTelemetry's data from PyPI: takes OTLP, and hands it on to a sink of the tests."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import NamedTuple

from tests.servers.otlp.sink import OtlpSink, otlp_sink
from tests.servers.process import HOST, Server, free_port, needs, pinned, private_directory, running


class Collector(NamedTuple):
    """A collector, and what arrives behind it."""

    server: Server
    sink: OtlpSink

    def url(self, query: str = "") -> str:
        """The chest URL of the collector."""
        return f"otlp://{HOST}:{self.server.port}{'?' * bool(query)}{query}"


@contextmanager
def rotel() -> Iterator[Collector]:
    """The collector for the block, which hands on each batch within 50 ms."""
    with otlp_sink() as sink:
        exporter = (
            "otlp", "--otlp-exporter-endpoint", sink.server.url, "--otlp-exporter-protocol", "http",
            # Its own compression has a fault; what comes in may be compressed.
            "--otlp-exporter-compression", "none", "--batch-timeout", "50ms",
        )  # fmt: skip
        with _running(*exporter) as server:
            yield Collector(server, sink)


@contextmanager
def forgetful_rotel() -> Iterator[int]:
    """The port of a collector for the block that takes what it is sent, and drops it."""
    with _running("blackhole") as server:
        yield server.port


@contextmanager
def _running(*exporter: str) -> Iterator[Server]:
    needs("rotel", pinned("rotel"))
    spec = find_spec("rotel")
    assert spec is not None
    assert spec.origin is not None
    program = str(Path(spec.origin).parent / "rotel-agent")

    def command(port: int) -> list[str]:
        return [
            program, "start", "--otlp-http-endpoint", f"{HOST}:{port}", "--otlp-grpc-endpoint", f"{HOST}:{free_port()}",
            "--exporter", *exporter,
        ]  # fmt: skip

    with private_directory() as directory, running("Rotel", command, directory) as server:
        yield server
