"""NVIDIA's Multi-Process Service (MPS): jobs on one GPU compute at the same time instead of in turns.

Its daemon has a folder of its own for each study, which jobs learn of from the environment, and ends with the
process that started it. Commands and variables: https://docs.nvidia.com/deploy/mps.
"""

import atexit
import os
import shutil
import subprocess
import sys
from collections.abc import Mapping
from hashlib import sha256
from pathlib import Path

from earlyphase.runtime.locks import private_folder
from earlyphase.runtime.machine import gpu_models

CONTROL = "nvidia-cuda-mps-control"
PATIENCE = 30  # seconds that the daemon, or a first client of it, is waited for
ANSWERED = "get_default_active_thread_percentage"  # a question that changes nothing

# Without torch, a process that does what every job does first: it creates a context on the GPU.
CLIENT = """
import ctypes
cuda = ctypes.CDLL("libcuda.so.1")
raise SystemExit(bool(cuda.cuInit(0) or cuda.cuDevicePrimaryCtxRetain(ctypes.byref(ctypes.c_void_p()), 0)))
"""


def start(device: str) -> str:
    """Start the daemon for processes that inherit this one's environment, or leave things as they are.

    Args:
        device: "cpu" or "cuda", on which these processes compute.

    Returns:
        A sentence that says what was done, or why nothing was.
    """
    if device != "cuda":
        return "NVIDIA's MPS is not started, because networks are trained on the CPU"
    environment = dict(os.environ)
    if tells(environment, ANSWERED):
        return "jobs run side by side on the GPU under the NVIDIA MPS that is there already"
    visible = environment.get("CUDA_VISIBLE_DEVICES")
    count = len(gpu_models() if visible is None else visible.split(","))
    if count > 1:
        return (
            f"jobs that share one of the {count} GPUs take turns on it: NVIDIA's MPS is started for one GPU"
        )
    turns = "jobs run side by side but take turns on the GPU, because"
    if shutil.which(CONTROL) is None:
        return f"{turns} {CONTROL}, which starts NVIDIA's MPS, is not on PATH"
    try:
        # In /tmp, because paths of sockets are short. Another choice of GPU needs another daemon.
        name = sha256(f"{Path.cwd()} {visible}".encode()).hexdigest()[:12]
        folder = private_folder("/tmp") / f"mps-{name}"
        environment |= {"CUDA_MPS_PIPE_DIRECTORY": str(folder), "CUDA_MPS_LOG_DIRECTORY": str(folder)}
        if not tells(environment, ANSWERED):  # else a run that was killed left it, and this one takes it over
            shutil.rmtree(folder, ignore_errors=True)
            folder.mkdir()
            run([CONTROL, "-d"], environment)
        atexit.register(end, environment, folder)
    except OSError as error:
        return f"{turns} there is no folder for NVIDIA's MPS: {error}"
    if (visible or "").isdecimal():
        environment["CUDA_VISIBLE_DEVICES"] = "0"  # the daemon sees one GPU, and numbers it anew
    if not (tells(environment, ANSWERED) and run([sys.executable, "-c", CLIENT], environment)):
        tells(environment, "quit")
        return f"{turns} NVIDIA's MPS does not work here; what it wrote is in {folder}"
    os.environ.update(environment)
    return "jobs run side by side on the GPU under NVIDIA's MPS, which ends with this run"


def run(command: list[str], environment: Mapping[str, str], text: str = "") -> bool:
    """Whether a command ends well, in time. Ctrl-C does not reach it, nor a daemon that it leaves behind."""
    quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}  # a pipe would stay open in a daemon
    try:
        done = subprocess.run(
            command, input=text.encode(), env=environment, timeout=PATIENCE, start_new_session=True, **quiet
        )
    except (OSError, subprocess.SubprocessError):
        return False
    return done.returncode == 0


def tells(environment: Mapping[str, str], command: str) -> bool:
    """Whether a daemon, the one that an environment names, carries out a command."""
    return run([CONTROL], environment, f"{command}\n")


def end(environment: Mapping[str, str], folder: Path) -> None:
    """End the daemon and remove its folder; one that still has clients ends with the last of them."""
    if tells(environment, "quit"):
        shutil.rmtree(folder, ignore_errors=True)
