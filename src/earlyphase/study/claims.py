"""The claims that a study is judged by: those of the package, those of the configuration laid over them."""

from collections.abc import Iterator

from earlyphase.errors import InvalidInput
from earlyphase.sentences import parts_of, worded
from earlyphase.study.configuration import bound, closest, overlaid, read_yaml, settled, violations
from earlyphase.study.fingerprints import SOURCE
from earlyphase.study.signatures import registered

FILE = SOURCE / "results/claims/claims.yaml"
KINDS = ("within", "above", "below", "between", "untested", "verdict")  # of a part, one of them


def claims_of(own: dict, definitions: dict) -> dict[str, dict]:
    """All claims by name, checked.

    Args:
        own: entries of the configuration, laid over those of the package; null removes one.
        definitions: `$defs` of the schema of the configuration.

    Raises:
        InvalidInput: naming the claim, what is wrong and what would be right.
    """
    packaged = read_yaml(FILE)
    found = overlaid(packaged["claims"], own)
    found = {name: entry for name, entry in found.items() if entry is not None}
    schema = {"additionalProperties": {"$ref": "#/$defs/claim"}, "$defs": definitions}
    found = settled(found, {"type": "object"} | schema, definitions)
    if problems := violations(found, schema, "claims"):
        raise InvalidInput("configuration: " + "\n  ".join(problems))
    for name, entry in found.items():
        check_claim(f"claims.{name}", entry)
        try:
            worded(entry, packaged["words"])
        except InvalidInput as error:
            raise InvalidInput(f"configuration: claims.{name}: {error}") from None
    return found


def check_claim(place: str, entry: dict) -> None:
    """Raise `InvalidInput` where a criterion is missing or no criterion, or a measure has wrong arguments."""
    scales = {"both"} & entry.keys() or {"full", "short"}
    if missing := scales - entry.keys():
        raise InvalidInput(f"configuration: {place} lacks {' and '.join(sorted(missing))}, or both")
    if twice := {"full", "short"} & entry.keys() - scales:
        raise InvalidInput(f"configuration: {place} has both and {twice.pop()}: one criterion for each study")
    known = registered("models")
    for name in (name for names in entry.get("networks", {}).values() for name in names):
        if name not in known:
            raise InvalidInput(
                f"configuration: {place}.networks names {name!r}, which makes no network"
                f"{closest(name, sorted(known))} (known: {', '.join(sorted(known))})"
            )
    parts = [(f"{place}.{scale}", part) for scale in sorted(scales) for part in parts_of(entry, scale)]
    for where, part in parts:
        check_part(where, part)
    measures = [(where, part["measure"]) for where, part in parts if "measure" in part]
    for reading, more in (entry.get("readings") or {"": {}}).items():
        taken = {name for where, one in measures for name in bind(where, one, {"reading": reading, **more})}
        for name in more:
            if name not in taken:
                raise InvalidInput(
                    f"configuration: {place}.readings.{reading} has {name}, which no measure takes"
                    f"{closest(name, sorted(taken))} (they take {', '.join(sorted(taken)) or 'nothing'})"
                )


def check_part(place: str, part: dict) -> None:
    """Raise `InvalidInput` where a part of a criterion is not one kind of criterion."""
    kinds = [kind for kind in KINDS if kind in part]
    if len(kinds) != 1:
        has = " and ".join(kinds) or "no target"
        raise InvalidInput(f"configuration: {place} has {has}, but must have one of {', '.join(KINDS)}")
    if "untested" in part and "measure" in part:
        raise InvalidInput(f"configuration: {place} is untested, so it can have no measure")
    if "function" not in part.get("measure", {"function": None}):
        raise InvalidInput(f"configuration: {place}.measure lacks function: what is measured")
    if "about" in part and "within" not in part:
        raise InvalidInput(f"configuration: {place}.about goes with within, not with {kinds[0]}")
    if "between" in part and part["between"][0] >= part["between"][1]:
        raise InvalidInput(f"configuration: {place}.between is {part['between']}, but must rise")


def bind(place: str, measure: dict, more: dict) -> set[str]:
    """Check the arguments of a measure, with those of `more` that it takes; return all that it takes."""
    known = registered("measures").get(measure["function"])
    taken = set(known.schema) if known else set()
    bound("measures", f"{place}.measure", measure | {name: more[name] for name in more.keys() & taken})
    return taken


def measures_in(claims: dict[str, dict]) -> Iterator[dict]:
    """The measures of claims, as entries: their functions with arguments."""
    for entry in claims.values():
        for scale in ("full", "short"):
            yield from (part["measure"] for part in parts_of(entry, scale) if "measure" in part)
