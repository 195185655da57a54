"""The configured study: what a configuration may say, and what each job reads of it."""

import ast
from dataclasses import dataclass
from difflib import get_close_matches
from functools import cache
from itertools import product
from pathlib import Path
from typing import NamedTuple

import yaml

from earlyphase.core.schedules import as_iterations, sampled_iterations
from earlyphase.errors import InvalidInput
from earlyphase.study.fingerprints import modules_of, source_file

REGISTRIES = {  # section of the configuration -> where its functions stand, and their decorator
    "datasets": ("datasets", "dataset"),
    "models": ("core.networks", "network"),
    "perturbations": ("core.branches", "branch"),
    "figures": ("results.figures", "figure"),
}

NUMBERS = ("seed", "k", "round")  # wildcards that are
METRICS = {  # stage -> the tables that are collected of it
    "dense": "results/dense/{dataset}/{model}/seed{seed}/supervised/metrics.csv",
    "imp": "results/imp/{dataset}/{model}/seed{seed}/supervised/it{k}/round{round}/metrics.csv",
    "perturbed": "results/perturbed/{dataset}/{model}/seed{seed}/supervised/it{k}/round{round}/"
    "{perturbation}.csv",
    "telemetry": "results/telemetry/{dataset}/{model}/seed{seed}/supervised/state.csv",
    "traces": "results/telemetry/{dataset}/{model}/seed{seed}/supervised/traces.csv",
    "evaluations": "results/telemetry/{dataset}/{model}/seed{seed}/supervised/evaluations.csv",
    "curvature": "results/curvature/{dataset}/{model}/seed{seed}/supervised/it{k}.csv",
    "pairs": "results/curvature/{dataset}/{model}/seed{seed}/supervised/pairs.csv",
}
VARIATIONS = {  # rule -> where the function is registered that its configuration names
    "data": ("datasets",), "dense": ("models",), "checkpoint": ("models",), "imp_round": ("models",),
    "perturb": ("models", "perturbations"), "telemetry": ("models",), "curvature": ("models",),
    "figure": ("figures",),
}  # fmt: skip


@dataclass(frozen=True)
class Run:
    """One network on one data set: the columns of the study."""

    dataset: str
    model: str
    seeds: tuple[int, ...]
    rewind_iterations: tuple[int, ...]
    rounds: int


