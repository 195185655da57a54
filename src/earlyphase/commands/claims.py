"""Judge the paper's claims from collected tables."""

import argparse

from pandas import concat, read_csv

from earlyphase.claims import judge
from earlyphase.commands.options import add_job_arguments, begin
from earlyphase.storage import write_bytes


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    add_job_arguments(parser)
    parser.add_argument("--dense", required=True, nargs="+", help="collected tables of dense runs")
    parser.add_argument("--imp", required=True, nargs="+", help="collected tables of IMP rounds")
    parser.add_argument("--out", required=True, help="verdicts, .csv")


def run(args: argparse.Namespace) -> None:
    """Write one row for each claim and network."""
    begin(args)
    tables = {
        name: concat(map(read_csv, getattr(args, name)), ignore_index=True) for name in ("dense", "imp")
    }
    write_bytes(args.out, judge(tables, args.spec).to_csv(index=False).encode())
