"""Labels as users write them: text, which is drawn as it stands."""

from collections import Counter
from collections.abc import Iterable
from textwrap import wrap
from typing import Annotated

from earlyphase.errors import InvalidInput

WIDTH = 40  # characters of a line

IN_ORDER = {"minItems": 1, "description": "a list, which fixes the order, of single `name: value` entries"}
Labels = Annotated[
    list[Annotated[dict[str, str], {"minProperties": 1, "maxProperties": 1}]], IN_ORDER
]  # perturbation: label
Families = Annotated[
    list[Annotated[dict[str, list[str]], {"minProperties": 1, "maxProperties": 1}]], IN_ORDER
]  # label: [perturbations]
Round = Annotated[
    float, {"exclusiveMinimum": 0, "description": "of pruning; a number with a point is a density"}
]


def in_order(entries: list[dict]) -> dict:
    """Join the one-entry mappings of a list: a configuration's mappings have no order, its lists do."""
    return {key: value for entry in entries for key, value in entry.items()}


def labels_by_name(figure: str, show: list[dict], taken: Iterable[str] = ()) -> dict[str, str]:
    """Return the label of each name, in the order of `show`; no two are equal, and none is empty.

    Args:
        figure: its function, for messages.
        show: name -> label.
        taken: labels of what the figure draws by itself.

    Returns:
        A name without a label is its own label. Where two names have one label, or it is taken, the name
        is added in parentheses: their runs must not be averaged together.

    Raises:
        InvalidInput: a label is the one that another name was given in this way.
    """
    labels = {name: str(label or "").strip() or name for name, label in in_order(show).items()}
    uses = Counter([*taken, *labels.values()])
    distinct = {name: f"{text} ({name})" if uses[text] > 1 else text for name, text in labels.items()}
    for text, count in Counter(distinct.values()).items():
        if count > 1:
            raise InvalidInput(
                f"figure {figure}: the label {text!r} is given {count} times; one each is right"
            )
    return distinct


def names_by_label(families: list[dict]) -> dict[str, list[str]]:
    """Return the names in each family, in the order of `families`.

    Entries of equal label are one family; one without a label is called by its names. A name in two
    families belongs to the later one.
    """
    joined: dict[str, list[str]] = {}
    for entry in families:
        for label, names in entry.items():
            joined.setdefault(str(label or "").strip() or ", ".join(names), []).extend(names)
    return joined


def drawable(label: str) -> str:
    """Write a label so that matplotlib draws what it says, on lines of at most 40 characters.

    A dollar sign is a dollar sign and begins no formula; a legend would leave out a label that begins with
    an underscore.
    """
    text = "\n".join(wrap(label, WIDTH)).replace("$", r"\$")
    return f" {text}" if text.startswith("_") else text
