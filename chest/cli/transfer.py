"""``chest transfer``: stored records from one chest to another, by hand."""

from __future__ import annotations

import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

import click

from chest.chests.contract import Query, ReadableChest, StreamChest
from chest.cli.chest_choice import typed_chest
from chest.cli.conditions import typed
from chest.delivery.spool.dead_letters import DeadLetterKeeper
from chest.errors import DirectoryError, SettingsError
from chest.query.typed import moment_ns
from chest.query.typed import outcome as known_outcome
from chest.record.counters import Counters
from chest.record.messages import safe_message
from chest.record.record import Record
from chest.system.directory import state_directory
from chest.transfer.result import TransferResult
from chest.transfer.streams.follow import follow_stream
from chest.transfer.streams.stream_transfer import StreamTransfer
from chest.transfer.transfer import BATCH_RECORDS, Transfer

EXIT_INTERRUPTED: Final = 130
_MOST_TOLD: Final = 3
_NOT_OF_STREAMS: Final = ("since", "until", "service", "route", "outcome", "move", "from_start")


@click.command()
@click.argument("source", metavar="SOURCE")
@click.argument("target", metavar="TARGET")
@click.option(
    "--since", callback=typed(moment_ns), metavar="2h|DATE", help="Began this long ago at most, or since then (UTC)."
)
@click.option("--until", callback=typed(moment_ns), metavar="2h|DATE", help="Began before that.")
@click.option("--service", help="Only records of this service.")
@click.option("--route", help="Only this route (the template).")
@click.option(
    "--outcome",
    callback=typed(known_outcome),
    metavar="NAME",
    help="Only this outcome: ok, error, client_disconnect, ...",
)
@click.option("--limit", type=click.IntRange(min=1), help="At most this many records in this run.")
@click.option(
    "--batch", default=BATCH_RECORDS, show_default=True, type=click.IntRange(1, 10_000), help="Records at once."
)
@click.option("--move", is_flag=True, help="Remove records from SOURCE after TARGET has stored them.")
@click.option("--from-start", is_flag=True, help="Start again from the first record.")
@click.option(
    "--follow", is_flag=True, help="From a stream: go on until it is stopped, also if SOURCE or TARGET is down."
)
@click.option("--dry-run", is_flag=True, help="Only count, and check whether TARGET can be written.")
@click.option("--name", help="Name of this transfer; needed if two transfers share both chests.")
@click.option(
    "--directory",
    type=click.Path(file_okay=False, path_type=Path),
    help="Directory that keeps the position, if SOURCE cannot.",
)
@click.pass_context
def transfer(
    ctx: click.Context,
    source: str,
    target: str,
    since: int | None,
    until: int | None,
    service: str | None,
    route: str | None,
    outcome: str | None,
    limit: int | None,
    batch: int,
    move: bool,
    from_start: bool,
    follow: bool,
    dry_run: bool,
    name: str | None,
    directory: Path | None,
) -> None:
    """Copy or move stored records from SOURCE to TARGET.

    Both are URLs of chests, or paths of SQLite files. The next run goes on from where this one stopped: the position is kept in
    SOURCE, else in --directory, for each choice of conditions, whatever --since and --until say. Ctrl-C ends it after
    the current batch; a run that is killed loses nothing. Records that TARGET refuses are shown, stay in SOURCE, and become dead
    letters: see chest dead.

    SOURCE may also be a stream (nats://, kafka://): each record goes to one of the transfers of a --name, which acknowledge it when
    TARGET has stored it.

    \b
    Examples:
      chest transfer chest.sqlite3 postgresql://shop@db/shop
      chest transfer chest.sqlite3 ndjson:records.ndjson.gz --since 7d --dry-run
      chest transfer mysql://shop@db/shop ndjson:old.ndjson.gz --until 30d --move
      chest transfer nats://broker/shop clickhouse://db/shop --follow
    """
    query = Query(since_ns=since, until_ns=until, service=service, route=route, outcome=outcome)
    letters = directory or transfers_directory()
    counters = Counters()
    dead_letters = DeadLetterKeeper(lambda: letters, counters)
    refusals: list[str] = []
    unburied: list[str] = []

    def refuse(record: Record, why: str) -> None:
        is_from_stream = isinstance(read_from, StreamChest)
        try:
            # A stream may have removed the records of older letters, so those have to stay.
            dead_letters.dead_letter(written_to.name, record, why, may_drop=not is_from_stream)
        except DirectoryError as error:  # the record is shown, and stays in SOURCE
            if is_from_stream:  # it stays there if it is not acknowledged
                raise DirectoryError(
                    f"{error}. The stream keeps the record. Make room: chest dead list --directory {letters}, then chest dead"
                    " retry or chest dead discard; the same command goes on"
                ) from None
            unburied.append(str(error))
        if follow:
            click.echo(f"chest: refused for good: {record.id}: {safe_message(why)}", err=True)
        elif len(refusals) < _MOST_TOLD:
            refusals.append(f"{record.id}: {safe_message(why)}")

    with typed_chest(source) as read_from, typed_chest(target) as written_to:
        work: Transfer | StreamTransfer
        if isinstance(read_from, StreamChest):
            _refuse_for_stream(ctx)
            work = StreamTransfer(read_from, written_to, limit=limit, batch_records=batch, name=name, reject=refuse)
        else:
            if follow:
                raise click.UsageError("--follow: SOURCE is no stream; a scheduled transfer goes on (docs/transfer.md)")
            work = Transfer(
                _readable(read_from),
                written_to,
                query=query,
                limit=limit,
                batch_records=batch,
                remove_after=move,
                name=name or _name_of(written_to.name, ctx.params),
                directory=directory or _fallback(read_from),
                reject=refuse,
            )
            if from_start and not dry_run:
                work.begin_anew()
        with _interruptible(is_service=follow) as is_interrupted:
            if follow and isinstance(work, StreamTransfer):
                result = follow_stream(work, is_interrupted)
            else:
                result = _run(work, is_interrupted, dry_run=dry_run)
    for refusal in refusals:
        click.echo(f"chest: refused for good: {refusal}", err=True)
    if unburied:
        click.echo(f"chest: {len(unburied):,} of them could not be kept as dead letters: {unburied[0]}", err=True)
    elif refusals:
        click.echo(f"chest dead list --directory {letters} shows all of them.", err=True)
    if dropped := counters.get("dropped.dead_letters_full"):
        click.echo(f"chest: {dropped:,} older dead letters were dropped for these: {letters} was full.", err=True)
    _say(result, dry_run=dry_run, is_interrupted=is_interrupted() and not follow)
    ctx.exit(EXIT_INTERRUPTED if is_interrupted() and not follow else 1 if result.rejected else 0)


