"""The configured study: its runs, and the settings of each."""

from collections.abc import Mapping, Sequence
from functools import cache, cached_property
from itertools import product
from pathlib import Path
from typing import Any, Literal, overload

from earlyphase.errors import InvalidInput
from earlyphase.runtime.contents import IMAGE_SUFFIXES, content_digest
from earlyphase.runtime.plugins import announce
from earlyphase.study.claims import numbers_of_claims
from earlyphase.study.configuration import (
    bound,
    checked,
    entries_of,
    plugins_of,
    read_files,
    read_yaml,
)
from earlyphase.study.contradictions import of_names, of_run, refuse
from earlyphase.study.fingerprints import description_of
from earlyphase.study.pretraining import Pretraining, named_by, pretraining_in, pretraining_of
from earlyphase.study.rules import Rule, read_rules
from earlyphase.study.run import Run
from earlyphase.study.signatures import SECTIONS, Registered, registered

NARROWED = ("resnet",)  # functions whose networks `core.channels` can take emptied channels out of
CONTENTS = Path(".earlyphase/contents")  # what is remembered of files that data sets are made of


class Study:
    """A valid configuration.

    Attributes:
        config: every value as it is meant.
        rules: the workflow's, name -> rule.
        runs: in the order of the configuration.
        left_out: what is configured and cannot be, a sentence each, for people.
        citation: how to cite the workflow.
    """

    def __init__(
        self,
        config: dict,
        schema: dict,
        rules: dict[str, Rule] | None = None,
        citation: dict | None = None,
    ) -> None:
        """Check `config`.

        Raises:
            InvalidInput: naming the key, the value and what would be right.
        """
        self.config = checked(config, schema)
        self.rules, self.citation = rules or {}, citation or {}
        self.left_out: list[str] = []
        refuse(of_names(self.config))
        self.runs = [Run(self.config, entry) for entry in self.config["runs"]]
        for index, run in enumerate(self.runs):
            for name in self.config["runs"][index].get("figures", {}).keys() & run.figures.keys():
                place = f"runs.{index}.figures.{name}"
                run.figures[name] = bound("figures", place, run.figures[name])
        self._runs = {(run.dataset, run.model): run for run in self.runs}
        refuse(problem for run in self.runs for problem in of_run(run, self.config))
        for run in self.runs:
            self._leave_out_perturbations(run)
            self._leave_out_statistics(run)
            self._leave_out_tickets(run)

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

    @overload
    def entry(self, section: Literal["datasets", "models", "figures"], names: dict[str, str]) -> dict: ...
    @overload
    def entry(self, section: str, names: dict[str, str]) -> dict | list[dict]: ...
    def entry(self, section: str, names: dict[str, str]) -> dict | list[dict]:
        """The entry of a section that a job's wildcards name; of claims, those of plugins."""
        if section == "claims":
            of_plugins = [
                name for name, one in registered("claims").items() if one.module.startswith("plugins.")
            ]
            return [{"function": name} for name in of_plugins if self.claims.get(name, {}) is not None]
        if section == "figures":
            return self.run(names).figures[names["figure"]]
        if section == "tasks" and names.get("task") not in self.config["tasks"]:  # of a pretrained network
            return self.config["tasks"][self.run(names).task]
        if section == "pretraining":  # what is learned first
            return self.config["tasks"][self.first_phase(names).task]
        return self.config[section][names[SECTIONS[section].wildcard]]

    def pretraining(self, names: dict[str, str]) -> Pretraining | None:
        """How the network of a job began, by its wildcards; None where it was not pretrained."""
        return pretraining_in(self.config, names)

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
            (pretraining_of(self.config, *named), entry.get("rounds", run.rounds))
            for entry in run.pretrained
            for named in named_by(entry)
        ]

    def functions(self, section: str, name: str) -> list[tuple[str, Registered]]:
        """The functions that an entry names, each with what is registered of it."""
        entries = entries_of(self.config[section][name])
        return [(one["function"], registered(section)[one["function"]]) for one in entries]

    def network(self, run: Run) -> tuple[str, tuple[str, ...]]:
        """The function that makes the networks of a run, and what it says that they have not."""
        ((name, described),) = self.functions("models", run.model)
        return name, described.facts.get("lacks", ())

    def narrowed(self, run: Run) -> bool:
        """Whether inference is also measured of a run's tickets without their emptied channels."""
        return self.network(run)[0] in NARROWED

    def starts_at(self, perturbation: str, k: int) -> int:
        """Iteration at which a branch begins to train: k, unless a function of it says otherwise."""
        clocks = [one.facts.get("clock") for _, one in self.functions("perturbations", perturbation)]
        return next((clock for clock in reversed(clocks) if clock is not None), k)

    def _leave_out_perturbations(self, run: Run) -> None:
        """Leave out branches that the network of a run cannot have, and say so."""
        network, lacks = self.network(run)
        unknown = {
            name: reason
            for name, entry in self.config["perturbations"].items()
            for one in entries_of(entry)
            if (reason := why_not(one, self.facts("perturbations", one), network, lacks))
        }
        sections = ("perturbed", "sparse_pretraining")
        entries = [entry for section in sections for entry in getattr(run, section)]
        applied = {name for entry in entries for name in entry["perturbations"]}
        for name, reason in unknown.items():  # in the order of the configuration
            if name in applied:
                self.left_out.append(f"{run}: perturbation {name} is left out: {reason}")
        for section in sections:
            kept = [
                entry | {"perturbations": [name for name in entry["perturbations"] if name not in unknown]}
                for entry in getattr(run, section)
            ]
            setattr(run, section, [entry for entry in kept if entry["perturbations"]])

    def _leave_out_statistics(self, run: Run) -> None:
        """Measure curvature once where a network has no batch norm that could have several statistics."""
        network, lacks = self.network(run)
        if "batch norm" in lacks:
            if run.curvature["iterations"] and len(run.curvature["statistics"]) > 1:
                self.left_out.append(
                    f"{run}: curvature is measured once and not under each of "
                    f"{', '.join(run.curvature['statistics'])} statistics: {network} has no batch norm"
                )
            run.curvature = run.curvature | {"statistics": ["none"]}

    def _leave_out_tickets(self, run: Run) -> None:
        """Leave out tickets to be measured that no chain of a run computes, and say so."""
        computed = {"rewind_iterations": run.rewind_iterations, "rounds": range(1, run.rounds + 1)}
        for section in ("stability", "inference"):
            chosen = getattr(run, section)
            kept = {key: [one for one in chosen[key] if one in known] for key, known in computed.items()}
            for key, known in computed.items() if all(chosen[key] for key in computed) else ():
                if unknown := [one for one in chosen[key] if one not in known]:
                    self.left_out.append(
                        f"{run}: of {section}.{key} {', '.join(map(str, unknown))} is left out: "
                        f"the run computes {', '.join(map(str, known))}"
                    )
            setattr(run, section, chosen | kept)
        if run.inference["rewind_iterations"] and run.inference["rounds"] and not self.narrowed(run):
            self.left_out.append(
                f"{run}: inference without emptied channels is left out: they can be removed from "
                f"networks of {', '.join(NARROWED)}, not of {self.network(run)[0]}"
            )

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


