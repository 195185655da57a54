#!/usr/bin/env python3
"""Write docs/configuration.md: every key, from the schemas, the default study and the registered functions.

A test holds the page to what this makes. usage: python docs/make_configuration.py
"""

import re
from pathlib import Path

import yaml

from earlyphase.core.settings import KINDS
from earlyphase.stages import stage, stage_names
from earlyphase.study.configuration import CATALOGUE, catalogue, followed, read_yaml, whole_schema
from earlyphase.study.fingerprints import description_of
from earlyphase.study.signatures import SECTIONS, registered

ROOT = Path(__file__).resolve().parents[1]
PAGE = ROOT / "docs" / "configuration.md"
INTRODUCTION = """# Configuration

`config.yaml` is the default study; a file of yours overrides it with `--configfile`. Mappings merge, lists
are replaced, and an entry of a section that is set to `null` is left out. Sections of which the package has
entries (`src/earlyphase/catalogue`, `python -m earlyphase list`) need not be said: yours are added to them.
Keys with an asterisk may also be said within an entry of `runs`, for that run alone. This page is made from
`config.schema.yaml`, from the default study, the catalogue and the signatures of the registered functions
(`python docs/make_configuration.py`).

Experiments choose from what the study computes. `rewind_iterations` are numbers k, `all`, `early` (the
smallest k above 0) or `late` (the largest). `rounds` are numbers, `all`, or with a point densities: the round
whose density is within a tenth of it, and never another. Times are iterations, or with a point fractions of
training. What a smaller study does not have is left out, with a note at the start and in `status`.
"""
LONGEST = 60  # characters of a default that is shown


def kind(schema, definitions):
    """What a value may be, in words."""
    own = schema.get("description") if "$ref" not in schema else None
    schema = followed(schema, definitions)
    if "anyOf" in schema and "description" in schema:
        return own or followed({"$ref": schema["$ref"]}, definitions)["description"]
    if "enum" in schema:
        if len(schema["enum"]) > 8:
            return schema.get("description", f"one of {len(schema['enum'])} values")
        return "one of " + ", ".join(f"`{value}`" for value in schema["enum"])
    if "anyOf" in schema:
        return " or ".join(kind(part, definitions) for part in schema["anyOf"])
    match schema.get("type"):
        case "array":
            least = "" if schema.get("minItems") else ", may be empty"
            items = followed(schema.get("items", {}), definitions)
            return f"list of {plural(kind(items, definitions))}{least}"
        case "object":
            return "mapping"
        case "string":
            return "text"
        case "boolean":
            return "`true` or `false`"
        case "integer" | "number" as name:
            return f"{'whole number' if name == 'integer' else 'number'}{limits(schema)}"
        case "null":
            return "nothing"
        case list() as several:
            return " or ".join(kind({"type": name}, definitions) for name in several)
    return "anything" if not schema.get("then") else "an entry, or a list of entries"


def plural(words):
    """Several of what a value may be."""
    for one in ("whole number", "number", "mapping", "list", "text", "an iteration", "a round"):
        if words.startswith(one):
            return words.replace(one, f"{one.split(' ', one.startswith('a'))[-1]}s", 1)
    return words


def limits(schema):
    """Range of a number, in words."""
    words = {
        "minimum": "at least", "exclusiveMinimum": "above", "maximum": "at most", "exclusiveMaximum": "below",
    }  # fmt: skip
    found = [f"{word} {schema[key]}" for key, word in words.items() if key in schema]
    return f" {' and '.join(found)}" if found else ""


def comments(text):
    """Comment behind each key of the first two levels of a YAML file: ("training", "decay") -> text."""
    found, section = {}, ""
    for line in text.split("\n"):
        if match := re.match(r"^( {0,2})([a-z_][a-z0-9_.]*):(?:.*?\s#\s(.*))?", line):
            indent, key, comment = match.groups()
            if not indent:
                section = key
            found[(section, key) if indent else (key,)] = comment or ""
    return found


