"""Start training jobs from a process that has imported torch already.

Importing torch takes two seconds, a third of a short training job. So the first job of a workflow leaves a
server behind that has imported torch, and later jobs ask it to fork. The fork takes over the job's
arguments, environment, folder and output, imports this package's code as it stands then, and runs. The
parent, which asked, stays alive as a proxy: it forwards signals and returns the exit status; if it is
killed, the fork ends too. Where there is no server, or it cannot be used, a job runs in its own process. The
server ends when it has had no request for a while.
"""

import hashlib
import json
import os
import resource
import runpy
import signal
import socket
import subprocess
import sys
import threading
from contextlib import suppress
from importlib.metadata import version
from pathlib import Path

from earlyphase.runtime.locks import private_folder, release, try_lock
from earlyphase.runtime.machine import batch_job
from earlyphase.runtime.plugins import SOURCE, search_path

IDLE = 20  # seconds without a request after which the server ends
CHUNK = 1 << 16  # bytes of a request that are read with its descriptors
PATH_LIMIT = 107  # bytes in the path of a socket: 108 in `struct sockaddr_un`, less the final zero

# Variables that libraries read when they are loaded, or when torch first computes: they choose the device,
# kernels, threads or allocator, and a fork has whatever its server started with.
FIXED_AT_START = (
    "ATEN_", "BLIS_", "CUBLAS", "CUDA_", "CUDNN_", "DNNL_", "GLIBC_TUNABLES", "GOMP_", "GOTO_", "KMP_", "LD_",
    "MALLOC_", "MKL_", "NPY_", "NVIDIA_", "OMP_", "ONEDNN_", "OPENBLAS_", "PYTHON", "PYTORCH_", "TORCH_",
)  # fmt: skip


def address() -> str:
    """Path of the server's socket: one for each user, interpreter, torch, package, and what a fork inherits.

    Raises:
        OSError: its folder cannot be created, or belongs to another user.
    """
    fixed = {name: value for name, value in os.environ.items() if name.startswith(FIXED_AT_START)}
    fixed.setdefault("OMP_NUM_THREADS", "1")
    determining = [sys.executable, version("torch"), SOURCE, sorted(fixed.items()), inherited()]
    name = hashlib.sha256(json.dumps(determining).encode()).hexdigest()[:16]
    path = str(private_folder() / f"{name}.socket")
    if len(os.fsencode(path)) > PATH_LIMIT:  # TMPDIR is a deep folder
        path = str(private_folder("/tmp") / f"{name}.socket")
    return path


def inherited() -> list:
    """What a process has from the one that started it: niceness, umask, limits, control group."""
    umask = os.umask(0o077)
    os.umask(umask)
    limits = [resource.getrlimit(getattr(resource, name)) for name in dir(resource) if name[:7] == "RLIMIT_"]
    return [os.nice(0), umask, limits, Path("/proc/self/cgroup").read_text(encoding="utf-8")]


def run_preloaded(words: list[str]) -> int | None:
    """Have a fork of the server run a command; start a server for later jobs where there is none.

    Args:
        words: the arguments of `python -m earlyphase`.

    Returns:
        The command's exit status, or None where the command has not been run.
    """
    if sys.platform != "linux" or batch_job():  # there, a server would die with its job, or outlive it
        return None
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
        try:
            path = address()
            try:
                connection.connect(path)
            except OSError:
                start_server(path)
                return None
            send_request(connection, words)
            if not connection.recv(1):  # the server has just ended, or cannot fork
                return None
        except OSError:
            return None
        return stand_in(connection)


def start_server(path: str) -> None:
    """Start a server that outlives this process."""
    environment = {"OMP_NUM_THREADS": "1"} | os.environ | {"PYTHONPATH": search_path(), "PYTHONUTF8": "1"}
    command = [sys.executable, "-m", "earlyphase.runtime.preload", path]
    quiet = {"stdin": subprocess.DEVNULL, "stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    subprocess.Popen(command, env=environment, start_new_session=True, cwd="/", **quiet)


def send_request(connection: socket.socket, words: list[str]) -> None:
    """Send a command and what it runs in: environment, import path, folder, processors, open output."""
    processors = list(os.sched_getaffinity(0))
    request = json.dumps([words, dict(os.environ), sys.path, str(Path.cwd()), processors]).encode() + b"\n"
    sent = socket.send_fds(connection, [request], [0, 1, 2])
    connection.sendall(request[sent:])


def receive_request(connection: socket.socket) -> list[str]:
    """Take over what `send_request` sent; return the command.

    The connection then carries signals, a byte each: the parent forwards none before it is answered.
    """
    message, descriptors, _, _ = socket.recv_fds(connection, CHUNK, 3)
    if not message.endswith(b"\n"):
        message += connection.makefile("rb").readline()
    words, environment, import_path, folder, processors = json.loads(message)
    for number, descriptor in enumerate(descriptors):
        os.dup2(descriptor, number)
        os.close(descriptor)
    os.environ.clear()
    os.environ.update(environment)
    sys.path[:] = import_path
    os.chdir(folder)
    os.sched_setaffinity(0, processors)
    return words


def stand_in(connection: socket.socket) -> int:
    """Be the fork's proxy until it ends: forward signals, then return its exit status."""

    def forward(number: int, _frame: object) -> None:
        with suppress(OSError):  # the fork has just ended
            connection.send(bytes([number]))

    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, forward)
    try:
        status = connection.recv(1)
    except OSError:
        status = b""
    return status[0] if status else 128 + signal.SIGKILL  # the fork was killed before it could answer


def serve(path: str) -> None:
    """Fork for every request, until none has come for a while."""
    lock_path = Path(f"{path}.lock")
    lock = try_lock(lock_path)
    if lock is None:
        return  # another job started a server at the same moment
    import safetensors.numpy  # noqa: F401
    import torch  # noqa: F401

    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    listener.settimeout(IDLE)
    Path(path).unlink(missing_ok=True)
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
    release(lock_path, lock)


def serve_one(connection: socket.socket) -> None:
    """Become the job that a connection asks for; does not return."""
    status = 1
    try:
        words = receive_request(connection)
        connection.send(b"+")  # from here on the job is this process's to run
        threading.Thread(target=follow, args=(connection,), daemon=True).start()
        for name in [name for name in sys.modules if name.partition(".")[0] == "earlyphase"]:
            del sys.modules[name]  # the server imported them; they may have been edited since
        sys.argv = ["earlyphase", *words]
        runpy.run_module("earlyphase", run_name="__main__")
        status = 0
    except SystemExit as stop:
        status = stop.code if isinstance(stop.code, int) else int(stop.code is not None)
    except BaseException:
        sys.excepthook(*sys.exc_info())
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        with suppress(OSError):
            connection.send(bytes([status % 256]))
        os._exit(status % 256)


def follow(connection: socket.socket) -> None:
    """Raise in this process each signal that the parent forwards; end with the parent."""
    with suppress(OSError):  # the parent was killed before it read an answer
        while number := connection.recv(1):
            os.kill(os.getpid(), number[0])
    os.kill(os.getpid(), signal.SIGKILL)


if __name__ == "__main__":
    serve(sys.argv[1])
