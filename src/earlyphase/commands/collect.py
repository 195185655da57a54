"""Concatenate metrics tables: one table for each stage of a run."""

import argparse

from earlyphase.commands._options import add_job_arguments, begin
from earlyphase.runtime.storage import load_rows, save_rows
from earlyphase.study.stages import table_paths


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    add_job_arguments(parser)
    parser.add_argument("--out", required=True, help="collected table, .csv")


def run(args: argparse.Namespace) -> None:
    """Write the rows of all tables that the spec names, in its order; what a table lacks stays empty."""
    begin(args)
    rows = [row for path in table_paths(args.spec) for row in load_rows(path)]
    missing = dict.fromkeys((name for row in rows for name in row), "")  # such as `empty_layers` in most
    save_rows(args.out, [missing | row for row in rows])
