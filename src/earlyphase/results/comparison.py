"""Verdicts of several studies side by side: do other seeds, or another processor, say the same?"""

from collections.abc import Mapping

from pandas import DataFrame, concat

from earlyphase.errors import InvalidInput
from earlyphase.results.claims.claim import NOT_CONFIGURED
from earlyphase.results.claims.judging import FINDING, INCONCLUSIVE, NOT_REPRODUCED, REPRODUCED
from earlyphase.results.summaries import NETWORK

ROW = [*NETWORK, "id", "reading"]  # what names a verdict
DECIDED = {REPRODUCED, NOT_REPRODUCED}


def side_by_side(judged: Mapping[str, DataFrame]) -> DataFrame:
    """Join tables of claims: a row for each claim, reading and network, in the order of the first table.

    Args:
        judged: name of a study -> its table of claims.

    Returns:
        The columns that name a verdict; `same`, whether all studies give it alike, one that has no such
        row counting as not run; for each study `{name}: ours`, the number with its interval, and
        `{name}: verdict`.

    Raises:
        InvalidInput: fewer than two studies are given.
    """
    if len(judged) < 2:
        raise InvalidInput(f"two or more studies can be compared, not {len(judged)}")
    verdicts = {name: table[table["id"] != FINDING].set_index(ROW) for name, table in judged.items()}
    rows = concat([table.index.to_frame(index=False) for table in verdicts.values()]).drop_duplicates()
    found = rows.reset_index(drop=True)
    for name, table in verdicts.items():
        own = table.reindex(found.set_index(ROW).index)
        ours, interval = (own[column].fillna("").astype(str) for column in ("ours", "interval"))
        found[f"{name}: ours"] = (ours + (" (" + interval + ")").where(interval != "", "")).to_numpy()
        found[f"{name}: verdict"] = own["verdict"].fillna(NOT_CONFIGURED).to_numpy()
    columns = [f"{name}: verdict" for name in verdicts]
    found.insert(len(ROW), "same", found[columns].nunique(axis=1) == 1)
    return found


def by_claim(judged: DataFrame) -> dict[tuple[str, ...], str]:
    """One verdict for each claim and network: that of its rows if they agree, else `inconclusive`.

    A claim that repeats the test of another is left out.
    """
    own = judged[(judged["id"] != FINDING) & (judged["same_test_as"] == "")]
    rows = own.groupby([*NETWORK, "id"], sort=False)["verdict"]
    return {claim: of.iloc[0] if of.nunique() == 1 else INCONCLUSIVE for claim, of in rows}


def agreement(judged: Mapping[str, DataFrame]) -> dict[str, float]:
    """How far the verdicts of a study can be trusted, by those of others.

    Claims are counted once, whatever their readings: see `by_claim`. That none of the studies decides a claim
    is no agreement, so these are not counted.

    Returns: `claims`, their number; `decided`, of how many of them at least one study does; and of these
        `same`, the share for which all studies give the same verdict, and `opposite`, the share for which one
        says "reproduced" and another "not reproduced". The shares are NaN where nothing is decided.
    """
    studies = [by_claim(table) for table in judged.values()]
    claims = dict.fromkeys(claim for study in studies for claim in study)
    verdicts = [{study.get(claim, NOT_CONFIGURED) for study in studies} for claim in claims]
    decided = [found for found in verdicts if found & DECIDED]
    share = (lambda count: count / len(decided)) if decided else (lambda count: float("nan"))
    return {
        "claims": len(claims),
        "decided": len(decided),
        "same": share(sum(len(found) == 1 for found in decided)),
        "opposite": share(sum(found >= DECIDED for found in decided)),
    }


def as_markdown(table: DataFrame) -> str:
    """Write a table as Markdown."""
    lines = [table.columns, ["---"] * len(table.columns), *table.astype(str).to_numpy()]
    return "\n".join("| " + " | ".join(map(str, line)) + " |" for line in lines)
