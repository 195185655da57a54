"""Show the verdicts of several studies side by side, and how many are the same."""

import argparse
from pathlib import Path

import pandas as pd
from pandas import DataFrame

from earlyphase.errors import InvalidInput
from earlyphase.results.comparison import agreement, as_markdown, side_by_side

CLAIMS = "claims.csv"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.add_argument("results", nargs="+", help="two or more: folder of results, or table of claims, .csv")


def run(args: argparse.Namespace) -> None:
    """Print a table in Markdown, and what it comes to.

    Raises:
        InvalidInput: a folder has no table of claims, or fewer than two are given.
    """
    names, paths = names_of(args.results), [claims_in(path) for path in args.results]
    judged = dict(zip(names, map(read_claims, paths), strict=True))
    print(as_markdown(side_by_side(judged)))
    shares = agreement(judged)
    print(
        f"\nOf {shares['claims']} claims at least one study decides {shares['decided']}: "
        f"{shares['same']:.0%} of these have the same verdict in all, {shares['opposite']:.0%} opposite ones."
    )


def names_of(paths: list[str]) -> list[str]:
    """Short names of studies: what their paths do not share."""
    parts = [[part for part in Path(path).parts if part not in (CLAIMS, "results")] for path in paths]
    names = [part[-1].removesuffix(".csv") if part else path for part, path in zip(parts, paths, strict=True)]
    return names if len(set(names)) == len(names) else list(map(str, paths))


def claims_in(path: str) -> Path:
    """The table of claims of a folder of results; or of a path that is one itself."""
    for table in (Path(path), Path(path, CLAIMS), Path(path, "results", CLAIMS)):
        if table.is_file():
            return table
    raise InvalidInput(f"{path} is neither a table of claims nor a folder that holds results/{CLAIMS}")


def read_claims(path: Path) -> DataFrame:
    """Read a table of claims."""
    table = pd.read_csv(path, keep_default_na=False)
    missing = {"id", "reading", "verdict", "ours", "interval", "same_test_as"} - set(table)
    if missing:
        raise InvalidInput(f"{path} is no table of claims: it has no column {', '.join(sorted(missing))}")
    return table
