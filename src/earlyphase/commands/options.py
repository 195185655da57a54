"""Options that several commands share; imports nothing heavy."""

import argparse
import json
import os
from pathlib import Path
from typing import TYPE_CHECKING

from earlyphase.runtime.storage import save_json
from earlyphase.study.fingerprints import verify_code

if TYPE_CHECKING:
    from pandas import DataFrame

    from earlyphase.study.study import Study


def add_job_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare what every job of the workflow is told: its spec, and the code it was planned with."""
    parser.add_argument("--spec", required=True, type=json.loads, help="what to do, as JSON")
    parser.add_argument("--code", required=True, help="fingerprint the job was planned with")


def begin(args: argparse.Namespace) -> None:
    """Check that the code is still what the job was planned with, and note what it consists of.

    Raises:
        InvalidInput: the code was edited since.
    """
    parts = verify_code(args.code)
    record = code_record(args.code)
    if not record.exists():
        save_json(record, parts)


def code_record(code: str) -> Path:
    """File that lists the definitions behind a fingerprint, so that a later change can be named."""
    return Path("logs/code") / f"{code.rsplit(' ', 1)[-1]}.json"


def add_training_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare what every training job is told."""
    add_job_arguments(parser)
    parser.add_argument("--data", required=True, help="data set, .safetensors")
    parser.add_argument("--resume", required=True, help="where progress is kept until the job ends")
    parser.add_argument("--resume-interval", type=float, default=30.0, help="seconds of work a kill may cost")
    parser.add_argument("--preload", action="store_true", help="fork from a process that has imported torch")
    parser.add_argument("--device", default="auto", choices=["auto", "cpu", "cuda"])
    parser.add_argument("--precision", default="float32", choices=["float32", "bfloat16"])


def add_table_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the collected tables that figures and claims read."""
    parser.add_argument(
        "--tables",
        required=True,
        nargs="+",
        help="collected tables, .csv; the first word of a name is its stage",
    )


def read_tables(args: argparse.Namespace) -> "dict[str, DataFrame]":
    """Read those tables, by stage; those of several networks become one."""
    from pandas import concat, read_csv

    paths: dict[str, list[str]] = {}
    for path in args.tables:
        paths.setdefault(Path(path).name.split("_")[0], []).append(path)
    return {stage: concat(map(read_csv, files), ignore_index=True) for stage, files in paths.items()}


def add_study_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare which study is meant: the same options as Snakemake's."""
    parser.add_argument("--snakefile", default="Snakefile", help="beside it lie config.yaml and its schema")
    parser.add_argument("--configfile", nargs="+", default=[], help="laid over config.yaml, as for Snakemake")
    parser.add_argument("--directory", default=".", help="where results/ is")


def load_study(args: argparse.Namespace) -> "Study":
    """Read the configuration as Snakemake would, and change to the study's directory.

    Raises:
        InvalidInput: a file is missing, not YAML, or the configuration is invalid.
    """
    from earlyphase.study.study import read_study

    home = Path(args.snakefile).resolve().parent
    study = read_study([home / "config.yaml", *map(Path, args.configfile)], home / "config.schema.yaml")
    os.chdir(args.directory)
    return study
