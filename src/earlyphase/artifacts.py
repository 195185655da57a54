"""The files of a study: which there are to be, what each is made from, and what a path stands for.

The rules write the paths of outputs out in full; this is the same scheme for programs that read it,
and a test holds the two against each other.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import product

from earlyphase.study import NUMBERS, Study

DENSE = "results/dense/{dataset}/{model}/seed{seed}/{task}"
ROUND = "results/imp/{dataset}/{model}/seed{seed}/{task}/it{k}/round{round}"
PERTURBED = "results/perturbed/{dataset}/{model}/seed{seed}/{task}/it{k}/round{round}/{perturbation}.csv"
FIGURE = "results/figures/{figure}_{dataset}_{model}"
OUTPUTS = {  # rule -> its outputs, the one that the resume file is named after first
    "data": ("results/data/{dataset}.safetensors",),
    "dense": (f"{DENSE}/trajectory.safetensors", f"{DENSE}/metrics.csv", f"{DENSE}/run.json"),
    "checkpoint": (f"{DENSE}/it{{k}}.safetensors",),
    "imp_round": tuple(
        f"{ROUND}/{name}" for name in ("mask.safetensors", "weights.safetensors", "metrics.csv", "run.json")
    ),
    "perturb": (f"{PERTURBED}",),
    "collect_dense": ("results/tables/dense_{dataset}_{model}.csv",),
    "collect_imp": ("results/tables/imp_{dataset}_{model}.csv",),
    "collect_perturbed": ("results/tables/perturbed_{dataset}_{model}.csv",),
    "figure": tuple(f"{FIGURE}.{suffix}" for suffix in ("svg", "png", "csv")),
    "claims": ("results/claims.csv",),
}
LOGS = {
    "data": "logs/data/{dataset}.log",
    "dense": "logs/dense/{dataset}/{model}/seed{seed}/{task}.log",
    "checkpoint": "logs/dense/{dataset}/{model}/seed{seed}/{task}/it{k}.log",
    "imp_round": "logs/imp/{dataset}/{model}/seed{seed}/{task}/it{k}/round{round}.log",
    "perturb": "logs/perturbed/{dataset}/{model}/seed{seed}/{task}/it{k}/round{round}/{perturbation}.log",
    "collect_dense": "logs/tables/dense_{dataset}_{model}.log",
    "collect_imp": "logs/tables/imp_{dataset}_{model}.log",
    "collect_perturbed": "logs/tables/perturbed_{dataset}_{model}.log",
    "figure": "logs/figures/{figure}_{dataset}_{model}.log",
    "claims": "logs/claims.log",
}


@dataclass(frozen=True)
class Job:
    """One job of the workflow: its rule and its wildcards."""

    rule: str
    wildcards: tuple[tuple[str, str], ...]

    @property
    def outputs(self) -> tuple[str, ...]:
        """Paths it writes."""
        return tuple(template.format(**dict(self.wildcards)) for template in OUTPUTS[self.rule])

    @property
    def log(self) -> str:
        """Path of its log."""
        return LOGS[self.rule].format(**dict(self.wildcards))

    @property
    def resume(self) -> str:
        """Path of its progress, where it is a training job and was interrupted."""
        return f"{self.outputs[0]}.resume"


def job(rule: str, **wildcards: object) -> Job:
    """Name a job; wildcards become text."""
    return Job(rule, tuple((name, str(value)) for name, value in sorted(wildcards.items())))


def jobs(study: Study) -> Iterator[Job]:
    """Every job of the configured study, in the order of the graph."""
    for dataset in dict.fromkeys(run.dataset for run in study.runs):
        yield job("data", dataset=dataset)
    for run in study.runs:
        network = {"dataset": run.dataset, "model": run.model}
        end = study.training(run.dataset, run.model)["iterations"]
        for seed in run.seeds:
            replicate = network | {"seed": seed, "task": "supervised"}
            yield job("dense", **replicate)
            initial = [0] if all(study.perturbed(run)) else []  # which perturbations read
            for k in dict.fromkeys((*initial, *run.rewind_iterations, end)):
                yield job("checkpoint", **replicate, k=k)
            for k in run.rewind_iterations:
                for imp_round in range(1, run.rounds + 1):
                    yield job("imp_round", **replicate, k=k, round=imp_round)
            for k, number, name in product(*study.perturbed(run)):
                yield job("perturb", **replicate, k=k, round=number, perturbation=name)
        for stage in study.stages():
            yield job(f"collect_{stage}", **network)
        for figure in study.config["figures"]:
            yield job("figure", **network, figure=figure)
    yield job("claims")


def identify(path: str, study: Study) -> Job | None:
    """Return the job that makes the file at `path`, or None where no rule makes such a file.

    The names of data sets, networks and figures need not be configured any more.
    """
    for rule, templates in OUTPUTS.items():
        for template in templates:
            if found := re.fullmatch(_pattern(template, study), path):
                return job(rule, **found.groupdict())
    return None


def _pattern(template: str, study: Study) -> str:
    """Regular expression of a path template; each wildcard is a group."""
    names = {
        group: "|".join([*map(re.escape, study.config[group]), r"\w+"])
        for group in ("datasets", "models", "perturbations")
    }
    wildcards = {
        "dataset": f"(?P<dataset>{names['datasets']})",
        "model": f"(?P<model>{names['models']})",
        "perturbation": f"(?P<perturbation>{names['perturbations']})",
        "figure": f"(?P<figure>{'|'.join([*study.config['figures'], '[a-z0-9]+'])})",
        "task": "(?P<task>supervised)",
        **{name: rf"(?P<{name}>\d+)" for name in NUMBERS},
    }
    return re.sub(r"\\\{(\w+)\\\}", lambda name: wildcards[name[1]], re.escape(template))


def inputs(study: Study, rule: str, **wildcards: str) -> dict[str, list[str]]:
    """Paths that a job reads: role -> files."""
    names = dict(wildcards)
    data = OUTPUTS["data"][0]
    match rule:
        case "dense":
            needed = {"data": [data]}
        case "checkpoint":
            needed = {"data": [data], "trajectory": [OUTPUTS["dense"][0]]}
        case "imp_round":
            needed = {"data": [data], "rewind": [f"{DENSE}/it{{k}}.safetensors"]} | _previous_round(
                study, names
            )
        case "perturb":
            needed = {
                "data": [data],
                "rewind": [f"{DENSE}/it{{k}}.safetensors"],
                "initial": [f"{DENSE}/it0.safetensors"],
                "mask": [f"{ROUND}/mask.safetensors"],
            }
        case "collect_dense" | "collect_imp" | "collect_perturbed":
            return {"metrics": metrics(study, rule, **names)}
        case "figure":
            needed = {stage: [OUTPUTS[f"collect_{stage}"][0]] for stage in study.stages()}
        case "claims":
            runs = [{"dataset": run.dataset, "model": run.model} for run in study.runs]
            return {
                stage: [OUTPUTS[f"collect_{stage}"][0].format(**run) for run in runs]
                for stage in study.stages()
            }
        case _:
            needed = {}
    return {role: [template.format(**names) for template in templates] for role, templates in needed.items()}


def _previous_round(study: Study, names: dict[str, str]) -> dict[str, list[str]]:
    """What a round prunes: the trained dense network first, which has no mask; later the round before."""
    before = int(names["round"]) - 1
    if before == 0:
        end = study.training(names["dataset"], names["model"])["iterations"]
        return {"weights": [f"{DENSE}/it{end}.safetensors"], "mask": []}
    folder = ROUND.replace("{round}", str(before))
    return {"weights": [f"{folder}/weights.safetensors"], "mask": [f"{folder}/mask.safetensors"]}


def metrics(study: Study, rule: str, dataset: str, model: str) -> list[str]:
    """Metrics tables that a collected table of a run is made of."""
    spec = study.spec(rule, dataset=dataset, model=model)
    values = spec["values"]
    return [
        spec["parts"].format(**dict(zip(values, chosen, strict=True))) for chosen in product(*values.values())
    ]
