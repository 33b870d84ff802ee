"""The process that asks or computes beside the writer: ``python -m benchmarks.rig.asker URL SINCE_NS``."""

from __future__ import annotations

import sys
from functools import partial

from benchmarks.bench_asking import QUESTIONS
from benchmarks.rig.writer_beside import ask_on_demand
from chest.chests.contract import ReadableChest
from chest.chests.registry import open_chest
from chest.cli.main import give_way

if __name__ == "__main__":
    give_way()  # as a command does
    with open_chest(sys.argv[1]) as chest:
        assert isinstance(chest, ReadableChest)
        ask_on_demand([partial(question, chest, int(sys.argv[2])) for question in QUESTIONS.values()])
