"""``chest status``: what waits on this host, for which store, and what to do."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from pathlib import Path

import click

from chest.chests.registry import safe_url
from chest.cli.chest_choice import label_of, resolve_settings
from chest.record.messages import printable
from chest.recorder.directory_status import DirectoryStatus, SpoolGlance, directories_of, status_of


@click.command()
@click.argument("directory", required=False, type=click.Path(exists=True, file_okay=False, path_type=Path))
@click.option("--service", metavar="NAME", help="Without DIRECTORY: that of this service.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object a directory and line.")
@click.pass_context
def status(ctx: click.Context, directory: Path | None, service: str | None, as_json: bool) -> None:
    """Show what waits in DIRECTORY, for which store, for how long, and why.

    Without DIRECTORY it looks at CHEST_DIRECTORY, else at the directories of all services of this user. It delivers and
    changes nothing. The exit code is 1 if something needs care: records on disk for a store, records of dead processes,
    dead letters, or damaged files.

    \b
    Examples:
      chest status
      chest status --json /var/lib/shop
    """
    settings = resolve_settings(service)
    chests = [label_of(chest) for chest in settings.chests]
    found = [status_of(each, chests) for each in ([directory.absolute()] if directory else directories_of(settings))]
    for each in found:
        if as_json:
            click.echo(json.dumps(_plain(each)))
        else:
            for line in _lines(each):
                click.echo(printable(line))
    ctx.exit(1 if any(each.needs_care for each in found) else 0)


def _lines(status: DirectoryStatus) -> Iterator[str]:
    yield f"{status.directory}"
    living = [ring for ring in status.rings if ring.is_living]
    dead = [ring for ring in status.rings if not ring.is_living and not ring.complaint]
    waiting = sum(ring.records for ring in living)
    yield f"  Ring files of living processes: {len(living):,}, with {waiting:,} records that wait"
    if dead:
        records = sum(ring.records for ring in dead)
        yield f"  Ring files of dead processes: {len(dead):,}, with {records:,} records that wait"
        yield f"    The next process of their service delivers them, or: chest recover {status.directory}"
    for ring in status.rings:
        if ring.complaint:
            yield f"  {ring.path.name} cannot be read whole: {ring.complaint}"
            yield f"    What can be read of it is delivered by: chest recover {status.directory}"
    for spool in status.spools:
        yield from _lines_of_spool(spool, status.directory)
    for path in status.set_aside:
        yield f"  Set aside, as it could not be read whole: {path.name}"
    if status.oldest_ns is not None:
        yield f"  The oldest record that waits here is {_age(status.oldest_ns)} old"


def _lines_of_spool(spool: SpoolGlance, directory: Path) -> Iterator[str]:
    if spool.complaint:
        yield f"  {spool.path.name} cannot be read: {spool.complaint}"
        yield f"    What can be read of it is delivered by: chest recover {directory}"
        return
    label = safe_url(spool.chest)
    if spool.records:
        age = "" if spool.oldest_ns is None else f", the oldest {_age(spool.oldest_ns)} old"
        yield f"  On disk for {label}: {spool.records:,} records, {spool.bytes / 2**20:,.1f} MiB{age}"
        if spool.why:
            yield f"    It said: {spool.why}"
        if spool.is_orphan:
            yield "    This store is not in CHEST_URLS, so no process delivers them. If it moved:"
            yield f"    chest recover {directory} --spooled-for {spool.path.name}"
        else:
            yield "    A process that records for this store delivers them when it takes records again, or:"
            yield f"    chest recover --to URL {directory}"
    if spool.dead_letters:
        yield f"  Refused for good by {label}: {spool.dead_letters:,} records; chest dead list --directory {directory}"


def _age(since_ns: int) -> str:
    seconds = max(0, time.time_ns() - since_ns) // 10**9
    for unit, size in (("d", 86_400), ("h", 3600), ("m", 60)):
        if seconds >= 2 * size:
            return f"{seconds // size} {unit}"
    return f"{seconds} s"


def _plain(status: DirectoryStatus) -> dict[str, object]:
    return {
        "directory": str(status.directory),
        "oldest_ns": status.oldest_ns,
        "rings": [{**ring._asdict(), "path": str(ring.path)} for ring in status.rings],
        "spools": [{**spool._asdict(), "path": str(spool.path)} for spool in status.spools],
        "set_aside": [str(path) for path in status.set_aside],
    }
