"""The process that asks beside the writer: ``python -m benchmarks.rig.asker URL SINCE_NS``."""

from __future__ import annotations

import sys
from functools import partial

from benchmarks.bench_asking import QUESTIONS
from benchmarks.rig.writer_beside import ask_on_demand
from chest.chests.contract import ReadableChest
from chest.chests.registry import open_chest

if __name__ == "__main__":
    with open_chest(sys.argv[1]) as chest:
        assert isinstance(chest, ReadableChest)
        ask_on_demand([partial(question, chest, int(sys.argv[2])) for question in QUESTIONS.values()])
