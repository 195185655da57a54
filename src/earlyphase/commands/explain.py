"""Say in a sentence why a file would be made again, or why not."""

import argparse
import ast
import hashlib
import json
from base64 import urlsafe_b64encode
from collections import Counter
from pathlib import Path

from earlyphase.commands._options import add_study_arguments, load_study
from earlyphase.errors import InvalidInput
from earlyphase.study.configuration import closest
from earlyphase.study.fingerprints import canonical, code_record, definitions, fingerprint
from earlyphase.study.jobs import Job, inputs, jobs, roots, spec
from earlyphase.study.study import Study


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.add_argument("file", help="an artifact, e.g. results/claims.csv")
    add_study_arguments(parser)


def run(args: argparse.Namespace) -> None:
    """Print the reasons of a file's own job, or those of the jobs it depends on.

    Raises:
        InvalidInput: the configured study makes no such file, or Snakemake keeps its records elsewhere.
    """
    study = load_study(args)
    wanted = {path: made_by for made_by in jobs(study) for path in made_by.outputs}
    if args.file not in wanted:
        raise InvalidInput(
            f"the configured study makes no file {args.file}{closest(args.file, list(wanted))}"
        )
    records = Path(".snakemake/metadata")
    if records.with_suffix(".db").exists() or (Path(args.file).exists() and not any(records.glob("*"))):
        raise InvalidInput(
            f"Snakemake's records are not in {records} (--persistence-backend), so it is not known here what "
            f"{args.file} was made from; snakemake -n {args.file} says whether it would be made again"
        )
    found = causes(wanted[args.file], study, wanted)
    if not found:
        print(f"{args.file} is up to date: its spec, code and inputs are those it was made from")
        return
    print(f"{args.file} would be made again:")
    own = wanted[args.file]
    by_reasons: dict[tuple[str, ...], list[Job]] = {}
    for made_by, reasons in found.items():
        by_reasons.setdefault((made_by == own, *reasons), []).append(made_by)
    for (is_own, *reasons), group in by_reasons.items():
        for reason in reasons:
            print(f"  {reason}")
        if not is_own:
            rules = Counter(made_by.rule for made_by in group)
            listed = ", ".join(f"{rule} {count}" for rule, count in rules.items())
            print(f"    so these that it depends on would be, too ({listed}): {group[0].outputs[0]}", end="")
            print(f" and {len(group) - 1} more" if len(group) > 1 else "")


def causes(one: Job, study: Study, wanted: dict[str, Job]) -> dict[Job, list[str]]:
    """Jobs at which a rerun begins, and why: the job itself, or the nearest above it that have reasons."""
    found, seen, waiting = {}, set(), [one]
    while waiting:
        made_by = waiting.pop()
        if made_by in seen:
            continue
        seen.add(made_by)
        if reasons := reasons_of(made_by, study):
            found[made_by] = reasons
        waiting += [wanted[path] for paths in inputs(study, made_by).values() for path in paths]
    return dict(reversed(found.items()))  # upstream first


def reasons_of(one: Job, study: Study) -> list[str]:
    """Why a job would run again on its own account; empty where it would not."""
    missing = [path for path in one.outputs if not Path(path).exists()]
    if missing:
        return [f"{path} does not exist" for path in missing]
    records = {path: snakemake_record("metadata", path) for path in one.outputs}
    if any(snakemake_record("incomplete", path) is not None for path in one.outputs):
        return ["the job that made it was interrupted: Snakemake holds it for incomplete"]
    if None in records.values():
        return []  # Snakemake did not make it, and then asks for its time stamp alone
    record = records[one.outputs[0]]
    read, code = spec(study, one.rule, one.names), roots(study, one.rule, one.names)
    made_from = [ast.literal_eval(value) for value in record["params"] or []]
    old_spec = next((value for value in made_from if value.startswith("{")), "{}")
    old_code = next((value for value in made_from if value.startswith("commands.")), "")
    reasons = []
    if old_spec != canonical(read):
        reasons += [f"the configuration changed: {change}" for change in changes(json.loads(old_spec), read)]
    if old_code != fingerprint(*code):
        reasons += code_changes(old_code, definitions(*code))
    return reasons + input_changes(one, study, record)


def changes(old: object, new: object, key: str = "") -> list[str]:
    """Differences between two specs: which key went from what to what."""
    if isinstance(old, list) and isinstance(new, list) and any(isinstance(item, dict) for item in old):
        old, new = ({str(i): item for i, item in enumerate(items)} for items in (old, new))
    if isinstance(old, dict) and isinstance(new, dict):
        return [
            change
            for name in sorted(old.keys() | new.keys())
            for change in changes(old.get(name), new.get(name), f"{key}.{name}" if key else name)
        ]
    return (
        [] if json.dumps(old) == json.dumps(new) else [f"{key} from {json.dumps(old)} to {json.dumps(new)}"]
    )


def code_changes(old_code: str, new: dict[str, str]) -> list[str]:
    """Definitions that changed since the code called `old_code`, where that was recorded."""
    path = code_record(old_code)
    if not path.exists():
        return [f"its code changed (there is no record of {old_code or 'the old code'} to say where)"]
    old = json.loads(path.read_text(encoding="utf-8"))
    verbs = {(True, True): "changed", (True, False): "is no longer used", (False, True): "is now used"}
    return [
        f"code: {name} {verbs[name in old, name in new]}"
        for name in sorted(old.keys() | new.keys())
        if old.get(name) != new.get(name)
    ]


def input_changes(one: Job, study: Study, record: dict) -> list[str]:
    """Inputs that were added, removed, or have other content than the job read."""
    needed = inputs(study, one)
    now = {path for paths in needed.values() for path in paths}
    before = set(record["input"] or [])
    reasons = [f"input {path} was added" for path in sorted(now - before)]
    reasons += [f"input {path} is no longer used" for path in sorted(before - now)]
    made = min(Path(path).stat().st_mtime for path in one.outputs)
    for path in sorted(now & before):
        if Path(path).exists() and Path(path).stat().st_mtime > made:
            recorded = (record.get("input_checksums") or {}).get(path)
            if recorded != f"sha256:{hashlib.sha256(Path(path).read_bytes()).hexdigest()}":
                reasons.append(f"input {path} is newer, with other content")
    return reasons


def snakemake_record(kind: str, path: str) -> dict | None:
    """What Snakemake noted about a file ("metadata", or "incomplete" while it is being made), or None."""
    name = urlsafe_b64encode(path.encode()).decode()
    parts = [name[start : start + 254] for start in range(0, len(name), 254)]
    file = Path(".snakemake", kind, *(f"@{part}" for part in parts[:-1]), parts[-1])
    return json.loads(file.read_text(encoding="utf-8") or "{}") if file.exists() else None