def _refuse_for_stream(ctx: click.Context) -> None:
    """Refuse what would leave records out, which would be gone for this transfer, and what a stream decides itself."""
    given = [f"--{each.replace('_', '-')}" for each in _NOT_OF_STREAMS if ctx.params[each]]
    if ctx.params["follow"]:
        given += [f"--{each.replace('_', '-')}" for each in ("limit", "dry_run") if ctx.params[each]]
    if given:
        raise click.UsageError(
            f"{', '.join(given)}: not with a stream"
            f"{' that is followed' if ctx.params['follow'] else ''}. It keeps records as long as it is set to, and --name=NEW begins"
            " with the oldest."
        )


def _run(work: Transfer | StreamTransfer, is_interrupted: Callable[[], bool], *, dry_run: bool) -> TransferResult:
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    console = Console(stderr=True)
    columns = TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn()
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as bar:
        task = bar.add_task("records", total=work.estimate())
        return work.run(
            stop=is_interrupted, dry_run=dry_run, progress=lambda result: bar.update(task, completed=result.read)
        )


@contextmanager
def _interruptible(*, is_service: bool) -> Iterator[Callable[[], bool]]:
    """The first Ctrl-C is only noted, for the batch in hand to end; the second is as usual.

    :param is_service: whether a SIGTERM is noted, too.
    """
    noted: list[int] = []
    signals = [signal.SIGINT, signal.SIGTERM] if is_service else [signal.SIGINT]
    previous = {each: signal.getsignal(each) for each in signals}

    def note(number: int, _: Any) -> None:
        noted.append(number)
        signal.signal(number, previous[signal.Signals(number)])
        click.echo("Stopping after this batch; Ctrl-C again stops at once.", err=True)

    try:
        for each in signals:
            signal.signal(each, note)
    except ValueError:  # not the main thread: an application's, which has handlers of its own
        yield lambda: False
        return
    try:
        yield lambda: bool(noted)
    finally:
        for each in signals:
            signal.signal(each, previous[each])


def _readable(chest: Any) -> ReadableChest:
    if isinstance(chest, ReadableChest):
        return chest
    raise SettingsError(f"{chest.name} can only be written; give the URL of a chest that can be read as SOURCE")


def _fallback(source: Any) -> Path | None:
    """The directory that keeps the position if SOURCE cannot."""
    is_without = isinstance(source, ReadableChest) and source.coordination() is None
    return transfers_directory() if is_without else None


def transfers_directory() -> Path:
    """The directory for what belongs to no service: next to the services' own."""
    return state_directory().with_name("chest-transfers")


def _name_of(target: str, params: dict[str, Any]) -> str:
    """Of conditions but not of times: ``--since 1d``, typed again tomorrow, goes on."""
    conditions = [f"{name}={params[name]}" for name in ("service", "route", "outcome") if params[name]]
    return " ".join([target, *conditions])


def _say(result: TransferResult, *, dry_run: bool, is_interrupted: bool) -> None:
    if dry_run:
        click.echo(f"Records to transfer: {result.read:,}; nothing was written")
        return
    rate = f", {result.written / result.seconds:,.0f} a second" if result.seconds > 1 else ""
    rejected = f", refused for good: {result.rejected:,}" if result.rejected else ""
    rejected += f", no records: {result.unreadable:,}" if result.unreadable else ""
    click.echo(f"Records read: {result.read:,}, written: {result.written:,}{rejected}; {result.seconds:.1f} s{rate}")
    if is_interrupted or not result.is_complete:
        click.echo("There is more: the same command goes on from here.", err=True)
