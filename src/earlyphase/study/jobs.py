"""The jobs of a study: which there are to be, what each reads and writes, and what determines it."""

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field

from earlyphase.core.settings import TrainingSettings
from earlyphase.errors import InvalidInput
from earlyphase.study.configuration import entries_of
from earlyphase.study.rules import Rule
from earlyphase.study.signatures import registered
from earlyphase.study.stages import STAGES, Names, names_of
from earlyphase.study.study import Study, combinations_of


@dataclass(frozen=True)
class Job:
    """One job of the workflow: its rule and its wildcards."""

    rule: str
    wildcards: tuple[tuple[str, str], ...]
    paths: Rule = field(compare=False, repr=False)

    @property
    def names(self) -> Names:
        """Its wildcards."""
        return dict(self.wildcards)

    @property
    def outputs(self) -> tuple[str, ...]:
        """Paths it writes; the resume file is named after the first."""
        return tuple(template.format(**self.names) for template in self.paths.outputs.values())

    @property
    def log(self) -> str:
        """Path of its log."""
        return self.paths.log.format(**self.names)

    @property
    def resume(self) -> str:
        """Path of its progress, where it is a training job and was interrupted."""
        return f"{self.outputs[0]}.resume"


def job(study: Study, rule: str, **names: object) -> Job:
    """Name a job; of the names given, those count that are wildcards of the rule."""
    paths = study.rules[rule]
    return Job(rule, tuple((name, str(names[name])) for name in paths.wildcards), paths)


def jobs(study: Study) -> Iterator[Job]:
    """Every job of the configured study, each once, in the order of the graph."""
    for rule, stage in STAGES.items():
        found: dict[Job, None] = {}
        for run in study.runs:
            for block in stage.grid(study, run):
                for names in combinations_of(block):
                    found[job(study, rule, **names_of(run) | names)] = None
        yield from found


def check_outputs(study: Study) -> None:
    """Raise `InvalidInput` where two jobs would write the same file."""
    paths = Counter(path for one in jobs(study) for path in one.outputs)
    for path, count in paths.most_common(1):
        if count > 1:
            raise InvalidInput(f"configuration: two jobs would write {path}; rename what it is named after")


def inputs(study: Study, one: Job) -> dict[str, list[str]]:
    """Paths that a job reads: role -> files."""
    literal = {
        role: [template.format(**one.names)]
        for role, template in one.paths.inputs.items()
        if template is not None
    }
    return literal | STAGES[one.rule].needs(study, one.names)


def spec(study: Study, rule: str, names: Names) -> dict:
    """What a job reads of the configuration, and nothing else: so an added seed or round redoes no job."""
    return STAGES[rule].spec(study, names)


def roots(study: Study, rule: str, names: Names) -> tuple[str, ...]:
    """Fingerprint roots of a job: its command, and the configured functions that it looks up by name."""
    found = [f"commands.{rule}.run"]
    looked_up: list[tuple[str, dict | list[dict]]]
    looked_up = [(section, study.entry(section, names)) for section in STAGES[rule].looks_up]
    if "deficit" in names:  # a task, too
        looked_up.append(("tasks", study.entry("tasks", {"task": names["deficit"]})))
    if training := spec(study, rule, names).get("training"):
        named = sorted(TrainingSettings.from_spec(training).functions())
        looked_up += [(kind, {"function": function}) for kind, function in named]
    for section, entry in looked_up:
        functions = registered("tasks" if section == "pretraining" else section)
        for one in entries_of(entry):
            found.append(f"{functions[one['function']].module}.{one['function']}")
    return tuple(dict.fromkeys(found))
