"""Run records to what made a study: versions, machines, and how long its jobs took."""

import json
from collections import Counter
from collections.abc import Iterable, Mapping
from statistics import median

from earlyphase.errors import InvalidInput
from earlyphase.runtime.storage import read_bytes
from earlyphase.sentences import duration

MACHINE = ("processor", "gpu", "architecture", "system", "instructions")  # of `machine`, where they are there
EXECUTION = ("device", "precision", "threads")
UNKNOWN = "not recorded"


def read_records(paths: Iterable[str]) -> dict[str, list[dict]]:
    """Read run records: name of a stage -> its records.

    Raises:
        InvalidInput: one is missing or no JSON.
    """
    by_stage: dict[str, list[dict]] = {}
    for path in paths:
        record = read_record(path)
        stage = record["code"].split(".")[1]  # of the root "stages.dense.compute"
        by_stage.setdefault(stage, []).append(record)
    return by_stage


def read_record(path: str) -> dict:
    """Read one run record."""
    try:
        return json.loads(read_bytes(path))
    except ValueError as error:
        raise InvalidInput(f"{path} is no run record ({error}); delete it and run Snakemake again") from None


def means_of(records: Mapping[str, list[dict]]) -> list[dict]:
    """What jobs ran on and with: a row for each property, and for each of its values the number of jobs."""
    found: dict[str, Counter] = {}
    for record in (one for some in records.values() for one in some):
        known = record.get("versions", {}) | {name: record.get("machine", {}).get(name) for name in MACHINE}
        known |= {name: record.get(name) for name in EXECUTION}
        for name, value in known.items():
            if value is not None:
                found.setdefault(name, Counter())[str(value)] += 1
    return [
        {"name": name, "values": [{"value": value, "jobs": count} for value, count in counts.most_common()]}
        for name, counts in found.items()
    ]


def times_of(records: Mapping[str, list[dict]]) -> list[dict]:
    """How long the jobs of each stage took, and the most memory that one of them needed."""
    rows = []
    for stage, some in records.items():
        seconds = [one["seconds"] for one in some if "seconds" in one]
        peaks = [one["peak_memory_mb"] for one in some if "peak_memory_mb" in one]
        if seconds:
            rows.append({
                "stage": stage.replace("_", " "),
                "jobs": len(seconds),
                "median": duration(median(seconds)),
                "total": duration(sum(seconds)),
                "memory": f"{max(peaks):,} MB" if peaks else UNKNOWN,
            })  # fmt: skip
    return rows


def total_time(records: Mapping[str, list[dict]]) -> str:
    """How long all jobs took, one after the other."""
    return duration(sum(one.get("seconds", 0) for some in records.values() for one in some))
