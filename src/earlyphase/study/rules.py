"""The rules as they are written: which files each makes, from which files, with which log."""

import ast
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Rule:
    """What a rule says of paths; each is a template with the wildcards of a job in it."""

    inputs: dict[str, str | None]  # role -> path; None where a function of the study gives it
    outputs: dict[str, str]  # name -> path
    log: str

    @property
    def wildcards(self) -> tuple[str, ...]:
        """Names of the wildcards, in the order of the path."""
        return tuple(dict.fromkeys(re.findall(r"{(\w+)}", next(iter(self.outputs.values())))))


def read_rules(folder: Path) -> dict[str, Rule]:
    """Read the rules of a folder of `*.smk` files: name -> rule."""
    return {
        name: Rule(dict(_items(block, "input")), _literal(block, "output"), _literal(block, "log")[""])
        for file in sorted(folder.glob("*.smk"))
        for name, block in re.findall(
            r"^rule (\w+):\n((?:(?: .*)?\n)+)", file.read_text(encoding="utf-8"), re.MULTILINE
        )
    }


def _literal(block: str, directive: str) -> dict[str, str]:
    """Those of a directive that are written out."""
    return {name: path for name, path in _items(block, directive) if path is not None}


def _items(block: str, directive: str) -> Iterator[tuple[str, str | None]]:
    """Names and literal paths in one directive of a rule; a path without a name is called ""."""
    found = re.search(rf"^    {directive}:\n((?:(?:     .*)?\n)+)", block, re.MULTILINE)
    call = ast.parse(f"f({found[1]})", mode="eval").body if found else None
    if not isinstance(call, ast.Call):
        return
    named = [("", value) for value in call.args] + [
        (word.arg, word.value) for word in call.keywords if word.arg
    ]
    for name, value in named:
        if isinstance(value, ast.Call) and getattr(value.func, "id", "") == "report":
            value = value.args[0]
        literal = value.value if isinstance(value, ast.Constant) else None
        yield name, literal if isinstance(literal, str) else None
