"""Is a record lost or doubled while several hosts send to one engine that restarts, is cut off and comes back, and a host is killed?

``python -m benchmarks.endurance.fleet [--engine NAME] [--hosts N] [--rate R] [--seconds S] [--save]``. A host is a process with a directory of its own and,
where the system allows it, a network namespace of its own (``networks.py``). It offers so many records a second to a recorder, whose delivery writes to the engine. The engine is stopped and started again; then the
network swallows everything for a fifth of the time (a minute at most), and meanwhile the first host is killed with SIGKILL and, as a supervisor would,
started again. At the end each record that a host's ring has accepted is looked for in the engine. It ends with 1 if one is lost, or if one is there twice in an engine that tells records by ``id``.
"""

from __future__ import annotations

import argparse
import struct
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from typing import Any, Final, NamedTuple

from benchmarks.endurance.engines import ENGINES, Engine
from benchmarks.endurance.networks import PROXY, Network, NetworkKind, network_kind
from benchmarks.rig.report import Report, Target, about, question_of, save
from chest.chests.contract import Chest, ReadableChest, StreamChest
from chest.chests.registry import open_chest
from chest.record.record import Record
from tests.processes import run_python, running_python
from tests.servers.process import HOST

_LONGEST_CUT_SECONDS: Final = 60.0
_SETTLE_SECONDS: Final = 300.0
_RECOVER_SECONDS: Final = 1800.0
_PAGE: Final = 5000
_COUNTS: Final = struct.Struct("<QQ")
"""Of one life of a host, in a file that outlives it: how many records the ring accepted, and how many it refused as it was full."""
_HOST: Final = """
    import mmap, os, select, struct, sys, time
    from pathlib import Path
    from benchmarks.endurance.networks import enter_new_namespace

    os.setsid()  # Linux shares the processors among sessions, and a host has its own
    if sys.argv[7] == "True":
        enter_new_namespace()
    from chest import Recorder
    from chest.testing.records import make_record

    print("ready", flush=True)
    sys.stdin.readline()
    url, place, host, life, rate = sys.argv[1], Path(sys.argv[2]), sys.argv[3], sys.argv[4], float(sys.argv[5])
    file = open(place / f"{host}-{life}.counts", "w+b")
    file.truncate(16)
    counts = mmap.mmap(file.fileno(), 16)
    recorder = Recorder([url], directory=place / f"host-{host}", service="fleet", flush_seconds=0.2)
    recorder.prepare()
    ids, variables = recorder.request_side.record_ids, {"host": host, "life": life}
    accepted = refused = 0
    template = make_record(host=host)
    begin, is_over = time.monotonic(), False
    while not is_over:
        for _ in range(int((time.monotonic() - begin) * rate) - accepted - refused):
            time_ns = time.time_ns()
            changed = {"id": ids.new(time_ns), "time_ns": time_ns, "variables": {**variables, "n": accepted}}
            if recorder.offer(template._replace(**changed)):
                accepted += 1
            else:
                refused += 1
            struct.pack_into("<QQ", counts, 0, accepted, refused)
        is_over = bool(select.select([sys.stdin], [], [], 0.005)[0])
    recorder.close(float(sys.argv[6]))
    print("over", flush=True)
"""
_RECOVER: Final = """
    import sys
    from chest.cli.main import commands

    commands(["recover", sys.argv[2], "--to", sys.argv[1]], standalone_mode=False)
"""


class Found(NamedTuple):
    """What became of the records."""

    accepted: int
    """By the rings of all hosts."""
    refused: int
    """As a ring was full: told to the host, and counted by its recorder."""
    stored: int
    lost: int
    """Accepted, and not in the engine."""
    doubled: int
    """Those that are more than once in the engine."""
    unknown: int
    """In the engine, and no host has offered them."""
    may_double: bool
    """The engine does not tell records by ``id``."""
    where: Sequence[str] = ()
    """Of each life of a host with records that are doubled: how many, and the numbers of the first and the last."""
    seconds_behind: float = 0.0
    """How long after the last record was offered the last one was delivered, with the start of a ``chest recover`` for each host."""


def fleet(directory: Path, name: str, hosts: int, rate: float, seconds: float, kind: NetworkKind = PROXY) -> Found:
    """Run, and count what is in the engine."""
    with ENGINES[name](kind.listen) as engine, kind.to(engine.server.port) as network, ExitStack() as stack:
        url = engine.url(network.address, network.port)
        engine_url = engine.url(HOST, engine.server.port)
        with open_chest(engine_url) as chest:
            chest.open()

        def start(host: int, life: int) -> Any:
            arguments = (url, directory, host, life, rate, _SETTLE_SECONDS, network.has_namespaces)
            process = stack.enter_context(running_python(_HOST, *arguments))
            assert process.stdout is not None
            assert process.stdout.readline() == "ready\n"
            network.join(host, process.pid)
            return process

        processes = [start(host, 0) for host in range(hosts)]
        for process in processes:
            _tell(process)
        _trouble(engine, network, seconds, partial(_kill_and_start, processes, start))
        end = time.monotonic()
        for process in processes:
            _tell(process)
        for process in processes:
            assert process.stdout.readline() == "over\n"
        with ThreadPoolExecutor(hosts) as pool:
            list(pool.map(partial(_recover, url), (directory / f"host-{host}" for host in range(hosts))))
        behind = time.monotonic() - end
        with open_chest(engine_url) as chest:
            return _found(chest, directory, engine.variables)._replace(seconds_behind=behind)


