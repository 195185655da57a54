"""Sentences that several rooms make.

Those about claims are made of an entry of `results/claims/claims.yaml`, which says what they may name.
"""

import re
from collections.abc import Mapping
from string import Formatter

from earlyphase.errors import InvalidInput

TARGETS = ("within", "about", "above", "below", "between")
RULES = {  # of a part that says none
    "within": "equivalence (TOST): within ±{within} {unit}",
    "above": "above {above} {unit}",
    "below": "below {below} {unit}",
    "between": "between {between[0]} and {between[1]} {unit}",
    "untested": "no test",
}
SHORT = "short study: "  # before the rules of a criterion that is for short studies alone
NAMES = re.compile(r"[A-Za-z]-\d+|\d-D|(al\.|& [A-Z]\w+) \d{4}|\b0\b(?![.,]\d)")  # digits that are no numbers


def worded(entry: Mapping, words: Mapping[str, object]) -> dict:
    """Make the sentences of a claim.

    Args:
        entry: the claim.
        words: values and phrases that sentences of all claims may name.

    Returns:
        The entry with `statement` and `paper` made; `full` and `short`, lists of parts, each with its `rule`
        made, and `untested` where it has that; `unit`.

    Raises:
        InvalidInput: a sentence names what is not there, holds a number, or does not say its criterion.
    """
    full, short = (parts_of(entry, scale) for scale in ("full", "short"))
    known = {**words, "unit": entry.get("unit", "points")}
    for part in reversed([*full, *short]):  # of one name the first counts
        known |= part.get("measure", {})
    known |= entry.get("numbers", {})
    said = known | values_of(full[0]) | {"also": values_of(full[-1])}
    prefix = "" if "both" in entry else SHORT
    return dict(entry) | {
        "statement": sentence(entry["statement"], said),
        "paper": sentence(entry["paper"], said),
        "unit": known["unit"],
        "full": [with_rule(part, full, known, "") for part in full],
        "short": [with_rule(part, short, known, prefix) for part in short],
    }


def parts_of(entry: Mapping, scale: str) -> list[dict]:
    """The parts of a criterion, of `full` or of `short`; each with the whole of its measure."""
    found, common = entry["both"] if "both" in entry else entry[scale], entry.get("measure", {})
    found = found if isinstance(found, list) else [found]
    return [
        part if "untested" in part else part | {"measure": common | part.get("measure", {})} for part in found
    ]


def values_of(part: Mapping) -> dict:
    """What sentences may name of a part: its target, and the arguments of its measure."""
    return {key: part[key] for key in TARGETS if key in part} | part.get("measure", {})


def with_rule(part: dict, parts: list[dict], known: Mapping, prefix: str) -> dict:
    """Make the sentences of one of the `parts` of a criterion."""
    own = {**known, **values_of(part), "also": values_of(parts[-1])}
    rule = part.get("rule") or next((RULES[kind] for kind in RULES if kind in part), None)
    if rule is None:
        raise InvalidInput("a part that is reported and not judged needs a rule: what is reported")
    for key in TARGETS:
        if part.get(key) and f"{{{key}" not in rule:
            raise InvalidInput(f"the rule {rule!r} does not say its criterion: write {{{key}}} in it")
    made = {"rule": prefix + sentence(rule, own)}
    return part | made | ({"untested": sentence(part["untested"], own)} if "untested" in part else {})


def sentence(template: str, values: Mapping) -> str:
    """Write the values that a template names in their places.

    Raises:
        InvalidInput: it names what is not there, or holds a number itself.
    """
    literal = NAMES.sub("", re.sub(r"\{[^{}]*\}", "", template))
    if number := re.search(r"\d[\d.,]*", literal):
        raise InvalidInput(
            f"{template!r} holds the number {number.group()}: write the {{name}} of a value of the claim"
        )
    try:
        return _Sentence().vformat(template, (), values)
    except KeyError as error:
        names = ", ".join(sorted(values))
        raise InvalidInput(f"{template!r} names {error}, which is no value of the claim ({names})") from None
    except (IndexError, TypeError, ValueError, AttributeError) as error:
        raise InvalidInput(f"{template!r} cannot be written: {error}") from None


class _Sentence(Formatter):
    """`str.format` with phrases that name values themselves, and with the formats of `claims.yaml`."""

    def get_value(self, key: str, args: tuple, values: Mapping) -> object:
        value = values[key]
        return self.vformat(value, args, values) if isinstance(value, str) else value

    def format_field(self, value: object, form: str) -> str:
        match form:
            case "":
                return plain(value)
            case "%":
                return f"{100 * value:g} %"
            case "sparsity":
                return f"{100 * (1 - value):g} %"
            case "size":
                return plain(abs(value))
            case "points":
                return f"{plain(value)} point{'' if value == 1 else 's'}"
            case "levels":
                names = [value] if isinstance(value, str) else value
                return plain([re.search(r"[\d.]*$", name).group() for name in names])
            case "count":
                return str(len(value))
        raise ValueError(f"there is no format {form!r}")


def plain(value: object) -> str:
    """A number with commas at the thousands, text as it is, several of either joined by "and"."""
    if isinstance(value, list):
        return " and ".join(map(plain, value))
    return (
        f"{value:,g}" if isinstance(value, float) else f"{value:,}" if isinstance(value, int) else str(value)
    )


def duration(seconds: float) -> str:
    """Write a duration the way people say it: "0.3 s", "40 s", "12 min", "3.5 h"."""
    if seconds < 100:
        return f"{seconds:.0f} s" if seconds >= 10 or seconds == round(seconds) else f"{seconds:.1f} s"
    return f"{seconds / 60:.0f} min" if seconds < 6000 else f"{seconds / 3600:.1f} h"
