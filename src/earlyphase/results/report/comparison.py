"""The page that compares studies: verdicts that changed first, then the figures side by side."""

from collections.abc import Mapping
from pathlib import Path

from pandas import DataFrame

from earlyphase.results.claims.judging import NOT_REPRODUCED, REPRODUCED
from earlyphase.results.comparison import ROW, agreement, side_by_side
from earlyphase.results.report.claims import look_of, rank_of
from earlyphase.results.report.figures import picture, place_of, questions
from earlyphase.results.report.templates import filled

CHANGED, SAME = "changed", "the same"


def comparison_page(judged: Mapping[str, DataFrame], folders: Mapping[str, Path]) -> str:
    """Write the page.

    Args:
        judged: name of a study -> its table of claims.
        folders: likewise, the folder of its results; figures are shown of those that have any.
    """
    rows = rows_of(judged)
    return filled(
        "comparison",
        names=list(judged),
        rows=rows,
        counts=[
            {"verdict": kind, "look": look, "rows": sum(row["kind"] == kind for row in rows)}
            for kind, look in ((CHANGED, "other"), (SAME, "other"))
        ],
        shares=agreement(judged),
        networks=len({(row["dataset"], row["model"]) for row in rows}),
        figures=figures_in(folders),
    )


def rows_of(judged: Mapping[str, DataFrame]) -> list[dict]:
    """A row for each claim, reading and network; opposite verdicts come first, then others that differ.

    Returns:
        `id`, `reading`, `dataset`, `model`, `statement`, `kind` (changed or the same), `number`, and
        `studies`, for each `name`, `verdict`, `look`, `rank` and `ours`.
    """
    statements: dict[tuple, str] = {}
    for table in judged.values():
        if "statement" in table:
            keys = table[ROW].itertuples(index=False, name=None)
            statements |= dict(zip(keys, table["statement"], strict=True)) | statements
    found = side_by_side(judged)
    columns = [f"{name}: verdict" for name in judged]
    opposite = [{REPRODUCED, NOT_REPRODUCED} <= set(row) for row in found[columns].to_numpy()]
    ordered = (
        found.assign(opposite=opposite)
        .sort_values(["opposite", "same"], ascending=[False, True], kind="stable")
        .to_dict("records")
    )
    return [
        {name: row[name] for name in ROW}
        | {
            "number": number,
            "kind": SAME if row["same"] else CHANGED,
            "statement": statements.get(tuple(row[name] for name in ROW), ""),
            "studies": [
                {
                    "name": name,
                    "ours": row[f"{name}: ours"],
                    "verdict": (verdict := row[f"{name}: verdict"]),
                    "look": look_of(verdict),
                    "rank": rank_of(verdict),
                }
                for name in judged
            ],
        }
        for number, row in enumerate(ordered)
    ]


def figures_in(folders: Mapping[str, Path]) -> list[dict]:
    """Figures that any study has drawn, each with the picture of every study; None where it has none."""
    drawn = {name: drawn_in(folder) for name, folder in folders.items()}
    known = sorted(
        dict.fromkeys(one for found in drawn.values() for one in found),
        key=lambda one: (one[:2], place_of(one[2]), one[2]),
    )
    return [
        {
            "anchor": "-".join(["figure", *one]),
            "title": (title := one[2].replace("_", " ")),
            "network": (network := f"{one[1]} on {one[0]}"),
            "question": questions().get(one[2], {}).get("question", ""),
            "studies": [
                {
                    "name": name,
                    "picture": picture(found[one], found[one].with_suffix(".png")) if one in found else None,
                    "alternative": f"Figure {title} of {network} in the study {name}",
                }
                for name, found in drawn.items()
            ],
        }
        for one in known
    ]


def drawn_in(folder: Path) -> dict[tuple[str, str, str], Path]:
    """Figures in a folder of results: data set, network and name -> the drawing."""
    return {
        (path.parts[-3], path.parts[-2], path.stem): path for path in sorted(folder.glob("figures/*/*/*.svg"))
    }
