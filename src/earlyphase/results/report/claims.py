"""Verdicts and contrasts to the rows of a table that people read."""

from collections.abc import Mapping
from io import BytesIO

from pandas import DataFrame, read_csv

from earlyphase.errors import InvalidInput
from earlyphase.results.claims.catalogue import packaged
from earlyphase.results.claims.judging import (
    INCONCLUSIVE,
    NOT_REPRODUCED,
    NOT_RUN,
    REPRODUCED,
)
from earlyphase.results.summaries import NETWORK
from earlyphase.runtime.storage import read_bytes
from earlyphase.sentences import parts_of

LOOKS = {REPRODUCED: "yes", NOT_REPRODUCED: "no", INCONCLUSIVE: "open", NOT_RUN: "none"}  # class of a verdict
ORDER = list(LOOKS)  # in which verdicts are sorted
VERDICTS = ("id", "reading", *NETWORK, "statement", "paper", "ours", "error", "n", "test", "verdict")
BESIDES = ("same_test_as", "source", "cited")  # which older tables may lack
BEHIND = ("id", "reading", *NETWORK)  # what a contrast and a verdict share

BOUNDS = ("low", "high", "target_low", "target_high", "p_inside", "p_outside")  # may be missing


def read_verdicts(path: str) -> DataFrame:
    """Read a table of claims, every value as text.

    Raises:
        InvalidInput: it is missing, or a column is.
    """
    table = read_csv(BytesIO(read_bytes(path)), dtype=str, keep_default_na=False)
    if missing := [name for name in VERDICTS if name not in table]:
        raise InvalidInput(f"{path} is no table of claims: it has no column {', '.join(missing)}")
    return table.assign(**{name: "" for name in BESIDES if name not in table})


def read_contrasts(path: str) -> DataFrame:
    """Read the table of the contrasts behind the verdicts; a number that is not there is NaN."""
    return read_csv(
        BytesIO(read_bytes(path)),
        dtype=dict.fromkeys((*BEHIND, "contrast", "ours", "error"), str),
        keep_default_na=False,
        na_values={name: [""] for name in BOUNDS},
    )


def rows_of(verdicts: DataFrame, contrasts: DataFrame) -> list[dict]:
    """Rows of the table of claims, each with the contrasts that it rests on.

    Returns:
        The columns of `verdicts`, of text; `number`, its place; `look`, the class of its verdict; `rank`, by
        which verdicts are sorted; `contrasts`, rows of the table of contrasts.
    """
    behind: dict[tuple, list[dict]] = {}
    for row in contrasts.to_dict("records"):
        behind.setdefault(tuple(str(row[name]) for name in BEHIND), []).append(row)
    return [
        row
        | {
            "number": number,
            "look": look_of(row["verdict"]),
            "rank": rank_of(row["verdict"]),
            "contrasts": behind.get(tuple(row[name] for name in BEHIND), []),
        }
        for number, row in enumerate(verdicts.to_dict("records"))
    ]


def look_of(verdict: str) -> str:
    """Class of a verdict in the page's style."""
    return LOOKS.get(verdict, "other")


def rank_of(verdict: str) -> int:
    """Place of a verdict among the others."""
    return ORDER.index(verdict) if verdict in ORDER else len(ORDER)


def counts_of(rows: list[dict]) -> list[dict]:
    """Verdicts that there are, in their order, each with the number of rows."""
    verdicts = sorted({row["verdict"] for row in rows}, key=lambda one: (rank_of(one), one))
    return [
        {
            "verdict": verdict,
            "look": look_of(verdict),
            "rows": sum(row["verdict"] == verdict for row in rows),
        }
        for verdict in verdicts
    ]


def names_in(own: Mapping[str, dict | None]) -> dict[str, set[str]]:
    """Names that the measures of each claim are given: of perturbations, pretrainings, regimes, ...

    Args:
        own: claims that the study adds, replaces or, where they are None, removes.
    """
    entries = packaged()["claims"] | dict(own)
    return {
        claim: set(
            texts_in([part.get("measure") for scale in ("full", "short") for part in parts_of(entry, scale)])
        )
        for claim, entry in entries.items()
        if entry is not None
    }


def texts_in(value: object) -> list[str]:
    """All texts in a value as YAML has them."""
    if isinstance(value, str):
        return [value]
    inner = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    return [text for one in inner for text in texts_in(one)]
