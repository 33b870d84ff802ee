"""Noticing a fork."""

from __future__ import annotations

import os

import pytest

from chest.ring.process_mark import PidMark, ProcessMark, new_process_mark


@pytest.fixture(params=[new_process_mark, PidMark])
def mark(request: pytest.FixtureRequest) -> ProcessMark:
    made: ProcessMark = request.param()
    return made


def test_it_reads_0_until_it_is_set(mark: ProcessMark) -> None:
    assert not mark[0]
    mark[0] = 1
    assert mark[0]
    mark[0] = 0
    assert not mark[0]


def test_it_reads_0_in_a_child_although_no_hook_was_called(mark: ProcessMark) -> None:
    mark[0] = 1
    child = os.fork()
    if not child:
        os._exit(mark[0])
    assert os.waitpid(child, 0)[1] == 0
    assert mark[0]