class Study:
    """A valid configuration, and the part of it that each kind of job depends on.

    A spec holds what a job uses and nothing else: not the list of seeds, not the number of rounds,
    not the device. So adding one of those plans the new jobs alone.
    """

    def __init__(self, config: dict, schema: dict) -> None:
        """Check `config`.

        Raises:
            InvalidInput: naming the key, the value and what would be right.
        """
        config = without_nulls(config)
        check_schema(config, schema)
        self.config = config
        self.runs = [
            Run(
                run["dataset"],
                run["model"],
                tuple(run.get("seeds", config["seeds"])),
                tuple(run.get("rewind_iterations", config["rewind_iterations"])),
                run.get("rounds", config["rounds"]),
            )
            for run in config["runs"]
        ]
        check_names(config)
        for run in self.runs:
            training = self.training(run.dataset, run.model)
            check_training(training, run)
            check_times(config, training, run)
        check_perturbed(config, self.runs)
        check_figures(config)

    def run_of(self, dataset: str, model: str) -> Run:
        """Return the configured run of a network on a data set."""
        return next(run for run in self.runs if (run.dataset, run.model) == (dataset, model))

    def training(self, dataset: str, model: str) -> dict:
        """Training settings of a network on a data set; mirroring needs the consent of both."""
        settings = self.config["training"] | self.config["models"][model].get("training", {})
        return settings | {"flip": settings["flip"] and self.config["datasets"][dataset]["flip"]}

    def perturbed(self) -> list[tuple[int, int, str]]:
        """Branches of every run: rewind iteration, round and perturbation of each, once."""
        keys = ("rewind_iterations", "rounds", "perturbations")
        branches = (branch for entry in self.config["perturbed"] for branch in product(*map(entry.get, keys)))
        return list(dict.fromkeys(branches))

    def curvature_times(self, run: Run) -> list[int]:
        """Iterations at which the Hessian's top subspace of a run is found, rising."""
        end = self.training(run.dataset, run.model)["iterations"]
        return sorted({as_iterations(time, end) for time in self.config["curvature"]["iterations"]})

    def kept_iterations(self, run: Run) -> list[int]:
        """Iterations whose state the dense run keeps, besides its end.

        Rewinding and curvature need them; perturbations and curvature look back at iteration 0.
        """
        end = self.training(run.dataset, run.model)["iterations"]
        initial = [0] if self.curvature_times(run) or self.perturbed() else []
        return sorted({*run.rewind_iterations, *self.curvature_times(run), *initial} - {end})

    def stages(self) -> list[str]:
        """Stages whose tables are collected: perturbed tickets and curvature only where configured."""
        left_out = set() if self.perturbed() else {"perturbed"}
        left_out |= set() if self.config["curvature"]["iterations"] else {"curvature", "pairs"}
        return [stage for stage in METRICS if stage not in left_out]

    def spec(self, rule: str, **wildcards: str) -> dict:
        """What a job reads of the configuration."""
        match rule:
            case "data":
                entry = self.config["datasets"][wildcards["dataset"]]
                return {key: value for key, value in entry.items() if key != "flip"}
            case "dense" | "checkpoint":
                return self._training_spec(wildcards)
            case "imp_round":
                return self._training_spec(wildcards) | {"prune_fraction": self.config["prune_fraction"]}
            case "perturb":
                entry = self.config["perturbations"][wildcards["perturbation"]]
                return self._training_spec(wildcards) | {"perturbation": entry}
            case "telemetry":
                return self._training_spec(wildcards) | {"telemetry": self.config["telemetry"]}
            case "curvature":
                chosen = {
                    name: value for name, value in self.config["curvature"].items() if name != "iterations"
                }
                return self._training_spec(wildcards) | {"curvature": chosen}
            case "pairs":
                return {"columns": self._columns(wildcards)}
            case "collect":
                return self._collected(**wildcards)
            case "figure":
                return self.config["figures"][wildcards["figure"]]
            case "claims":
                tables = {
                    stage: f"results/tables/{stage}_{{dataset}}_{{model}}.csv" for stage in self.stages()
                }
                return {"full_scale": self.config["full_scale"], "sources": tables}
        raise ValueError(f"no rule {rule!r}")

    def _training_spec(self, wildcards: dict[str, str]) -> dict:
        dataset, model = wildcards["dataset"], wildcards["model"]
        network = {key: value for key, value in self.config["models"][model].items() if key != "training"}
        return {
            "model": network,
            "training": self.training(dataset, model),
            "columns": self._columns(wildcards),
        }

    @staticmethod
    def _columns(wildcards: dict[str, str]) -> dict[str, str | int]:
        """Columns of a table that name the run."""
        return {name: int(value) if name in NUMBERS else value for name, value in wildcards.items()}

    def _collected(self, stage: str, dataset: str, model: str) -> dict:
        """Path of the metrics tables with {names} in it, and the values of each name: see `table_paths`."""
        run = self.run_of(dataset, model)
        seeds = {"seed": list(run.seeds)}
        match stage:
            case "imp":
                rounds = list(range(1, run.rounds + 1))
                values = [seeds | {"k": list(run.rewind_iterations), "round": rounds}]
            case "perturbed":
                names = {"rewind_iterations": "k", "rounds": "round", "perturbations": "perturbation"}
                values = [
                    seeds | {name: entry[key] for key, name in names.items()}
                    for entry in self.config["perturbed"]
                ]
            case "curvature":
                values = [seeds | {"k": self.curvature_times(run)}]
            case _:
                values = [seeds]
        names = {name: f"{{{name}}}" for name in values[0]} | {"dataset": dataset, "model": model}
        return {"parts": METRICS[stage].format(**names), "values": values}

    def roots(self, rule: str, **wildcards: str) -> tuple[str, ...]:
        """Fingerprint roots of a job: its command, and the configured variation it looks up by name."""
        variations = (
            (group, self.config[group][wildcards[group.removesuffix("s")]]["function"])
            for group in VARIATIONS.get(rule, ())
        )
        defined = (f"{registered(group)[function].module}.{function}" for group, function in variations)
        return (f"commands.{rule}.run", *defined)


def table_paths(spec: dict) -> list[str]:
    """Paths of the tables that a collected one is made of, each once.

    A list of them in the spec would do the same, but thousands do not fit on a command line.

    Args:
        spec: `parts`, a path with {names} in it; `values`, mappings from those names to lists of values,
            where each mapping stands for all combinations.
    """
    paths = (
        spec["parts"].format(**dict(zip(values, chosen, strict=True)))
        for values in spec["values"]
        for chosen in product(*values.values())
    )
    return list(dict.fromkeys(paths))


def read_study(config_paths: list[Path], schema_path: Path) -> Study:
    """Read a study the way Snakemake does: each configuration file is laid over those before it.

    Raises:
        InvalidInput: a file is missing or not YAML, or the configuration is invalid.
    """
    config: dict = {}
    for path in config_paths:
        config = overlaid(config, read_yaml(path))
    return Study(config, read_yaml(schema_path))


