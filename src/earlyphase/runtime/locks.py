"""One process at a time on a file, on this machine and on any other that shares the file system."""

import errno
import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from earlyphase.errors import InvalidInput


@contextmanager
def locked(lock_path: Path) -> Iterator[bool]:
    """Hold a lock file, waiting for whoever holds it; yield whether another held it first.

    The file is removed when it is given back. Where the mount says that locks are not seen by other
    machines, a warning is printed.

    Raises:
        InvalidInput: the file system is read-only, full or without locks.
    """
    try:
        descriptor, waited = acquire(lock_path)
    except OSError as error:
        raise InvalidInput(
            f"cannot lock {lock_path}: {error.strerror}; results must lie in a folder that can be "
            "written, on a file system with locks (flock)"
        ) from None
    if doubt := only_local(lock_path):
        print(f"warning: {doubt}", flush=True)
    try:
        yield waited
    finally:
        lock_path.unlink(missing_ok=True)
        os.close(descriptor)


def acquire(lock_path: Path) -> tuple[int, bool]:
    """Lock a file, waiting for its holder; return its descriptor and whether there was one.

    Raises:
        OSError: the file system is read-only, full or without locks.
    """
    lock_path.parent.mkdir(parents=True, exist_ok=True)
    waited = False
    while True:
        descriptor = os.open(lock_path, os.O_RDWR | os.O_CREAT, 0o644)
        try:
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                print(f"waiting: another process is at work on {lock_path}", flush=True)
                waited = True
                fcntl.flock(descriptor, fcntl.LOCK_EX)
            if lock_path.exists() and os.path.samestat(os.fstat(descriptor), lock_path.stat()):
                return descriptor, waited
        except OSError as error:
            if error.errno != errno.ESTALE:
                os.close(descriptor)
                raise
            # over NFS, that is how a file looks that its holder removed on another machine
        os.close(descriptor)  # the holder removed the file when it ended: this lock guards nothing


def only_local(path: Path, mounts: str | None = None) -> str | None:
    """Say why locks below `path` hold on one machine alone, as far as its mount tells; else None.

    Such a file system grants a lock to two machines at once, and no process notices. One that refuses
    locks is no case for this: `acquire` raises.

    Args:
        path: an existing folder or file.
        mounts: text of /proc/self/mountinfo; read where it is None and there is such a file.
    """
    if mounts is None:
        try:
            mounts = Path("/proc/self/mountinfo").read_text()
        except OSError:
            return None  # not Linux
    resolved, mount_point, kind, options = path.resolve(), Path("/"), "", set()
    for line in mounts.splitlines():
        before, after = line.split(" - ", 1)
        fields, (file_system, *_, settings) = before.split(), after.split()
        where = Path(fields[4].replace("\\040", " "))
        if resolved.is_relative_to(where) and len(where.parts) >= len(mount_point.parts):
            mount_point, kind = where, file_system
            options = {*settings.split(","), *fields[5].split(",")}
    reason = _why_local(kind, options)
    return reason and f"locks on {mount_point} ({kind}) hold on one machine alone: {reason}"


def _why_local(kind: str, options: set[str]) -> str | None:
    match kind:
        case "nfs" | "nfs4":
            found = options & {"nolock", "local_lock=all", "local_lock=flock"}
            return f"it is mounted with {found.pop()}" if found else None
        case "lustre":
            return "it is mounted with localflock, not flock" if "localflock" in options else None
        case "beegfs":
            return "unless tuneUseGlobalFileLocks is set in its client's configuration"
    return None
