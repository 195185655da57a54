"""The rules as they are written: which files each makes, with which log.

Snakemake knows them as well, but only while it runs; `plan` and `status` run by themselves.
"""

import ast
import re
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from earlyphase.errors import InvalidInput

RULE = re.compile(r"^(?:use rule \w+ as|rule) (\w+)(?: with)?:\n((?:(?: .*)?\n)+)", re.MULTILINE)
INCLUDE = re.compile(r"""^include: ["'](.+)["']""", re.MULTILINE)


@dataclass(frozen=True)
class Rule:
    """What a rule says of its files; each path is a template with the wildcards of a job in it."""

    inputs: dict[str, str]  # name -> path, where it is written out; the stage knows the others
    outputs: dict[str, str]  # name -> path
    log: str

    @cached_property
    def wildcards(self) -> tuple[str, ...]:
        """Names of the wildcards, in the order of the path."""
        return tuple(dict.fromkeys(re.findall(r"{(\w+)}", next(iter(self.outputs.values())))))


def read_rules(home: Path) -> dict[str, Rule]:
    """Read the rules of a workflow that make files: name -> rule, in the order of the Snakefile.

    Args:
        home: the folder of the Snakefile.

    Raises:
        InvalidInput: an output or a log is not written out as a text.
    """
    snakefile = (home / "Snakefile").read_text(encoding="utf-8")
    texts = [(home / path).read_text(encoding="utf-8") for path in INCLUDE.findall(snakefile)]
    blocks = (block for text in texts for block in RULE.findall(text))
    return {
        name: Rule(
            _paths(block, "input"), _all_paths(name, block, "output"), _all_paths(name, block, "log")[""]
        )
        for name, block in blocks
        if "\n    output:\n" in f"\n{block}"  # others are inherited
    }


def _all_paths(rule: str, block: str, directive: str) -> dict[str, str]:
    """Names and paths in one directive of a rule, which holds nothing else."""
    values, paths = _values(block, directive), _paths(block, directive)
    if not values:
        raise InvalidInput(f"rule {rule} has no {directive}; each stage writes files and a log")
    for name in values.keys() - paths.keys():
        raise InvalidInput(
            f"rule {rule}: its {directive} {ast.unparse(values[name])} is not a path in quotes"
        )
    return paths


def _paths(block: str, directive: str) -> dict[str, str]:
    """Names and paths in one directive of a rule, without what is not written out."""
    return {
        name: value.value
        for name, value in _values(block, directive).items()
        if isinstance(value, ast.Constant) and isinstance(value.value, str)
    }


def _values(block: str, directive: str) -> dict[str, ast.expr]:
    """What stands in one directive of a rule, by name; in place of Snakemake's `report(path, ...)` the path.

    A path without a name is called "".
    """
    written = re.search(rf"^    {directive}:\n((?:(?:     .*)?\n)+)", block, re.MULTILINE)
    call = ast.parse(f"f({written[1] if written else ''})", mode="eval").body
    assert isinstance(call, ast.Call)
    values = dict([*(("", value) for value in call.args), *((str(w.arg), w.value) for w in call.keywords)])
    for name, value in values.items():
        if isinstance(value, ast.Call) and getattr(value.func, "id", "") == "report":
            values[name] = value.args[0]
    return values
