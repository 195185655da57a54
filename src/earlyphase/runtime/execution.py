"""Where and how precisely a job computes: device, threads, precision, memory allocation.

None of these is part of an experiment's identity; all are recorded with its results.
"""

import ctypes
import fcntl
import os
import platform
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from tempfile import gettempdir

import torch

from earlyphase.errors import InvalidInput


@dataclass(frozen=True)
class Execution:
    """The choices one job runs under."""

    device: torch.device
    precision: str  # "float32" or "bfloat16" (autocast: weights and updates stay float32)
    threads: int

    def autocast(self) -> AbstractContextManager:
        """Context of a forward pass."""
        if self.precision == "bfloat16":
            return torch.autocast(self.device.type, torch.bfloat16)
        return nullcontext()

    def record(self) -> dict[str, str | int]:
        """What the run record says of it."""
        return {"device": self.device.type, "precision": self.precision, "threads": self.threads}


def prepare(device: str, precision: str) -> Execution:
    """Set up this process and say what it computes on.

    Threads come from OMP_NUM_THREADS, which Snakemake sets to what a rule was granted; without it,
    one. More threads than granted cores slow every job on the machine several times over.

    Args:
        device: "cpu", "cuda", or "auto" (CUDA where there is any).
        precision: "float32" or "bfloat16".

    Raises:
        InvalidInput: CUDA was asked for and there is none.
    """
    keep_freed_memory()
    threads = int(os.environ.get("OMP_NUM_THREADS", "1"))
    torch.set_num_threads(threads)
    if device == "auto":
        device = "cuda" if torch.cuda.is_available() else "cpu"
    if device == "cuda" and not torch.cuda.is_available():
        raise InvalidInput("device 'cuda' was asked for, but torch sees no CUDA device; use 'cpu' or 'auto'")
    chosen = claim_gpu() if device == "cuda" else torch.device("cpu")
    return Execution(chosen, precision, threads)


def keep_freed_memory() -> None:
    """Have glibc keep freed memory for the next tensor.

    By default each large activation is mapped anew and its pages are faulted in again, every
    iteration: about a fifth of the time of a ResNet-20 step.
    """
    if platform.libc_ver()[0] == "glibc":
        trim_threshold, top_pad, mmap_threshold = -1, -2, -3  # option numbers of malloc.h
        libc = ctypes.CDLL(None)
        libc.mallopt(trim_threshold, 2**31 - 1)
        libc.mallopt(mmap_threshold, 2**30)
        libc.mallopt(top_pad, 2**26)


SHARES = 64  # jobs on one GPU that are told apart
_claimed: list[int] = []  # file descriptors; a lock lives as long as its descriptor


def claim_gpu() -> torch.device:
    """Take the GPU that the fewest other jobs of this user hold, until the process ends.

    Snakemake counts GPUs but names none. Only visible ones count: a job of a cluster sees its own, and
    where that is one there is nothing to choose. Numbers mean the same devices only within an
    allocation (`SLURM_JOB_ID`), so only jobs of the same one are told apart.
    """
    count = torch.cuda.device_count()
    if count == 1:
        return torch.device("cuda:0")
    place = f"{os.getuid()}-{os.environ.get('SLURM_JOB_ID', 'all')}"
    for share in range(SHARES):
        for index in range(count):
            lock = Path(gettempdir()) / f"earlyphase-{place}-gpu{index}-{share}.lock"
            descriptor = os.open(lock, os.O_RDWR | os.O_CREAT, 0o600)
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                os.close(descriptor)
                continue
            _claimed.append(descriptor)
            return torch.device(f"cuda:{index}")
    return torch.device(f"cuda:{os.getpid() % count}")
