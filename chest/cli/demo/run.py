"""The demonstration from beginning to end, told on a console."""

from __future__ import annotations

import shlex
import time
from collections.abc import Iterator
from typing import Final

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn

from chest.chests.contract import Cursor, Query, ReadableChest
from chest.chests.registry import open_chest
from chest.cli.demo import report
from chest.cli.demo.balance import Balance
from chest.cli.demo.exchange import WORKER_HEADER, Client, Exchange
from chest.cli.demo.serve import ShopServer
from chest.cli.demo.traffic import USERS, Traffic
from chest.cli.demo.workspace import Workspace
from chest.errors import ChestError
from chest.record.record import Record
from chest.recorder.directory_recovery import recover_directory

REQUESTS: Final = 600
"""How many the clients make; one more is made for the kill."""
_REFRESH_SECONDS: Final = 0.1
_STREAM_ROWS: Final = 20_000
"""More than are read before the kill; a failure shows within some seconds."""
_ROWS_BEFORE_KILL: Final = 400
_PAGE_RECORDS: Final = 1000


class Demonstration:
    """Serves the shop, uses it, kills a worker, stops the server, and compares the clients' view with the store's.

    :param workspace: the directory of the store and everything else.
    :param console: on which it is told; a progress bar is shown on a terminal only.
    :param port: TCP port on the loopback interface; 0 takes a free one.
    """

    def __init__(self, workspace: Workspace, console: Console, *, port: int = 0) -> None:
        self._workspace = workspace
        self._console = console
        self._port = port
        self._since_ns = 0

    def run(self) -> Balance:
        """Do it all, and return the comparison.

        :raises SettingsError: the port cannot be had.
        :raises ChestError: the server or the store cannot be used.
        """
        begin = time.monotonic()
        with _store(self._workspace.store_url) as store:
            older = store.newest() if self._workspace.store_path.exists() else None
            self._since_ns = time.time_ns()
            exchanges = self._serve()
            self._recover(store)
            store.open()  # made empty if nothing was stored, so that this is told as the loss that it is
            records = list(records_since(store, older, self._since_ns))
        balance = Balance.of(exchanges, records)
        self._report(balance, records)
        self._say(f"All this took {time.monotonic() - begin:.1f} seconds.")
        return balance

    def _serve(self) -> list[Exchange]:
        with ShopServer(self._workspace, self._port) as server:
            host, port = server.address
            self._say(
                f"Serving a shop on http://{host}:{port} with gunicorn, 2 workers; log: {self._workspace.log_path}"
            )
            server.wait_until_ready()
            with Traffic(server.address, REQUESTS) as traffic:
                self._use_shop(server, traffic)
            if len(traffic.exchanges) <= REQUESTS:
                self._say(f"The clients' time was over after {len(traffic.exchanges)} requests")
            begin = time.monotonic()
            way = "Stopped gunicorn" if server.stop() else "gunicorn did not stop when it was told to, and was killed"
            self._say(f"{way} ({time.monotonic() - begin:.1f} s)")
        return traffic.exchanges

    def _use_shop(self, server: ShopServer, traffic: Traffic) -> None:
        self._say(f"Sending {REQUESTS} requests from {len(USERS)} client threads")
        columns = TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn()
        with Progress(
            *columns, console=self._console, transient=True, disable=not self._console.is_terminal
        ) as progress:
            task = progress.add_task("requests", total=REQUESTS)
            for goal in (REQUESTS // 2, REQUESTS):
                while not traffic.wait_for(goal, _REFRESH_SECONDS):
                    progress.update(task, completed=len(traffic.exchanges))
                if goal < REQUESTS:
                    self._kill_worker(server, traffic)

    def _kill_worker(self, server: ShopServer, traffic: Traffic) -> None:
        """Kill a worker while it streams a response that is still being read."""
        with traffic.without_streams(), Client(server.address, USERS[0]).open(f"/export?rows={_STREAM_ROWS}") as stream:
            pid = stream.header(WORKER_HEADER)
            if pid is None or not stream.read_lines(_ROWS_BEFORE_KILL):
                raise ChestError(f"the shop streamed nothing. Its last words:\n{server.last_log_lines()}")
            server.kill_worker(int(pid))
            made = len(traffic.exchanges)
            traffic.add(stream.read_all())
        self._say(f"Killed worker {pid} with SIGKILL after {made} requests, while it streamed a response")

    def _recover(self, store: ReadableChest) -> None:
        recovered = recover_directory(self._workspace.ring_directory, [store])
        if recovered.rings:
            self._say(f"Recovered {recovered.records} records from {recovered.rings} ring files of ended workers")
        else:
            self._say("No ring file of an ended worker was left to recover")
        if recovered.left:
            self._say(
                f"{recovered.left} ring files could not be recovered; they are in {self._workspace.ring_directory}"
            )

    def _report(self, balance: Balance, records: list[Record]) -> None:
        console, url, path = self._console, self._workspace.store_url, self._workspace.path
        self._say("")
        report.print_balance(console, balance)
        if records:
            shown = max(records, key=lambda record: (record.method == "POST", len(record.variables)))
            report.print_record(console, shown)
            report.print_answers(console, url, None if self._workspace.is_temporary else self._since_ns)
            report.print_next_commands(console, url, shown)
        self._say("")
        if self._workspace.is_temporary:
            self._say(f"The store is kept. To remove it: rm -r {shlex.quote(str(path))}")

    def _say(self, text: str) -> None:
        self._console.print(text, markup=False, highlight=False, soft_wrap=True)


def _store(url: str) -> ReadableChest:
    store = open_chest(url)
    if not isinstance(store, ReadableChest):
        raise TypeError(f"{store!r} cannot be read")
    return store


def records_since(store: ReadableChest, older: Cursor | None, since_ns: int) -> Iterator[Record]:
    """What this run put into the store: stored after ``older``, and of requests that began after ``since_ns``.

    The second condition leaves out what an earlier run, broken off, had left in the directory.
    """
    query, after = Query(since_ns=since_ns), older
    while page := store.read(query, after=after, limit=_PAGE_RECORDS):
        yield from (stored.record for stored in page)
        after = page[-1].cursor
