"""``ServerChestContract``: what every chest keeps whose store is a server: it goes away, comes back, and answers no more.

.. code-block:: python

    class TestOnRealServer(ServerChestContract):
        write_marker, commit_marker = b"INSERT", b"COMMIT"

        @pytest.fixture
        def place(self, mariadb):
            database = mariadb.new_database()
            return Place(mariadb.server, partial(mariadb.url, database))

The chest is made of ``place.url(...)`` by ``open_chest``. A test of the contract that a store cannot pass by its nature is
overridden, with the reason.
"""

from __future__ import annotations

import json
import logging
import socket
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, suppress
from dataclasses import dataclass
from typing import ClassVar, Protocol

import pytest

from chest.chests.contract import Chest, ReadableChest
from chest.chests.registry import open_chest
from chest.errors import ChestError, ChestUnavailable, LoginRefused, TLSRefused, UnknownDatabase, UnknownHost
from chest.record.record import Record
from chest.testing.records import make_record
from tests.processes import run_python
from tests.servers.fault_proxy import Fault, FaultProxy, fault_proxy
from tests.servers.process import Server, free_port

SECRET = "s3cr3t/of:the@test"
NO_SUCH_HOST = "no-such-host.invalid"


class MakeUrl(Protocol):
    """Makes the URL of one chest; whatever is not given is what works."""

    def __call__(
        self, *, port: int = ..., host: str = ..., password: str = ..., database: str = ..., query: str = ...
    ) -> str: ...


@dataclass
class Place:
    """An empty store on a server that runs.

    :param server: its process, stopped and started by the tests.
    :param url: makes URLs of the same store.
    """

    server: Server
    url: MakeUrl
    secret: str
    """The password or token in :attr:`url`."""


_UNDER_GEVENT = """
from gevent import monkey

monkey.patch_all()
import json
import sys

import gevent

from chest import Record
from chest.chests import open_chest
from chest.system.threads import start_thread

url, at_once, records = sys.argv[1], int(sys.argv[2]), [Record(**each) for each in json.loads(sys.argv[3])]
chest = open_chest(url)
done = []
start_thread(lambda: (chest.write(records[:5]), done.append(1)))
while not done:
    gevent.sleep(0.01)
rest = [records[start : start + 5] for start in range(5, len(records), 5)]
for start in range(0, len(rest), at_once):
    greenlets = [gevent.spawn(chest.write, batch) for batch in rest[start : start + at_once]]
    gevent.joinall(greenlets, raise_error=True)
chest.close()
"""


