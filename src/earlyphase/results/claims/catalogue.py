"""Claims as data: entries of `claims.yaml`, and of a study's configuration, to `Claim`s."""

from collections.abc import Mapping
from functools import cache, partial
from inspect import signature
from pathlib import Path

import yaml

from earlyphase.registry import measure
from earlyphase.results.claims.evidence import INFINITY, Target
from earlyphase.results.claims.judging import Claim, Criterion, NotRun, Tables
from earlyphase.sentences import TARGETS, worded

FILE = Path(__file__).with_name("claims.yaml")


@cache
def packaged() -> dict[str, dict]:
    """The content of `claims.yaml`: `words` and `claims`."""
    return yaml.load(FILE.read_text(encoding="utf-8"), getattr(yaml, "CSafeLoader", yaml.SafeLoader))


def catalogue(own: Mapping[str, dict | None] | None = None) -> tuple[Claim, ...]:
    """All claims, in the order of the table.

    Args:
        own: entries that a study adds, replaces or, where they are None, removes.
    """
    entries = packaged()["claims"] | dict(own or {})
    return tuple(claim_of(name, entry) for name, entry in entries.items() if entry is not None)


def claim_of(name: str, entry: dict) -> Claim:
    """Make a claim of an entry."""
    entry = worded(entry, packaged()["words"])
    readings = entry.get("readings") or {"": {}}
    functions = [
        part["measure"]["function"] for part in [*entry["full"], *entry["short"]] if "measure" in part
    ]
    criteria, tests = (
        [make(entry[scale], readings) for scale in ("full", "short")] for make in (criteria_of, tested)
    )
    return Claim(
        name,
        entry["statement"],
        entry["paper"],
        entry["source"],
        tuple(dict.fromkeys(table for each in functions for table in reads(each))),
        entry["unit"],
        *criteria,
        *tests,
        entry.get("networks", {}),
        entry.get("readings_of"),
    )


def reads(function: str) -> tuple[str, ...]:
    """Names of the tables that a measure reads, as its decorator says."""
    measure.named(function)
    return measure.facts[function].get("reads", ())


def tested(parts: list[dict], readings: Mapping[str, dict]) -> object:
    """What is tested, without the words; None where nothing is."""
    if any("untested" in part for part in parts):
        return None
    return [{key: part[key] for key in ("measure", *TARGETS) if key in part} for part in parts], readings


def criteria_of(parts: list[dict], readings: Mapping[str, dict]) -> dict[str, Criterion]:
    """The criterion in each reading, which has arguments for the measures that take them."""
    return {reading: criterion_of(parts, {"reading": reading, **more}) for reading, more in readings.items()}


def criterion_of(parts: list[dict], more: dict) -> Criterion:
    """Make a criterion of its parts."""
    first, *others = parts
    return Criterion(
        measured_by(first, more),
        target_of(first),
        first["rule"],
        criterion_of(others, more) if others else None,
        first.get("unit"),
        first.get("sides"),
        first.get("verdict"),
    )


def measured_by(part: dict, more: dict) -> partial:
    """The measure of a part with its arguments, and with those of `more` that it takes."""
    if "untested" in part:
        return partial(untested, reason=part["untested"])
    arguments = dict(part["measure"])
    function = measure.named(arguments.pop("function"))
    taken = signature(function).parameters
    return partial(function, **arguments | {name: value for name, value in more.items() if name in taken})


def untested(tables: Tables, *, reason: str) -> None:
    """Raise `NotRun`."""
    raise NotRun(reason)


def target_of(part: dict) -> Target:
    """Where the quantities of a part must lie: low and high."""
    if "within" in part:
        middle = part.get("about", 0)
        return middle - part["within"], middle + part["within"]
    if "between" in part:
        return tuple(part["between"])
    return part.get("above", -INFINITY), part.get("below", INFINITY)
