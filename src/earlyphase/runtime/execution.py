"""Where a job computes: device, threads, memory allocation. Its precision is `core.precision`.

None of these is part of an experiment's identity; all are recorded with its results.
"""

import ctypes
import os
import platform
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass

import torch

from earlyphase.errors import InvalidInput
from earlyphase.runtime.locks import private_folder, try_lock
from earlyphase.runtime.machine import batch_job, check_precision, granted_threads, processor_model


@dataclass(frozen=True)
class Execution:
    """The device, precision and number of threads that one job computes with."""

    device: torch.device
    precision: str  # one of `core.precision.PRECISIONS`
    threads: int

    def record(self) -> dict[str, str | int]:
        """What a job asked for: part of its identity."""
        return {"device": self.device.type, "precision": self.precision, "threads": self.threads}

    def columns(self) -> dict[str, str | int]:
        """Columns that every table of results carries: what was asked for, and what the processor made of it.

        The instruction set is not part of a job's identity: one that goes on elsewhere keeps its progress.
        """
        return self.record() | {"instructions": instructions()}

    def machine(self) -> dict[str, str]:
        """What the run record says of the processor; results of two kinds may differ in the last bits.

        Returns:
            `instructions`, the instruction set in use; `processor` and `gpu`, the model's name, where
            there is one.
        """
        found = {"instructions": instructions()}
        if model := processor_model():
            found["processor"] = model
        if self.device.type == "cuda":
            found["gpu"] = torch.cuda.get_device_name(self.device)
        return found


def instructions() -> str:
    """Instruction set of torch's own kernels ("AVX2", "AVX512", ...), and the limit set for oneDNN's."""
    used = torch.backends.cpu.get_cpu_capability()
    limit = os.environ.get("ONEDNN_MAX_CPU_ISA") or os.environ.get("DNNL_MAX_CPU_ISA")
    return f"{used}, oneDNN limited to {limit}" if limit else used


def prepare(device: str, precision: str) -> Execution:
    """Set up this process, but for its precision, and choose the device it computes on.

    Args:
        device: "cpu", "cuda", or "auto" (CUDA where there is any, else the CPU, with a note).
        precision: one of `core.precision.PRECISIONS`.

    Raises:
        InvalidInput: CUDA was asked for and there is none; the CPU has no instructions for the precision;
            OMP_NUM_THREADS is no number of threads.
    """
    keep_freed_memory()
    threads = granted_threads()
    torch.set_num_threads(threads)
    if device != "cpu" and not torch.cuda.is_available():
        if device == "cuda":
            raise InvalidInput(
                "device 'cuda' was asked for, but torch sees no CUDA device; use 'cpu' or 'auto'"
            )
        print("note: device auto: torch sees no CUDA device, so this job computes on the CPU", flush=True)
        device = "cpu"
    check_precision(device, precision)
    chosen = torch.device("cpu") if device == "cpu" else claim_gpu()
    return Execution(chosen, precision, threads)


@contextmanager
def explaining(device: torch.device) -> Iterator[None]:
    """Say what a person can do where memory is exhausted, or a GPU fails, in place of how torch puts it.

    Raises:
        InvalidInput: either happened.
    """
    kept = "progress that was saved is kept, and the same command goes on from it"
    try:
        yield
    except (MemoryError, RuntimeError) as error:
        first = (str(error).strip().split("\n") or [""])[0]
        no_memory = isinstance(error, torch.OutOfMemoryError) or "out of memory" in first
        if no_memory and device.type == "cuda":
            raise InvalidInput(
                f"{device} has no memory left ({first}): run fewer jobs at a time on a GPU "
                f"(--resources gpu=1), or take a smaller training.batch_size; {kept}"
            ) from error
        if no_memory or isinstance(error, MemoryError) or "can't allocate memory" in first:
            raise InvalidInput(
                f"no main memory is left ({first or 'MemoryError'}): run fewer jobs at a time (--cores), "
                f"or ask for more (mem_mb); {kept}"
            ) from error
        if first.startswith(("CUDA error", "cuDNN error")):
            raise InvalidInput(
                f"{device} failed ({first}): it may be lost to this process or to the machine, which "
                f"nvidia-smi shows; {kept}, on a GPU or, with execution.device: cpu, without"
            ) from error
        raise


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
_claimed: list[int] = []  # descriptors of locked files; a lock lasts as long as its descriptor


def claim_gpu() -> torch.device:
    """Take the GPU that the fewest other jobs of this user hold, until the process ends.

    Snakemake counts GPUs but does not choose one. Only visible GPUs count: a job of a cluster sees those
    that it was granted. Numbers mean the same devices only within a batch job, so different ones use
    different locks.
    """
    count = torch.cuda.device_count()
    if count == 1:
        return torch.device("cuda:0")
    allocation = batch_job() or "all"
    with suppress(OSError):  # where the temporary folder is full or read-only, any will do
        for share in range(SHARES):
            for index in range(count):
                descriptor = try_lock(private_folder() / f"{allocation}-gpu{index}-{share}.lock")
                if descriptor is not None:
                    _claimed.append(descriptor)
                    return torch.device(f"cuda:{index}")
    return torch.device(f"cuda:{os.getpid() % count}")
