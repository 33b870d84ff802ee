"""``ObservedRecords``: what all recorders of a process deliver, for a test that looks at it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from chest.record.record import Record
from chest.recorder.ending.hooks import flush_recorders

FLUSH_SECONDS: Final = 10.0
"""How long a test waits for the records of its requests: they are milliseconds away, but on a machine that is busy."""


class ObservedRecords:
    """Keeps each record that a recorder of this process takes from its ring, between :meth:`begin` and :meth:`end`.

    Recorders tell of them in a run of tests only.
    """

    def __init__(self) -> None:
        self._records: dict[str, Record] | None = None

    def begin(self) -> None:
        """Keep what comes from now on; what was offered before is delivered first."""
        flush_recorders(FLUSH_SECONDS)
        self._records = {}

    def end(self) -> None:
        """Keep nothing any more."""
        self._records = None

    def note(self, records: Sequence[Record]) -> None:
        """A recorder delivers these now."""
        kept = self._records
        if kept is not None:
            kept.update((record.id, record) for record in records)

    def so_far(self) -> list[Record]:
        """Every record offered since :meth:`begin`, in the order in which the requests began. Waits for delivery.

        :raises TimeoutError: the records did not leave the ring in 10 s.
        """
        if not flush_recorders(FLUSH_SECONDS) and not self._records:
            raise TimeoutError(
                f"chest: no record left the ring within {FLUSH_SECONDS:g} s; is a recorder's store down?"
            )
        return sorted((self._records or {}).values(), key=lambda record: record.id)


observed_records: Final = ObservedRecords()
"""The one of this process."""
