"""Options of the commands that look at a study; imports nothing heavy."""

import argparse
import os
from pathlib import Path

from earlyphase.runtime.plugins import announce
from earlyphase.stages import study_of
from earlyphase.study.configuration import overlaid, plugins_of, read_files, read_words
from earlyphase.study.study import Study


def add_study_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare which study is meant: the same options as Snakemake's."""
    parser.add_argument("--snakefile", default="Snakefile", help="beside it lie config.yaml and its schema")
    parser.add_argument("--configfile", nargs="+", default=[], help="laid over config.yaml, as for Snakemake")
    parser.add_argument("--config", nargs="*", default=[], metavar="KEY=VALUE", help="laid over the files")
    parser.add_argument("--directory", default=".", help="where results/ is")


def load_study(args: argparse.Namespace) -> Study:
    """Read the study as Snakemake would, and change to its directory.

    Raises:
        InvalidInput: a file is missing, not YAML, or the configuration is invalid.
    """
    home = Path(args.snakefile).resolve().parent
    paths = [home / "config.yaml", *(Path(path).resolve() for path in args.configfile)]
    os.chdir(args.directory)
    announce(plugins_of(paths))
    return study_of(overlaid(read_files(paths), read_words(args.config)), home)
