"""The Kafka chest in processes that fork: a producer stays in the process that made it, and each process has its own."""

from __future__ import annotations

import http.client
import textwrap
from pathlib import Path

import pytest

from tests.processes import run_python
from tests.servers import HOST, gunicorn
from tests.servers.kafka import Broker
from tests.support import wait_until

_FORKING = """
    import os, sys
    from chest.chests import open_chest
    from tests.support import make_record

    url, how = sys.argv[1:]
    chest = open_chest(url)
    chest.write([make_record(request_id="before")])
    if pid := os.fork():
        status = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
        chest.write([make_record(request_id="parent")])
        print(status)
    elif how == "writes":
        chest.write([make_record(request_id="child")])
    elif how == "closes":
        chest.close()
    elif how == "collects":
        import gc
        del chest
        gc.collect()
    # The child ends as gunicorn's workers do: by the interpreter's end, which lets go of all objects.
"""


@pytest.mark.parametrize("how", ["writes", "closes", "collects", "ends"])
def test_a_child_of_a_process_that_wrote_ends_well_and_its_parent_goes_on(kafka: Broker, how: str) -> None:
    topic = kafka.new_topic()
    assert run_python(_FORKING, kafka.url(topic), how).split() == ["0"]
    told = sorted(record.request_id for record in kafka.records(topic))
    assert told == sorted(["before", "parent", *(["child"] if how == "writes" else [])])


def test_a_process_that_wrote_and_did_not_close_ends_well(kafka: Broker) -> None:
    code = """
        import sys
        from chest.chests import open_chest
        from tests.support import make_record

        chest = open_chest(sys.argv[1])
        chest.write([make_record()])
    """
    url = kafka.new_url()
    for _ in range(2):
        run_python(code, url)


_APP = """
    import os
    from wsgiref.simple_server import demo_app

    from chest import ChestMiddleware, Recorder

    recorder = Recorder([os.environ["KAFKA"]], directory="rings", service="shop")
    with recorder.work("warm-up"):
        pass
    assert recorder.flush(60)

    def page(environ, start_response):
        start_response("200 OK", [("Content-Type", "text/plain")])
        return [str(os.getpid()).encode()]

    app = ChestMiddleware(page, recorder=recorder)
"""


def test_workers_of_a_server_that_wrote_before_it_forked_deliver_their_records_and_end_well(
    kafka: Broker, tmp_path: Path
) -> None:
    directory = tmp_path / "server"
    directory.mkdir()
    (directory / "kafka_app.py").write_text(textwrap.dedent(_APP))
    topic = kafka.new_topic()
    options = ("--workers=2", "--preload", "--log-level=debug", f"--pythonpath={directory}")
    with gunicorn("kafka_app:app", directory, *options, environ={"KAFKA": kafka.url(topic)}) as server:
        workers: set[str] = set()
        asked = 0
        while len(workers) < 2:
            connection = http.client.HTTPConnection(HOST, server.port, timeout=60)
            connection.request("GET", f"/{asked}")
            workers.add(connection.getresponse().read().decode())
            connection.close()
            asked += 1
        wait_until(lambda: len(kafka.records(topic)) == 1 + asked)
        assert server.stop() == 0
        assert "SIGSEGV" not in server.log()
        assert "was sent SIG" not in server.log()
    records = kafka.records(topic)
    assert sorted(record.path for record in records if record.path != "warm-up") == sorted(
        f"/{number}" for number in range(asked)
    )
