"""Verdicts of several studies side by side: do other seeds, or another processor, say the same?"""

from collections.abc import Mapping

from pandas import DataFrame, concat

from earlyphase.errors import InvalidInput
from earlyphase.results.claims.judging import FINDING, INCONCLUSIVE, NOT_RUN
from earlyphase.results.summaries import NETWORK

ROW = [*NETWORK, "id", "reading"]  # what names a verdict
UNDECIDED = (INCONCLUSIVE, NOT_RUN)


def side_by_side(judged: Mapping[str, DataFrame]) -> DataFrame:
    """Join tables of claims: a row for each claim, reading and network, in the order of the first table.

    Args:
        judged: name of a study -> its table of claims.

    Returns:
        The columns that name a verdict; `same`, whether all studies give it alike, one that has no such
        row counting as not run; for each study `{name}: ours`, the number with its error, and
        `{name}: verdict`.

    Raises:
        InvalidInput: fewer than two studies are given.
    """
    if len(judged) < 2:
        raise InvalidInput(f"two or more studies can be compared, not {len(judged)}")
    verdicts = {
        name: table[table["id"] != FINDING].fillna("").set_index(ROW) for name, table in judged.items()
    }
    rows = concat([table.index.to_frame(index=False) for table in verdicts.values()]).drop_duplicates()
    found = rows.reset_index(drop=True)
    for name, table in verdicts.items():
        own = table.reindex(found.set_index(ROW).index)
        ours = (own["ours"].fillna("").astype(str) + " " + own["error"].fillna("").astype(str)).str.strip()
        found[f"{name}: ours"] = ours.to_numpy()
        found[f"{name}: verdict"] = own["verdict"].fillna(NOT_RUN).to_numpy()
    columns = [f"{name}: verdict" for name in verdicts]
    found.insert(len(ROW), "same", found[columns].nunique(axis=1) == 1)
    return found


def by_claim(judged: DataFrame) -> dict[tuple[str, ...], str]:
    """One verdict for each claim and network: that of its rows if they agree, else `inconclusive`."""
    rows = judged[judged["id"] != FINDING].groupby([*NETWORK, "id"], sort=False)["verdict"]
    return {claim: of.iloc[0] if of.nunique() == 1 else INCONCLUSIVE for claim, of in rows}


def agreement(judged: Mapping[str, DataFrame]) -> dict[str, float]:
    """Shares that tell how far a study can be trusted.

    Claims are counted once, whatever their readings: see `by_claim`. One that was not run is undecided.

    Returns:
        `claims`, their number in the first study; `same`, the share of them for which all studies give
        the same verdict, not run and inconclusive being the same; `opposite`, the share for which one study
        says "reproduced" and another "not reproduced"; `undecided`, the share of the first study.
    """
    first, *others = [by_claim(table) for table in judged.values()]
    of_each = [
        {INCONCLUSIVE if one[claim] in UNDECIDED else one[claim] for one in (first, *others) if claim in one}
        for claim in first
    ]
    return {
        "claims": len(first),
        "same": sum(len(found) == 1 for found in of_each) / len(first),
        "opposite": sum(len(found - {INCONCLUSIVE}) == 2 for found in of_each) / len(first),
        "undecided": sum(verdict in UNDECIDED for verdict in first.values()) / len(first),
    }


def as_markdown(table: DataFrame) -> str:
    """Write a table as Markdown."""
    lines = [table.columns, ["---"] * len(table.columns), *table.astype(str).to_numpy()]
    return "\n".join("| " + " | ".join(map(str, line)) + " |" for line in lines)
