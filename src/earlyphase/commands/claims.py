"""Judge the paper's claims from collected tables."""

import argparse

from earlyphase.commands._options import add_job_arguments, add_table_arguments, begin, read_tables
from earlyphase.results.claims import judge_with_contrasts
from earlyphase.runtime.storage import write_bytes


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    add_job_arguments(parser)
    add_table_arguments(parser)
    parser.add_argument("--out", required=True, help="verdicts, .csv")
    parser.add_argument("--out-contrasts", required=True, help="what each rests on, .csv")


def run(args: argparse.Namespace) -> None:
    """Write one row for each claim and network, and one for each contrast that it rests on."""
    begin(args)
    verdicts, contrasts = judge_with_contrasts(read_tables(args), args.spec)
    write_bytes(args.out, verdicts.to_csv(index=False).encode())
    write_bytes(args.out_contrasts, contrasts.to_csv(index=False).encode())
