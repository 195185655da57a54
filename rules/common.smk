# The study, input functions, and what all jobs have in common.
import os
import shlex
import sys
from pathlib import Path

from snakemake.exceptions import WorkflowError

HOME = Path(workflow.basedir)
sys.path.insert(
    0, str(HOME / "src")
)  # a clone runs its own code, whatever is installed

from earlyphase.errors import InvalidInput
from earlyphase.runtime import machine, mps, plugins
from earlyphase.stages import study_of
from earlyphase.stages.dense import kept
from earlyphase.stages.figure import left_out
from earlyphase.study import fingerprints, foot, jobs, limits
from earlyphase.study.configuration import plugins_of

try:
    plugins.announce(plugins_of([Path(path) for path in workflow.configfiles]))
    STUDY = study_of(config, HOME)
    EXECUTION = STUDY.config["execution"]
    DEVICE = machine.device(EXECUTION["device"])
    GPUS = int(DEVICE == "cuda")  # of a training job
    if workflow.is_main_process:
        for run in STUDY.runs:
            STUDY.contents(run.dataset)  # images that are not there stop the study here
        STUDY.claims  # so does a claim that cannot be judged
        if DEVICE != EXECUTION["device"] and not GPUS:
            print(
                "note: execution.device is auto, and no GPU can be used here: "
                "networks are trained on the CPU",
                file=sys.stderr,
            )
        if workflow.resource_settings.nodes is None:  # jobs run on this machine
            machine.check_precision(
                DEVICE,
                EXECUTION["precision"],
                os.environ | machine.instruction_limits(EXECUTION["instructions"]),
            )
        for sentence in left_out(STUDY):
            print(f"note: {sentence}", file=sys.stderr)
except InvalidInput as error:
    raise WorkflowError(str(error))


CLOCK = limits.Clock(STUDY, gpu=bool(GPUS))
# How many jobs may be on GPUs at a time; the limit is a plain number in older versions of Snakemake.
GPU_LIMIT = workflow.resource_settings.resources.get("gpu")
AT_A_TIME = getattr(GPU_LIMIT, "value", GPU_LIMIT) or 1


# Snakemake's limit of starts (100 a second by default) sets one more timer going with every job that ends, and
# each of them looks at all ready jobs again and again: after some hundred jobs that takes a whole core. No more
# jobs start here than there are cores, or places in a queue (`jobs`), so there is no such limit.
onstart:
    workflow.scheduler.job_rate_limiter = None
    if workflow.local_exec and AT_A_TIME > 1:
        print(f"note: {mps.start(DEVICE)}", file=sys.stderr)
    try:
        foot.add_foot(workflow, STUDY, CLOCK, logger)
    except Exception as error:  # a study goes on without
        logger.debug(f"no line at the foot of the terminal: {error}")


onsuccess:
    if words := foot.last_words():
        logger.info(words)


# `workflow.cores` raises where no number is given, as with --unlock, --report and --list-untracked.
ALL_CORES = workflow.resource_settings.cores or 1


def environment():
    """Variables that jobs run with, as a shell sets them before a command."""
    chosen = machine.instruction_limits(EXECUTION["instructions"])
    chosen["MPLBACKEND"] = "agg"  # Jupyter's and Colab's, in their shells, is not here
    chosen["PYTHONUTF8"] = "1"
    # Said here, because Snakemake takes it out of the environment of a job that runs in a conda environment.
    chosen["PYTHONPATH"] = plugins.search_path()
    if named := os.environ.get(plugins.VARIABLE):
        chosen[plugins.VARIABLE] = named
    said = "".join(f"{name}={shlex.quote(value)} " for name, value in chosen.items())
    # Jobs find the interpreter that runs Snakemake, or that of the conda environment which they run in.
    folder = shlex.quote(str(Path(sys.executable).parent))
    in_conda = workflow.deployment_settings.deployment_method
    return said + ('PATH="$PATH":' + folder if in_conda else f'PATH={folder}:"$PATH"')


