"""The files of a study: which there are to be, what each is made from, and what a path stands for.

The rules write the paths of outputs out in full; this is the same scheme for programs that read it,
and a test holds the two against each other.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass

from earlyphase.study.study import METRICS, NUMBERS, Study, table_paths

DENSE = "results/dense/{dataset}/{model}/seed{seed}/{task}"
ROUND = "results/imp/{dataset}/{model}/seed{seed}/{task}/it{k}/round{round}"
PERTURBED = "results/perturbed/{dataset}/{model}/seed{seed}/{task}/it{k}/round{round}/{perturbation}.csv"
TELEMETRY = "results/telemetry/{dataset}/{model}/seed{seed}/{task}"
CURVATURE = "results/curvature/{dataset}/{model}/seed{seed}/{task}"
FIGURE = "results/figures/{figure}_{dataset}_{model}"
OUTPUTS = {  # rule -> its outputs, the one that the resume file is named after first
    "data": ("results/data/{dataset}.safetensors",),
    "dense": (f"{DENSE}/trajectory.safetensors", f"{DENSE}/metrics.csv", f"{DENSE}/run.json"),
    "checkpoint": (f"{DENSE}/it{{k}}.safetensors",),
    "imp_round": tuple(
        f"{ROUND}/{name}" for name in ("mask.safetensors", "weights.safetensors", "metrics.csv", "run.json")
    ),
    "perturb": (f"{PERTURBED}",),
    "telemetry": tuple(
        f"{TELEMETRY}/{name}" for name in ("state.csv", "traces.csv", "evaluations.csv", "run.json")
    ),
    "curvature": (f"{CURVATURE}/it{{k}}.safetensors", f"{CURVATURE}/it{{k}}.csv"),
    "pairs": (f"{CURVATURE}/pairs.csv",),
    "collect": ("results/tables/{stage}_{dataset}_{model}.csv",),
    "figure": tuple(f"{FIGURE}.{suffix}" for suffix in ("svg", "png", "csv")),
    "claims": ("results/claims.csv",),
}
LOGS = {
    "data": "logs/data/{dataset}.log",
    "dense": "logs/dense/{dataset}/{model}/seed{seed}/{task}.log",
    "checkpoint": "logs/dense/{dataset}/{model}/seed{seed}/{task}/it{k}.log",
    "imp_round": "logs/imp/{dataset}/{model}/seed{seed}/{task}/it{k}/round{round}.log",
    "perturb": "logs/perturbed/{dataset}/{model}/seed{seed}/{task}/it{k}/round{round}/{perturbation}.log",
    "telemetry": "logs/telemetry/{dataset}/{model}/seed{seed}/{task}.log",
    "curvature": "logs/curvature/{dataset}/{model}/seed{seed}/{task}/it{k}.log",
    "pairs": "logs/curvature/{dataset}/{model}/seed{seed}/{task}/pairs.log",
    "collect": "logs/tables/{stage}_{dataset}_{model}.log",
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
            for k in (*study.kept_iterations(run), end):
                yield job("checkpoint", **replicate, k=k)
            yield job("telemetry", **replicate)
            for k in study.curvature_times(run):
                yield job("curvature", **replicate, k=k)
            if study.curvature_times(run):
                yield job("pairs", **replicate)
            for k in run.rewind_iterations:
                for imp_round in range(1, run.rounds + 1):
                    yield job("imp_round", **replicate, k=k, round=imp_round)
            for k, number, name in study.perturbed():
                yield job("perturb", **replicate, k=k, round=number, perturbation=name)
        for stage in study.stages():
            yield job("collect", **network, stage=stage)
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
        "stage": f"(?P<stage>{'|'.join(METRICS)})",
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
        case "telemetry":
            needed = {"data": [data], "trajectory": [OUTPUTS["dense"][0]]}
        case "curvature":
            needed = {
                "data": [data],
                "state": [f"{DENSE}/it{{k}}.safetensors"],
                "initial": [f"{DENSE}/it0.safetensors"],
            }
        case "pairs":
            times = study.curvature_times(study.run_of(names["dataset"], names["model"]))
            needed = {
                "eigenpairs": [OUTPUTS["curvature"][0].replace("{k}", str(k)) for k in times],
                "states": [f"{DENSE}/it{k}.safetensors" for k in times],
            }
        case "collect":
            return {"metrics": metrics(study, **names)}
        case "figure":
            needed = {"tables": [OUTPUTS["collect"][0].replace("{stage}", stage) for stage in study.stages()]}
        case "claims":
            return {
                "tables": [
                    OUTPUTS["collect"][0].format(dataset=run.dataset, model=run.model, stage=stage)
                    for run in study.runs
                    for stage in study.stages()
                ]
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


def metrics(study: Study, stage: str, dataset: str, model: str) -> list[str]:
    """Tables that a collected table of a run is made of."""
    return table_paths(study.spec("collect", stage=stage, dataset=dataset, model=model))
