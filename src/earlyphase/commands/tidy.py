"""List, and with --delete remove, what the configured study does not use."""

import argparse
from pathlib import Path

from earlyphase.commands._options import add_study_arguments, load_study
from earlyphase.errors import InvalidInput
from earlyphase.study.jobs import identify, jobs
from earlyphase.study.status import is_held
from earlyphase.study.study import Study


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    add_study_arguments(parser)
    parser.add_argument("--delete", action="store_true", help="remove what is listed")


def run(args: argparse.Namespace) -> None:
    """Print what nothing needs, with its size; remove it if asked to.

    Raises:
        InvalidInput: files are to be removed while Snakemake runs.
    """
    study = load_study(args)
    if args.delete and any(Path(".snakemake/locks").glob("*")):
        raise InvalidInput(
            "Snakemake is at work here (or was killed: `snakemake --unlock`); tidy up when it has ended"
        )
    needed = list(jobs(study))
    wanted = {path for one in needed for path in one.outputs}
    unfinished = {one.resume for one in needed if not all(Path(path).exists() for path in one.outputs)}
    found, total = [], 0
    for path in sorted(Path("results").rglob("*")):
        reason = None if path.is_dir() else reason_to_remove(path, wanted, unfinished, study)
        if reason:
            found.append(path)
            total += path.stat().st_size
            print(f"{path}: {reason}")
    if args.delete:
        for path in found:
            path.unlink()
        remove_empty_folders(Path("results"))
    outcome = "removed" if args.delete else "(remove them with --delete)"
    print(f"{len(found)} files, {total / 1e6:.1f} MB {outcome}")


def reason_to_remove(path: Path, wanted: set[str], unfinished: set[str], study: Study) -> str | None:
    """Why nothing needs a file, or None: it is needed, or none of ours."""
    name = str(path)
    if name in wanted or name in unfinished:
        return None
    if name.endswith(".resume.lock"):
        return None if is_held(path) else "lock of a job that is no longer running"
    if name.endswith(".resume"):
        lock_held = is_held(Path(f"{name}.lock"))
        return None if lock_held else "progress of a job that is finished or not in the study"
    if name.endswith(".part"):
        return "unfinished write of a process that was killed"
    if identify(name, study):
        return "not in the study"
    return None


def remove_empty_folders(top: Path) -> None:
    """Remove folders that hold nothing, the deepest first."""
    for folder in sorted((path for path in top.rglob("*") if path.is_dir()), reverse=True):
        if not any(folder.iterdir()):
            folder.rmdir()