def _recover(url: str, directory: Path) -> None:
    run_python(_RECOVER, url, directory, seconds=_RECOVER_SECONDS)


def _tell(process: Any) -> None:
    """The first time to begin, the second time to end."""
    process.stdin.write("\n")
    process.stdin.flush()


def _kill_and_start(processes: list[Any], start: Callable[[int, int], Any]) -> None:
    processes[0].kill()
    processes[0].wait()
    processes[0] = start(0, 1)
    _tell(processes[0])


def _trouble(engine: Engine, network: Network, seconds: float, kill: Callable[[], None]) -> None:
    """What happens to the engine, the network and a host within so many seconds."""
    begin = time.monotonic()

    def until(share: float) -> None:
        time.sleep(max(0.0, begin + share * seconds - time.monotonic()))

    until(0.2)
    engine.server.stop()
    until(0.3)
    engine.server.start()
    until(0.5)
    network.cut()
    cut = min(0.2, _LONGEST_CUT_SECONDS / seconds)
    until(0.5 + cut / 2)
    kill()
    until(0.5 + cut)
    network.heal()
    until(1)


def _found(chest: Chest, directory: Path, variables: Callable[[], Iterable[Mapping[str, Any]]] | None = None) -> Found:
    counts = {path.stem: _COUNTS.unpack(path.read_bytes()) for path in directory.glob("*.counts")}
    seen: dict[str, Counter[int]] = {life: Counter() for life in counts}
    stored = 0
    for of_record in (record.variables for record in _records(chest)) if variables is None else variables():
        stored += 1
        seen[f"{of_record['host']}-{of_record['life']}"][of_record["n"]] += 1
    # A host may be killed between the ring's acceptance and its note of it.
    unknown = sum(number > counts[life][0] for life, found in seen.items() for number in found)
    lost = sum(counts[life][0] - sum(number < counts[life][0] for number in found) for life, found in seen.items())
    twice = {life: [number for number, times in found.items() if times > 1] for life, found in seen.items()}
    doubled = sum(map(len, twice.values()))
    where = [
        f"host {life}: {len(each)} doubled, {min(each)} to {max(each)} of {counts[life][0]}"
        for life, each in twice.items()
        if each
    ]
    accepted, refused = map(sum, zip(*counts.values(), strict=True))
    return Found(accepted, refused, stored, lost, doubled, unknown, not chest.is_idempotent, where)


def _records(chest: Chest) -> Iterator[Record]:
    if isinstance(chest, StreamChest):
        reader = chest.reader("fleet")
        while (received := reader.receive(_PAGE, 2.0)).records:
            yield from received.records
            reader.acknowledge(received)
        reader.close()
        return
    assert isinstance(chest, ReadableChest)
    after = None
    while page := chest.read(after=after, limit=_PAGE):
        yield from (stored.record for stored in page)
        after = page[-1].cursor


def report_of(name: str, hosts: int, rate: float, seconds: float, found: Found, network: str) -> Report:
    """The table, and what has to hold."""
    figures = (found.accepted, found.stored, found.lost, found.doubled, found.refused, found.seconds_behind)
    targets = [Target("records lost", found.lost + found.unknown, "at most", 0)]
    if not found.may_double:
        targets.append(Target("records stored twice", found.doubled, "at most", 0))
    return Report(
        question_of(__doc__),
        ("", "accepted", "stored", "lost", "doubled", "ring full", "seconds behind"),
        [(f"{name}, {hosts} hosts, {rate:g}/s each, {seconds:g} s", *map(float, figures))],
        targets,
        [f"Network: {network}.", *found.where],
    )


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.endurance.fleet", description=(__doc__ or "").splitlines()[0]
    )
    parser.add_argument("--engine", choices=list(ENGINES), action="append", help="which (all, one after the other)")
    parser.add_argument("--hosts", type=int, default=8, help="how many (8)")
    parser.add_argument("--rate", type=float, default=2000.0, help="records a second of each (2000)")
    parser.add_argument("--seconds", type=float, default=300.0, help="how long (300)")
    parser.add_argument("--save", action="store_true", help="write what was found to benchmarks/results/")
    parser.add_argument("--remark", default="", help="what to say of the machine in that file")
    given = parser.parse_args(arguments)
    here, reports, kind = about(), list[Report](), network_kind()
    for name in given.engine or ENGINES:
        with tempfile.TemporaryDirectory(prefix="chest-fleet-") as directory:
            found = fleet(Path(directory), name, given.hosts, given.rate, given.seconds, kind)
        reports.append(report_of(name, given.hosts, given.rate, given.seconds, found, kind.name))
        print(reports[-1], flush=True)
    if given.save:
        name = "-".join(["-fleet", *(given.engine or ())])
        print(f"saved as {save(reports, here, given.remark, name)}")
    return 0 if all(target.is_met for report in reports for target in report.targets) else 1


if __name__ == "__main__":
    sys.exit(main())