def read_yaml(path: Path) -> dict:
    """Read a YAML file that holds a mapping.

    Raises:
        InvalidInput: it is missing, or something else.
    """
    try:
        content = yaml.safe_load(path.read_text())
    except OSError as error:
        raise InvalidInput(f"cannot read {path}: {error.strerror}") from None
    except yaml.YAMLError as error:
        raise InvalidInput(f"{path} is not YAML: {error}") from None
    if not isinstance(content, dict):
        raise InvalidInput(f"{path} holds no mapping of keys to values")
    return content


def without_nulls(config: dict) -> dict:
    """Leave out the entries of registries that are null: how a file laid over another removes one."""
    cleaned = {
        group: {name: entry for name, entry in config[group].items() if entry is not None}
        for group in REGISTRIES
        if isinstance(config.get(group), dict)
    }
    return config | cleaned


def overlaid(below: dict, above: dict) -> dict:
    """Lay one configuration over another: mappings merge, everything else is replaced."""
    merged = below | above
    for key in below.keys() & above.keys():
        if isinstance(below[key], dict) and isinstance(above[key], dict):
            merged[key] = overlaid(below[key], above[key])
    return merged


def check_schema(config: dict, schema: dict) -> None:
    """Raise `InvalidInput` with every violation of the schema, a line each."""
    from jsonschema import Draft202012Validator

    validator = Draft202012Validator(schema)
    problems = sorted(validator.iter_errors(config), key=lambda error: list(map(str, error.absolute_path)))
    if problems:
        raise InvalidInput("configuration: " + "\n  ".join(_explain(problem) for problem in problems))


def _explain(problem) -> str:
    """One schema violation in the words of someone who edits a configuration."""
    key = ".".join(map(str, problem.absolute_path)) or "the configuration"
    value = problem.instance
    rule = f" ({problem.schema['description']})" if "description" in problem.schema else ""
    match problem.validator:
        case "additionalProperties":
            known = list(problem.schema.get("properties", {}))
            unknown = [name for name in value if name not in known]
            return "; ".join(
                f"unknown key {name!r} in {key}{closest(name, known)} (known: {', '.join(known)})"
                for name in unknown
            )
        case "required":
            missing = [name for name in problem.validator_value if name not in value]
            return f"{key} lacks {', '.join(missing)}"
        case "uniqueItems":
            return f"{key} is {value}: the same value stands there twice"
        case "type" if isinstance(value, str) and problem.validator_value in ("number", "integer"):
            hint = " (YAML reads 1e-4 as text, 1.0e-4 as a number)" if "e" in value else ""
            return f"{key} is the text {value!r}, but must be of type {problem.validator_value}{hint}"
        case "type":
            return f"{key} is {value!r}, but must be of type {problem.validator_value}{rule}"
    return f"{key} is {value!r}: {problem.message}{rule}"


def closest(name: str, known: list[str]) -> str:
    """Suggest the known name nearest to a mistyped one, or nothing."""
    close = get_close_matches(str(name), known, n=1)
    return f", did you mean {close[0]!r}?" if close else ""


def check_names(config: dict) -> None:
    """Raise `InvalidInput` where a name is not defined or a function does not take an argument."""
    for index, run in enumerate(config["runs"]):
        for group, key in (("datasets", "dataset"), ("models", "model")):
            if run[key] not in config[group]:
                raise InvalidInput(
                    f"configuration: runs.{index}.{key} is {run[key]!r}, which is not under {group}"
                    f"{closest(run[key], list(config[group]))} (known: {', '.join(config[group])})"
                )
    pairs = [(run["dataset"], run["model"]) for run in config["runs"]]
    if len(set(pairs)) < len(pairs):
        raise InvalidInput("configuration: runs names the same network on the same data set twice")
    not_arguments = {"function", "flip", "training"}
    for group in REGISTRIES:
        functions = registered(group)
        for name, entry in config[group].items():
            function = entry["function"]
            where = f"configuration: {group}.{name}"
            if function not in functions:
                raise InvalidInput(
                    f"{where}.function is {function!r}, which is not registered in {group}"
                    f"{closest(function, list(functions))} (known: {', '.join(functions)})"
                )
            _, required, optional = functions[function]
            for argument in entry.keys() - not_arguments - required - optional:
                known = sorted(required | optional)
                raise InvalidInput(
                    f"{where}.{argument}: {function} has no such argument{closest(argument, known)} "
                    f"(arguments: {', '.join(known) or 'none'})"
                )
            for argument in sorted(required - entry.keys()):
                raise InvalidInput(f"{where} lacks {argument}, which {function} needs")
            if function == "resnet" and (entry["depth"] < 8 or entry["depth"] % 6 != 2):
                raise InvalidInput(f"{where}.depth is {entry['depth']}, but must be 6n + 2 (8, 14, 20, ...)")


