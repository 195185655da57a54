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


_claimed: list[int] = []  # file descriptors; a lock lives as long as its descriptor


def claim_gpu() -> torch.device:
    """Take the first GPU of this machine that no other job of this user holds, until the process ends.

    Snakemake counts GPUs but names none. Below SLURM, which hides the others, it is always the first.
    With more jobs than GPUs the jobs share: the process number picks one.
    """
    if "SLURM_JOB_ID" in os.environ:
        return torch.device("cuda:0")
    count = torch.cuda.device_count()
    for index in range(count):
        lock = Path(gettempdir()) / f"earlyphase-{os.getuid()}-gpu{index}.lock"
        descriptor = os.open(lock, os.O_RDWR | os.O_CREAT, 0o600)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(descriptor)
            continue
        _claimed.append(descriptor)
        return torch.device(f"cuda:{index}")
    return torch.device(f"cuda:{os.getpid() % count}")
