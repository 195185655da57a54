"""Judge the paper's claims from collected tables."""

import argparse

from earlyphase.commands._options import add_job_arguments, add_table_arguments, begin, read_tables
from earlyphase.results.claims import judge
from earlyphase.runtime.storage import write_bytes


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    add_job_arguments(parser)
    add_table_arguments(parser)
    parser.add_argument("--out", required=True, help="verdicts, .csv")


def run(args: argparse.Namespace) -> None:
    """Write one row for each claim and network."""
    begin(args)
    write_bytes(args.out, judge(read_tables(args), args.spec).to_csv(index=False).encode())