# A job that is told to end must be waited for: a shell between it and Snakemake would end at once, and what
# ends the rest of the job then leaves no time to save. So the command takes the shell's place.
shell.prefix(f"{environment()} exec ".replace("{", "{{").replace("}", "}}"))


def either(names):
    return "|".join(sorted(names))


wildcard_constraints:
    dataset=either(STUDY.config["datasets"]),
    model=either(STUDY.config["models"]),
    task=either(
        [
            *STUDY.config["tasks"],
            *(f"{name}-[1-9]\\d*" for name in STUDY.config["pretraining"]),
        ]
    ),
    pretraining=either(STUDY.config["pretraining"]),
    iterations=r"[1-9]\d*",
    figure=either({name for run in STUDY.runs for name in run.figures}),
    perturbation=either(STUDY.config["perturbations"]),
    criterion=either(STUDY.config["criteria"]),
    seed=r"\d+",
    k=r"\d+",
    round=r"[1-9]\d*",
    table=either(jobs.all_tables(STUDY)),
    deficit=either(STUDY.config["tasks"]),
    regime=rf"({either(['base', *STUDY.config['regimes']])})(-\d+-\d+)?",
    first=r"\d+",
    end=r"\d+",
    stop=r"\d+",


def spec(rule):
    """What a job reads from the configuration: one JSON text, a function of the wildcards."""

    def text(wildcards):
        job = jobs.job_of(STUDY, rule, wildcards)
        return fingerprints.canonical(job.stage.spec(job))

    return text


def code(rule):
    """Fingerprint of the code that a job runs."""
    return lambda wildcards: fingerprints.fingerprint(
        *jobs.job_of(STUDY, rule, wildcards).code_roots
    )


def needs(rule, role):
    """Input function for what depends on the study or on the round before."""

    def paths(wildcards):
        job = jobs.job_of(STUDY, rule, wildcards)
        return job.stage.inputs(job)[role]

    return paths


def configured_figures(wildcards):
    return [
        path for job in jobs.all_jobs(STUDY, rules=["figure"]) for path in job.outputs
    ]


# Snakemake does not compare params that depend on resources or output with those of an earlier run.
# The next three are made so on purpose: none of them changes what a job computes.
def files(wildcards, input, output):
    """Paths of a job by the names that its rule gives them, as JSON."""
    named = {"inputs": dict(input.items()), "outputs": dict(output.items())}
    return fingerprints.canonical(
        {
            part: {
                role: paths if isinstance(paths, str) else list(paths)
                for role, paths in roles.items()
                if paths
            }
            for part, roles in named.items()
        }
    )


def means(wildcards, output, resources):
    """Options for where and how precisely to train, and where progress is kept, undeclared.

    Snakemake would delete a declared file with the outputs.
    """
    preload = "--preload" if EXECUTION["preload"] else ""
    device = EXECUTION["device"] if resources.gpu else "cpu"
    return (
        f"{preload} --device {device} --precision {EXECUTION['precision']} "
        f"--resume-interval {EXECUTION['resume_interval']} --resume {shlex.quote(output[0])}.resume"
    )


def means_and_kept_iterations(wildcards, output, resources):
    """Options of `means`, and iterations whose state a dense run keeps: others are made from these."""
    job = jobs.job_of(STUDY, "dense", wildcards)
    iterations = " ".join(map(str, kept(job)))
    return f"{means(wildcards, output, resources)} --keep {iterations}"


def minutes(wildcards, attempt, rulename):
    """Time limit of a training job; more with every attempt, and progress survives each."""
    return CLOCK.minutes(jobs.job_of(STUDY, rulename, wildcards), attempt)


def megabytes(wildcards, attempt, rulename):
    """Memory of a training job; more with every attempt."""
    return limits.megabytes(
        jobs.job_of(STUDY, rulename, wildcards), attempt, gpu=bool(GPUS)
    )
