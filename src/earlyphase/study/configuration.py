"""Reading a configuration: files laid over one another, checked against the schema and against signatures."""

import math
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from difflib import get_close_matches
from functools import cache
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml

from earlyphase.core.settings import KINDS
from earlyphase.errors import InvalidInput
from earlyphase.study.signatures import PLACES, SECTIONS, registered

if TYPE_CHECKING:
    Loader = yaml.SafeLoader
else:
    Loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


class StrictLoader(Loader):
    """YAML without the same key twice in one mapping, of which all loaders take the last in silence."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict:
        """Read a mapping."""
        lines: dict[object, int] = {}
        for key_node, _ in node.value:
            if key_node.tag == "tag:yaml.org,2002:merge":
                continue
            key, line = self.construct_object(key_node, deep=True), key_node.start_mark.line + 1
            if key in lines:
                place = key_node.start_mark.name
                raise InvalidInput(f"{place}: {key} stands in line {lines[key]} and again in line {line}")
            lines[key] = line
        return super().construct_mapping(node, deep)


def read_yaml(path: Path) -> dict:
    """Read a YAML file that holds a mapping.

    Raises:
        InvalidInput: it is missing, something else, or has the same key twice.
    """
    try:
        with path.open("rb") as file:
            content = yaml.load(file, StrictLoader)
    except OSError as error:
        raise InvalidInput(f"cannot read {path}: {error.strerror}") from None
    except yaml.YAMLError as error:
        raise InvalidInput(f"{path} is not YAML: {error}") from None
    if not isinstance(content, dict):
        raise InvalidInput(f"{path} holds no mapping of keys to values")
    return content


def read_files(paths: list[Path]) -> dict:
    """Read configurations the way Snakemake does: each file is laid over those before it."""
    config: dict = {}
    for path in paths:
        config = overlaid(config, read_yaml(path))
    return config


def read_words(words: Sequence[str]) -> dict:
    """Read words of a command line, KEY=VALUE with a value in YAML, as Snakemake reads those of its --config.

    Raises:
        InvalidInput: a word is none of that kind.
    """
    config: dict = {}
    for word in words:
        key, equals, text = word.partition("=")
        if not equals:
            raise InvalidInput(f"--config {word}: it must be KEY=VALUE, such as rounds=4")
        try:
            value = yaml.load(text, yaml.BaseLoader)  # numbers stay texts, which `settled` reads
        except yaml.YAMLError:
            value = text
        config = overlaid(config, {key: value})
    return config


def plugins_of(paths: list[Path]) -> list[Path]:
    """Files under `plugins`; each path is relative to the configuration file that names it."""
    lists = [(path, content["plugins"]) for path in paths if "plugins" in (content := read_yaml(path))]
    if not lists:
        return []
    path, plugins = lists[-1]
    if not isinstance(plugins, list) or not all(isinstance(plugin, str) for plugin in plugins):
        raise InvalidInput(f"{path}: plugins is {plugins!r}, but must be a list of files: [mine.py]")
    return [path.parent / Path(plugin).expanduser() for plugin in plugins]


def overlaid(below: dict, above: dict) -> dict:
    """Lay one configuration over another: mappings merge, everything else is replaced."""
    merged = below | above
    for key in below.keys() & above.keys():
        if isinstance(below[key], dict) and isinstance(above[key], dict):
            merged[key] = overlaid(below[key], above[key])
    return merged


def without_nulls(config: dict) -> dict:
    """Leave out the named entries that are null: how a file laid over another removes one."""
    cleaned = {
        section: {name: entry for name, entry in config[section].items() if entry not in (None, *NULLS)}
        for section in catalogue()
        if isinstance(config[section], dict)
    }
    return config | cleaned


CATALOGUE = Path(__file__).parents[1] / "catalogue"


@cache
def catalogue() -> dict[str, dict]:
    """The named entries that come with the package: kind, as `perturbations` -> name -> entry."""
    return {path.stem: read_yaml(path) for path in sorted(CATALOGUE.glob("*.yaml"))}


def whole_schema(schema: dict) -> dict:
    """The schema of a whole configuration, from one in which each section stands once.

    Every section but `plugins` is required. What is `per_run` must be said for all runs, but for what is
    `optional`, and may be said in part within an entry of `runs`.
    """
    sections, definitions = schema["properties"], schema["$defs"]
    within = {name: own for name, own in sections.items() if own.get("per_run")}
    entry = sections["runs"]["items"]
    entry = entry | {"properties": entry["properties"] | within}
    for_all = {
        name: own | {"required": [key for key, value in keys.items() if not value.get("optional")]}
        for name, own in within.items()
        if (keys := followed(own, definitions).get("properties"))
    }
    properties = sections | for_all | {"runs": sections["runs"] | {"items": entry}}
    return schema | {"properties": properties, "required": [name for name in sections if name != "plugins"]}


def followed(schema: dict, definitions: dict) -> dict:
    """A part of the schema with what it refers to, under what it says itself."""
    if "$ref" not in schema:
        return schema
    return followed(definitions[schema["$ref"].rsplit("/", 1)[1]], definitions) | schema


# One meaning for a value, however it is written

NULLS = ("null", "~", "")  # texts of null
NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)(e[+-]?\d+)?", re.IGNORECASE)


def settled(value: Any, schema: dict, definitions: dict) -> Any:
    """Read a value as the schema means it, where YAML or a command line leaves that open.

    Where a number, a truth value or null belongs, and no text, the text of one means it; where a whole number
    belongs, 2.0 is 2; where text belongs, a number is the text of it, and a truth value "yes" or "no"; where
    a list of known words belongs, one word is a list of it. Anything else stays, for the schema to refuse.
    """
    schema = followed(schema, definitions)
    if "anyOf" in schema:
        as_it_is = ((value, part) for part in schema["anyOf"])
        read = ((settled(value, part, definitions), part) for part in schema["anyOf"])
        allowed = (reading for reading, part in chain(as_it_is, read) if not violations(reading, part))
        return next(allowed, value)
    if "enum" in schema and isinstance(value, int | float | str) and value not in schema["enum"]:
        readings = (settled(value, {"type": kind}, {}) for kind in ("integer", "string"))
        return next((reading for reading in readings if reading in schema["enum"]), value)
    kinds = schema.get("type", [])
    kinds = [kinds] if isinstance(kinds, str) else kinds
    if isinstance(value, str) and "string" not in kinds:
        value = _said(value, kinds)
    for kind in kinds:
        match kind, value:
            case "integer", float() if value.is_integer():
                return int(value)
            case "string", bool():
                return "yes" if value else "no"
            case "string", int() | float():
                return str(value)
            case "array", str() if _has_words(followed(schema.get("items", {}), definitions)):
                return [value]
            case "array", list() if isinstance(schema.get("items"), dict):
                return [settled(item, schema["items"], definitions) for item in value]
            case "object", dict():
                known, others = schema.get("properties", {}), schema.get("additionalProperties", {})
                others = others if isinstance(others, dict) else {}  # it may be true or false
                return {
                    str(key): settled(item, known.get(key, others), definitions)
                    for key, item in value.items()
                }
    return value


def _said(text: str, kinds: list[str]) -> Any:
    """The value of one of some JSON types that a text says; the text itself where it says none."""
    if {"integer", "number"} & set(kinds) and NUMBER.fullmatch(text):
        return int(text) if text.lstrip("+-").isdecimal() else float(text)
    if "boolean" in kinds and text.lower() in ("true", "false"):
        return text.lower() == "true"
    if "null" in kinds and text.lower() in NULLS:
        return None
    return text


def _has_words(schema: dict) -> bool:
    """Whether a value may be one of some known words."""
    return any("enum" in part for part in (schema, *schema.get("anyOf", [])))


# Checking


def checked(config: dict, schema: dict) -> dict:
    """Return the configuration over the entries of the package, with every value read as it is meant.

    Args:
        config: sections of the study; its named entries are added to those of the package, or override them.
        schema: whole, as `whole_schema` gives it.

    Raises:
        InvalidInput: with every violation of the schema or of a function's signature, a line each.
    """
    config = settled(without_nulls(overlaid(catalogue(), config)), schema, schema["$defs"])
    refuse(violations(config, schema, sections=config))
    for section in SECTIONS:
        for name, entry in config[section].items():
            parts = [bound(section, f"{section}.{name}", part) for part in entries_of(entry)]
            config[section][name] = parts if isinstance(entry, list) else parts[0]
    for name, regime in config["regimes"].items():
        config["regimes"][name] = bound_settings(f"regimes.{name}", regime)
    return config


def entries_of(entry: dict | list[dict]) -> list[dict]:
    """The functions of an entry with their arguments: one, or several, applied one after the other."""
    return entry if isinstance(entry, list) else [entry]


def labelled(figure: dict, key: str) -> set[str]:
    """Names to which an entry of `figures` gives labels: those of pretrained tickets, of panels, ..."""
    return {name for labels in figure.get(key, []) for name in labels}


def shown_by(figure: dict) -> set[str]:
    """Perturbations that an entry of `figures` shows."""
    families = (names for labels in figure.get("families", []) for names in labels.values())
    return labelled(figure, "show").union(*families)


@cache
def _validator_class() -> type:
    """The validator of JSON schemas, to which 2.0 is no whole number, and NaN and infinity are no number."""
    from jsonschema import Draft202012Validator, validators

    def is_number(_checker: object, value: object) -> bool:
        return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)

    def is_integer(_checker: object, value: object) -> bool:
        return isinstance(value, int) and not isinstance(value, bool)

    types = Draft202012Validator.TYPE_CHECKER.redefine_many({"number": is_number, "integer": is_integer})
    return validators.extend(Draft202012Validator, type_checker=types)


def violations(value: object, schema: dict, place: str = "", sections: Mapping | None = None) -> list[str]:
    """Violations of a schema, a sentence each, in the order of the keys.

    Args:
        place: the name of the value.
        sections: of the configuration, whose entries are meant where the schema says `entry_of: tasks`.
    """

    def is_entry(_validator: Any, section: str, name: str, _schema: dict) -> Iterator[Any]:
        from jsonschema import ValidationError

        for problem in unknown(name, f"under {section}", (sections or {})[section]):
            yield ValidationError(problem)

    from jsonschema import validators

    checking = (
        validators.extend(_validator_class(), {"entry_of": is_entry}) if sections else _validator_class()
    )
    errors = sorted(
        checking(schema).iter_errors(value), key=lambda problem: list(map(str, problem.absolute_path))
    )
    return list(dict.fromkeys(_explain(error, place) for error in errors))  # one for all keys that lack


def unknown(name: str, place: str, known: Iterable[str]) -> Iterator[str]:
    """That a name is not "under tasks" or in another place, and which one is close to it."""
    if name not in (names := list(known)):
        listed = ", ".join(names) or "none"
        yield f"{name!r}, which is not {place}{closest(name, names)} (known: {listed})"


def refuse(problems: Iterable[str]) -> None:
    """Raise `InvalidInput` with all problems, each once, if there is any."""
    if sentences := list(dict.fromkeys(problems)):
        raise InvalidInput("configuration: " + "\n  ".join(sentences))


def _explain(problem: Any, place: str = "") -> str:
    """One violation, a `jsonschema.ValidationError`, in the words of someone who edits a configuration."""
    key = ".".join(filter(None, [place, *map(str, problem.absolute_path)])) or "the configuration"
    value = problem.instance
    rule = f" ({problem.schema['description']})" if "description" in problem.schema else ""
    match problem.validator:
        case "additionalProperties":
            known = list(problem.schema.get("properties", {}))
            unknown = [name for name in value if name not in known]
            return "; ".join(
                f"unknown key {name!r} in {key}{closest(name, known)} (known: {', '.join(known)})"
                for name in unknown
            )
        case "required":
            missing = [name for name in problem.validator_value if name not in value]
            return f"{key} lacks {', '.join(missing)}"
        case "uniqueItems":
            return f"{key} is {value}: the same value stands there twice"
        case "entry_of":
            return f"{key} is {problem.message}"
        case "enum" | "anyOf" if rule:
            return f"{key} is {value!r}, but must be {problem.schema['description']}"
        case "type" if isinstance(value, str) and problem.validator_value in ("number", "integer"):
            return f"{key} is the text {value!r}, but must be of type {problem.validator_value}"
        case "type":
            return f"{key} is {value!r}, but must be of type {problem.validator_value}{rule}"
    return f"{key} is {value!r}: {problem.message}{rule}"


def bound_settings(place: str, training: dict) -> dict:
    """Bind the entries among the settings of a training to the signatures of the functions that they name.

    Raises:
        InvalidInput: as `bound`.
    """
    entries = {kind: training[kind] for kind in KINDS if isinstance(training.get(kind), dict)}
    return training | {kind: bound(kind, f"{place}.{kind}", entry) for kind, entry in entries.items()}


def closest(name: str, known: list[str]) -> str:
    """Suggest the known name nearest to a mistyped one, or nothing."""
    close = get_close_matches(str(name), known, n=1)
    return f", did you mean {close[0]!r}?" if close else ""


def bound(section: str, place: str, entry: dict) -> dict:
    """Bind an entry to the signature of the function that it names; return it with values as they are meant.

    Args:
        place: what messages call the entry: "models.resnet8".

    Raises:
        InvalidInput: there is no such function, or an argument is unknown, missing, or out of its range.
    """
    functions = registered(section)
    problems = unknown(entry["function"], f"registered in {section}", functions)
    refuse(f"{place}.function is {problem}" for problem in problems)
    known = functions[entry["function"]]
    schema = {
        "type": "object",
        "properties": {key: {} for key in ("function", *PLACES[section].besides)} | dict(known.schema),
        "required": sorted(known.required),
        "additionalProperties": False,
    }
    entry = settled(entry, schema, {})
    refuse(violations(entry, schema, place))
    return entry
