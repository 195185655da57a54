"""The run record: everything needed to know what made an artifact, and on what."""

import json
import platform
from collections.abc import Iterable
from importlib.metadata import version
from pathlib import Path

from earlyphase import __version__
from earlyphase.runtime.storage import read_bytes

LIBRARIES = ("numpy", "safetensors", "torch")


def versions() -> dict[str, str]:
    """Versions of what computes."""
    own = {"earlyphase": __version__, "python": platform.python_version()}
    return own | {library: version(library) for library in LIBRARIES}


def run_record(
    spec: dict, code: str, inputs: dict[str, str], machine: dict[str, str], **measured: object
) -> dict:
    """What `run.json` says.

    Args:
        spec: what the job read of the configuration.
        code: fingerprint; `logs/code` lists what is behind it.
        inputs: role -> checksum.
        machine: processor, instruction set, GPU.
        measured: device, precision, threads, seconds, ...
    """
    return {
        "spec": spec,
        "code": code,
        "inputs": inputs,
        "versions": versions(),
        "machine": {"architecture": platform.machine(), "system": platform.system(), **machine},
        **measured,
    }


def is_done(record: str | Path, outputs: Iterable[str], identity: str) -> bool:
    """Whether all outputs of a job are there, and its run record is of the same spec, code and inputs."""
    if not all(Path(path).exists() for path in outputs):
        return False
    return json.loads(read_bytes(record)).get("identity") == identity
