"""Figures of a study to what the page shows of each: the picture, its caption, its numbers."""

from base64 import b64encode

from earlyphase.results.report.claims import numbers, read_text
from earlyphase.runtime.storage import read_bytes

ORDER = (  # of the functions; others follow
    "rewinding", "perturbed", "effective_std", "one_round", "controls_of_pruning", "retraining",
    "pretraining", "sparse_pretraining", "telemetry", "timeline", "subspace", "fisher", "stability",
    "data_order", "consecutive", "butterfly", "layerwise", "removal", "windows", "regularisation", "sparsity",
)  # fmt: skip
LARGE = 1_000_000  # bytes of an SVG above which the PNG is shown, where that is smaller


def in_order(figures: list[dict]) -> list[dict]:
    """Sort figures by their functions, and those of a function as they stand."""
    return sorted(figures, key=lambda figure: [*ORDER, figure["function"]].index(figure["function"]))


def shown(figure: dict, description: str) -> dict:
    """Collect all that the page shows of one figure.

    Args:
        figure: `figure`, its name; `dataset`, `model`; paths of `svg`, `png` and `table`.
        description: what its function says of itself.

    Returns:
        `anchor`, `title`, `network`, `picture` (a data URI), `alternative`, `caption`, `numbers`, and
        `table`, its path.
    """
    network = f"{figure['model']} on {figure['dataset']}"
    title = figure["figure"].replace("_", " ")
    first, *others = [" ".join(part.split()) for part in description.split("\n\n")]
    what = first.removeprefix("Draw ")
    what = what[:1].upper() + what[1:]
    return {
        "anchor": "-".join(["figure", figure["dataset"], figure["model"], figure["figure"]]),
        "title": title[:1].upper() + title[1:],
        "network": network,
        "picture": picture(figure["svg"], figure["png"]),
        "alternative": f"Figure {title} of {network}. {what}".strip(),
        "caption": " ".join([what, *others]),
        "numbers": numbers(read_text(figure["table"])),
        "table": figure["table"],
    }


def picture(svg: str, png: str) -> str:
    """Write a figure as a data URI: the drawing or, where that is large, the pixels if they are smaller.

    What stands in a data URI cannot collide with anything in the page.
    """
    content, kind = read_bytes(svg), "svg+xml"
    if len(content) > LARGE and len(pixels := read_bytes(png)) < len(content):
        content, kind = pixels, "png"
    return f"data:image/{kind};base64,{b64encode(content).decode()}"
