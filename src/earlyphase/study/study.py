"""The configured study: its runs, and the settings of each."""

from collections.abc import Mapping, Sequence
from functools import cache, cached_property
from itertools import product
from pathlib import Path
from typing import Any, Literal, overload

from earlyphase.core.schedules import as_iterations, sampled_iterations
from earlyphase.errors import InvalidInput
from earlyphase.runtime.contents import IMAGE_SUFFIXES, content_digest
from earlyphase.runtime.plugins import announce
from earlyphase.study.claims import claims_of, measures_in
from earlyphase.study.configuration import (
    bound,
    checked,
    closest,
    entries_of,
    plugins_of,
    read_files,
    read_yaml,
)
from earlyphase.study.deficits import check_critical_periods, check_milestones, deficits_named
from earlyphase.study.fingerprints import description_of
from earlyphase.study.pretraining import (
    Pretraining,
    check_pretrained,
    check_tasks,
    named_by,
    pretraining_in,
    pretraining_of,
)
from earlyphase.study.rules import Rule, read_rules
from earlyphase.study.run import Run
from earlyphase.study.signatures import SECTIONS, Registered, registered

CRITERION = "magnitude"  # by which the chains of a run prune that all else builds on
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
        self._definitions = schema["$defs"]
        self.rules, self.citation = rules or {}, citation or {}
        self.left_out: list[str] = []
        check_runs(self.config)
        check_tasks(self.config)
        self.runs = [Run(self.config, entry) for entry in self.config["runs"]]
        for index, run in enumerate(self.runs):
            for name in self.config["runs"][index].get("figures", {}).keys() & run.figures.keys():
                place = f"runs.{index}.figures.{name}"
                run.figures[name] = bound("figures", place, run.figures[name])
        self._runs = {(run.dataset, run.model): run for run in self.runs}
        for run in self.runs:
            check_training(run)
            check_task(self.config, run.dataset, run.task)
            check_times(run)
            check_validation(self.config, run)
            check_pruned_by(run, list(self.config["criteria"]))
            check_perturbed(run, list(self.config["perturbations"]))
            check_critical_periods(run, self.config)
            for name in deficits_named(run):
                check_task(self.config, run.dataset, name)
            check_pretrained(run, self.config)
            for task in self._pretraining_tasks(run):
                check_task(self.config, run.dataset, task)
            check_figures(run, list(self.config["perturbations"]))
            check_size(self.config, run)
            self._leave_out_perturbations(run)
            self._leave_out_statistics(run)
            self._leave_out_tickets(run)

    @cached_property
    def claims(self) -> dict[str, dict]:
        """The claims that the study is judged by, checked when they are first asked for.

        Raises:
            InvalidInput: naming the claim, what is wrong and what would be right.
        """
        return claims_of(self.config["claims"], self._definitions)

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
        """The entry of a section that a job's wildcards name; of all claims, their measures."""
        if section == "measures":
            return list(measures_in(self.claims))
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

    def _pretraining_tasks(self, run: Run) -> list[str]:
        """Tasks that networks of a run learn first."""
        entries = [*run.pretrained, *run.sparse_pretraining]
        names = dict.fromkeys(name for entry in entries for name in entry["pretraining"])
        return [self.config["pretraining"][name]["task"] for name in names]

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


def shown_by(figure: dict) -> set[str]:
    """Perturbations that an entry of `figures` shows."""
    shown = {name for labelled in figure.get("show", []) for name in labelled}
    families = (names for labelled in figure.get("families", []) for names in labelled.values())
    return shown | {name for names in families for name in names}


def tickets_of(figure: dict) -> set[str]:
    """Perturbations of tickets that were pretrained, which an entry of `figures` shows."""
    return {name for labelled in figure.get("tickets", []) for name in labelled}


def perturbs(run: Run, names: set[str], rounds: set[int] | None) -> bool:
    """Whether a run perturbs tickets by any of some names, in any of some rounds (None: of all)."""
    return any(
        names & set(entry["perturbations"]) and (rounds is None or rounds & set(entry["rounds"]))
        for entry in run.perturbed
    )


def check_runs(config: dict) -> None:
    """Raise `InvalidInput` where a run names what is not configured, or stands there twice."""
    for index, run in enumerate(config["runs"]):
        for section, key in (("datasets", "dataset"), ("models", "model"), ("tasks", "task")):
            if run.get(key, "supervised") not in config[section]:
                raise InvalidInput(
                    f"configuration: runs.{index}.{key} is {run[key]!r}, which is not under {section}"
                    f"{closest(run[key], list(config[section]))} (known: {', '.join(config[section])})"
                )
    pairs = [(run["dataset"], run["model"]) for run in config["runs"]]
    if len(set(pairs)) < len(pairs):
        raise InvalidInput("configuration: runs names the same network on the same data set twice")


def size_of_images(entry: dict) -> tuple[int, int] | None:
    """Height and width in pixels of the images of a configured data set; None where these are not known."""
    described = registered("datasets")[entry["function"]]
    known = described.facts | described.defaults | entry
    height, width = (known.get(side, known.get("size")) for side in ("height", "width"))
    return None if height is None or width is None else (height, width)


def check_task(config: dict, dataset: str, task: str) -> None:
    """Raise `InvalidInput` where a data set is known to have images of a size that a task cannot work on."""
    if (known := size_of_images(config["datasets"][dataset])) is None:
        return
    height, width = known
    where = f"configuration: task {task} on {dataset}"
    for one in entries_of(config["tasks"][task]):
        function = registered("tasks")[one["function"]]
        if function.facts.get("square") and height != width:
            raise InvalidInput(
                f"{where}: {one['function']} needs square images, but they are {height}x{width} pixels"
            )
        argument = function.facts.get("least_size")
        if argument and min(height, width) < (least := (function.defaults | one)[argument]):
            raise InvalidInput(
                f"{where}: {argument} of {one['function']} is {least}, but the images are {height}x{width} "
                f"pixels; it must not be above {min(height, width)}"
            )


