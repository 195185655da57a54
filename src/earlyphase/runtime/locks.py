"""One process at a time on a file, on this machine and on any other that shares the file system.

These are plain exclusive `flock` locks rather than those of the package `filelock` (4.3), which takes a
stale file handle over NFS for a failure, checks only that the locked file still has a name and not that it
is the one at the path, and leaves its files behind. Adding these three to it takes more code than `try_lock`.
"""

import errno
import fcntl
import os
from contextlib import ExitStack
from pathlib import Path
from tempfile import gettempdir

REMOVED = (errno.ENOENT, errno.ESTALE)  # over NFS, a file that another machine removed has a stale handle


def try_lock(path: Path, *, wait: bool = False) -> int | None:
    """Lock a file exclusively, creating it where there is none.

    Args:
        path: the lock file, in an existing folder.
        wait: wait for another holder to release it.

    Returns:
        A descriptor of the file that stands at `path` once it is locked; the lock lasts until it is closed,
        or until the process ends. None where another process holds the lock and `wait` is false.

    Raises:
        OSError: the file system is read-only, full or without locks.
    """
    while True:
        with ExitStack() as undo:
            descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o644)
            undo.callback(os.close, descriptor)
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
                if os.path.samestat(os.fstat(descriptor), path.stat()):
                    undo.pop_all()
                    return descriptor
            except BlockingIOError:
                return None
            except OSError as error:
                if error.errno not in REMOVED:
                    raise
        # its holder removed the file when it ended: a lock on it guards nothing, so lock the next one


def acquire(path: Path) -> tuple[int, bool]:
    """Lock a file exclusively, creating its folder, and say so where another process must be waited for.

    Returns:
        The descriptor, as `try_lock`; whether another process held the lock first.

    Raises:
        OSError: the file system is read-only, full or without locks.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    descriptor = try_lock(path)
    if descriptor is not None:
        return descriptor, False
    print(f"waiting: another process is at work on {path}", flush=True)
    return try_lock(path, wait=True), True


def release(path: Path, descriptor: int) -> None:
    """Remove a lock file and release its lock.

    In this order: the file that a waiting process then locks is no longer at the path, so it tries again.
    Removed after the release, it could be another process's by then.
    """
    path.unlink(missing_ok=True)
    os.close(descriptor)


def is_held(path: Path) -> bool:
    """Whether a live process holds the lock of a file; the file is neither created nor changed.

    This takes a shared lock for some microseconds. A process that asks for the lock in just that moment
    waits for it to end, and then has the lock.
    """
    try:
        with path.open("rb") as file:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    except OSError as error:
        if error.errno not in REMOVED:
            raise
    return False


def private_folder(parent: str | None = None) -> Path:
    """Folder for locks and sockets of this user on this machine, created where there is none.

    Args:
        parent: the folder for temporary files; None looks it up.

    Raises:
        OSError: it cannot be created, or the path belongs to another user.
    """
    folder = Path(parent or gettempdir()) / f"earlyphase-{os.getuid()}"
    folder.mkdir(mode=0o700, exist_ok=True)
    if folder.lstat().st_uid != os.getuid():  # of the path itself: a link would be whoever made it
        raise OSError(errno.EPERM, "belongs to another user", str(folder))
    return folder
