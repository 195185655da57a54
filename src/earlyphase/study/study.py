"""The configured study: its runs, and the settings of each."""

from collections.abc import Mapping
from datetime import date
from functools import cache, cached_property
from itertools import chain
from pathlib import Path
from typing import Any

from earlyphase.errors import InvalidInput
from earlyphase.runtime.contents import content_digest
from earlyphase.study.choices import with_choices_read
from earlyphase.study.claims import numbers_of_claims
from earlyphase.study.configuration import (
    bound,
    bound_settings,
    checked,
    entries_of,
    read_yaml,
    refuse,
    whole_schema,
)
from earlyphase.study.contradictions import of_figures, of_names, of_run
from earlyphase.study.fingerprints import description_of
from earlyphase.study.jobs import Stage
from earlyphase.study.possible import what_is_possible
from earlyphase.study.pretraining import Pretraining, named_by, pretraining_of
from earlyphase.study.rules import Rule
from earlyphase.study.run import Run, run_of
from earlyphase.study.signatures import SECTIONS, Registered, registered

CONTENTS = Path(".earlyphase/contents")  # what is remembered of files that data sets are made of


class Study:
    """A valid configuration.

    Attributes:
        config: every value as it is meant.
        rules: the workflow's, name -> rule.
        stages: name of each rule -> what the rule cannot say.
        runs: in the order of the configuration.
        left_out: what is configured and cannot be, a sentence each, for people.
        citation: how to cite the workflow.
    """

    def __init__(
        self,
        config: dict,
        schema: dict,
        rules: dict[str, Rule],
        stages: dict[str, Stage],
        citation: dict | None = None,
    ) -> None:
        """Check `config`.

        Args:
            schema: of the configuration, without the sections that are settings of single stages.

        Raises:
            InvalidInput: naming the key, the value and what would be right.
        """
        settings = {name: own for stage in stages.values() for name, own in stage.settings.items()}
        schema = whole_schema(schema | {"properties": schema["properties"] | settings})
        self.config = checked(config, schema)
        self.rules, self.stages, self.citation = rules, stages, citation or {}
        self.left_out: list[str] = []
        self.runs: list[Run] = []
        misnamed: list[str] = []
        refuse(of_names(self.config))
        sections = schema["properties"]["runs"]["items"]["properties"].keys() & self.config.keys()
        for index, entry in enumerate(self.config["runs"]):
            run = with_figures_bound(run_of(self.config, entry, sections), entry, index)
            run = run.with_settings(training=bound_settings(f"training of {run}", run.training))
            misnamed += of_figures(run, self.config)  # before those of rounds that the run lacks are left out
            run, lacking = with_choices_read(run, schema)
            perturbations = self.config["perturbations"]
            ((network, described),) = self.functions("models", run.model)
            lacks = described.facts.get("lacks", ())
            run, impossible = what_is_possible(run, perturbations, network, lacks, stages.values())
            self.runs.append(run)
            self.left_out += [*lacking, *impossible]
        self._runs = {(run.dataset, run.model): run for run in self.runs}
        contradictions = (
            problem
            for run in self.runs
            for problem in chain(
                of_run(run, self.config), *(stage.contradictions(run) for stage in stages.values())
            )
        )
        refuse(chain(contradictions, misnamed))

    @cached_property
    def claims(self) -> dict[str, dict | None]:
        """Numbers of claims that the study changes, checked when first asked for; None removes a claim.

        Raises:
            InvalidInput: naming the claim, what is wrong and what would be right.
        """
        return numbers_of_claims(self.config["claims"])

    def run(self, names: dict[str, str]) -> Run:
        """Return the run that a job belongs to, by its wildcards.

        Raises:
            InvalidInput: the study has no such run.
        """
        pair = names["dataset"], names["model"]
        if pair not in self._runs:
            raise InvalidInput(f"{pair[1]} on {pair[0]} is none of the runs of this study")
        return self._runs[pair]

    def entry(self, section: str, names: dict[str, str]) -> Any:
        """The entry of a section that a job's wildcards name."""
        if section == "figures":
            return self.run(names).figures[names["figure"]]
        if section == "tasks" and names.get("task") not in self.config["tasks"]:  # of a pretrained network
            return self.config["tasks"][self.run(names).task]
        if section == "pretraining":  # what is learned first
            return self.config["tasks"][self.first_phase(names).task]
        return self.config[section][names[SECTIONS[section].wildcard]]

    def pretraining(self, names: dict[str, str]) -> Pretraining | None:
        """How the network of a job began, by its wildcards; None where it was not pretrained."""
        if "pretraining" in names:
            return pretraining_of(self.config, names["pretraining"], int(names["iterations"]))
        match names.get("task", "").split("-"):
            case [name, iterations]:
                return pretraining_of(self.config, name, int(iterations))
        return None

    def first_phase(self, names: dict[str, str]) -> Pretraining:
        """How the network of a job began that was pretrained.

        Raises:
            ValueError: it was not.
        """
        if (first := self.pretraining(names)) is None:
            raise ValueError(f"{names} name no network that was pretrained")
        return first

    def beginnings(self, run: Run) -> list[tuple[Pretraining, int]]:
        """Dense networks of a run that are pretrained, each with the number of its rounds of pruning."""
        return [
            (pretraining_of(self.config, *phase), entry.get("rounds", run.rounds))
            for entry in run.pretrained
            for phase in named_by(entry)
        ]

    def functions(self, section: str, name: str) -> list[tuple[str, Registered]]:
        """The functions that an entry names, each with what is registered of it."""
        names = [part["function"] for part in entries_of(self.config[section][name])]
        return [(name, registered(section)[name]) for name in names]

    def starts_at(self, perturbation: str, k: int) -> int:
        """Iteration at which a branch begins to train: k, unless a function of it says otherwise."""
        clocks = [branch.facts.get("clock") for _, branch in self.functions("perturbations", perturbation)]
        return next((clock for clock in reversed(clocks) if clock is not None), k)

    def kept_iterations(self, run: Run) -> list[int]:
        """Iterations whose state the dense run keeps, besides its end: those that any stage needs, rising."""
        needed = {iteration for stage in self.stages.values() for iteration in stage.states(run)}
        return sorted(needed - {run.iterations})

    def contents(self, dataset: str) -> dict[str, str]:
        """Digest of the files that a data set is made of, where its function says that it reads any.

        Raises:
            InvalidInput: the files are not there.
        """
        digest = digest_of_files(self.config["datasets"][dataset], dataset)
        return {} if digest is None else {"contents": digest}

    def facts(self, section: str, entry: dict) -> Mapping[str, Any]:
        """What the decorator of the function that an entry names says of it."""
        return registered(section)[entry["function"]].facts

    def description(self, section: str, function: str) -> str:
        """What a registered function says of itself, without what is for programmers alone."""
        return description_of(registered(section)[function].module, function)

    def reads(self, figure: dict) -> tuple[tuple[str, ...], tuple[str, ...]]:
        """Tables that a figure needs, and those that it uses where they are there."""
        facts = self.facts("figures", figure)
        return facts.get("reads", ()), facts.get("uses", ())


def with_figures_bound(run: Run, entry: dict, index: int) -> Run:
    """Bind the figures that an entry of `runs` has of its own to the signatures of their functions."""
    own = {
        name: bound("figures", f"runs.{index}.figures.{name}", run.figures[name])
        for name in entry.get("figures", {}).keys() & run.figures.keys()
    }
    return run.with_settings(figures=run.figures | own)


def citation_in(home: Path) -> dict:
    """The content of CITATION.cff beside the Snakefile, dates as text; empty where a copy has none.

    Raises:
        InvalidInput: it is not YAML.
    """
    path = home / "CITATION.cff"
    content = read_yaml(path) if path.exists() else {}
    return {key: str(value) if isinstance(value, date) else value for key, value in content.items()}


@cache
def _looked_over(place: str, name: str) -> str:
    return content_digest(Path(place), CONTENTS / f"{name}.json")


def digest_of_files(entry: dict, name: str) -> str | None:
    """Digest of the files that a data set is made of; None where its function does not say that it reads any.

    The files are looked over once in a process.

    Raises:
        InvalidInput: they are not there.
    """
    argument = registered("datasets")[entry["function"]].facts.get("contents")
    return argument and _looked_over(entry[argument], name)