def check_training(run: Run) -> None:
    """Raise `InvalidInput` where times contradict each other."""
    end = run.iterations
    check_milestones(f"configuration: training of {run}", run.training["milestones"], end)
    for k in run.rewind_iterations:
        if k >= end:
            raise InvalidInput(
                f"configuration: rewind_iterations has {k}, but {run} trains for "
                f"{end} iterations; k must be smaller"
            )


def check_size(config: dict, run: Run) -> None:
    """Raise `InvalidInput` where a network is made for images of another size than the data set has."""
    entry = config["models"][run.model]
    network = registered("models")[entry["function"]]
    argument, known = network.facts.get("fits"), size_of_images(config["datasets"][run.dataset])
    if argument is None or known is None:
        return
    (height, width), size = known, (network.defaults | entry)[argument]
    if not height == width == size:
        right = f"{height} is right" if height == width else f"{entry['function']} needs square ones"
        raise InvalidInput(
            f"configuration: models.{run.model}.{argument} is {size}, but the images of {run.dataset} are "
            f"{height}x{width} pixels; {right}"
        )


def check_validation(config: dict, run: Run) -> None:
    """Raise `InvalidInput` where a data set is known to have too few images to hold so many out."""
    held_out = run.training["validation"]
    entry = config["datasets"][run.dataset]
    described = registered("datasets")[entry["function"]]
    there = (described.facts | described.defaults | entry).get("train")
    if held_out and there is not None and there - held_out < run.training["batch_size"]:
        raise InvalidInput(
            f"configuration: training of {run}: validation is {held_out}, but there are {there} training "
            f"images and a mini-batch takes {run.training['batch_size']}; it must not be above "
            f"{max(there - run.training['batch_size'], 0)}"
        )


def check_pruned_by(run: Run, known: list[str]) -> None:
    """Raise `InvalidInput` where a chain prunes by an unknown criterion or rewinds to a state not kept."""
    if CRITERION not in known:
        raise InvalidInput(f"configuration: criteria lacks {CRITERION}, by which tickets are found")
    for index, entry in enumerate(run.pruned_by):
        where = f"configuration: pruned_by.{index}"
        for name in entry["criteria"]:
            if name not in known:
                raise InvalidInput(
                    f"{where}.criteria has {name!r}, which is not under criteria"
                    f"{closest(name, known)} (known: {', '.join(known)})"
                )
            if name == CRITERION:
                raise InvalidInput(
                    f"{where}.criteria has {CRITERION!r}, by which every run prunes; name others only"
                )
        for k in entry.get("rewind_iterations", []):
            if k not in run.rewind_iterations:
                raise InvalidInput(
                    f"{where}.rewind_iterations has {k}, but {run} keeps "
                    f"{', '.join(map(str, run.rewind_iterations))} only (`pruned_by: []` prunes by no other)"
                )


def check_times(run: Run) -> None:
    """Raise `InvalidInput` where a run is to be looked at in an order or at a time that it does not have."""
    for name in ("schedule", "evaluations"):
        sampled_iterations(run.telemetry[name], run.iterations, f"configuration: telemetry.{name}")
    check_parting(run)
    for name, measured in (("curvature", run.curvature), ("fisher", run.fisher)):
        for time in measured["iterations"]:
            if as_iterations(time, run.iterations) > run.iterations:
                raise InvalidInput(
                    f"configuration: {name}.iterations has {time}, but {run} trains for {run.iterations} "
                    "iterations; an integer is iterations, a number with a point a fraction"
                )


def check_parting(run: Run) -> None:
    """Raise `InvalidInput` where a second copy would have nothing to train for."""
    for time in run.stability["dense"]:
        if as_iterations(time, run.iterations) >= run.iterations:
            raise InvalidInput(
                f"configuration: stability.dense has {time}, but {run} trains for {run.iterations} "
                "iterations; k must be smaller (an integer is iterations, a number with a point a fraction)"
            )


def check_perturbed(run: Run, known: list[str]) -> None:
    """Raise `InvalidInput` where a perturbation is unknown, or needs a round that no chain computes."""
    listed = [("perturbed", *numbered) for numbered in enumerate(run.perturbed)]
    listed += [("sparse_pretraining", *numbered) for numbered in enumerate(run.sparse_pretraining)]
    for section, index, entry in listed:
        where = f"configuration: {section}.{index}"
        for name in entry["perturbations"]:
            if name not in known:
                raise InvalidInput(
                    f"{where}.perturbations has {name!r}, which is not under perturbations"
                    f"{closest(name, known)} (known: {', '.join(known) or 'none'})"
                )
        computed = {"rewind_iterations": run.rewind_iterations, "rounds": range(1, run.rounds + 1)}
        for key, known_values in computed.items():
            for value in entry[key]:
                if value not in known_values:
                    raise InvalidInput(
                        f"{where}.{key} has {value}, but {run} computes {', '.join(map(str, known_values))} "
                        f"only (`{section}: []` perturbs nothing, and may be said within a run)"
                    )


def check_figures(run: Run, known: list[str]) -> None:
    """Raise `InvalidInput` where a figure shows a perturbation that is not configured."""
    for figure, entry in run.figures.items():
        for name in shown_by(entry) | tickets_of(entry):
            if name not in known:
                raise InvalidInput(
                    f"configuration: figures.{figure} shows {name!r}, which is not under perturbations"
                    f"{closest(name, known)} (known: {', '.join(known) or 'none'})"
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
