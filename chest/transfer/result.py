"""``TransferResult``: what a run of a transfer did."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["TransferResult"]


@dataclass
class TransferResult:
    """What a run did, or has done so far."""

    read: int = 0
    """Records that were new to this transfer."""
    written: int = 0
    """Records that the target has taken."""
    rejected: int = 0
    """Records that the target will never take."""
    seconds: float = 0.0
    is_complete: bool = False
    """Whether it came to the end of the source; not when it was stopped or came to its limit."""
