"""Say in a sentence why a file would be made again, or why not."""

import argparse
import ast
import json
import re
import subprocess
import sys
from pathlib import Path

from earlyphase.commands._options import add_study_arguments, load_study
from earlyphase.errors import InvalidInput
from earlyphase.study.configuration import closest
from earlyphase.study.fingerprints import code_record, definitions
from earlyphase.study.jobs import all_jobs

VALUES = r"(?:<nothing exclusive>|(?:'(?:[^'\\]|\\.)*',?)+)"  # of params, as Snakemake lists them
PARAMS = re.compile(rf"Params have changed since last execution:[^']*?before: ({VALUES})\s+now: ({VALUES})")
FOLLOWS = re.compile(
    r"Input files updated by another job: [^;]*"
)  # a reason that another job's reason causes
FILES = re.compile(r"[\w ]+ files(?=: )")  # of a job: its reason begins so
JOBS = re.compile(  # with their reasons; one without a message is called after its rule
    r"^(?:Job \d+: |(?:local)?rule )(.*?):?\n(?:    .*\n)*?(?:R|    r)eason: (.*)", re.MULTILINE
)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.add_argument("file", help="an artifact, e.g. results/claims.csv")
    add_study_arguments(parser)
    parser.add_argument("--persistence-backend", help="where Snakemake keeps what it knows: file or db")


def run(args: argparse.Namespace) -> None:
    """Ask Snakemake what it would do for a file, and add which keys and which definitions changed.

    Raises:
        InvalidInput: the configured study makes no such file, or Snakemake cannot say.
    """
    command = [
        *(sys.executable, "-m", "snakemake", args.file, "--dry-run", "--quiet", "progress", "--nocolor"),
        *("--snakefile", args.snakefile, "--directory", args.directory),
        *(["--configfile", *args.configfile] if args.configfile else []),
        *(["--config", *args.config] if args.config else []),
        *(["--persistence-backend", args.persistence_backend] if args.persistence_backend else []),
    ]
    here = Path.cwd()
    study = load_study(args)
    paths = [path for job in all_jobs(study) for path in job.outputs]
    if args.file not in paths:
        raise InvalidInput(f"the configured study makes no file {args.file}{closest(args.file, paths)}")
    done = subprocess.run(
        command, cwd=here, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, encoding="utf-8"
    )
    if done.returncode:
        raise InvalidInput(f"Snakemake cannot plan {args.file}:\n{done.stdout}")
    print(explained(args.file, done.stdout))


def explained(file: str, plan: str) -> str:
    """What Snakemake's dry run of a file says: each reason, and the jobs that have it.

    Of the files of all jobs that are missing, or were updated, those of the first job stand for all.

    Raises:
        InvalidInput: it says something else than is known here.
    """
    reasons: dict[str, list[tuple[str, str]]] = {}  # kind -> the reason in full, and the message of a job
    for message, words in JOBS.findall(plan):
        for reason in reasons_in(words):
            kind = FILES.match(reason)
            reasons.setdefault(kind[0] if kind else reason, []).append((reason, message))
    if not reasons:
        if "Nothing to be done" not in plan:
            raise InvalidInput(f"cannot read what Snakemake plans for {file}:\n{plan}")
        return f"{file} is up to date: Snakemake would make nothing again"
    lines = [f"{file} would be made again:"]
    for (reason, message), *others in reasons.values():
        lines += [f"  {reason}", f"    {message}{f' and {len(others)} more' if others else ''}"]
    return "\n".join(lines)


def reasons_in(words: str) -> list[str]:
    """The reasons of a job that are its own; what is not known here stands as Snakemake says it."""
    reasons = []
    if changed := PARAMS.search(words):
        before, now = map(values_in, changed.groups())
        reasons = changes(before["spec"], now["spec"]) + code_changes(before["code"], now["code"])
        words = words.replace(changed[0], "" if reasons else "Params have changed since last execution")
    rest = (reason.strip() for reason in FOLLOWS.sub("", words).split("; "))
    return reasons + [reason for reason in rest if reason]


def values_in(listed: str) -> dict:
    """Spec and code among params, which Snakemake lists in quotes; None and "" where they are not there."""
    values = [ast.literal_eval(value) for value in re.findall(r"'(?:[^'\\]|\\.)*'", listed)]
    specs = [value for value in values if value.startswith("{")]
    codes = [value for value in values if value.startswith("stages.")]
    return {"spec": json.loads(specs[0]) if specs else None, "code": codes[0] if codes else ""}


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
    if json.dumps(old) == json.dumps(new):
        return []
    return [f"the configuration changed: {key} from {json.dumps(old)} to {json.dumps(new)}"]


def code_changes(old_code: str, new_code: str) -> list[str]:
    """Definitions that changed between two fingerprints, where the old ones were recorded."""
    if old_code == new_code:
        return []
    path = code_record(old_code)
    if not path.exists():
        return [f"its code changed (there is no record of {old_code or 'the old code'} to say where)"]
    old, new = json.loads(path.read_text(encoding="utf-8")), definitions(*new_code.split()[:-1])
    verbs = {(True, True): "changed", (True, False): "is no longer used", (False, True): "is now used"}
    return [
        f"code: {name} {verbs[name in old, name in new]}"
        for name in sorted(old.keys() | new.keys())
        if old.get(name) != new.get(name)
    ]
