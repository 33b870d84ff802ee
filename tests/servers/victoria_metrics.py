"""VictoriaMetrics 1.79, of Debian: takes InfluxDB's line protocol, and drops a bad line without a word."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from tests.servers.http_ready import answers
from tests.servers.process import HOST, Server, needs_program, private_directory, running


@contextmanager
def victoria_metrics() -> Iterator[Server]:
    """VictoriaMetrics for the block, with nothing in it; what was written is read after ``/internal/force_flush``."""
    program = needs_program("victoria-metrics", "victoria-metrics")
    with private_directory() as directory:

        def command(port: int) -> list[str]:
            return [
                program, f"-httpListenAddr={HOST}:{port}", f"-storageDataPath={directory}/data",
                "-retentionPeriod=100y", "-search.latencyOffset=0s",
            ]  # fmt: skip

        with running("VictoriaMetrics", command, directory, is_ready=answers("/health", 200)) as server:
            yield server
