# Names, specs, fingerprints and input functions. No rules.
import shutil
from itertools import product

import yaml
from snakemake.exceptions import WorkflowError

from earlyphase.errors import InvalidInput
from earlyphase.provenance import canonical, fingerprint
from earlyphase.study import Study

try:
    with open(f"{workflow.basedir}/config.schema.yaml") as schema:
        STUDY = Study(config, yaml.safe_load(schema))
except InvalidInput as error:
    raise WorkflowError(str(error))


def either(names):
    return "|".join(sorted(names))


wildcard_constraints:
    dataset=either(config["datasets"]),
    model=either(config["models"]),
    figure=either(config["figures"]),
    seed=r"\d+",
    task="supervised",
    k=r"\d+",
    round=r"[1-9]\d*",


def spec(stage):
    """What a job of a stage reads from the configuration: one JSON text, a function of the wildcards."""
    return lambda wildcards: canonical(getattr(STUDY, f"{stage}_spec")(**wildcards))


def code(command, group=None):
    """Fingerprint of what a job runs: its command, and the configured variation it looks up by name.

    `group` is "datasets", "models" or "figures"; the wildcard of that kind names the variation.
    """

    def of_job(wildcards):
        root = f"commands.{command}.run"
        if group is None:
            return fingerprint(root)
        return fingerprint(
            root, STUDY.function_of(group, wildcards[group.removesuffix("s")])
        )

    return of_job


def gpus(wildcards):
    """Training jobs take one GPU each, where they are to use any."""
    if config["execution"]["device"] == "auto":
        return int(shutil.which("nvidia-smi") is not None)
    return int(config["execution"]["device"] == "cuda")


# Snakemake does not compare params that depend on resources or output with those of an earlier run.
# The next three are made so on purpose: none of them changes what a job computes.
def execution(wildcards, resources):
    """Options for where and how precisely to compute."""
    device = "cuda" if resources.gpu else "cpu"
    return f"--device {device} --precision {config['execution']['precision']}"


def resume_file(wildcards, output):
    """Progress of a job: undeclared, so that Snakemake does not delete it with the outputs."""
    return f"{output[0]}.resume"


def kept_iterations(wildcards, output):
    """Iterations that the dense run keeps; one added later is made from the nearest before it."""
    return list(STUDY.run_of(wildcards.dataset, wildcards.model).rewind_iterations)


def final_state(wildcards):
    """State at the end of the dense run, which the first round prunes."""
    iterations = STUDY.training(wildcards.dataset, wildcards.model)["iterations"]
    return (
        "results/dense/{dataset}/{model}/seed{seed}/{task}/it{last}.safetensors".format(
            **wildcards, last=iterations
        )
    )


ROUND = "results/imp/{dataset}/{model}/seed{seed}/{task}/it{k}/round{previous}/{file}"


def previous_weights(wildcards):
    """Trained weights that a round prunes: the first round, those of the dense run."""
    if wildcards.round == "1":
        return final_state(wildcards)
    return ROUND.format(
        **wildcards, previous=int(wildcards.round) - 1, file="weights.safetensors"
    )


def previous_mask(wildcards):
    """The first round prunes the dense network, which has no mask."""
    if wildcards.round == "1":
        return []
    return ROUND.format(
        **wildcards, previous=int(wildcards.round) - 1, file="mask.safetensors"
    )


METRICS = {
    "dense": "results/dense/{dataset}/{model}/seed{seed}/supervised/metrics.csv",
    "imp": "results/imp/{dataset}/{model}/seed{seed}/supervised/it{k}/round{round}/metrics.csv",
}


def metrics_of(stage):
    """Input function: the metrics of every job of a stage that a collected table holds."""

    def paths(wildcards):
        values = STUDY.collected(stage, **wildcards)
        return [
            METRICS[stage].format(**wildcards, **dict(zip(values, chosen)))
            for chosen in product(*values.values())
        ]

    return paths


def collected(stage):
    """Spec of a collected table: the path of its parts, and the values that fill the path."""

    def of_table(wildcards):
        values = STUDY.collected(stage, **wildcards)
        fields = {name: f"{{{name}}}" for name in values}
        return canonical(
            {"parts": METRICS[stage].format(**wildcards, **fields), "values": values}
        )

    return of_table


def all_runs(template):
    """The template filled with each configured network and data set."""
    return [template.format(dataset=run.dataset, model=run.model) for run in STUDY.runs]


def configured_figures(wildcards):
    return [
        path
        for name, suffix in product(config["figures"], ("svg", "png"))
        for path in all_runs(f"results/figures/{name}_{{dataset}}_{{model}}.{suffix}")
    ]
