"""One module for each stage: which jobs there are, what they read of the configuration, what they compute.

The rule of the same name has the paths. Importing a stage imports neither torch nor NumPy, so that a study is
planned in a moment: what `compute` needs is imported within it.
"""

from functools import cache
from importlib import import_module
from pathlib import Path

from earlyphase.errors import InvalidInput
from earlyphase.study.configuration import read_yaml
from earlyphase.study.jobs import Stage
from earlyphase.study.rules import Rule, read_rules
from earlyphase.study.study import Study, citation_in

FOLDER = Path(__file__).parent


def stage_names() -> list[str]:
    """Names of all stages, which are those of their modules."""
    return sorted(path.stem for path in FOLDER.glob("*.py") if not path.stem.startswith("_"))


@cache
def stage(name: str) -> Stage:
    """The stage of a name."""
    return import_module(f"earlyphase.stages.{name}").STAGE


def stages_of(rules: dict[str, Rule]) -> dict[str, Stage]:
    """The stages of a workflow, in the order of its rules.

    Raises:
        InvalidInput: a rule has no stage, or a stage no rule.
    """
    if different := rules.keys() ^ set(stage_names()):
        raise InvalidInput(
            f"{', '.join(sorted(different))}: a stage is a rule in rules/ and a module of that name in "
            "src/earlyphase/stages; one of the two is missing"
        )
    return {name: stage(name) for name in rules}


def study_of(config: dict, home: Path) -> Study:
    """The study that a configuration describes.

    Args:
        home: the folder of the Snakefile, the rules and the schema of the configuration.

    Raises:
        InvalidInput: the configuration is invalid.
    """
    rules = read_rules(home)
    return Study(config, read_yaml(home / "config.schema.yaml"), rules, stages_of(rules), citation_in(home))
