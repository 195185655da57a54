"""How fast networks train on this machine, measured once and kept, and which precision that favours.

A network, the shape of an image and the size of a mini-batch are timed in float32 and in bfloat16, in
turns, by `python -m earlyphase calibrate` in a process of its own. The answer is kept by all that decides
about speed: processor, GPU, limits of instructions, threads, version of torch. So every job of a study on one
kind of machine takes the same answer, even where a later measurement would come out otherwise; to ask anew,
delete the file.
"""

import csv
import hashlib
import json
import os
import statistics
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

from earlyphase.errors import InvalidInput
from earlyphase.runtime.locks import acquire, release
from earlyphase.runtime.plugins import search_path
from earlyphase.runtime.storage import read_bytes, save_json

AUTO = "auto"  # the precision of the configuration that is left to a measurement
FOLDER = Path(".earlyphase/speed")  # of the answers, a file each
MARGIN = 1.2  # times as fast as float32 that bfloat16 must be, by the median over turns
EQUIVALENCE = Path(__file__).with_name("equivalence.csv")  # a row for each test of benchmarks/equivalence.py
LEAST_SEEDS = 5  # of a test that counts

Case = dict[str, object]  # `model`: function and arguments; `shape`: (C, H, W); `batch_size`
Answer = dict[str, object]  # the case, the machine, what was measured, `precision` and `because`
Measure = Callable[[Sequence[Case], str, Mapping[str, str]], list[dict]]


def answers(
    cases: Sequence[Case],
    machine: dict[str, object],
    *,
    device: str,
    environment: Mapping[str, str] = os.environ,
    measure: Measure | None = None,
) -> list[Answer]:
    """Speeds and precision of networks on this machine; those that are not known yet are measured.

    Args:
        machine: as `runtime.machine.described` says it of `environment`.
        device: of torch, "cpu" or "cuda:0".
        environment: of the process that measures.
        measure: None for that process, `in_its_own_process`.

    Raises:
        InvalidInput: a network cannot be timed, or the folder not be written.
    """
    paths = {place(case, machine): case for case in cases}
    if not all(map(Path.exists, paths)):
        with alone():
            missing = {path: case for path, case in paths.items() if not path.exists()}
            if missing:  # else the process that was waited for has found them
                measured = (measure or in_its_own_process)([*missing.values()], device, environment)
                for (path, case), found in zip(missing.items(), measured, strict=True):
                    save_json(path, answer(case, machine, found))
    return [read_answer(place(case, machine)) for case in cases]


@contextmanager
def alone() -> Iterator[None]:
    """Have one process measure at a time, whatever it measures; others wait, and find its answer.

    Raises:
        InvalidInput: the file system is read-only, full or without locks.
    """
    lock = FOLDER / "lock"
    try:
        descriptor, _ = acquire(lock)
    except OSError as error:
        raise InvalidInput(f"cannot lock {lock.absolute()}: {error.strerror}") from None
    try:
        yield
    finally:
        release(lock, descriptor)


def place(case: Case, machine: dict[str, object]) -> Path:
    """File that keeps the answer to a case on a machine."""
    text = json.dumps([case, machine], sort_keys=True)
    name = f"{case['model']['function']}-batch{case['batch_size']}-{machine['device']}"
    return FOLDER / f"{name}-{hashlib.sha256(text.encode()).hexdigest()[:12]}.json"


def read_answer(path: Path) -> Answer:
    """Read an answer.

    Raises:
        InvalidInput: the file is damaged.
    """
    try:
        found = json.loads(read_bytes(path))
        if not {"case", "machine", "measured", "precision", "because"} <= found.keys():
            raise ValueError("it lacks a key")
    except (ValueError, AttributeError) as error:
        raise InvalidInput(f"{path} is damaged ({error}); delete it, and it is measured anew") from None
    return found


def in_its_own_process(cases: Sequence[Case], device: str, environment: Mapping[str, str]) -> list[dict]:
    """Have `python -m earlyphase calibrate` time networks; a job that asks is not changed by it in any way.

    Raises:
        InvalidInput: it failed; with the last line of what it said.
    """
    command = [sys.executable, "-m", "earlyphase", "calibrate", "--device", device, *map(json.dumps, cases)]
    own = {**environment, "PYTHONPATH": search_path(environment)}
    done = subprocess.run(command, env=own, capture_output=True, text=True)
    if done.returncode:
        said = done.stderr.strip().split("\n")[-1] or f"it ended with status {done.returncode}"
        named = ", ".join(str(case["model"]["function"]) for case in cases)
        raise InvalidInput(f"cannot time {named} on {device}: {said}")
    return json.loads(done.stdout)


# The choice


def answer(case: Case, machine: dict[str, object], measured: dict) -> Answer:
    """What is kept of a measurement: all of it, and the precision that follows from it."""
    precision, because = choose(measured["step_seconds"], not_backed(case["model"]))
    return {
        "case": case, "machine": machine, "measured": measured, "precision": precision, "because": because,
    }  # fmt: skip


def choose(step_seconds: dict[str, list[float]], doubt: str) -> tuple[str, str]:
    """Choose between float32 and bfloat16.

    Args:
        step_seconds: precision -> seconds of an iteration in each of its turns, taken alternately.
        doubt: why bfloat16 must not be chosen, however fast it is; empty where nothing speaks against it.

    Returns:
        The precision, and a sentence for people that says why.
    """
    turns = zip(step_seconds["float32"], step_seconds["bfloat16"], strict=True)
    ratio = statistics.median(slow / fast for slow, fast in turns)
    found = f"bfloat16 is {ratio:.2f} times as fast as float32 here, and {MARGIN} is asked for"
    if ratio < MARGIN:
        return "float32", f"auto: {found}"
    return ("float32", f"auto: {found}; but {doubt}") if doubt else ("bfloat16", f"auto: {found}")


def not_backed(model: dict[str, object], table: Path = EQUIVALENCE) -> str:
    """Say why no test backs bfloat16 for a network; empty where tests of dense networks and of tickets do.

    Every test of the network in the table must have shown accuracies to be equivalent, over at least
    `LEAST_SEEDS` seeds.
    """
    with table.open(newline="", encoding="utf-8") as file:
        rows = [row for row in csv.DictReader(file) if json.loads(row["network"]) == model]
    where = f"for {json.dumps(model, sort_keys=True)} (docs/speed.md)"
    if not any(row["round"] == "0" for row in rows) or all(row["round"] == "0" for row in rows):
        return f"no test shows equal accuracies of dense networks and of tickets {where}"
    failed = [row for row in rows if row["verdict"] != "equivalent" or int(row["n"]) < LEAST_SEEDS]
    if failed:
        return f"{len(failed)} of {len(rows)} tests do not show equal accuracies {where}"
    return ""
