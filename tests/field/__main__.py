"""The long form: ``make field SECONDS=600`` runs one random seed after the other, ``make field SEED=123`` one again."""

from __future__ import annotations

import argparse
import random
import sys
import tempfile
import time
import traceback
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.field.parts.stores import Stores
from tests.field.plan import Event, Plan, ServerKind, StoreKind, plan_of
from tests.field.run import Result, run


def main() -> int:
    """Run, tell of each seed, and end with a table; 1 if anything was found."""
    parser = argparse.ArgumentParser(prog="python -m tests.field", description=__doc__)
    parser.add_argument("--seconds", type=float, default=600.0, help="begin no new seed after so many seconds")
    parser.add_argument("--seed", type=int, action="append", help="run this one alone; may be given again")
    parser.add_argument("--server", choices=list(ServerKind), help="take only random seeds with this server")
    asked = parser.parse_args()
    results: list[Result] = []
    deadline = time.monotonic() + asked.seconds
    with Stores() as stores:
        for seed in asked.seed or _random_seeds(deadline, asked.server):
            results.append(_result_of(plan_of(seed), stores))
            print(results[-1], flush=True)
            if results[-1].faults and asked.seed:
                print(results[-1].log, file=sys.stderr)
    print(_table(results))
    return 1 if any(result.faults for result in results) else 0


def _random_seeds(deadline: float, server: str | None) -> Iterator[int]:
    while time.monotonic() < deadline:
        seed = random.randrange(1_000_000)
        if server in (None, plan_of(seed).server):
            yield seed


def _result_of(plan: Plan, stores: Stores) -> Result:
    with tempfile.TemporaryDirectory(prefix="chest-field-", ignore_cleanup_errors=True) as directory:
        try:
            return run(plan, stores, Path(directory))
        except pytest.skip.Exception as skipped:
            print(f"{plan}: skipped, {skipped.msg}", flush=True)
            return Result(plan, 0, 0, 0.0, [], "")
        except (Exception, pytest.fail.Exception) as error:
            told = "".join(traceback.format_exception(error)[-3:])
            return Result(plan, 0, 0, 0.0, ["the run ended", told], "")


def _table(results: list[Result]) -> str:
    runs: Counter[str] = Counter()
    faulty: Counter[str] = Counter()
    for result in results:
        names = [result.plan.server, result.plan.store, *result.plan.events]
        runs.update(names)
        faulty.update(names if result.faults else [])
    rows = [f"{name:24} {runs[name]:6} {faulty[name]:9}" for name in [*ServerKind, *StoreKind, *Event]]
    seeds = " ".join(str(result.plan.seed) for result in results if result.faults) or "none"
    total = f"{len(results)} seeds, {sum(result.answered for result in results):,} answered requests; faults in seeds: {seeds}"
    return "\n".join([f"{'':24} {'seeds':>6} {'at fault':>9}", *rows, total])


if __name__ == "__main__":
    sys.exit(main())
