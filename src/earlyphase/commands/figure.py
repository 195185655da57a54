"""Draw one figure from collected tables."""

import argparse

from earlyphase.commands._options import add_job_arguments, add_table_arguments, begin, read_tables
from earlyphase.results.figures import add_note, figure, render
from earlyphase.results.summaries import mixtures
from earlyphase.runtime.storage import write_bytes


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    add_job_arguments(parser)
    add_table_arguments(parser)
    parser.add_argument("--out-svg", required=True)
    parser.add_argument("--out-png", required=True)
    parser.add_argument("--out-table", required=True, help="the points it shows, .csv")


def run(args: argparse.Namespace) -> None:
    """Draw it, and write the picture twice and its numbers once."""
    begin(args)
    arguments = dict(args.spec)
    draw = figure.named(arguments.pop("function"))
    tables = read_tables(args)
    drawn, points = draw(tables, **arguments)
    for mixture in mixtures(tables):
        print(f"warning: {mixture}")
        add_note(drawn, f"Mixed: {mixture}")
    write_bytes(args.out_svg, render(drawn, "svg"))
    write_bytes(args.out_png, render(drawn, "png"))
    write_bytes(args.out_table, points.to_csv(index=False).encode())
