"""Concatenate metrics tables: one table for each stage of a run."""

import argparse
from itertools import product

from earlyphase.commands.options import add_job_arguments, begin
from earlyphase.storage import load_rows, save_rows


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    add_job_arguments(parser)
    parser.add_argument("--out", required=True, help="collected table, .csv")


def run(args: argparse.Namespace) -> None:
    """Write the rows of all tables that the spec names, in its order.

    The spec gives the path of a table with {names} in it, and the values of each name. A list of
    paths would do the same, but thousands of them do not fit on a command line.
    """
    begin(args)
    values = args.spec["values"]
    rows = []
    for chosen in product(*values.values()):
        rows += load_rows(args.spec["parts"].format(**dict(zip(values, chosen, strict=True))))
    save_rows(args.out, rows)
