"""What processes import: this package, and files of the user's own that register networks, tasks, ..."""

import os
import sys
from collections.abc import Mapping
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path

from earlyphase.errors import InvalidInput

VARIABLE = "EARLYPHASE_PLUGINS"  # paths of the files, separated as in PATH
PACKAGE = "plugins"  # a file mine.py is called plugins.mine
SOURCE = str(Path(__file__).parents[2])  # the folder that this package is imported from


def search_path(environment: Mapping[str, str] = os.environ) -> str:
    """PYTHONPATH of a process that is to import this very package, before anything that is named there."""
    return os.pathsep.join(filter(None, [SOURCE, environment.get("PYTHONPATH")]))


def announce(paths: list[Path]) -> None:
    """Name the plugins to this process and to those that it starts.

    Raises:
        InvalidInput: a file is missing, two have the same name, or a path cannot be passed on to processes.
    """
    for path in (SOURCE, *(str(path.resolve()) for path in paths)):
        if found := set(path) & {os.pathsep, "{", "}"}:
            raise InvalidInput(
                f"{path} has a {min(found)!r} in its name, which PYTHONPATH or Snakemake takes for something "
                "else; rename the folder"
            )
    for path in paths:
        if not path.is_file() or path.suffix != ".py":
            raise InvalidInput(f"configuration: plugins names {path}, which is no Python file")
    if twice := {path.stem for path in paths if sum(path.stem == other.stem for other in paths) > 1}:
        raise InvalidInput(f"configuration: two plugins are called {twice.pop()}.py; rename one")
    os.environ[VARIABLE] = os.pathsep.join(str(path.resolve()) for path in paths)


def plugin_files() -> dict[str, Path]:
    """The announced plugins: "plugins.NAME" -> file."""
    paths = map(Path, filter(None, os.environ.get(VARIABLE, "").split(os.pathsep)))
    return {f"{PACKAGE}.{path.stem}": path for path in paths}


def load(modules: set[str]) -> None:
    """Import plugins by name, once each; what they register can then be looked up.

    Args:
        modules: any names; those that are no plugins are passed over.

    Raises:
        InvalidInput: a plugin cannot be imported; the message says why.
    """
    for name, path in plugin_files().items():
        if name not in modules or name in sys.modules:
            continue
        spec = spec_from_file_location(name, path)
        sys.modules[name] = module = module_from_spec(spec)
        try:
            spec.loader.exec_module(module)
        except Exception as error:
            del sys.modules[name]
            raise InvalidInput(f"plugin {path}: {type(error).__name__}: {error}") from error
