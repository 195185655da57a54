"""Figures of a study to what the page says of each: its question, what was found, the picture itself."""

from base64 import b64encode
from functools import cache
from io import BytesIO
from pathlib import Path

import yaml
from pandas import DataFrame, isna, read_csv

from earlyphase.errors import InvalidInput
from earlyphase.results.report.findings import SAY
from earlyphase.runtime.storage import read_bytes

QUESTIONS = Path(__file__).with_name("questions.yaml")
KEYS = {"question", "look_for", "claims", "say"}
LARGE = 1_000_000  # bytes of an SVG above which the PNG is shown, where that is smaller
LONG = 60  # rows of a figure's table up to which the page has all of them


@cache
def questions() -> dict[str, dict]:
    """What `questions.yaml` says of each figure function.

    Raises:
        InvalidInput: an entry lacks a key, has another, or `say` names no function.
    """
    entries = yaml.safe_load(QUESTIONS.read_text(encoding="utf-8"))["figures"]
    for name, entry in entries.items():
        if entry.keys() != KEYS:
            raise InvalidInput(f"{QUESTIONS.name}: {name} has {sorted(entry)}; it must have {sorted(KEYS)}")
        if entry["say"] not in SAY:
            raise InvalidInput(f"{QUESTIONS.name}: {name} says {entry['say']!r}; known: {', '.join(SAY)}")
    return entries


def in_order(figures: list[dict]) -> list[dict]:
    """Figures in the order of `questions.yaml`, those of a function in their own; others come last."""
    return sorted(figures, key=lambda one: place_of(one["function"]))


def place_of(function: str) -> int:
    """Place of a figure function in `questions.yaml`; behind all of them where it has none."""
    known = list(questions())
    return known.index(function) if function in known else len(known)


def shown(figure: dict, description: str, rows: list[dict], names: dict[str, set[str]]) -> dict:
    """All that the page shows of one figure.

    Args:
        figure: `figure`, its name; `function`, `dataset`, `model`; `shows`, perturbations and the like that
            its entry names; paths of `svg`, `png` and `table`.
        description: what its function says of itself.
        rows: of the table of claims.
        names: claim -> what its measures name.

    Returns:
        `anchor`, `title`, `network`, `picture` (a data URI), `alternative`, `question`, `look_for`,
        `description`, `found` (sentences), `claims` (rows), `numbers`, and `table`, its path.
    """
    entry = questions().get(figure["function"], {})
    points = read_points(figure["table"])
    network = f"{figure['model']} on {figure['dataset']}"
    title = figure["figure"].replace("_", " ")
    return {
        "anchor": "-".join(["figure", figure["dataset"], figure["model"], figure["figure"]]),
        "title": title,
        "network": network,
        "picture": picture(figure["svg"], figure["png"]),
        "alternative": f"Figure {title} of {network}. {what_is_drawn(description)}".strip(),
        "question": entry.get("question", ""),
        "look_for": entry.get("look_for", ""),
        "description": description,
        "found": SAY[entry["say"]](points) if entry else [],
        "claims": claims_of(figure, entry.get("claims", []), rows, names),
        "numbers": numbers(points),
        "table": figure["table"],
    }


def what_is_drawn(description: str) -> str:
    """The first paragraph of a docstring, as a description of the picture."""
    first = " ".join(description.split("\n\n")[0].split())
    words = first.removeprefix("Draw ")
    return words[:1].upper() + words[1:]


def claims_of(figure: dict, related: list[str], rows: list[dict], names: dict[str, set[str]]) -> list[dict]:
    """Rows of the claims that a figure bears on: of its network, and about what it shows."""
    shows = set(figure["shows"])
    return [
        row
        for row in rows
        if row["id"] in related
        and (row["dataset"], row["model"]) == (figure["dataset"], figure["model"])
        and (not shows or shows & names.get(row["id"], set()))
    ]


def read_points(path: str) -> DataFrame:
    """Read the points that a figure shows."""
    return read_csv(BytesIO(read_bytes(path)))


def picture(svg: str, png: str) -> str:
    """A figure as a data URI: the drawing or, where that is large, the picture in dots if it is smaller."""
    drawing = read_bytes(svg)
    if len(drawing) > LARGE and len(dots := read_bytes(png)) < len(drawing):
        return as_uri("image/png", dots)
    return as_uri("image/svg+xml", drawing)


def as_uri(kind: str, content: bytes) -> str:
    """Content of a file as a data URI. What stands in it cannot collide with anything in the page."""
    return f"data:{kind};base64,{b64encode(content).decode()}"


def numbers(points: DataFrame) -> dict:
    """The table of a figure for people: `columns`, `rows` of text, and how many `more` there are."""
    short = points.head(LONG) if len(points) <= LONG else points.head(0)
    return {
        "columns": [name.replace("_", " ") for name in points],
        "rows": [[cell(value) for value in row] for row in short.itertuples(index=False)],
        "more": len(points) - len(short),
    }


def cell(value: object) -> str:
    """One value of a table: four digits of a number, nothing where there is none."""
    if isinstance(value, str):
        return value
    return "" if isna(value) else f"{value:.4g}" if isinstance(value, float) and value % 1 else f"{value:.0f}"
