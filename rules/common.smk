# Names, specs, fingerprints and input functions. No rules.
import shutil

import yaml
from snakemake.exceptions import WorkflowError

from earlyphase.study import demand
from earlyphase.study.jobs import inputs, jobs
from earlyphase.errors import InvalidInput
from earlyphase.study.fingerprints import canonical, fingerprint
from earlyphase.study.study import METRICS, Study

try:
    with open(f"{workflow.basedir}/config.schema.yaml") as schema:
        STUDY = Study(config, yaml.safe_load(schema))
except InvalidInput as error:
    raise WorkflowError(str(error))


# Snakemake's limit of starts (100 a second by default) sets one more timer going with every job that ends, and
# each of them looks at all ready jobs again and again: after some hundred jobs that takes a whole core. No more
# jobs start here than there are cores, or places in a queue (`jobs`), so there is no such limit.
onstart:
    workflow.scheduler.job_rate_limiter = None


# A job that is told to end must be waited for: a shell between it and Snakemake would end at once, and what
# ends the rest of the job then leaves no time to save. So the command takes the shell's place.
shell.prefix("exec ")


def either(names):
    return "|".join(sorted(names))


wildcard_constraints:
    dataset=either(config["datasets"]),
    model=either(config["models"]),
    figure=either(STUDY.config["figures"]),
    perturbation=either(STUDY.config["perturbations"]),
    seed=r"\d+",
    task="supervised",
    k=r"\d+",
    round=r"[1-9]\d*",
    stage=either(METRICS),


def spec(rule):
    """What a job reads from the configuration: one JSON text, a function of the wildcards."""
    return lambda wildcards: canonical(STUDY.spec(rule, **wildcards))


def code(rule):
    """Fingerprint of the code that a job runs."""
    return lambda wildcards: fingerprint(*STUDY.roots(rule, **wildcards))


def needs(rule, role):
    """Input function for what depends on the study or on the round before."""
    return lambda wildcards: inputs(STUDY, rule, **wildcards).get(role, [])


def gpus(wildcards):
    """Training jobs take one GPU each, where they are to use any."""
    if config["execution"]["device"] == "auto":
        return int(shutil.which("nvidia-smi") is not None)
    return int(config["execution"]["device"] == "cuda")


def minutes(rule):
    """Time limit of a training job; more with every attempt, and progress survives each."""
    return lambda wildcards, attempt: demand.minutes(
        STUDY, rule, wildcards, attempt, gpu=bool(gpus(wildcards))
    )


def megabytes(wildcards, attempt):
    """Memory of a training job; more with every attempt."""
    return demand.megabytes(STUDY, wildcards, attempt, gpu=bool(gpus(wildcards)))


# Snakemake does not compare params that depend on resources or output with those of an earlier run.
# The next three are made so on purpose: none of them changes what a job computes.
def execution(wildcards, resources):
    """Options for where and how precisely to compute, and how often to save progress."""
    chosen = config["execution"]
    device = "cuda" if resources.gpu else "cpu"
    preload = "--preload" if chosen["preload"] else ""
    options = f"--device {device} --precision {chosen['precision']}"
    return f"{preload} {options} --resume-interval {chosen['resume_interval']}"


def resume_file(wildcards, output):
    """Progress of a job: undeclared, so that Snakemake does not delete it with the outputs."""
    return f"{output[0]}.resume"


def kept_iterations(wildcards, output):
    """Iterations that the dense run keeps; one added later is made from the nearest before it."""
    return STUDY.kept_iterations(STUDY.run_of(wildcards.dataset, wildcards.model))


def configured_figures(wildcards):
    return [path for job in jobs(STUDY) if job.rule == "figure" for path in job.outputs]
