"""``python -m benchmarks``: every question, one after the other, in about fifteen minutes; ``--save`` keeps the answers.

With names (``middleware ring``) only those; ``peers`` and ``flask_peers`` are asked only by name, for they install what they measure,
and ``asking``, ``engines``, ``scaling`` and ``transfer``, which take minutes. ``page`` installs datasette beside it, once.
"""

from __future__ import annotations

import argparse
import time

from benchmarks import (
    bench_asking,
    bench_chests,
    bench_delivered,
    bench_delivery_thread,
    bench_end_to_end,
    bench_engines,
    bench_flask,
    bench_flask_peers,
    bench_frameworks,
    bench_memory,
    bench_middleware,
    bench_outage,
    bench_page,
    bench_peers,
    bench_ring,
    bench_scaling,
    bench_shapes,
    bench_transfer,
)
from benchmarks.rig.report import Report, about, save

ASKED_BY_NAME = ("asking", "engines", "peers", "flask_peers", "scaling", "transfer")
BENCHMARKS = {
    "middleware": bench_middleware,
    "shapes": bench_shapes,
    "delivered": bench_delivered,
    "ring": bench_ring,
    "delivery_thread": bench_delivery_thread,
    "asking": bench_asking,
    "page": bench_page,
    "chests": bench_chests,
    "engines": bench_engines,
    "memory": bench_memory,
    "transfer": bench_transfer,
    "outage": bench_outage,
    "scaling": bench_scaling,
    "end_to_end": bench_end_to_end,
    "flask": bench_flask,
    "frameworks": bench_frameworks,
    "peers": bench_peers,
    "flask_peers": bench_flask_peers,
}


def main() -> None:
    """Print a table and the targets for each question; after ``--save`` name the file."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument(
        "names",
        nargs="*",
        choices=[*BENCHMARKS, []],
        help="the questions; if none, all but asking, engines, scaling, transfer and peers",
    )
    parser.add_argument("--save", action="store_true", help="write the answers to benchmarks/results/")
    parser.add_argument("--remark", default="", help="what to say of the machine in that file")
    arguments = parser.parse_args()
    reports: list[Report] = []
    here = about()
    begin = time.monotonic()
    for name in arguments.names or [name for name in BENCHMARKS if name not in ASKED_BY_NAME]:
        reports.append(BENCHMARKS[name].report())
        print(reports[-1], flush=True)
    print(*here.values(), f"{time.monotonic() - begin:.0f} s", sep=" · ")
    if arguments.save:
        print(f"saved as {save(reports, here, arguments.remark)}")


if __name__ == "__main__":
    main()
