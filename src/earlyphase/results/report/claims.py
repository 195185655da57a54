"""Verdicts and contrasts to the rows of a table that people read."""

from collections.abc import Iterable
from io import BytesIO

from pandas import DataFrame, read_csv

from earlyphase.errors import InvalidInput
from earlyphase.results.claims.judging import INCONCLUSIVE, NOT_REPRODUCED, REPRODUCED
from earlyphase.results.summaries import NETWORK
from earlyphase.runtime.storage import read_bytes

LOOKS = {REPRODUCED: "yes", NOT_REPRODUCED: "no", INCONCLUSIVE: "open"}  # class of a verdict, in their order
OTHER = "none"  # that of a verdict that says why there is none
BEHIND = ("id", "reading", *NETWORK)  # what a contrast and a verdict share
CELLS = ("statement", "paper", "ours", "n", "verdict")  # further columns with a place in the table
LONG = 60  # rows of a table up to which the page has all of them


def read_verdicts(path: str) -> DataFrame:
    """Read a table of claims, every value as text.

    Raises:
        InvalidInput: it is missing, or a column is.
    """
    table = read_text(path)
    if missing := [name for name in (*BEHIND, *CELLS) if name not in table]:
        raise InvalidInput(f"{path} is no table of claims: it has no column {', '.join(missing)}")
    return table


def read_text(path: str) -> DataFrame:
    """Read a table of any kind, every value as text."""
    return read_csv(BytesIO(read_bytes(path)), dtype=str, keep_default_na=False)


def rows_of(verdicts: DataFrame, contrasts: DataFrame) -> list[dict]:
    """Return the rows of the table of claims, each with the contrasts that it rests on.

    Args:
        verdicts: the table of claims, of text.
        contrasts: those that they rest on, likewise.

    Returns:
        The columns of `verdicts`; `look`, the class of its verdict; `rank`, by which verdicts are sorted;
        `more`, label -> text of the columns that have no place in the table; `contrasts`, as from `numbers`.
    """
    behind = dict(iter(contrasts.groupby(list(BEHIND)))) if len(contrasts) else {}
    rows = []
    for row in verdicts.to_dict("records"):
        more = {
            name.replace("_", " ").capitalize(): value
            for name, value in row.items()
            if value and name not in (*BEHIND, *CELLS, "interval")
        }
        interval = f" ({row['interval']})" if row.get("interval") else ""
        own = behind.get(tuple(row[name] for name in BEHIND), contrasts.head(0))
        rows.append(row | {
            "look": LOOKS.get(row["verdict"], OTHER),
            "rank": [*LOOKS, row["verdict"]].index(row["verdict"]),
            "ours": row["ours"] + interval,
            "more": more,
            "contrasts": numbers(own.drop(columns=[*BEHIND])),
        })  # fmt: skip
    return rows


def counts_of(rows: Iterable[dict]) -> list[dict]:
    """List the verdicts that there are, in their order, each with its `look` and the number of its `rows`."""
    counts: dict[str, dict] = {}
    for row in sorted(rows, key=lambda row: (row["rank"], row["verdict"])):
        count = counts.setdefault(row["verdict"], {"verdict": row["verdict"], "look": row["look"], "rows": 0})
        count["rows"] += 1
    return list(counts.values())


def numbers(table: DataFrame) -> dict:
    """Prepare a table of text for people: `columns`, `rows`, and how many `more` rows a long one has."""
    short = table if len(table) <= LONG else table.head(0)
    return {
        "columns": [name.replace("_", " ") for name in table],
        "rows": [list(map(cell, row)) for row in short.itertuples(index=False)],
        "more": len(table) - len(short),
    }


def cell(text: str) -> str:
    """Shorten the text of a number to four digits; other text stays as it is."""
    try:
        number = float(text)
    except ValueError:
        return text
    return f"{number:.4g}" if number % 1 else f"{number:.0f}"
