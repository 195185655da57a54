"""Write one page with all that a study found, which opens without a network."""

import argparse

from earlyphase.commands._options import add_job_arguments, begin
from earlyphase.results.report.claims import read_text, read_verdicts
from earlyphase.results.report.page import report_page
from earlyphase.results.report.provenance import read_records
from earlyphase.runtime.storage import write_bytes
from earlyphase.study.stages import table_paths


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    add_job_arguments(parser)
    parser.add_argument("--claims", required=True, help="verdicts, .csv")
    parser.add_argument("--contrasts", required=True, help="what they rest on, .csv")
    parser.add_argument("--out", required=True, help="the page, .html")


def run(args: argparse.Namespace) -> None:
    """Write the page of the figures, claims and run records that are there."""
    begin(args)
    paths: dict[str, dict[str, None]] = {}  # of each stage, every record once
    for parts in args.spec["records"]:
        paths.setdefault(parts["stage"], {}).update(dict.fromkeys(table_paths(parts)))
    verdicts, contrasts = read_verdicts(args.claims), read_text(args.contrasts)
    page = report_page(args.spec, verdicts, contrasts, read_records(paths))
    write_bytes(args.out, page.encode())
