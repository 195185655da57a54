"""Options that several commands share; imports nothing heavy."""

import argparse
import json
import os
from pathlib import Path
from typing import TYPE_CHECKING

from earlyphase.core.masks import Weights
from earlyphase.errors import InvalidInput
from earlyphase.runtime.plugins import load
from earlyphase.runtime.tickets import load_trained
from earlyphase.study.fingerprints import confirm

if TYPE_CHECKING:
    from pandas import DataFrame

    from earlyphase.study.study import Study


def add_job_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare what every job of the workflow is told: its spec, and the code it was planned with."""
    parser.add_argument("--spec", required=True, type=json.loads, help="what to do, as JSON")
    parser.add_argument("--code", required=True, help="fingerprint the job was planned with")


def begin(args: argparse.Namespace) -> None:
    """Check that the code is still what the job was planned with; import the plugins that it needs.

    Raises:
        InvalidInput: the code was edited since, or a plugin cannot be imported.
    """
    load(confirm(args.code))


def load_state_at(path: str, iteration: int) -> Weights:
    """Read a state dict that must be that of an iteration.

    Raises:
        InvalidInput: it is of another one, or the file is damaged.
    """
    weights, found = load_trained(path)
    if found != iteration:
        raise InvalidInput(f"{path} is the state at iteration {found}, not {iteration}")
    return weights


def add_training_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare what every training job is told."""
    add_job_arguments(parser)
    parser.add_argument("--data", required=True, help="data set, .safetensors")
    parser.add_argument("--resume", required=True, help="where progress is kept until the job ends")
    parser.add_argument("--resume-interval", type=float, default=30.0, help="seconds of work a kill may cost")
    parser.add_argument("--preload", action="store_true", help="fork from a process that has imported torch")
    parser.add_argument("--device", default="auto", choices=["auto", "cpu", "cuda"])
    parser.add_argument("--precision", default="float32", choices=["float32", "tf32", "bfloat16", "auto"])


def add_table_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the collected tables that figures and claims read."""
    parser.add_argument(
        "--tables",
        nargs="*",
        default=[],
        help="collected tables: dataset/model/TABLE.csv; one may be missing",
    )


def read_tables(args: argparse.Namespace) -> "dict[str, DataFrame]":
    """Read those tables, by name; those of several networks become one."""
    from pandas import concat, read_csv

    paths: dict[str, list[str]] = {}
    for path in args.tables:
        paths.setdefault(Path(path).stem, []).append(path)
    return {name: concat(map(read_csv, files), ignore_index=True) for name, files in paths.items()}


def add_study_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare which study is meant: the same options as Snakemake's."""
    parser.add_argument("--snakefile", default="Snakefile", help="beside it lie config.yaml and its schema")
    parser.add_argument("--configfile", nargs="+", default=[], help="laid over config.yaml, as for Snakemake")
    parser.add_argument("--config", nargs="*", default=[], metavar="KEY=VALUE", help="laid over the files")
    parser.add_argument("--directory", default=".", help="where results/ is")


def load_study(args: argparse.Namespace) -> "Study":
    """Read the study as Snakemake would, and change to its directory.

    Raises:
        InvalidInput: a file is missing, not YAML, or the configuration is invalid.
    """
    from earlyphase.study.study import read_study

    home = Path(args.snakefile).resolve().parent
    paths = [home / "config.yaml", *(Path(path).resolve() for path in args.configfile)]
    os.chdir(args.directory)
    return read_study(paths, home, args.config)