class Registered(NamedTuple):
    """A registered function: the module it stands in, and its keyword arguments."""

    module: str
    required: frozenset[str]
    optional: frozenset[str]


@cache
def registered(group: str) -> dict[str, Registered]:
    """Functions registered in a module, or in the modules of a folder, by name.

    Read from the source, because importing some of these modules costs seconds.
    """
    found = {}
    place, decorator_name = REGISTRIES[group]
    for module in modules_of(place):
        for node in ast.parse(source_file(module).read_text()).body:
            if isinstance(node, ast.FunctionDef) and any(
                ast.unparse(decorator) == decorator_name for decorator in node.decorator_list
            ):
                defaults = zip(node.args.kwonlyargs, node.args.kw_defaults, strict=True)
                arguments = {argument.arg: default is not None for argument, default in defaults}
                optional = frozenset(name for name, has_default in arguments.items() if has_default)
                found[node.name] = Registered(module, frozenset(arguments) - optional, optional)
    return found


def check_perturbed(config: dict, runs: list[Run]) -> None:
    """Raise `InvalidInput` where a perturbation is unknown, or needs a round that no chain computes."""
    names = list(config["perturbations"])
    for index, entry in enumerate(config["perturbed"]):
        where = f"configuration: perturbed.{index}"
        for name in entry["perturbations"]:
            if name not in names:
                raise InvalidInput(
                    f"{where}.perturbations has {name!r}, which is not under perturbations"
                    f"{closest(name, names)} (known: {', '.join(names) or 'none'})"
                )
        for run in runs:
            for key, known in (
                ("rewind_iterations", run.rewind_iterations),
                ("rounds", range(1, run.rounds + 1)),
            ):
                for value in entry[key]:
                    if value not in known:
                        raise InvalidInput(
                            f"{where}.{key} has {value}, but {run.model} on {run.dataset} "
                            f"computes {', '.join(map(str, known))} only (`perturbed: []` perturbs nothing)"
                        )


def check_figures(config: dict) -> None:
    """Raise `InvalidInput` where a figure shows what is not configured."""
    known = list(config["perturbations"])
    for figure, entry in config["figures"].items():
        if entry["function"] == "subspace" and not config["curvature"]["iterations"]:
            raise InvalidInput(
                f"configuration: figures.{figure} shows the Hessian's subspace, but curvature.iterations is "
                f"empty; list iterations there, or leave the figure out (figures: {{{figure}: null}})"
            )
        shown = [name for labelled in entry.get("show", []) for name in labelled]
        families = [family for labelled in entry.get("families", []) for family in labelled.values()]
        for name in [*shown, *(name for family in families for name in family)]:
            if name not in known:
                raise InvalidInput(
                    f"configuration: figures.{figure} shows {name!r}, which is not under perturbations"
                    f"{closest(name, known)} (known: {', '.join(known) or 'none'})"
                )


def check_times(config: dict, training: dict, run: Run) -> None:
    """Raise `InvalidInput` where a run is to be looked at in an order or at a time that it does not have."""
    end = training["iterations"]
    for name in ("schedule", "evaluations"):
        sampled_iterations(config["telemetry"][name], end, f"configuration: telemetry.{name}")
    for time in config["curvature"]["iterations"]:
        if as_iterations(time, end) > end:
            raise InvalidInput(
                f"configuration: curvature.iterations has {time}, but {run.model} on {run.dataset} trains "
                f"for {end} iterations; an integer is iterations, a number with a point a fraction"
            )


def check_training(training: dict, run: Run) -> None:
    """Raise `InvalidInput` where times contradict each other."""
    where = f"configuration: training of {run.model} on {run.dataset}"
    end, milestones = training["iterations"], training["milestones"]
    if milestones != sorted(set(milestones)):
        raise InvalidInput(f"{where}: milestones are {milestones}, but must increase")
    if milestones and milestones[-1] >= end:
        raise InvalidInput(f"{where}: milestone {milestones[-1]} is not before the end at iteration {end}")
    for k in run.rewind_iterations:
        if k >= end:
            raise InvalidInput(
                f"configuration: rewind_iterations has {k}, but {run.model} on {run.dataset} trains for "
                f"{end} iterations; k must be smaller"
            )