class ServerChestContract:
    """Subclass it and give the fixture ``place``; a chest that cannot be read also gives ``stored_records``."""

    write_marker: ClassVar[bytes] = b"INSERT"
    """What the request holds by which records are stored."""
    commit_marker: ClassVar[bytes] = b"COMMIT"
    """What the request holds that makes them stay; the same as ``write_marker`` where one request does both."""
    tls_query: ClassVar[str] = ""
    """What in the URL asks for TLS, which the server of ``place`` does not speak; empty: the test is left out."""
    impatient_query: ClassVar[str] = ""
    """What in the URL has a driver that waits for a server to come be content with a moment."""
    has_login: ClassVar[bool] = True
    has_databases: ClassVar[bool] = True
    survives_restart_unnoticed: ClassVar[bool] = True
    """Whether a connection that was lost while it was idle is made anew within the next write."""

    greenlets_at_once: ClassVar[int] = 3
    """How many greenlets of one thread may write through one chest at the same time."""

    open_connects: ClassVar[bool] = True
    """Whether ``open`` asks the server anything."""

    @pytest.fixture
    def place(self) -> Place:
        """An empty store on a server that runs."""
        raise NotImplementedError("Give the fixture `place`, as the docstring of this module shows.")

    @pytest.fixture
    def proxy(self, place: Place) -> Iterator[FaultProxy]:
        """A proxy in front of the server."""
        with fault_proxy(place.server.port) as proxy:
            yield proxy

    @pytest.fixture
    def chest(self, place: Place, proxy: FaultProxy) -> Iterator[Chest]:
        """A chest behind the proxy, with a short timeout, that was not opened; the server runs on after the test."""
        query = "&".join(filter(None, ("timeout_seconds=20", self.impatient_query)))
        with open_chest(place.url(port=proxy.port, query=query)) as chest:
            yield chest
        place.server.start()

    def stored_records(self, place: Place) -> list[Record]:
        """All that the store holds, looked at past the proxy."""
        with open_chest(place.url()) as chest:
            assert isinstance(chest, ReadableChest)
            return [stored.record for stored in chest.read(limit=100_000)]

    def test_while_the_server_is_stopped_nothing_is_taken_and_afterwards_everything(
        self, chest: Chest, place: Place
    ) -> None:
        first, second = _batch(), _batch()
        chest.write(first)
        place.server.stop()
        for _ in range(2):
            with pytest.raises(ChestUnavailable):
                chest.write(second)
        with pytest.raises(ChestUnavailable):
            chest.check()
        place.server.start()
        self._write_until_taken(chest, second)
        self._assert_stored(place, [*first, *second], chest)

    def test_a_connection_that_was_lost_while_idle_is_made_anew(self, chest: Chest, place: Place) -> None:
        first, second = _batch(), _batch()
        chest.write(first)
        place.server.stop()
        place.server.start()
        if self.survives_restart_unnoticed:
            chest.write(second)
        else:
            self._write_until_taken(chest, second)
        self._assert_stored(place, [*first, *second], chest)

    def test_a_server_that_is_not_there_is_unavailable(self, place: Place) -> None:
        with open_chest(place.url(port=free_port(), query=self.impatient_query)) as chest:
            for act in self._acts(chest):
                with pytest.raises(ChestUnavailable):
                    act()

    def test_a_connection_cut_before_the_records_came_stores_none_and_the_next_try_all(
        self, chest: Chest, place: Place, proxy: FaultProxy
    ) -> None:
        chest.open()
        proxy.set(Fault.CUT_BEFORE, self.write_marker)
        records = _batch()
        with pytest.raises(ChestUnavailable):
            chest.write(records)
        assert proxy.cuts == 1
        assert self.stored_records(place) == []
        chest.write(records)
        self._assert_stored(place, records, chest)

    def test_a_connection_cut_before_the_commit_stores_none_and_the_next_try_all(
        self, chest: Chest, place: Place, proxy: FaultProxy
    ) -> None:
        chest.open()
        proxy.set(Fault.CUT_BEFORE, self.commit_marker)
        records = _batch()
        with pytest.raises(ChestUnavailable):
            chest.write(records)
        assert proxy.cuts == 1
        assert self.stored_records(place) == []
        chest.write(records)
        self._assert_stored(place, records, chest)

    def test_records_whose_commit_was_not_confirmed_are_there_and_the_next_try_doubles_none(
        self, chest: Chest, place: Place, proxy: FaultProxy
    ) -> None:
        chest.open()
        proxy.set(Fault.REPLY_LOST, self.commit_marker)
        records = _batch()
        with pytest.raises(ChestUnavailable):
            chest.write(records)
        assert proxy.cuts == 1
        assert {record.id for record in self.stored_records(place)} == {record.id for record in records}
        chest.write(records)
        self._assert_stored(place, records, chest)

    def test_a_connection_that_is_reset_is_made_anew(self, chest: Chest, place: Place, proxy: FaultProxy) -> None:
        chest.write(first := _batch())
        proxy.set(Fault.RESET)
        with pytest.raises(ChestUnavailable):
            chest.write(second := _batch())
        proxy.heal()
        chest.write(second)
        self._assert_stored(place, [*first, *second], chest)

    @pytest.mark.parametrize("is_open", [True, False], ids=["in the middle", "at the log-in"])
    def test_a_server_that_answers_no_more_is_waited_for_only_as_long_as_said(
        self, place: Place, proxy: FaultProxy, is_open: bool
    ) -> None:
        with open_chest(place.url(port=proxy.port, query="timeout_seconds=1")) as chest:
            if is_open:
                chest.open()
            proxy.set(Fault.BLACKHOLE)
            begin = time.monotonic()
            with pytest.raises(ChestUnavailable):
                chest.write(_batch())
            assert time.monotonic() - begin < 15
            proxy.set(Fault.RESET)
            proxy.heal()
            chest.write(records := _batch())
        stored = {record.id for record in self.stored_records(place)}
        assert {record.id for record in records} <= stored

    def test_a_wrong_password_is_told_from_all_else_and_shown_nowhere(self, place: Place) -> None:
        if not self.has_login:
            pytest.skip("this store asks for no password")
        self._refuses(place.url(password=SECRET), LoginRefused)

    def test_an_unknown_database_is_told_from_all_else(self, place: Place) -> None:
        if not self.has_databases:
            pytest.skip("this store makes a database when it is first written to")
        self._refuses(place.url(database="no_such_database"), UnknownDatabase)

    def test_an_unknown_host_is_told_from_all_else(self, place: Place) -> None:
        self._refuses(place.url(host=NO_SUCH_HOST, password=SECRET, query=self.impatient_query), UnknownHost)

    def test_a_server_without_tls_is_not_written_to_where_tls_was_asked_for(self, place: Place) -> None:
        if not self.tls_query:
            pytest.skip("the test of this store stands elsewhere")
        self._refuses(place.url(query=self.tls_query), TLSRefused)

    def test_the_secret_of_its_url_is_shown_and_logged_nowhere(
        self, place: Place, caplog: pytest.LogCaptureFixture, capsys: pytest.CaptureFixture[str]
    ) -> None:
        caplog.set_level(logging.DEBUG)
        with open_chest(place.url()) as chest:
            chest.check()
            chest.write(_batch())
            assert place.secret not in f"{chest!r} {chest.name} {caplog.text} {capsys.readouterr()}"

    def test_under_gevent_the_thread_of_the_exporter_and_greenlets_write_through_one_chest(self, place: Place) -> None:
        pytest.importorskip("gevent")
        records = _batch()
        run_python(
            _UNDER_GEVENT, place.url(), self.greenlets_at_once, json.dumps([record._asdict() for record in records])
        )
        assert sorted(record.id for record in self.stored_records(place)) == sorted(record.id for record in records)

    def test_a_port_that_speaks_another_protocol_is_unavailable(self, place: Place) -> None:
        with socket.create_server(("127.0.0.1", 0)) as listener:
            threading.Thread(target=_greet, args=(listener,), daemon=True).start()
            url = place.url(port=listener.getsockname()[1], host="127.0.0.1", query="timeout_seconds=2")
            with open_chest(url) as chest, pytest.raises(ChestUnavailable):
                chest.write(_batch())
            listener.shutdown(socket.SHUT_RDWR)  # ends the thread's wait, which closing does not

    def _write_until_taken(self, chest: Chest, records: Sequence[Record]) -> None:
        """As delivery does."""
        deadline = time.monotonic() + 60
        while True:
            try:
                return chest.write(records)
            except ChestUnavailable:
                assert time.monotonic() < deadline, "not taken after the server came back"
                time.sleep(0.05)

    def _assert_stored(self, place: Place, records: Sequence[Record], chest: Chest) -> None:
        stored = self.stored_records(place)
        assert {record.id: record for record in stored} == {record.id: record for record in records}
        if chest.is_idempotent:
            assert len(stored) == len(records)

    def _refuses(self, url: str, kind: type[ChestError]) -> None:
        with open_chest(url) as chest:
            for act in self._acts(chest):
                with pytest.raises(kind) as refusal:
                    act()
                told = _all_that_is_told(refusal.value)
                assert chest.name in str(refusal.value), "it says which chest"
                assert SECRET not in told + repr(chest) + chest.name
                assert "s3cr3t" not in told + repr(chest) + chest.name, "nor a piece of it, in any coding"

    def _acts(self, chest: Chest) -> list[Callable[[], object]]:
        """All that asks the server."""
        acts = [chest.check, lambda: chest.write(_batch())]
        return [chest.open, *acts] if self.open_connects else acts


def _batch() -> list[Record]:
    return [make_record() for _ in range(20)]


def _all_that_is_told(error: BaseException | None) -> str:
    told: list[str] = []
    while error is not None:
        told += [str(error), repr(error)]
        error = error.__cause__ or (None if error.__suppress_context__ else error.__context__)
    return "\n".join(told)


def _greet(listener: socket.socket) -> None:
    """Answer every connection as an SSH server would, until the listener is closed."""
    with suppress(OSError):
        while True:
            connection, _ = listener.accept()
            with closing(connection), suppress(OSError):
                connection.sendall(b"SSH-2.0-OpenSSH_9.9\r\n")
                connection.recv(65536)
