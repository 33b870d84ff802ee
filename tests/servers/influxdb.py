"""InfluxDB 1.6, of Debian: the engine, with version 1 of the HTTP interface (``/write``, ``/query``, ``/ping``)."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from tests.servers.http_ready import answers
from tests.servers.process import HOST, Server, free_port, needs_program, private_directory, running

_CONFIGURATION: Final = """\
reporting-disabled = true
bind-address = "{host}:{rpc_port}"
[meta]
  dir = "{directory}/meta"
[data]
  dir = "{directory}/data"
  wal-dir = "{directory}/wal"
  query-log-enabled = false
[monitor]
  store-enabled = false
[http]
  bind-address = "{host}:{port}"
  log-enabled = false
[subscriber]
  enabled = false
[continuous_queries]
  enabled = false
"""


@contextmanager
def influxdb() -> Iterator[Server]:
    """influxd for the block, without a database."""
    program = needs_program("influxd", "influxdb")
    with (
        private_directory() as directory,
        running(
            "InfluxDB", lambda port: _command(program, directory, port), directory, is_ready=answers("/ping", 204)
        ) as server,
    ):
        yield server


def _command(program: str, directory: Path, port: int) -> list[str]:
    configuration = directory / "influxd.conf"
    configuration.write_text(_CONFIGURATION.format(host=HOST, port=port, rpc_port=free_port(), directory=directory))
    return [program, "-config", str(configuration)]
