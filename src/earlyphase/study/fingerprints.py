"""Fingerprints of code: what a job runs, and so what an edit makes again.

A fingerprint follows names, not files: it covers the definitions that an entry function reaches, in
whatever module of this package they stand, the files beside them that one of them finds by `with_name`
and nothing else. So a comment, a docstring or a reformat
changes no fingerprint, an edit of one figure changes that figure's alone, and an edit of pruning leaves dense
training as it was. Names are followed in the rooms that determine a result, and in plugins; `runtime` and
`study` cannot change one.
"""

import ast
import hashlib
import json
import re
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path

from earlyphase import PUBLIC
from earlyphase.errors import InvalidInput
from earlyphase.runtime.plugins import plugin_files

PACKAGE = "earlyphase"
SOURCE = Path(__file__).parents[1]
FOLLOWED = ("core", "datasets", "results", "stages", "plugins", "sentences")
LOOSE = "(loose)"  # the name of what runs and defines nothing
TEXTS = (".j2", ".css")  # in place of a definition: a file beside the module, hashed whole
NEWER_FIELDS = ("type_params", "is_lazy")  # of syntax trees, since Python 3.12 and 3.15; empty where unused
FOR_PROGRAMMERS = re.compile(r"^(?:Args|Returns|Raises|Source):", re.MULTILINE)  # sections of a docstring
Name = tuple[str, str]  # module below the package, definition in it


def canonical(value: object) -> str:
    """One JSON text for equal values, whatever the order of their keys."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"))


@dataclass
class Module:
    """The top level of a source file."""

    definitions: dict[str, list[ast.stmt]] = field(default_factory=dict)
    imports: dict[str, Name] = field(default_factory=dict)  # alias -> what it stands for
    loose: list[ast.stmt] = field(default_factory=list)  # statements that run and define nothing


@cache
def fingerprint(*roots: str) -> str:
    """Name the code that `roots` run: the roots themselves, then a hash of all they reach.

    Args:
        roots: "module.function" below the package, e.g. "stages.dense.compute", "core.tasks.blurred".

    Raises:
        InvalidInput: a root names nothing, or stands in a room that is not followed.
    """
    return " ".join([*roots, _digest(canonical(definitions(*roots)))])


@cache
def definitions(*roots: str) -> dict[str, str]:
    """Hash of each definition that `roots` reach by name: "module.name" -> 8 hex digits.

    Raises:
        InvalidInput: a root names nothing, or stands in a room that is not followed.
    """
    reached: dict[str, str] = {}
    waiting = [_root(root) for root in roots]
    while waiting:
        module_name, name = waiting.pop()
        if module_name == PACKAGE:
            module_name = PUBLIC.get(name, "")
        if module_name.split(".")[0] not in FOLLOWED or f"{module_name}.{name}" in reached:
            continue
        if name.endswith(TEXTS):
            content = source_file(module_name).with_name(name).read_text(encoding="utf-8")
            reached[f"{module_name}.{name}"] = _digest(content)[:8]
            continue
        module = parse(module_name)
        if name not in module.definitions and name in module.imports:  # a name passed on by another module
            waiting.append(module.imports[name])
            continue
        for described in (name, LOOSE) if module.loose else (name,):
            digest, needed = _described(module_name, described)
            if f"{module_name}.{described}" not in reached:
                reached[f"{module_name}.{described}"] = digest
                waiting.extend(needed)
    return reached


def _root(root: str) -> Name:
    """Module and name of a root.

    Raises:
        InvalidInput: it names nothing, or stands in a room that is not followed.
    """
    module_name, _, name = root.rpartition(".")
    if module_name.split(".")[0] not in FOLLOWED:
        raise InvalidInput(f"{root} is in none of the rooms that determine results: {', '.join(FOLLOWED)}")
    if not source_file(module_name).is_file() or name not in parse(module_name).definitions:
        raise InvalidInput(f"{module_name} defines no {name!r}")
    return module_name, name


@cache
def _described(module_name: str, name: str) -> tuple[str, list[Name]]:
    """Hash of a definition, or of all loose statements of a module, and the package's names that it uses."""
    module = parse(module_name)
    statements = module.loose if name == LOOSE else module.definitions.get(name)
    if statements is None:
        raise InvalidInput(f"{module_name} defines no {name!r}")
    text, needed = _describe(module_name, module, statements)
    return _digest(text)[:8], needed


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def source_file(module_name: str) -> Path:
    """File that holds a module: "stages.dense", "datasets", "plugins.mine".

    Raises:
        InvalidInput: it is a plugin that the study does not name.
    """
    if module_name.startswith("plugins."):
        if module_name not in plugin_files():
            raise InvalidInput(f"{module_name} is no plugin of this study")
        return plugin_files()[module_name]
    path = SOURCE.joinpath(*module_name.split("."))
    return path / "__init__.py" if path.is_dir() else path.with_suffix(".py")


