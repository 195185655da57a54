"""Dry runs of Snakemake in processes that have imported it already, which takes a third of the time of one.

This module imports nothing of the package: Snakemake has yet to find that of the folder which it is run in.
"""

import os
import sys
from multiprocessing import get_context
from pathlib import Path
from tempfile import TemporaryDirectory

FORKS = get_context("forkserver")
FORKS.set_forkserver_preload(["snakemake.cli", "snakemake_executor_plugin_slurm", "jsonschema", "yaml"])


def dry_run(folder, *words, environment=os.environ):
    """The exit status of Snakemake with words, `-n` among them, in a folder, and what it prints."""
    with TemporaryDirectory() as place:
        printed = Path(place, "printed")
        process = FORKS.Process(target=_run, args=(folder, words, dict(environment), printed))
        process.start()
        process.join(500)
        process.kill()  # where it hangs, so that nothing waits for it at the end
        assert process.exitcode is not None, f"still at work after 500 s: {printed.read_text()}"
        return process.exitcode, printed.read_text()


def _run(folder, words, environment, printed):
    from snakemake.cli import main

    os.chdir(folder)
    os.environ.clear()
    os.environ.update(environment)
    screen = os.open(printed, os.O_WRONLY | os.O_CREAT)
    os.dup2(screen, 1)
    os.dup2(screen, 2)
    sys.argv = ["snakemake", *map(str, words)]
    main()
