"""What a stage and a job are, and the jobs of a study.

A stage is everything about the rule of the same name that a rule cannot say; `earlyphase.stages` has a module
for each. Paths, logs and literal inputs stand in the rules. Wildcards say which experiment, never how:

    {task}       what the dense network was trained on: `supervised`; after pretraining `{name}-{iterations}`
    {deficit}    a task in its place in the iterations {first} to {end} - 1
    {regime}     how a training with a deficit differs; `{name}-{first}-{end}` where it does so in a window
    {criterion}  by which the rounds of a chain prune: `magnitude`, or an entry under `pruned_by`
    {pretraining}, {iterations}  what a network learned first, and for how long
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from itertools import chain, product
from typing import TYPE_CHECKING, Any, NamedTuple

from earlyphase.core.settings import TrainingSettings
from earlyphase.study.configuration import entries_of
from earlyphase.study.run import CRITERION, Run
from earlyphase.study.signatures import registered

if TYPE_CHECKING:
    from earlyphase.study.study import Study

Names = dict[str, str]  # wildcards of a job
Block = dict[str, list]  # wildcard -> values; stands for all combinations
Inputs = dict[str, str | list[str]]  # role -> path, or paths where a job has several

NUMBERS = ("seed", "k", "round", "first", "end", "stop")  # wildcards whose values are integers
PATH_ONLY = ("criterion", "iterations")  # wildcards that are no column of a table by this name
RECORD = "run"  # name of the output that is a run record


class Work(NamedTuple):
    """What a job computes with its network; nothing by default.

    Attributes:
        images: forward passes of single images; a backward pass counts as two of them.
        calls: how often the network is called with a mini-batch, whatever its size.
    """

    images: float = 0.0
    calls: float = 0.0


@dataclass(frozen=True)
class Table:
    """A table that is collected over the seeds of a run.

    Attributes:
        output: the output of the stage that the table is made of.
        jobs: the jobs that it is collected over, where these are not all of a run.
    """

    output: str
    jobs: "Callable[[Study, Run], list[Block]] | None" = None


def no_work(job: "Job") -> Work:
    """Compute nothing with a network."""
    return Work()


@dataclass(frozen=True)
class Stage:
    """What the rule of the same name cannot say. Its module also has `compute`, which does a job.

    Attributes:
        jobs: which jobs a run asks for, in blocks; data set, model and task are those of the run.
        spec: what a job reads of the configuration: it runs again where that changes.
        work: what it computes, for time limits, `plan` and `status`.
        size: bytes that it leaves on disk, roughly.
        span: the iterations that it trains for, at most.
        inputs: inputs that the rule does not name literally.
        states: iterations whose state the dense run keeps for it.
        settings: sections of the configuration that are its own, each with its JSON schema.
        impossible: what of these settings the networks of a function cannot have, which lack some layers: a
            sentence each for people, and sections of the settings as they then are.
        contradictions: what is wrong with these settings in a run, a sentence each.
        looks_up: sections of the configuration whose functions a job looks up by name; `pretraining` stands
            for the task that is learned first.
        roots: further functions that a job looks up by name, as roots of its fingerprint.
        tables: name of a table -> what it is collected of.
    """

    jobs: "Callable[[Study, Run], list[Block]]"
    spec: "Callable[[Job], dict]"
    work: "Callable[[Job], Work]"
    size: "Callable[[Job], float]"
    span: "Callable[[Job], range]" = lambda job: range(0)
    inputs: "Callable[[Job], Inputs]" = lambda job: {}
    states: Callable[[Run], Iterable[int]] = lambda run: ()
    settings: Mapping[str, dict] = field(default_factory=dict)
    impossible: Callable[[Run, str, Sequence[str]], Iterable[str | dict]] = lambda run, network, lacks: ()
    contradictions: Callable[[Run], Iterable[str]] = lambda run: ()
    looks_up: tuple[str, ...] = ()
    roots: "Callable[[Job], Iterable[str]] | None" = None
    tables: Mapping[str, Table] = field(default_factory=dict)

    def collected(self, study: "Study", run: Run, table: str) -> list[Block]:
        """The jobs of a run that a table is collected over."""
        return (self.tables[table].jobs or self.jobs)(study, run)


@dataclass(frozen=True)
class Job:
    """One job of the workflow: its rule and its wildcards, in a study."""

    rule: str
    wildcards: tuple[tuple[str, str], ...]
    study: "Study" = field(compare=False, repr=False)

    @cached_property
    def names(self) -> Names:
        """Its wildcards."""
        return dict(self.wildcards)

    @property
    def stage(self) -> Stage:
        """What the rule cannot say."""
        return self.study.stages[self.rule]

    @property
    def run(self) -> Run:
        """The run of the study that it belongs to."""
        return self.study.run(self.names)

    def entry(self, section: str) -> Any:
        """The entry of a section of the configuration that its wildcards name."""
        return self.study.entry(section, self.names)

    @property
    def inputs(self) -> tuple[str, ...]:
        """Paths it reads: those that its rule writes out, and those that its stage knows."""
        written = [template.format(**self.names) for template in self.study.rules[self.rule].inputs.values()]
        known = ([paths] if isinstance(paths, str) else paths for paths in self.stage.inputs(self).values())
        return (*written, *chain.from_iterable(known))

    @property
    def outputs(self) -> tuple[str, ...]:
        """Paths it writes; the resume file is named after the first."""
        return tuple(
            template.format(**self.names) for template in self.study.rules[self.rule].outputs.values()
        )

    @property
    def log(self) -> str:
        """Path of its log."""
        return self.study.rules[self.rule].log.format(**self.names)

    @property
    def resume(self) -> str:
        """Path of its progress, where it is a training job and was interrupted."""
        return f"{self.outputs[0]}.resume"

    @property
    def record(self) -> str | None:
        """Path of its run record; None where the rule writes none."""
        template = self.study.rules[self.rule].outputs.get(RECORD)
        return template and template.format(**self.names)

    @cached_property
    def span(self) -> range:
        """The iterations that it trains for, at most."""
        return self.stage.span(self)

    @property
    def columns(self) -> dict[str, str | int]:
        """Columns of a table that name the job."""
        return {
            name: int(value) if name in NUMBERS else value
            for name, value in self.names.items()
            if name not in PATH_ONLY
        }

    @property
    def code_roots(self) -> tuple[str, ...]:
        """Fingerprint roots: what the stage computes, and configured functions that it looks up by name."""
        functions = [f"stages.{self.rule}.compute", *(self.stage.roots(self) if self.stage.roots else ())]
        for section in self.stage.looks_up:
            functions += functions_of("tasks" if section == "pretraining" else section, self.entry(section))
        if training := self.stage.spec(self).get("training"):
            for kind, function in sorted(TrainingSettings.from_spec(training).functions()):
                functions += functions_of(kind, {"function": function})
        return tuple(dict.fromkeys(functions))

    def path(self, rule: str, output: str, **others: object) -> str:
        """Path of an output of another job, with some wildcards replaced."""
        names = self.names | {name: str(value) for name, value in others.items()}
        return self.study.rules[rule].outputs[output].format(**names)


def functions_of(section: str, entry: dict | list[dict]) -> list[str]:
    """The functions that an entry names, as "module.function" below the package."""
    return [
        f"{registered(section)[part['function']].module}.{part['function']}" for part in entries_of(entry)
    ]


def job_of(study: "Study", rule: str, names: Mapping[str, object]) -> Job:
    """Name a job; of the names given, those count that are wildcards of the rule."""
    wildcards = study.rules[rule].wildcards
    return Job(rule, tuple((name, str(names[name])) for name in wildcards), study)


def names_of(run: Run) -> Names:
    """Wildcards that all jobs of a run share."""
    return {"dataset": run.dataset, "model": run.model, "task": run.task, "criterion": CRITERION}


def jobs_in(study: "Study", rule: str, run: Run, blocks: Iterable[Block]) -> Iterator[Job]:
    """The jobs of a rule in blocks of wildcards of a run."""
    for block in blocks:
        for values in product(*block.values()):
            yield job_of(study, rule, names_of(run) | dict(zip(block, values, strict=True)))


def all_jobs(
    study: "Study", runs: Iterable[Run] | None = None, rules: Iterable[str] | None = None
) -> Iterator[Job]:
    """Every job of the configured study, each once, in the order of the rules.

    Args:
        runs: whose jobs; None for all of the study.
        rules: of which; None for all.
    """
    chosen = list(study.runs if runs is None else runs)
    for rule in study.stages if rules is None else rules:
        blocks = study.stages[rule].jobs
        yield from dict.fromkeys(
            job for run in chosen for job in jobs_in(study, rule, run, blocks(study, run))
        )


# Tables


def all_tables(study: "Study") -> list[str]:
    """Names of all tables, in the order of the rules."""
    return [table for stage in study.stages.values() for table in stage.tables]


def tables_of(study: "Study", run: Run) -> list[str]:
    """Tables that a run fills: those of stages with a job in it."""
    return [
        table
        for stage in study.stages.values()
        for table in stage.tables
        if any(all(block.values()) for block in stage.collected(study, run, table))
    ]


def jobs_of_table(study: "Study", run: Run, table: str) -> Iterator[Job]:
    """The jobs that a table of a run is collected over, in the order of its rows: by k before seed."""
    for rule, stage in study.stages.items():
        if table in stage.tables:
            blocks = [dict(sorted(block.items())) for block in stage.collected(study, run, table)]
            yield from dict.fromkeys(jobs_in(study, rule, run, blocks))


def once(study: "Study", run: Run) -> list[Block]:
    """One job for whatever the wildcards of the rule tell apart."""
    return [{}]


def each_seed(study: "Study", run: Run) -> list[Block]:
    """One job for each replicate."""
    return [{"seed": run.seeds}]
