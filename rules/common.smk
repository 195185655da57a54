# The study, and input functions. No rules.
import os
import shlex
import sys
from pathlib import Path

import snakemake.common
import snakemake.rules
from snakemake.exceptions import WorkflowError

HOME = Path(workflow.basedir)
sys.path.insert(
    0, str(HOME / "src")
)  # a clone runs its own code, whatever is installed

from earlyphase.errors import InvalidInput
from earlyphase.runtime import machine, plugins
from earlyphase.study import demand, fingerprints, foot, jobs, stages
from earlyphase.study.configuration import plugins_of, read_yaml
from earlyphase.study.rules import read_rules
from earlyphase.study.study import Study, citation_in

try:
    plugins.announce(plugins_of([Path(path) for path in workflow.configfiles]))
    STUDY = Study(
        config,
        read_yaml(HOME / "config.schema.yaml"),
        read_rules(HOME / "rules"),
        citation_in(HOME),
    )
    jobs.check_outputs(STUDY)
    EXECUTION = STUDY.config["execution"]
    DEVICE = machine.device(EXECUTION["device"])
    GPUS = int(DEVICE == "cuda")  # of a training job
    if workflow.is_main_process:
        for run in STUDY.runs:
            STUDY.contents(run.dataset)  # images that are not there stop the study here
        STUDY.claims  # so does a claim that cannot be judged
        if workflow.resource_settings.nodes is None:  # jobs run on this machine
            machine.check_precision(
                DEVICE,
                EXECUTION["precision"],
                os.environ | machine.instruction_limits(EXECUTION["instructions"]),
            )
        if DEVICE != EXECUTION["device"] and not GPUS:
            print(
                "note: execution.device is auto, and no GPU can be used here: "
                "networks are trained on the CPU",
                file=sys.stderr,
            )
        for sentence in stages.left_out(STUDY):
            print(f"note: {sentence}", file=sys.stderr)
except InvalidInput as error:
    raise WorkflowError(str(error))


TERMINALS = []  # the line at the foot of the one that Snakemake writes to, if it does


# Snakemake's limit of starts (100 a second by default) sets one more timer going with every job that ends, and
# each of them looks at all ready jobs again and again: after some hundred jobs that takes a whole core. No more
# jobs start here than there are cores, or places in a queue (`jobs`), so there is no such limit.
onstart:
    workflow.scheduler.job_rate_limiter = None
    try:
        if terminal := foot.of(workflow, STUDY, logger):
            terminal.start()
            TERMINALS.append(terminal)
    except Exception as error:  # a study goes on without
        logger.debug(f"no line at the foot of the terminal: {error}")


onsuccess:
    for terminal in TERMINALS:
        terminal.stop()


onerror:
    for terminal in TERMINALS:
        terminal.stop()


# Snakemake inspects the signature of a function each time it calls one: a quarter of the time of planning.
SIGNATURES = {}


def parameters_of(function, inspect=snakemake.common.get_function_params):
    """Parameters of a function, inspected once; methods of two objects have the same."""
    key = getattr(function, "__func__", function)
    if key not in SIGNATURES:
        SIGNATURES[key] = inspect(function)
    return SIGNATURES[key]


snakemake.common.get_function_params = parameters_of
snakemake.rules.get_function_params = parameters_of


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


REGIMES = ["base", *STUDY.config["regimes"]]


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
    table=either(stages.all_tables()),
    deficit=either(STUDY.config["tasks"]),
    regime=rf"({either(REGIMES)})(-\d+-\d+)?",
    first=r"\d+",
    end=r"\d+",
    stop=r"\d+",


def spec(rule):
    """What a job reads from the configuration: one JSON text, a function of the wildcards."""
    return lambda wildcards: fingerprints.canonical(
        jobs.spec(STUDY, rule, dict(wildcards))
    )


def code(rule):
    """Fingerprint of the code that a job runs."""
    return lambda wildcards: fingerprints.fingerprint(
        *jobs.roots(STUDY, rule, dict(wildcards))
    )


def needs(rule, role):
    """Input function for what depends on the study or on the round before."""
    return lambda wildcards: stages.STAGES[rule].needs(STUDY, dict(wildcards))[role]


def minutes(rule):
    """Time limit of a training job; more with every attempt, and progress survives each."""
    return lambda wildcards, attempt: demand.minutes(
        STUDY, rule, wildcards, attempt, gpu=bool(GPUS)
    )


def megabytes(wildcards, attempt):
    """Memory of a training job; more with every attempt."""
    return demand.megabytes(STUDY, wildcards, attempt, gpu=bool(GPUS))


# Snakemake does not compare params that depend on resources or output with those of an earlier run.
# The next three are made so on purpose: none of them changes what a job computes.
def execution(wildcards, resources):
    """Options for where and how precisely to compute, and how often to save progress."""
    device = EXECUTION["device"] if resources.gpu else "cpu"
    preload = "--preload" if EXECUTION["preload"] else ""
    options = f"--device {device} --precision {EXECUTION['precision']}"
    return f"{preload} {options} --resume-interval {EXECUTION['resume_interval']}"


def resume_file(wildcards, output):
    """Progress of a job: undeclared, so that Snakemake does not delete it with the outputs."""
    return f"{output[0]}.resume"


def kept_iterations(wildcards, output):
    """Iterations that the dense run keeps; one added later is made from the nearest before it."""
    return stages.kept_iterations(STUDY, dict(wildcards))


def configured_figures(wildcards):
    return [
        path for job in jobs.jobs(STUDY) if job.rule == "figure" for path in job.outputs
    ]
