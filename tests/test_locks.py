"""Locks: one holder at a time, also over network file systems, and a word where that cannot be had."""

import errno
import fcntl
import os
from pathlib import Path

import pytest

from earlyphase.runtime.locks import acquire, only_local


def test_a_lock_is_free_or_taken(tmp_path):
    descriptor, waited = acquire(tmp_path / "new folder/lock")
    assert not waited
    with (tmp_path / "new folder/lock").open() as other, pytest.raises(BlockingIOError):
        fcntl.flock(other, fcntl.LOCK_EX | fcntl.LOCK_NB)
    os.close(descriptor)


def test_a_file_that_its_holder_removed_on_another_machine_is_locked_anew(tmp_path, monkeypatch):
    """Over NFS the descriptor is stale by then: seen as ESTALE, here from the first two calls."""
    lock, calls = tmp_path / "lock", []

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
    descriptor, waited = acquire(lock)
    assert waited and len(calls) == 3
    assert os.path.samestat(os.fstat(descriptor), lock.stat())
    os.close(descriptor)


def test_a_file_system_without_locks_is_an_error(tmp_path, monkeypatch):
    def flock(*_):
        raise OSError(errno.ENOSYS, "Function not implemented")

    monkeypatch.setattr(fcntl, "flock", flock)
    before = len(list(Path("/proc/self/fd").iterdir()))
    with pytest.raises(OSError, match="not implemented"):
        acquire(tmp_path / "lock")
    assert len(list(Path("/proc/self/fd").iterdir())) == before


LOCAL = "26 1 8:1 / / rw,relatime shared:1 - ext4 /dev/root rw\n"


@pytest.mark.parametrize(
    ("mount", "reason"),
    [
        ("nfs4 server:/home rw,vers=4.2,local_lock=none", None),
        ("nfs server:/home rw,vers=3,local_lock=all", "local_lock=all"),
        ("nfs server:/home rw,vers=3,nolock", "nolock"),
        ("lustre mgs:/scratch rw,flock", None),
        ("lustre mgs:/scratch rw,localflock", "not flock"),
        ("beegfs beegfs_nodev rw,cfgFile=/etc/beegfs.conf", "tuneUseGlobalFileLocks"),
        ("tmpfs rw", None),
    ],
)
def test_a_mount_tells_whether_its_locks_are_seen_elsewhere(mount, reason):
    mounts = (
        LOCAL + f"40 26 0:38 / /shared/my\\040data rw - {mount}\n" + "41 26 0:3 / /dev rw - tmpfs none rw\n"
    )
    said = only_local(Path("/shared/my data/results"), mounts)
    assert (said is None) if reason is None else (reason in said and "/shared/my data" in said)
    assert only_local(Path("/elsewhere"), mounts) is None


def test_the_innermost_mount_counts():
    inner = "nfs4 server:/home rw,local_lock=none"
    mounts = LOCAL + "40 26 0:38 / /a rw - lustre x rw,localflock\n" + f"41 40 0:39 / /a/b rw - {inner}\n"
    assert only_local(Path("/a/b/results"), mounts) is None
    assert only_local(Path("/a/results"), mounts)


def test_this_machine_says_something_sensible(tmp_path):
    said = only_local(tmp_path)
    assert said is None or "hold on one machine alone" in said
