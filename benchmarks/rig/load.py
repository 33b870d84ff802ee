"""Load on a local HTTP server: wrk where it is installed, else threads of this process."""

from __future__ import annotations

import http.client
import re
import shutil
import subprocess
import threading
import time
from typing import Final, NamedTuple

CONNECTIONS: Final = 16
_UNITS: Final = {"us": 1e-3, "ms": 1.0, "s": 1e3}


class Load(NamedTuple):
    """What one round of load saw."""

    requests: int
    requests_per_second: float
    p50_ms: float
    p99_ms: float


def tool() -> str:
    """Which client makes the load."""
    return "wrk" if shutil.which("wrk") else "a Python client"


def load(port: int, seconds: float) -> Load:
    """Requests on kept-alive connections for so long; raises RuntimeError where one fails."""
    return _by_wrk(port, seconds) if shutil.which("wrk") else _by_python(port, seconds)


def _by_wrk(port: int, seconds: float) -> Load:
    command = ["wrk", "--threads", "1", "--connections", str(CONNECTIONS), "--duration", f"{seconds:.0f}s", "--latency"]
    output = subprocess.run([*command, f"http://127.0.0.1:{port}/"], check=True, capture_output=True, text=True).stdout
    if "Non-2xx" in output:
        raise RuntimeError(output)
    return Load(
        int(_found(r"(\d+) requests in", output)[0]),
        float(_found(r"Requests/sec:\s+([\d.]+)", output)[0]),
        _milliseconds(r"50%\s+([\d.]+)(us|ms|s)", output),
        _milliseconds(r"99%\s+([\d.]+)(us|ms|s)", output),
    )


def _found(pattern: str, output: str) -> tuple[str, ...]:
    match = re.search(pattern, output)
    if match is None:
        raise RuntimeError(f"wrk said something unexpected:\n{output}")
    return match.groups()


def _milliseconds(pattern: str, output: str) -> float:
    number, unit = _found(pattern, output)
    return float(number) * _UNITS[unit]


def _by_python(port: int, seconds: float) -> Load:
    """Slower than wrk, and so a weaker load: the server waits for the client now and then."""
    times_ms: list[float] = []
    failures: list[BaseException] = []
    begin = time.perf_counter()

    def work() -> None:
        try:
            times_ms.extend(_requests_until(port, begin + seconds))
        except BaseException as error:
            failures.append(error)

    threads = [threading.Thread(target=work) for _ in range(CONNECTIONS // 4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if failures:
        raise RuntimeError(f"a request failed: {failures[0]!r}") from failures[0]
    elapsed = time.perf_counter() - begin
    times_ms.sort()
    count = len(times_ms)
    return Load(count, count / elapsed, times_ms[count // 2], times_ms[count * 99 // 100])


def _requests_until(port: int, end: float) -> list[float]:
    times_ms = []
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
    while time.perf_counter() < end:
        begin = time.perf_counter()
        connection.request("GET", "/")
        response = connection.getresponse()
        response.read()
        if response.status != 200:
            raise RuntimeError(f"answered {response.status}")
        times_ms.append((time.perf_counter() - begin) * 1000)
    connection.close()
    return times_ms
