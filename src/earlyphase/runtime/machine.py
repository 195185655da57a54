"""What this machine is: its processor, GPUs and threads, and limits of its instructions; without torch."""

import os
import resource
import subprocess
import sys
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
WITH_BFLOAT16 = {"avx512_bf16", "amx_bf16", "avx_ne_convert"}  # flags of processors that compute in bfloat16
WITHOUT_BFLOAT16 = [limits["ONEDNN_MAX_CPU_ISA"] for limits in INSTRUCTIONS.values() if limits]

# The number of a job: of SLURM, PBS, LSF, Grid Engine, Flux, OAR and HTCondor.
BATCH_JOBS = ("SLURM_JOB_ID", "PBS_JOBID", "LSB_JOBID", "JOB_ID", "FLUX_JOB_ID", "OAR_JOB_ID", "_CONDOR_SLOT")


def instruction_limits(name: str) -> dict[str, str]:
    """Variables that hold a process to an instruction set: `execution.instructions` of the configuration.

    MKL, which multiplies the matrices of linear layers, then takes a path that it has on every processor.
    """
    limits = INSTRUCTIONS[name]
    return limits | ({"MKL_CBWR": "COMPATIBLE"} if limits else {})


def processor_model(cpuinfo: Path = CPUINFO) -> str | None:
    """Name of the first processor, such as "AMD EPYC 7763"; None where `cpuinfo` does not tell."""
    return _first(cpuinfo, "model name")


def check_precision(
    device: str, precision: str, environment: Mapping[str, str] = os.environ, cpuinfo: Path = CPUINFO
) -> None:
    """Check that a device has instructions for a precision.

    Args:
        device: "cpu" or "cuda".
        precision: `execution.precision` of the configuration.
        environment: of the process that computes; it may hold it to an instruction set.

    Raises:
        InvalidInput: bfloat16 is asked for, and the processor is known to have no instructions for it.
    """
    flags = set((_first(cpuinfo, "flags") or "").split())  # none on other architectures and systems
    limit = environment.get("ONEDNN_MAX_CPU_ISA")
    lacking = limit in WITHOUT_BFLOAT16 or not flags & WITH_BFLOAT16
    if device == "cpu" and precision == "bfloat16" and flags and lacking:
        raise InvalidInput(
            f"execution.precision is bfloat16, for which {processor_model(cpuinfo)} has no instructions"
            f"{f' when it is held to {limit}' if limit else ''}: it would be slower than float32, "
            "eleven times with AVX2; use float32"
        )


def batch_job(environment: Mapping[str, str] = os.environ) -> str | None:
    """Number of the batch job that a process belongs to; None where it belongs to none."""
    return next((environment[name] for name in BATCH_JOBS if name in environment), None)


def processors() -> int:
    """Number of processors that this process may run on."""
    if hasattr(os, "sched_getaffinity"):  # not on macOS
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def peak_memory() -> int:
    """Most memory that this process has held so far, in MB."""
    units = 1024**2 if sys.platform == "darwin" else 1024  # macOS counts bytes, others kB
    return round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / units)


def _first(cpuinfo: Path, name: str) -> str | None:
    """First value of a field of `cpuinfo` that is not empty."""
    try:
        lines = cpuinfo.read_text(encoding="utf-8").splitlines()
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


def device(asked: str) -> str:
    """Kind of device, "cpu" or "cuda", that `execution.device` of the configuration means here.

    `auto` means a GPU of NVIDIA's where there is one that processes started here may use.
    """
    if asked != "auto":
        return asked
    allowed = os.environ.get("CUDA_VISIBLE_DEVICES", "0") not in ("", "-1")
    return "cuda" if allowed and gpu_models() else "cpu"


def gpu_models() -> list[str]:
    """Names of all GPUs, such as "NVIDIA H100 80GB HBM3"; none where nvidia-smi is missing, fails or hangs.

    WSL and broken drivers have an nvidia-smi without a GPU.
    """
    command = ["nvidia-smi", "--query-gpu=name", "--format=csv,noheader"]
    try:
        done = subprocess.run(command, capture_output=True, check=True, timeout=60)
    except (OSError, subprocess.SubprocessError):
        return []
    return done.stdout.decode(errors="replace").split("\n")[:-1]