def description_of(module_name: str, function: str) -> str:
    """What a function says of itself to a reader: its docstring up to the sections for programmers."""
    for statement in ast.parse(source_file(module_name).read_text(encoding="utf-8")).body:
        if isinstance(statement, ast.FunctionDef) and statement.name == function:
            return FOR_PROGRAMMERS.split(ast.get_docstring(statement) or "", maxsplit=1)[0].strip()
    raise InvalidInput(f"{module_name} defines no function {function!r}")


def modules_of(module_name: str) -> list[str]:
    """A module, or a folder of modules and each of these: "datasets", "datasets.downloads", ..."""
    path = SOURCE.joinpath(*module_name.split("."))
    parts = sorted(part.stem for part in path.glob("*.py") if part.stem != "__init__")
    return [module_name, *(f"{module_name}.{part}" for part in parts)]


@cache
def parse(module_name: str) -> Module:
    """Read the top level of a module, without docstrings; do not run it.

    Raises:
        InvalidInput: it is a plugin that is no Python.
    """
    module, path = Module(), source_file(module_name)
    try:
        tree = ast.parse(path.read_text(encoding="utf-8"))
    except SyntaxError as error:
        raise InvalidInput(f"plugin {path}, line {error.lineno}: {error.msg}") from None
    for statement in _strip_docstrings(tree).body:
        match statement:
            case ast.FunctionDef(name=name) | ast.AsyncFunctionDef(name=name) | ast.ClassDef(name=name):
                module.definitions.setdefault(name, []).append(statement)
            case ast.Assign(targets=targets):
                for target in targets:
                    for node in ast.walk(target):
                        if isinstance(node, ast.Name):
                            module.definitions.setdefault(node.id, []).append(statement)
            case ast.AnnAssign(target=ast.Name(id=name)):
                module.definitions.setdefault(name, []).append(statement)
            case ast.Import() | ast.ImportFrom():
                module.imports |= _imported(statement)
            case ast.Expr(value=ast.Constant()):
                pass  # the module's docstring
            case _:
                module.loose.append(statement)
    return module


def _imported(statement: ast.Import | ast.ImportFrom) -> dict[str, Name]:
    """Alias -> (module, name) for this package; ("", description) for anything else.

    A whole module of this package has the name "*".

    Raises:
        InvalidInput: it imports a module of this package in a way that is not followed.
    """
    found = {}
    for alias in statement.names:
        bound = alias.asname or alias.name
        if isinstance(statement, ast.Import):
            if alias.name == PACKAGE:
                found[bound] = (PACKAGE, "*")
                continue
            if alias.name.startswith(f"{PACKAGE}."):
                raise InvalidInput(
                    f"write `from {PACKAGE} import x`, not `import {alias.name}`: it is not traced"
                )
            found[bound.split(".")[0] if alias.asname is None else bound] = ("", f"import {alias.name}")
        elif statement.module == PACKAGE:
            found[bound] = (PACKAGE, alias.name) if alias.name in PUBLIC else (alias.name, "*")
        elif statement.module and statement.module.startswith(f"{PACKAGE}."):
            origin = statement.module.removeprefix(f"{PACKAGE}.")
            below = SOURCE.joinpath(*origin.split("."), alias.name)
            if below.with_suffix(".py").exists() or below.is_dir():
                found[bound] = (f"{origin}.{alias.name}", "*")
            else:
                found[bound] = (origin, alias.name)
        else:
            found[bound] = ("", f"from {statement.module} import {alias.name}")
    return found


