"""Registered functions as their source describes them: arguments, types, ranges, facts.

Read, not imported: importing some of these modules takes seconds, and a study is planned at every start.
"""

import ast
import builtins
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from types import NoneType, UnionType
from typing import Annotated, Any, Literal, Union, get_args, get_origin

from earlyphase.errors import InvalidInput
from earlyphase.runtime.plugins import plugin_files
from earlyphase.study.fingerprints import modules_of, parse


@dataclass(frozen=True)
class Section:
    """A section of the configuration whose entries name registered functions."""

    place: str  # module, or folder of modules, in which the functions of this package stand
    decorator: str
    wildcard: str  # of a path, that holds the name of an entry
    besides: tuple[str, ...] = ()  # keys of an entry that are no arguments
    planned: bool = True  # whether planning reads the facts of the decorator, which must then be constants


SECTIONS = {
    "datasets": Section("datasets", "dataset", "dataset", ("flip",)),
    "models": Section("core.networks", "network", "model", ("training",)),
    "tasks": Section("core.tasks", "task", "task"),
    "perturbations": Section("core.branches", "branch", "perturbation"),
    "criteria": Section("core.criteria", "criterion", "criterion", ("retraining",)),
    "figures": Section("results.figures", "figure", "figure"),
}
PLACES = {
    **SECTIONS,
    "claims": Section("results.claims", "claim", "", planned=False),
    "optimizer": Section("core.optimizer", "optimizer", ""),  # which settings of a training name, as the next
    "schedule": Section("core.schedules", "schedule", ""),
    "initialisation": Section("core.initial", "initialisation", ""),
    "augmentation": Section("core.images", "augmentation", ""),
}


@dataclass(frozen=True)
class Registered:
    """A registered function.

    Attributes:
        module: where it stands: "core.branches", "plugins.mine".
        schema: JSON schema of each keyword argument.
        required: arguments without a default.
        defaults: of the other arguments.
        facts: what the decorator says of it.
    """

    module: str
    schema: Mapping[str, dict]
    required: frozenset[str]
    defaults: dict[str, Any]
    facts: dict[str, Any]


@cache
def registered(section: str) -> dict[str, Registered]:
    """Functions registered for one of `PLACES`, those of plugins included, by name.

    Raises:
        InvalidInput: two have the same name, or a fact is no constant.
    """
    place, decorator, planned = PLACES[section].place, PLACES[section].decorator, PLACES[section].planned
    functions: dict[str, Registered] = {}
    for module in [*modules_of(place), *plugin_files()]:
        for name, statements in parse(module).definitions.items():
            function = statements[-1]
            if not isinstance(function, ast.FunctionDef):
                continue
            facts = next(
                filter(None, (_facts(node, decorator, planned) for node in function.decorator_list)), None
            )
            if facts is None:
                continue
            if name in functions:
                other = functions[name].module
                raise InvalidInput(f"{decorator} {name!r} is defined in {other} and in {module}")
            functions[name] = _described(module, function, facts[0])
    return functions


def _facts(node: ast.expr, decorator: str, planned: bool) -> tuple[dict] | None:
    """Facts in a decorator of the right name, in a tuple, because there may be none; None for any other."""
    keywords = []
    if isinstance(node, ast.Call):
        keywords, node = node.keywords, node.func
    name = node.attr if isinstance(node, ast.Attribute) else getattr(node, "id", "")
    if name != decorator:
        return None
    return ({keyword.arg: ast.literal_eval(keyword.value) for keyword in keywords if planned},)


def _described(module: str, function: ast.FunctionDef, facts: dict) -> Registered:
    schema, defaults = {}, {}
    for argument, default in zip(function.args.kwonlyargs, function.args.kw_defaults, strict=True):
        schema[argument.arg] = schema_of(_evaluated(argument.annotation, module))
        if default is not None:
            try:
                defaults[argument.arg] = ast.literal_eval(default)
            except ValueError:
                defaults[argument.arg] = None  # not written out as a constant
    return Registered(module, schema, frozenset(schema) - frozenset(defaults), defaults, facts)


KNOWN = {"Annotated": Annotated, "Literal": Literal}


def _evaluated(annotation: ast.expr | None, module: str) -> object:
    """The type that an annotation stands for; `object` where it is made of anything unusual."""
    if annotation is None:
        return object
    names = {node.id for node in ast.walk(annotation) if isinstance(node, ast.Name)}
    scope = {name: KNOWN.get(name, getattr(builtins, name, None)) for name in names}
    scope |= {name: _alias(name, module) for name, known in scope.items() if known is None}
    try:
        return eval(ast.unparse(annotation), scope)
    except Exception:  # whatever else an annotation may be: it states no type that is known here
        return object


def _alias(name: str, module: str) -> object:
    """The type that a module gives a name, or another module that it is imported from."""
    source = parse(module)
    if name in source.imports:
        origin, original = source.imports[name]
        return _alias(original, origin) if origin else object
    match source.definitions.get(name):
        case [ast.Assign(value=value)]:
            return _evaluated(value, module)
    return object


JSON_TYPES = {int: "integer", float: "number", bool: "boolean", str: "string", NoneType: "null"}


def schema_of(annotation: object) -> dict:
    """JSON schema of a type: numbers, text, `Literal`, lists, mappings, unions; anything else allows all.

    A mapping in `Annotated` is part of the schema: `Annotated[int, {"minimum": 1}]`.
    """
    if isinstance(annotation, type) and annotation in JSON_TYPES:
        return {"type": JSON_TYPES[annotation]}
    inner = get_args(annotation)
    match get_origin(annotation):
        case origin if origin is Annotated:
            extra = [part for part in inner[1:] if isinstance(part, dict)]
            return {key: value for part in (schema_of(inner[0]), *extra) for key, value in part.items()}
        case origin if origin is Literal:
            return {"enum": list(inner)}
        case origin if origin in (Union, UnionType):
            return {"anyOf": [schema_of(part) for part in inner]}
        case origin if origin is list:
            return {"type": "array", "items": schema_of(inner[0])}
        case origin if origin is dict:
            return {"type": "object", "additionalProperties": schema_of(inner[1])}
    return {}


def stated(section: str, entry: Mapping) -> dict[str, Any]:
    """What is known of an entry: what it says, else its function's default, else what the decorator says."""
    described = registered(section)[entry["function"]]
    return {**described.facts, **described.defaults, **entry}
