"""Ids made in C, and in Python beside it."""

from __future__ import annotations

import os
import subprocess
import sys
import uuid
from pathlib import Path

import pytest

from chest.native import IS_NATIVE
from chest.record.encoding import decode
from chest.record.record_id import is_tail
from tests.native.answering import answer_with
from tests.request.middleware.client import Client

ROOT = Path(__file__).parents[2]

if not IS_NATIVE and "CI" not in os.environ:
    pytest.skip("Chest was installed without its compiled part", allow_module_level=True)


def test_ids_made_in_c_and_in_python_by_turns_are_all_different_and_all_good() -> None:
    lines: list[bytes] = []
    client = Client(answer_with({}), offer=lines.append)
    process = client.process
    request_ids, tails = [], []
    for number in range(500):
        client.get()
        if number % 7 == 0:
            request_ids.append(process.request_ids.new())
            tails.append(process.record_ids.new(7)[16:])
    rows = [decode(line) for line in lines]
    request_ids += [row[1] for row in rows]
    tails += [row[0] for row in rows]
    assert len(set(request_ids)) == len(request_ids) == len(set(tails)) == len(tails) == 500 + 72
    assert all(str(uuid.UUID(one)) == one and uuid.UUID(one).version == 4 for one in request_ids)
    assert all(uuid.UUID(one).variant == uuid.RFC_4122 for one in request_ids)
    assert all(is_tail(tail, process.record_ids.process) for tail in tails)


def test_after_a_fork_no_id_is_made_of_random_bytes_that_the_parent_has_too() -> None:
    lines: list[bytes] = []
    client = Client(answer_with({}), offer=lines.append)
    client.get()  # 15 ids are left of what the system gave
    reading, writing = os.pipe()
    pid = os.fork()
    if not pid:
        try:
            client.process.request_ids.renew()
            client.process.record_ids.renew()
            client.get()
            os.write(writing, lines[-1])
        finally:
            os._exit(0)
    os.close(writing)
    os.waitpid(pid, 0)
    client.get()
    child, parent = decode(os.read(reading, 4096)), decode(lines[-1])
    os.close(reading)
    assert child[0][:8] != parent[0][:8]
    assert child[1] != parent[1]


def test_the_count_starts_again_if_it_would_be_too_long() -> None:
    last = 2**32 // 251 - 1
    lines: list[bytes] = []
    client = Client(answer_with({}), offer=lines.append)
    client.process.record_ids._begin(0xABCDEF, last)
    for _ in range(4):
        client.get()
    counts = [int(decode(line)[0][8:], 16) for line in lines]
    assert counts == [last * 251, 0, 251, 502]
    assert all(decode(line)[0][:8] == "00abcdef" for line in lines)


def test_if_the_system_call_for_random_bytes_fails_ids_are_made_in_python(tmp_path: Path) -> None:
    """As under a seccomp filter, or a kernel before 3.17: the standard library asks /dev/urandom then."""
    source, library = tmp_path / "refusing.c", tmp_path / "refusing.so"
    source.write_text(
        "#include <errno.h>\n#include <sys/types.h>\n"
        "ssize_t getrandom(void *to, size_t size, unsigned flags) { errno = ENOSYS; return -1; }\n"
    )
    subprocess.run([os.environ.get("CC", "cc"), "-shared", "-fPIC", "-o", library, source], check=True)
    program = """
import ctypes
from tests.request.middleware.client import Client, hello

assert ctypes.CDLL(None).getrandom(0, 0, 0) == -1
client = Client(hello)
ids = set()
for _ in range(100):
    client.get()
    ids.add(client.records[-1].request_id)
assert {len(one) for one in ids} == {36}
print(len(ids), len(client.records))
"""
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, timeout=300, cwd=ROOT,
        env=os.environ | {"LD_PRELOAD": str(library), "PYTHONPATH": f"{ROOT}{os.pathsep}{ROOT / 'adapters'}"},
    )  # fmt: skip
    assert done.stdout == "100 100\n", done.stderr
