"""Locks: one holder at a time, also over network file systems, and a word where that cannot be had."""

import errno
import fcntl
import os
import stat
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from earlyphase.runtime.locks import acquire, is_held, private_folder, release, try_lock

# Another process: tells what it was granted, or takes the lock and holds it until a line comes or it is killed.
TRY = """
import fcntl, sys
for kind in (fcntl.LOCK_SH, fcntl.LOCK_EX):
    with open(sys.argv[1], "r+") as file:
        try:
            fcntl.flock(file, kind | fcntl.LOCK_NB)
            print("granted")
        except BlockingIOError:
            print("refused")
"""
HOLD = """
import sys
from pathlib import Path
from earlyphase.runtime.locks import acquire, release
path = Path(sys.argv[1])
descriptor, waited = acquire(path)
print("holds", waited, flush=True)
sys.stdin.readline()
release(path, descriptor)
"""
TAKE_TURNS = """
import os, sys, time
from pathlib import Path
from earlyphase.runtime.locks import acquire, release
path = Path(sys.argv[1])
for _ in range(25):
    descriptor, _ = acquire(path)
    for _ in range(2):
        with open(sys.argv[2], "a") as log:
            log.write(f"{os.getpid()} ")
        time.sleep(0.001)
    release(path, descriptor)
"""


def answers(path):
    """What a second process is told that asks for the lock: shared, then exclusively."""
    done = subprocess.run([sys.executable, "-c", TRY, path], capture_output=True, text=True, check=True)
    return done.stdout.split()


@pytest.fixture
def holder(tmp_path):
    """Start a process that holds, or waits for, the lock."""
    started = []

    def start():
        command = [sys.executable, "-c", HOLD, str(tmp_path / "lock")]
        process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        started.append(process)
        return process

    yield start
    for process in started:
        process.kill()
        process.communicate()


@pytest.fixture
def lock(tmp_path):
    return tmp_path / "lock"


def test_a_lock_refuses_every_second_process_shared_or_exclusive(lock):
    descriptor, waited = acquire(lock)
    assert not waited
    assert answers(lock) == ["refused", "refused"]
    os.close(descriptor)
    assert answers(lock) == ["granted", "granted"]


def test_a_lock_that_was_waited_for_refuses_every_second_process_too(lock, holder, capsys):
    first = holder()
    assert first.stdout.readline() == "holds False\n"
    threading.Timer(0.3, lambda: first.communicate("\n")).start()
    descriptor, waited = acquire(lock)
    assert waited
    assert capsys.readouterr().out == f"waiting: another process is at work on {lock}\n"
    assert os.path.samestat(os.fstat(descriptor), lock.stat())  # not of the file that the holder removed
    assert answers(lock) == ["refused", "refused"]
    release(lock, descriptor)


def test_processes_hold_a_lock_one_after_the_other_and_leave_no_file(lock, tmp_path):
    """Each removes the file while the others wait for it, or are about to open it."""
    log = tmp_path / "log"
    command = [sys.executable, "-c", TAKE_TURNS, str(lock), str(log)]
    processes = [subprocess.Popen(command, stdout=subprocess.DEVNULL) for _ in range(4)]
    assert [process.wait(timeout=120) for process in processes] == [0] * 4
    lines = log.read_text().split()
    assert len(lines) == 4 * 2 * 25
    assert lines[::2] == lines[1::2]  # nobody began before the one before had ended
    assert len(set(lines)) == 4
    assert list(tmp_path.iterdir()) == [log]


def test_a_lock_that_is_released_leaves_no_descriptor_and_guards_no_other_name_of_its_file(tmp_path):
    lock = tmp_path / "new folder/lock"
    descriptor, _ = acquire(lock)
    (tmp_path / "other").hardlink_to(lock)
    assert answers(tmp_path / "other") == ["refused", "refused"]
    release(lock, descriptor)
    assert answers(tmp_path / "other") == ["granted", "granted"]
    with pytest.raises(OSError, match=os.strerror(errno.EBADF)):
        os.fstat(descriptor)
    assert not list(lock.parent.iterdir())


def test_a_lock_is_held_exactly_while_a_process_lives(lock, holder):
    assert not is_held(lock)
    assert not lock.exists()  # asking creates nothing
    lock.touch()
    assert not is_held(lock)
    process = holder()
    assert process.stdout.readline() == "holds False\n"
    for _ in range(3):
        assert is_held(lock) and try_lock(lock) is None
        assert answers(lock) == ["refused", "refused"]  # asking takes nothing from the holder
    process.kill()
    process.communicate()
    assert lock.exists()
    assert not is_held(lock)