def _describe(module_name: str, module: Module, statements: list[ast.stmt]) -> tuple[str, list[Name]]:
    """Text of statements without what does not run, and the package's names that they use."""
    aliases = dict(module.imports)
    nodes = [node for statement in statements for node in ast.walk(statement)]
    for node in nodes:
        if isinstance(node, ast.Import | ast.ImportFrom):
            aliases |= _imported(node)
    parameters = {name for statement in statements for name in _parameters(statement)}
    needed, outside = [], set()
    for node in nodes:
        match node:
            case ast.Attribute(value=ast.Name(id=alias), attr=attribute) if (
                aliases.get(alias, ("", ""))[1] == "*"
            ):
                needed.append((aliases[alias][0], attribute))
            case ast.Call(func=ast.Attribute(attr="with_name"), args=[ast.Constant(value=str(file))]) if (
                file.endswith(TEXTS)
            ):
                needed.append((module_name, file))
            case ast.Name(id=name):
                origin = aliases.get(name)
                if origin is None:
                    if name in module.definitions and name not in parameters:
                        needed.append((module_name, name))
                elif origin[0] == "":
                    outside.add(f"{name}: {origin[1]}")
                elif origin[1] != "*":
                    needed.append(origin)
    return "\n".join([*map(_text, statements), *sorted(outside)]), needed


def _parameters(statement: ast.stmt) -> set[str]:
    """Parameters of a function that hide definitions of these names: those that its own head does not use."""
    if not isinstance(statement, ast.FunctionDef | ast.AsyncFunctionDef):
        return set()
    head, named = statement.args, (ast.walk(part) for part in (statement.args, *statement.decorator_list))
    used = {node.id for nodes in named for node in nodes if isinstance(node, ast.Name)}
    return {argument.arg for argument in (*head.posonlyargs, *head.args, *head.kwonlyargs)} - used


def _text(node: object) -> str:
    """A syntax tree as `ast.dump` of Python 3.11 writes it: that of another Python writes it otherwise."""
    if isinstance(node, list):
        return f"[{', '.join(map(_text, node))}]"
    if not isinstance(node, ast.AST):
        return repr(node)
    fields = {name: getattr(node, name, None) for name in node._fields}
    said = (
        f"{name}={_text(value)}"
        for name, value in fields.items()
        if (value or name not in NEWER_FIELDS)
        and (value is not None or getattr(type(node), name, ...) is not None)  # optional, and not there
    )
    return f"{type(node).__name__}({', '.join(said)})"


def _strip_docstrings(tree: ast.Module) -> ast.Module:
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            match node.body[0]:
                case ast.Expr(value=ast.Constant(value=str())):
                    node.body = node.body[1:] or [ast.Pass()]
    return tree


def confirm(planned: str) -> set[str]:
    """Check that the code behind a fingerprint is still the planned one; note what it consists of.

    Returns:
        Names of the modules in which its roots stand.

    Raises:
        InvalidInput: the code was edited after this job was planned, so that its results would be
            filed under the wrong fingerprint.
    """
    *roots, _ = planned.split()
    if fingerprint(*roots) != planned:
        raise InvalidInput(
            f"the code of {', '.join(roots)} changed while the workflow was running; run Snakemake again"
        )
    if not (record := code_record(planned)).exists():
        from earlyphase.runtime.storage import save_json  # imports NumPy, which planning does not need

        save_json(record, definitions(*roots))
    return {root.rpartition(".")[0] for root in roots}


def code_record(code: str) -> Path:
    """File that lists the definitions behind a fingerprint, so that a later change can be named."""
    return Path("logs/code") / f"{code.rsplit(' ', 1)[-1]}.json"
