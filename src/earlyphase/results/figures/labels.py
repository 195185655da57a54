"""Labels as users write them: text of any kind, which must be drawn as it stands."""

import re
from collections import Counter
from collections.abc import Iterable
from textwrap import wrap
from typing import Annotated

from matplotlib.mathtext import MathTextParser

from earlyphase.errors import InvalidInput

WIDTH = 40  # characters of a line
LONGEST = 200  # characters of a label
ZERO_WIDTH_SPACE = "\u200b"
INNER_SPACE = "\ue000"  # stands for a space between two dollar signs while a label is wrapped


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


def in_order(labelled: list[dict]) -> dict:
    """Join the one-entry mappings of a list: a configuration's mappings have no order, its lists do."""
    return {key: value for entry in labelled for key, value in entry.items()}


def labels_by_name(figure: str, show: list[dict], taken: Iterable[str] = ()) -> dict[str, str]:
    """Return the label of each name, in the order of `show`; no two are equal, and none is empty.

    Args:
        figure: its function, for messages.
        show: name -> label; a number is written as text.
        taken: labels of what the figure draws by itself.

    Returns:
        A name without a label is its own label. Where two names have one label, or it is taken, the name
        is added in parentheses: their runs must not be averaged together.

    Raises:
        InvalidInput: a label is too long, or is the one that another name was given in this way.
    """
    labels = {name: as_text(figure, label) or str(name) for name, label in in_order(show).items()}
    uses = Counter([*taken, *labels.values()])
    distinct = {name: f"{text} ({name})" if uses[text] > 1 else text for name, text in labels.items()}
    for text, count in Counter(distinct.values()).items():
        if count > 1:
            raise InvalidInput(
                f"figure {figure}: the label {text!r} is given {count} times; one each is right"
            )
    return distinct


def names_by_label(figure: str, families: list[dict]) -> dict[str, list[str]]:
    """Return the names in each family, in the order of `families`.

    Entries of equal label are one family; one without a label is called by its names. A name in two
    families belongs to the later one.

    Raises:
        InvalidInput: a label is too long.
    """
    joined: dict[str, list[str]] = {}
    for entry in families:
        for label, names in entry.items():
            joined.setdefault(as_text(figure, label) or ", ".join(map(str, names)), []).extend(names)
    return joined


def as_text(figure: str, label: object) -> str:
    """Return a label as text without white space around it: "" for None, and where no sign can be seen.

    Raises:
        InvalidInput: it has more than 200 characters.
    """
    text = "" if label is None else str(label).strip()
    if len(text) > LONGEST:
        raise InvalidInput(
            f"figure {figure}: the label {text[:30]!r}... has {len(text)} characters; at most {LONGEST} fit"
        )
    seen = any(sign.isprintable() and not sign.isspace() for sign in text)
    return text if seen else ""


def drawable(label: str | float) -> str:
    """Write a label so that matplotlib draws what it says, on lines of about 40 characters.

    Formulas between dollar signs are drawn as formulas where matplotlib can read them, and otherwise as
    they were written.
    """
    printable = "".join(sign if sign.isprintable() or sign == "\n" else " " for sign in str(label))
    lines = [part for line in printable.split("\n") for part in wrapped(line)]
    text = "\n".join(line if is_readable(line) else line.replace("$", r"\$") for line in lines)
    hidden = not text or text.startswith("_")  # a legend leaves out labels that look like this
    return ZERO_WIDTH_SPACE + text if hidden else text


def wrapped(line: str) -> list[str]:
    """Break a long line at spaces outside of formulas, or anywhere in a long word that is no formula."""
    if len(line) <= WIDTH:
        return [line]
    whole = re.sub(r"\$[^$]*\$", lambda formula: formula[0].replace(" ", INNER_SPACE), line)
    parts = wrap(whole, WIDTH, break_long_words="$" not in whole, break_on_hyphens=False)
    return [part.replace(INNER_SPACE, " ") for part in parts]


def is_readable(line: str) -> bool:
    """Whether matplotlib can draw a line: its formulas, if it has any, are correct."""
    if "$" not in line:
        return True
    try:
        MathTextParser("path").parse(line)
    except (ValueError, RuntimeError):  # nested too deeply is a RuntimeError
        return False
    return True
