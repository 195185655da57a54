"""Reading a configuration: files laid over one another, checked against the schema and against signatures."""

import math
import re
from collections.abc import Iterator
from difflib import get_close_matches
from functools import cache
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
        with path.open() as file:
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


def plugins_of(paths: list[Path]) -> list[Path]:
    """Files under `plugins`; each path is relative to the configuration file that names it."""
    named = [(path, content["plugins"]) for path in paths if "plugins" in (content := read_yaml(path))]
    if not named:
        return []
    path, plugins = named[-1]
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
    """Leave out the entries of sections that are null: how a file laid over another removes one."""
    cleaned = {
        section: {name: entry for name, entry in config[section].items() if entry is not None}
        for section in (*SECTIONS, "regimes")
        if isinstance(config.get(section), dict)
    }
    return config | cleaned


# One meaning for a value, however it is written


def settled(value: Any, schema: dict, definitions: dict) -> Any:
    """Read a value as the schema means it, where YAML or a command line leaves that open.

    Where a whole number belongs, 2.0 and the text "2" are 2; where text belongs, a number is the text of
    it, and a truth value "yes" or "no"; where a list of known words belongs, one word is a list of it.
    Anything else stays, for the schema to refuse.
    """
    if "$ref" in schema:
        return settled(value, definitions[schema["$ref"].rsplit("/", 1)[1]], definitions)
    for part in schema.get("allOf", []):
        value = settled(value, part, definitions)
    if "enum" in schema and isinstance(value, int | float | str) and value not in schema["enum"]:
        readings = (settled(value, {"type": kind}, {}) for kind in ("integer", "string"))
        return next((reading for reading in readings if reading in schema["enum"]), value)
    match schema.get("type"), value:
        case "integer", float() if value.is_integer():
            return int(value)
        case "integer", str() if re.fullmatch(r"[+-]?\d+", value):
            return int(value)
        case "string", bool():
            return "yes" if value else "no"
        case "string", int() | float():
            return str(value)
        case "array", str() if "enum" in schema.get("items", {}):
            return [value]
        case "array", list() if isinstance(schema.get("items"), dict):
            return [settled(item, schema["items"], definitions) for item in value]
        case "object", dict():
            return {
                key if isinstance(key, str) else str(key): settled(
                    item, schema.get("properties", {}).get(key, _others(schema)), definitions
                )
                for key, item in value.items()
            }
    return value


def _others(schema: dict) -> dict:
    """Schema of the keys of a mapping that are not named in it."""
    others = schema.get("additionalProperties", {})
    return others if isinstance(others, dict) else {}


# Checking


def checked(config: dict, schema: dict) -> dict:
    """Return the configuration with every value read as it is meant.

    Raises:
        InvalidInput: with every violation of the schema or of a function's signature, a line each.
    """
    config = settled(without_nulls(config), schema, schema["$defs"])
    problems = [f"{key} is {value}, which is no number" for key, value in not_finite(config)]
    problems = problems or violations(config, schema)
    if problems:
        raise InvalidInput("configuration: " + "\n  ".join(problems))
    for section in SECTIONS:
        for name, entry in config[section].items():
            bound_entries = [bound(section, f"{section}.{name}", one) for one in entries_of(entry)]
            config[section][name] = bound_entries if isinstance(entry, list) else bound_entries[0]
    for name, regime in config["regimes"].items():
        config["regimes"][name] = bound_settings(f"regimes.{name}", regime)
    return config


def entries_of(entry: dict | list[dict]) -> list[dict]:
    """The functions of an entry with their arguments: one, or several, applied one after the other."""
    return entry if isinstance(entry, list) else [entry]


def shown_by(figure: dict) -> set[str]:
    """Perturbations that an entry of `figures` shows."""
    shown = {name for labelled in figure.get("show", []) for name in labelled}
    families = (names for labelled in figure.get("families", []) for names in labelled.values())
    return shown | {name for names in families for name in names}


def tickets_of(figure: dict) -> set[str]:
    """Perturbations of tickets that were pretrained, which an entry of `figures` shows."""
    return {name for labelled in figure.get("tickets", []) for name in labelled}


def panels_of(figure: dict) -> set[str]:
    """Pretrainings that an entry of `figures` shows, a panel each."""
    return {name for labelled in figure.get("panels", []) for name in labelled}


def not_finite(value: object, key: str = "") -> Iterator[tuple[str, float]]:
    """Find NaN and infinities, which the bounds of a JSON schema let pass: key and value."""
    if isinstance(value, float) and not math.isfinite(value):
        yield key, value
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for name, item in items:
        yield from not_finite(item, f"{key}.{name}" if key else str(name))


@cache
def _validator_class() -> type:
    """The validator of JSON schemas, to which 2.0 is no whole number."""
    from jsonschema import Draft202012Validator, validators

    def is_integer(_checker: object, value: object) -> bool:
        return isinstance(value, int) and not isinstance(value, bool)

    types = Draft202012Validator.TYPE_CHECKER.redefine("integer", is_integer)
    return validators.extend(Draft202012Validator, type_checker=types)


def violations(value: object, schema: dict, place: str = "") -> list[str]:
    """Violations of a schema, a sentence each, in the order of the keys; `place` is the name of the value."""
    found = _validator_class()(schema).iter_errors(value)
    found = sorted(found, key=lambda problem: list(map(str, problem.absolute_path)))
    return list(dict.fromkeys(_explain(problem, place) for problem in found))  # one for all keys that lack


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
        case "enum" if rule:
            return f"{key} is {value!r}, but must be {problem.schema['description']}"
        case "type" if isinstance(value, str) and problem.validator_value in ("number", "integer"):
            hint = " (YAML reads 1e-4 as text, 1.0e-4 as a number)" if "e" in value else ""
            return f"{key} is the text {value!r}, but must be of type {problem.validator_value}{hint}"
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
    where = f"configuration: {place}"
    if entry["function"] not in functions:
        raise InvalidInput(
            f"{where}.function is {entry['function']!r}, which is not registered in {section}"
            f"{closest(entry['function'], list(functions))} (known: {', '.join(functions)})"
        )
    function, known = entry["function"], functions[entry["function"]]
    besides = {"function", *PLACES[section].besides}
    arguments = {name: value for name, value in entry.items() if name not in besides}
    for name in arguments:
        if name not in known.schema:
            raise InvalidInput(
                f"{where}.{name}: {function} has no such argument{closest(name, list(known.schema))} "
                f"(arguments: {', '.join(sorted(known.schema)) or 'none'})"
            )
    for name in sorted(known.required - arguments.keys()):
        raise InvalidInput(f"{where} lacks {name}, which {function} needs")
    schema = {"type": "object", "properties": dict(known.schema)}
    arguments = settled(arguments, schema, {})
    if problems := violations(arguments, schema, place):
        raise InvalidInput("configuration: " + "\n  ".join(problems))
    return entry | arguments
