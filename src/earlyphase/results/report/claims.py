"""Verdicts and contrasts to the rows of a table that people read."""

from collections.abc import Mapping
from io import BytesIO

from pandas import DataFrame, read_csv

from earlyphase.errors import InvalidInput
from earlyphase.results.claims import claims
from earlyphase.results.claims.claim import UNDECIDABLE
from earlyphase.results.claims.judging import INCONCLUSIVE, NOT_REPRODUCED, REPRODUCED
from earlyphase.results.summaries import NETWORK
from earlyphase.runtime.storage import read_bytes

LOOKS = {REPRODUCED: "yes", NOT_REPRODUCED: "no", INCONCLUSIVE: "open"} | dict.fromkeys(UNDECIDABLE, "none")
ORDER = list(LOOKS)  # in which verdicts are sorted; to each the class of its look
VERDICTS = (
    "id", "reading", *NETWORK, "statement", "paper", "measured", "ours", "interval", "margin", "n",
    "criterion", "test", "verdict", "same_test_as", "source", "cited",
)  # fmt: skip
BEHIND = ("id", "reading", *NETWORK)  # what a contrast and a verdict share

NUMBERS = (
    "std",
    "low",
    "high",
    "margin",
    "target_low",
    "target_high",
    "p_for",
    "p_against",
)  # may be missing


def read_verdicts(path: str) -> DataFrame:
    """Read a table of claims, every value as text.

    Raises:
        InvalidInput: it is missing, or a column is.
    """
    table = read_csv(BytesIO(read_bytes(path)), dtype=str, keep_default_na=False)
    if missing := [name for name in VERDICTS if name not in table]:
        raise InvalidInput(f"{path} is no table of claims: it has no column {', '.join(missing)}")
    return table


def read_contrasts(path: str) -> DataFrame:
    """Read the table of the contrasts behind the verdicts; a number that is not there is NaN."""
    return read_csv(
        BytesIO(read_bytes(path)),
        dtype=dict.fromkeys((*BEHIND, "contrast", "ours", "unit", "note"), str),
        keep_default_na=False,
        na_values={name: [""] for name in NUMBERS},
    )


def rows_of(verdicts: DataFrame, contrasts: DataFrame) -> list[dict]:
    """Rows of the table of claims, each with the contrasts that it rests on.

    Returns:
        The columns of `verdicts`, of text; `number`, its place; `look`, the class of its verdict; `rank`, by
        which verdicts are sorted; `contrasts`, rows of the table of contrasts, with `measured`,
        the number with its unit.
    """
    behind: dict[tuple, list[dict]] = {}
    for row in contrasts.to_dict("records"):
        measured = {"measured": as_measured(row["ours"], row["unit"])}
        behind.setdefault(tuple(str(row[name]) for name in BEHIND), []).append(row | measured)
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


def as_measured(ours: str, unit: str) -> str:
    """What was measured of one quantity: a number, with its unit, or words."""
    try:
        return f"{float(ours):+.2f} {unit}"
    except ValueError:
        return ours


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
    """Names among the numbers of each claim: of perturbations, pretrainings, regimes, ...

    Args:
        own: numbers of claims that the study changes; None removes a claim.
    """
    return {name: set(texts_in(list(claim.numbers.values()))) for name, claim in claims(own).items()}


def texts_in(value: object) -> list[str]:
    """All texts in a value, or in what it holds."""
    if isinstance(value, str):
        return [value]
    return [text for one in value for text in texts_in(one)] if isinstance(value, list | tuple) else []
