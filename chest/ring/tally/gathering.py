"""``gather``: what all processes of a recorder have counted, the ended ones included.

What ended processes counted is added up in one file, so that no directory fills up. That happens under a lock. A process that is killed
meanwhile counts nothing twice: the sum names the files that are in it, and only then are they removed.
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, Final, NamedTuple

from chest.errors import DirectoryError
from chest.record.encoding import decode, encode
from chest.ring.lock_file import OWNER, LockFile
from chest.ring.tally.owned_tally_file import LOCK_SUFFIX, SUFFIX
from chest.ring.tally.table import BUCKETS, Series, Table, UnreadableTableError, read_table
from chest.ring.tally.tally import OVERFLOW
from chest.system.file_lock import wait_for_lock
from chest.system.files import write_all

SUM_SUFFIX: Final = ".tallies"
_MOST_SERIES: Final = 4096
"""Of ended processes: those that were counted last keep their labels."""
_LOCK_SECONDS: Final = 5.0
_WITHOUT_LOCK_SECONDS: Final = 60.0
"""How long a file whose lock was removed counts as that of a living process, which renews its times."""


class Gathered(NamedTuple):
    """What was counted by all processes together."""

    series: list[Series]
    counts: dict[str, int]
    """What the recorders counted of themselves, by name."""
    living: list[Table]
    """Those of the processes that are there."""


class _Sum(NamedTuple):
    series: dict[tuple[str, ...], Series]
    counts: dict[str, int]
    added: list[str]
    """Names of the files that are in it."""


def gather(directory: Path, prefix: str, ours: Iterable[Table] = ()) -> Gathered:
    """Add up what was counted; files of processes that are gone are added to the sum, and removed.

    :param ours: what this process has counted, if it has no file.
    :raises DirectoryError: the directory cannot be read, or the sum not written.
    :raises ChestUnavailable: another process has it locked for seconds.
    """
    try:
        with _locked(directory / f"{prefix}{SUM_SUFFIX}-lock"):
            total, living = _of_ended(directory, prefix)
    except OSError as error:
        raise DirectoryError(f"the counts in {directory} cannot be read: {error}") from error
    return together([*living, *ours], total)


def together(living: Iterable[Table], total: _Sum | None = None) -> Gathered:
    """What living processes have counted, added to what ended ones have."""
    total, living = total or _Sum({}, {}, []), list(living)
    for table in living:
        _add(total, table)
    return Gathered(list(total.series.values()), total.counts, living)


@contextmanager
def _locked(path: Path) -> Iterator[None]:
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
    try:
        wait_for_lock(descriptor, time.monotonic() + _LOCK_SECONDS)
        yield
    finally:
        os.close(descriptor)


def _of_ended(directory: Path, prefix: str) -> tuple[_Sum, list[Table]]:
    path = directory / (prefix + SUM_SUFFIX)
    total, living, ended = _read_sum(path), [], []
    names = sorted(name for name in os.listdir(directory) if name.startswith(prefix + ".") and name.endswith(SUFFIX))
    for name in names:
        if name in total.added:
            ended.append(name)
            continue
        is_living = _is_living(
            directory / name
        )  # before it is read: what ends afterwards has counted no more than was read
        try:
            table = read_table(directory / name)
        except (UnreadableTableError, OSError):
            continue  # of another release, it may be: that one gathers it
        if is_living:
            living.append(table)
        else:
            ended.append(name)
            _add(total, table)
    if ended:
        _write_sum(path, total, ended)
    for name in ended:
        for each in (name, name.removesuffix(SUFFIX) + LOCK_SUFFIX):
            with suppress(OSError):
                os.unlink(directory / each)
    return total, living


def _is_living(path: Path) -> bool:
    lock = LockFile.open(path.with_name(path.name.removesuffix(SUFFIX) + LOCK_SUFFIX))
    if lock is None:
        with suppress(OSError):
            return time.time() - os.lstat(path).st_mtime < _WITHOUT_LOCK_SECONDS
        return False
    try:
        return not lock.try_lock(OWNER)
    finally:
        lock.close()


def _add(total: _Sum, table: Table) -> None:
    for series in table.series:
        if any(series.buckets):
            known = total.series.pop(series.labels, None)  # so that those that were counted last stand last
            total.series[series.labels] = series if known is None else known.plus(series)
    counts = table.figures.get("counts")
    for name, count in counts.items() if isinstance(counts, dict) else ():
        total.counts[name] = total.counts.get(name, 0) + count


def _read_sum(path: Path) -> _Sum:
    try:
        found: Any = decode(path.read_bytes())
        series = [Series(tuple(labels), tuple(buckets), sum_ns) for labels, buckets, sum_ns in found["series"]]
        counted = {each.labels: each for each in series if len(each.buckets) == BUCKETS}
        return _Sum(counted, dict(found["counts"]), list(found["added"]))
    except (OSError, ValueError, KeyError, TypeError, RecursionError):
        return _Sum({}, {}, [])  # no file yet


def _write_sum(path: Path, total: _Sum, added: list[str]) -> None:
    for labels in list(total.series)[: max(0, len(total.series) - _MOST_SERIES)]:
        late, overflow = total.series.pop(labels), total.series.get(OVERFLOW)
        late = late._replace(labels=OVERFLOW)
        total.series[OVERFLOW] = late if overflow is None else overflow.plus(late)
    series = [[each.labels, each.buckets, each.sum_ns] for each in total.series.values()]
    draft = path.with_suffix(f"{path.suffix}-new")
    descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
    try:
        write_all(descriptor, encode({"series": series, "counts": total.counts, "added": added}))
    finally:
        os.close(descriptor)
    os.rename(draft, path)