def shown(value):
    """A default as YAML in one line, or where it stands if it is long."""
    text = yaml.safe_dump(value, default_flow_style=True, width=10**6).replace("\n...", "").strip()
    return f"`{text}`" if len(text) <= LONGEST else "see `config.yaml`"


def table(rows, head):
    """Rows as a table of Markdown; none is no table."""
    if not rows:
        return ""
    lines = [head, ["---"] * len(head), *([cell.replace("|", "\\|") for cell in row] for row in rows)]
    return "\n".join(f"| {' | '.join(cells)} |" for cells in lines) + "\n"


def functions_of(section):
    """Table of the functions that entries of a section may name: their arguments, and what they do."""
    rows = []
    for name, function in sorted(registered(section).items()):
        arguments = []
        for argument, schema in function.schema.items():
            default = f" = {function.defaults[argument]}" if argument in function.defaults else ""
            arguments.append(f"`{argument}{default}`: {kind(schema, {})}")
        first = description_of(function.module, name).split("\n\n")[0].replace("\n", " ")
        rows.append([f"`{name}`", first, "; ".join(arguments) or "none"])
    return table(rows, ["function", "what it does", "arguments"])


def section_of(key, schema, config, said, everywhere):
    """One key of the first level: heading, what it is, and a table of what it holds."""
    definitions = schema["$defs"]
    own = followed(schema["properties"][key], definitions)
    star = " *" if key in everywhere else ""
    lines = [f"## `{key}`{star}\n"]
    about = said.get((key,), "") or own.get("description", "")
    if about:
        lines.append((about if about[1] == ":" else about[0].upper() + about[1:]) + ".\n")
    if key in catalogue():
        entries = ", ".join(f"`{name}`" for name in catalogue()[key])
        lines.append(f"Entries of the package: {entries}.\n")
    if key in SECTIONS:
        return "\n".join([*lines, functions_of(key)])
    items = followed(own.get("items", {}), definitions)
    holder = items if "properties" in items else own
    if "properties" not in holder:
        inner = holder.get("additionalProperties")
        holder = followed(inner, definitions) if isinstance(inner, dict) else holder
    if properties := holder.get("properties"):
        of_list = holder is items
        rows = []
        for name, part in properties.items():
            if key == "runs" and name in everywhere:
                continue  # below, with an asterisk
            value = config[key].get(name) if isinstance(config.get(key), dict) else None
            comment = said.get((key, name), "") or followed(part, definitions).get("description", "")
            needed = "" if name in holder.get("required", []) or not of_list else "; may be left out"
            rows.append(
                [
                    f"`{name}`",
                    kind(part, definitions) + needed,
                    "" if value is None else shown(value),
                    comment,
                ]
            )
        if of_list:
            lines.append("A list of entries:\n")
        lines.append(table(rows, ["key", "may be", "default", "meaning"]))
        for kind_of_entry in KINDS if key == "training" else ():
            lines += [f"An entry under `{kind_of_entry}`:\n", functions_of(kind_of_entry)]
    else:
        default = f" Default: {shown(config[key])}." if key in config else ""
        lines.append(f"May be: {kind(own, definitions)}.{default}\n")
    return "\n".join(lines)


def page():
    """The whole page."""
    settings = {section: own for name in stage_names() for section, own in stage(name).settings.items()}
    schema = read_yaml(ROOT / "config.schema.yaml")
    schema = whole_schema(schema | {"properties": schema["properties"] | settings})
    text = (ROOT / "config.yaml").read_text()
    config, said = yaml.safe_load(text), comments(text)
    for kind_of_entry in catalogue():
        first = (CATALOGUE / f"{kind_of_entry}.yaml").read_text().split("\n")[0]
        said[(kind_of_entry,)] = first.removeprefix("# ").removesuffix(".")
    everywhere = {key for key, own in schema["properties"].items() if own.get("per_run")}
    parts = [section_of(key, schema, config, said, everywhere) for key in schema["properties"]]
    return "\n".join([INTRODUCTION, *parts]).rstrip() + "\n"


if __name__ == "__main__":
    PAGE.write_text(page())