def read_study(paths: list[Path], home: Path) -> Study:
    """Read a study the way Snakemake does: each configuration file is laid over those before it.

    Args:
        home: the folder with the workflow's `rules/` and `config.schema.yaml`.

    Raises:
        InvalidInput: a file is missing or not YAML, or the configuration is invalid.
    """
    announce(plugins_of(paths))
    schema = read_yaml(home / "config.schema.yaml")
    return Study(read_files(paths), schema, read_rules(home / "rules"), citation_in(home))


def citation_in(home: Path) -> dict:
    """The content of CITATION.cff beside the Snakefile; empty where a copy of the workflow has none.

    Raises:
        InvalidInput: it is not YAML.
    """
    path = home / "CITATION.cff"
    return read_yaml(path) if path.exists() else {}


@cache
def _looked_over(place: str, name: str) -> str:
    return content_digest(Path(place), CONTENTS / f"{name}.json", IMAGE_SUFFIXES)


def digest_of_files(entry: dict, name: str) -> str | None:
    """Digest of the files that a data set is made of; None where its function does not say that it reads any.

    The files are looked over once in a process.

    Raises:
        InvalidInput: they are not there.
    """
    argument = registered("datasets")[entry["function"]].facts.get("contents")
    return argument and _looked_over(entry[argument], name)


def perturbs(run: Run, names: set[str], rounds: set[int] | None) -> bool:
    """Whether a run perturbs tickets by any of some names, in any of some rounds (None: of all)."""
    return any(
        names & set(entry["perturbations"]) and (rounds is None or rounds & set(entry["rounds"]))
        for entry in run.perturbed
    )


def branches_of(entries: list[dict]) -> list[dict[str, list]]:
    """Branches in blocks, of `perturbed` or `sparse_pretraining`; each stands for all combinations."""
    keys = {"k": "rewind_iterations", "round": "rounds", "perturbation": "perturbations"}
    keys |= {name: name for name in ("pretraining", "iterations")}
    return [{name: entry[key] for name, key in keys.items() if key in entry} for entry in entries]


def combinations_of(block: dict[str, list]) -> list[dict]:
    """All combinations of a block's values, each a mapping of names to values."""
    return [dict(zip(block, values, strict=True)) for values in product(*block.values())]


def why_not(entry: dict, facts: Mapping[str, Any], network: str, lacks: Sequence[str]) -> str:
    """Why a perturbation cannot be applied to a network; empty where it can.

    Args:
        entry: of the perturbation: its function and arguments.
        facts: what its decorator says: `networks` that it knows, alone; `needs`, what a network must have for
            it, or argument -> value -> that.
        network: the function that makes the network.
        lacks: what that says its networks have not.
    """
    function = entry["function"]
    if network not in facts.get("networks", (network,)):
        return f"{function} knows {', '.join(facts['networks'])}, not {network}"
    needed = facts.get("needs", {})
    if needed in lacks:
        return f"{function} needs {needed}, which {network} has not"
    for argument, needs in {} if isinstance(needed, str) else needed.items():
        if (need := needs.get(entry.get(argument))) in lacks:
            return f"{function} with {argument} {entry[argument]} needs {need}, which {network} has not"
    return ""
