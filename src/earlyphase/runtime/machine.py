"""What this machine is: its processor, GPUs and threads, and limits of its instructions; without torch."""

import os
import shutil
import subprocess
from collections.abc import Mapping
from pathlib import Path

from earlyphase.errors import InvalidInput

CPUINFO = Path("/proc/cpuinfo")

# Libraries read these when they are loaded.
INSTRUCTIONS = {
    "auto": {},
    "avx512": {"ATEN_CPU_CAPABILITY": "avx512", "ONEDNN_MAX_CPU_ISA": "AVX512_CORE"},
    "avx2": {"ATEN_CPU_CAPABILITY": "avx2", "ONEDNN_MAX_CPU_ISA": "AVX2"},
    "sse41": {"ATEN_CPU_CAPABILITY": "default", "ONEDNN_MAX_CPU_ISA": "SSE41"},
}


def instruction_limits(name: str) -> dict[str, str]:
    """Variables that hold a process to an instruction set: `execution.instructions` of the configuration.

    MKL, which multiplies the matrices of linear layers, then takes a path that it has on every processor.
    """
    limits = INSTRUCTIONS[name]
    return limits | ({"MKL_CBWR": "COMPATIBLE"} if limits else {})


def processor_model(cpuinfo: Path = CPUINFO) -> str | None:
    """Name of the first processor, such as "AMD EPYC 7763"; None where `cpuinfo` does not tell."""
    return _first(cpuinfo, "model name")


def _first(cpuinfo: Path, name: str) -> str | None:
    """First value of a field of `cpuinfo` that is not empty."""
    try:
        lines = cpuinfo.read_text().splitlines()
    except OSError:
        return None  # not Linux
    values = (line.partition(":")[2].strip() for line in lines if line.partition(":")[0].strip() == name)
    return next(filter(None, values), None)


def granted_threads(environment: Mapping[str, str] = os.environ) -> int:
    """Number of threads in OMP_NUM_THREADS, which Snakemake sets to what a rule was granted; otherwise 1.

    More threads than granted cores slow every job on the machine several times over.

    Raises:
        InvalidInput: it is not a whole number of at least 1.
    """
    text = environment.get("OMP_NUM_THREADS", "1")
    if not text.isdecimal() or int(text) < 1:
        raise InvalidInput(f"OMP_NUM_THREADS is {text!r}; it must be a whole number of at least 1")
    return int(text)


def has_gpu() -> bool:
    """Whether there seems to be a GPU of NVIDIA's."""
    return shutil.which("nvidia-smi") is not None


def gpu_models() -> list[str]:
    """Names of all GPUs, such as "NVIDIA H100 80GB HBM3"; none where nvidia-smi does not tell."""
    if not has_gpu():
        return []
    command = ["nvidia-smi", "--query-gpu=name", "--format=csv,noheader"]
    done = subprocess.run(command, capture_output=True, text=True)
    return done.stdout.split("\n")[:-1] if done.returncode == 0 else []


def computes_on_gpu(device: str) -> bool:
    """Whether jobs compute on a GPU, by `execution.device` of the configuration."""
    return has_gpu() if device == "auto" else device == "cuda"


def cores() -> int:
    """Number of cores that this process may use."""
    return len(os.sched_getaffinity(0))
