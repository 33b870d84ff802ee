"""Shortens waits of seconds to tenths in a process that imports this, so that a round ends soon."""

from __future__ import annotations

import importlib
from typing import Final

_SECONDS: Final = {
    ("chest.delivery.spool_policy", "SPOOL_AFTER_SECONDS"): 0.5,
    ("chest.delivery.spool_policy", "SPOOL_SOON_SECONDS"): 0.2,
    ("chest.delivery.own_ring", "ADOPT_EVERY_SECONDS"): 0.5,
    ("chest.delivery.backoff", "LONGEST_WAIT_SECONDS"): 0.5,
    ("chest.delivery.spool.spool", "TRY_AGAIN_SECONDS"): 0.5,
}

for (module, name), seconds in _SECONDS.items():
    loaded = importlib.import_module(module)
    assert hasattr(loaded, name), f"{module} has no {name} any more"
    setattr(loaded, name, seconds)
