"""Start training jobs from a process that has imported torch already.

Importing torch takes two seconds, a third of a short training job. So the first job of a workflow
leaves a server behind that has imported it and nothing of this package; later jobs ask it to fork.
The fork takes over the job's arguments, environment, folder and output, imports this package's code
as it stands then, and runs. The process that asked stays as its face: it passes on signals, returns
the exit status, and if it is killed the fork dies with it. Where anything is amiss a job simply runs
by itself. The server ends when nobody has asked for a while.
"""

import fcntl
import hashlib
import json
import os
import runpy
import signal
import socket
import subprocess
import sys
import threading
from contextlib import suppress
from importlib.metadata import version
from pathlib import Path
from tempfile import gettempdir

IDLE = 20  # seconds without a request after which the server ends
REQUEST = 1 << 20  # bytes; arguments and environment are far smaller
PREFIX = "earlyphase-"


def address() -> str:
    """Path of the server's socket: one for each user, interpreter, torch and kind of threading."""
    parts = [
        sys.executable,
        version("torch"),
        os.environ.get("PYTHONPATH"),
        os.environ.get("OMP_NUM_THREADS"),
    ]
    name = hashlib.sha256(repr(parts).encode()).hexdigest()[:16]
    folder = Path(gettempdir()) / f"{PREFIX}{os.getuid()}"
    folder.mkdir(mode=0o700, exist_ok=True)
    if folder.stat().st_uid != os.getuid():
        raise OSError(f"{folder} belongs to somebody else")
    return str(folder / f"{name}.socket")


def run_preloaded(words: list[str]) -> int | None:
    """Have a fork of the server run a command; start a server for later jobs where there is none.

    Returns:
        The command's exit status, or None where it has not been run.
    """
    if sys.platform != "linux" or "SLURM_JOB_ID" in os.environ:  # there, a server would die with its job
        return None
    try:
        connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        path = address()
        try:
            connection.connect(path)
        except OSError:
            command = [sys.executable, "-m", "earlyphase.runtime.preload", path]
            quiet = {"stdin": subprocess.DEVNULL, "stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
            subprocess.Popen(command, start_new_session=True, cwd="/", **quiet)
            return None
        request = [words, dict(os.environ), str(Path.cwd()), list(os.sched_getaffinity(0))]
        socket.send_fds(connection, [json.dumps(request).encode()], [0, 1, 2])
    except OSError:
        return None

    def pass_on(number: int, _frame: object) -> None:
        with suppress(OSError):  # the fork has just ended
            connection.send(bytes([number]))

    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, pass_on)
    status = connection.recv(1)
    return status[0] if status else 128 + signal.SIGKILL  # the fork died without a word


def serve(path: str) -> None:
    """Fork for every request, until none has come for a while."""
    lock = os.open(f"{path}.lock", os.O_RDWR | os.O_CREAT, 0o600)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return  # another job started a server at the same moment
    import safetensors.numpy  # noqa: F401
    import torch  # noqa: F401

    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    listener.settimeout(IDLE)
    with suppress(FileNotFoundError):
        Path(path).unlink()
    listener.bind(path)
    listener.listen(64)
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # nobody waits for the forks
    while True:
        try:
            connection, _ = listener.accept()
        except TimeoutError:
            break
        if os.fork() == 0:
            listener.close()
            os.close(lock)
            signal.signal(signal.SIGCHLD, signal.SIG_DFL)
            serve_one(connection)
        connection.close()
    Path(path).unlink()


def serve_one(connection: socket.socket) -> None:
    """Become the job that a connection asks for; does not return."""
    status = 1
    try:
        message, descriptors, _, _ = socket.recv_fds(connection, REQUEST, 3)
        words, environment, folder, processors = json.loads(message)
        for number, descriptor in enumerate(descriptors):
            os.dup2(descriptor, number)
            os.close(descriptor)
        os.environ.clear()
        os.environ.update(environment)
        os.chdir(folder)
        os.sched_setaffinity(0, processors)
        threading.Thread(target=follow, args=(connection,), daemon=True).start()
        sys.argv = [PREFIX, *words]
        runpy.run_module("earlyphase", run_name="__main__")
    except SystemExit as stop:
        status = stop.code if isinstance(stop.code, int) else 1
    except BaseException:
        sys.excepthook(*sys.exc_info())
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        with suppress(OSError):
            connection.send(bytes([status % 256]))
        os._exit(status)


def follow(connection: socket.socket) -> None:
    """Do to this process what is done to the one that asked: signals are passed on, its end is ours."""
    while number := connection.recv(1):
        os.kill(os.getpid(), number[0])
    os.kill(os.getpid(), signal.SIGKILL)


if __name__ == "__main__":
    serve(sys.argv[1])
