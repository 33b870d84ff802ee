"""Who owns a ring: told by locks that end with the process, and by nothing else that happens in it."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest

from chest.ring import lock_file
from chest.ring.lock_file import DRAIN, OWNER, LockFile
from tests.processes import run_python, running_python
from tests.support import wait_until

_HOLDING = """
    import os, sys
    from pathlib import Path
    from chest.ring import lock_file
    from chest.ring.lock_file import DRAIN, OWNER, LockFile
    path = Path(sys.argv[1])
    lock = LockFile.create(path)
"""


@pytest.fixture(params=["by_description", "by_process"])
def path(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    if request.param == "by_description" and not lock_file._works_by_description:
        pytest.skip("this Python knows no locks of an open file")
    if request.param == "by_process":
        monkeypatch.setattr(lock_file, "_works_by_description", False)
    return tmp_path / "main.1.aa.lock"


def is_free(path: Path) -> bool:
    lock = LockFile.open(path)
    assert lock is not None
    try:
        return not lock.is_locked(OWNER) and lock.try_lock(OWNER, DRAIN)
    finally:
        lock.close()


def test_a_lock_is_its_process_s_until_that_ends(path: Path) -> None:
    code = f"{_HOLDING}    print('ready', flush=True); sys.stdin.read()\n"
    with running_python(code, path) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        assert not is_free(path)
        process.kill()
        process.wait()
        assert is_free(path)


def test_one_byte_may_be_another_process_s(path: Path) -> None:
    code = f"{_HOLDING}    print('ready', flush=True); sys.stdin.read()\n"
    with running_python(code, path) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        lock = LockFile.open(path)
        assert lock is not None
        assert lock.is_locked(OWNER)
        assert not lock.is_locked(DRAIN)
        assert lock.try_lock(DRAIN)
        lock.close()


def test_a_lock_that_is_let_go_is_free(path: Path) -> None:
    lock = LockFile.create(path, DRAIN)
    lock.close()
    lock.close()
    assert is_free(path)


def test_a_lock_file_that_was_removed_or_replaced_is_noticed_and_the_new_one_is_free(path: Path) -> None:
    lock = LockFile.create(path)
    path.unlink()
    assert not lock.is_linked()
    other = LockFile.create(path)
    other.close()
    assert not lock.is_linked()
    assert is_free(path)
    lock.close()


_ENDS_OF_DESCRIPTORS = {
    "the file is opened and closed": "open(path).close()",
    "it is locked and unlocked by other code": (
        "import fcntl; file = open(path, 'r+'); fcntl.lockf(file, fcntl.LOCK_EX | fcntl.LOCK_NB); file.close()"
    ),
    "all descriptors are closed": "os.closerange(3, 256)",
    "a child closes what it has": "child = os.fork(); child or lock.close(); child or os._exit(0); os.waitpid(child, 0)",
}


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="only Linux has locks that no close drops")
@pytest.mark.parametrize("code", _ENDS_OF_DESCRIPTORS.values(), ids=_ENDS_OF_DESCRIPTORS)
def test_no_close_in_the_process_drops_its_lock(tmp_path: Path, code: str) -> None:
    path = tmp_path / "main.1.aa.lock"
    whole = f"""{_HOLDING}
    try:
        {code}
    except OSError as error:
        print(error)  # other code does not get it
    print("done", flush=True)
    sys.stdin.read()
    """
    with running_python(whole, path) as process:
        assert process.stdout is not None
        while process.stdout.readline() != "done\n":
            pass
        assert not is_free(path)


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="elsewhere a process has locks, and no part of it")
def test_a_module_that_is_loaded_twice_does_not_get_the_lock_that_the_first_one_has(tmp_path: Path) -> None:
    code = f"""{_HOLDING}
    for name in [name for name in sys.modules if name.startswith("chest")]:
        del sys.modules[name]
    from chest.ring.lock_file import LockFile as Second
    assert Second is not LockFile
    other = Second.open(path)
    print(other.is_locked(OWNER), other.try_lock(OWNER, DRAIN))
    other.close()
    print(Second.open(path).is_locked(OWNER))
    """
    assert run_python(code, tmp_path / "main.1.aa.lock").split() == ["True", "False", "True"]


def test_a_child_that_lives_on_holds_nothing_of_a_parent_that_was_killed(path: Path) -> None:
    by_description = lock_file._works_by_description
    code = f"""
    import os, sys
    from pathlib import Path
    from chest.ring import lock_file
    lock_file._works_by_description = {by_description}
    lock = lock_file.LockFile.create(Path(sys.argv[1]))
    if os.fork():
        os.kill(os.getpid(), 9)
    print(os.getpid(), flush=True)
    sys.stdin.read()
    """
    with running_python(code, path) as process:
        assert process.stdout is not None
        child = int(process.stdout.readline())
        process.wait()
        wait_until(lambda: is_free(path))
        os.kill(child, 0)


@pytest.mark.skipif(not hasattr(lock_file.fcntl, "F_OFD_SETLK"), reason="this Python knows no locks of an open file")
def test_a_kernel_that_knows_no_lock_of_a_description_gets_the_other_kind(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuses(*_: object) -> bytes:
        raise OSError(22, "Invalid argument")

    monkeypatch.setattr(lock_file, "_works_by_description", True)
    monkeypatch.setattr(lock_file.fcntl, "fcntl", refuses)
    lock = LockFile.create(tmp_path / "main.1.aa.lock")
    assert isinstance(lock, lock_file._RecordLockFile)
    lock.close()
    assert is_free(tmp_path / "main.1.aa.lock")