def test_two_that_ask_at_once_do_not_take_each_other_for_a_holder(lock):
    lock.touch()
    with lock.open() as asking:
        fcntl.flock(asking, fcntl.LOCK_SH)  # as `is_held` does
        assert not is_held(lock)


def test_a_stale_file_is_held_by_nobody(lock, monkeypatch):
    def flock(*_):
        raise OSError(errno.ESTALE, "Stale file handle")

    lock.touch()
    monkeypatch.setattr(fcntl, "flock", flock)
    assert not is_held(lock)


def test_asking_whether_it_is_held_fails_nobody_who_wants_the_lock(lock):
    """At worst, a lock that is asked for in the very moment of a probe is waited for."""
    ask = "import sys; from pathlib import Path; from earlyphase.runtime.locks import is_held\n"
    ask += "print(flush=True)\nwhile True: is_held(Path(sys.argv[1]))"
    prober = subprocess.Popen([sys.executable, "-c", ask, str(lock)], stdout=subprocess.PIPE)
    prober.stdout.readline()
    try:
        for _ in range(3000):
            descriptor, _ = acquire(lock)
            assert os.path.samestat(os.fstat(descriptor), lock.stat())
            release(lock, descriptor)
        assert prober.poll() is None
    finally:
        prober.kill()
        prober.communicate()


def test_a_file_that_its_holder_removed_on_another_machine_is_locked_anew(lock, monkeypatch):
    """Over NFS the descriptor is stale by then: seen as ESTALE, here from the first two calls."""
    calls = []

    def flock(descriptor, operation):
        calls.append(operation)
        if len(calls) == 1:
            raise BlockingIOError
        if len(calls) == 2:
            lock.unlink()
            raise OSError(errno.ESTALE, "Stale file handle")
        real(descriptor, operation)

    real = fcntl.flock
    monkeypatch.setattr(fcntl, "flock", flock)
    before = open_files()
    descriptor, waited = acquire(lock)
    assert waited and len(calls) == 3
    assert os.path.samestat(os.fstat(descriptor), lock.stat())
    assert open_files() == before + 1
    os.close(descriptor)


@pytest.mark.parametrize("replaced", [False, True], ids=["removed", "replaced"])
def test_a_file_that_has_left_the_path_is_locked_anew(lock, tmp_path, monkeypatch, replaced):
    """As another machine's removal looks where NFS renames the open file: it still has a name."""
    calls = []

    def flock(descriptor, operation):
        real(descriptor, operation)
        calls.append(operation)
        if len(calls) == 1:
            lock.rename(tmp_path / ".nfs0001")
            if replaced:
                lock.touch()

    real = fcntl.flock
    monkeypatch.setattr(fcntl, "flock", flock)
    descriptor, _ = acquire(lock)
    assert len(calls) == 2
    assert os.path.samestat(os.fstat(descriptor), lock.stat())
    os.close(descriptor)


def open_files():
    return len(list(Path("/proc/self/fd").iterdir()))


@pytest.mark.parametrize("code", [errno.ENOSYS, errno.ENOLCK, errno.EOPNOTSUPP, errno.EIO])
def test_a_file_system_without_locks_is_an_error(lock, monkeypatch, code):
    def flock(*_):
        raise OSError(code, os.strerror(code))

    monkeypatch.setattr(fcntl, "flock", flock)
    before = open_files()
    with pytest.raises(OSError, match=os.strerror(code)):
        acquire(lock)
    assert open_files() == before
    lock.touch()
    with pytest.raises(OSError, match=os.strerror(code)):
        is_held(lock)


def test_the_private_folder_is_this_users_alone(tmp_path, monkeypatch):
    folder = private_folder(str(tmp_path))
    assert folder == tmp_path / f"earlyphase-{os.getuid()}"
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    monkeypatch.setattr("earlyphase.runtime.locks.gettempdir", lambda: str(tmp_path))
    assert private_folder() == private_folder(str(tmp_path)) == folder
    real = os.getuid()
    monkeypatch.setattr(os, "getuid", lambda: real + 1)
    (tmp_path / f"earlyphase-{real + 1}").symlink_to(folder)
    with pytest.raises(OSError, match="belongs to another user"):
        private_folder(str(tmp_path))
