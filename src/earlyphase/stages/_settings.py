"""What several stages read of the configuration, and the schemas and the work that they share."""

from collections.abc import Iterator

from earlyphase.core.schedules import sampled_iterations
from earlyphase.errors import InvalidInput
from earlyphase.study.configuration import entries_of
from earlyphase.study.jobs import Block, Inputs, Job, Work
from earlyphase.study.limits import enlargement, images_of, network_of
from earlyphase.study.run import Run

ROW = 250  # bytes of a row of a table
RECORD = 1_500  # bytes of a run record
BACKWARD = 2  # a backward pass takes as long as two forward passes
CLASSES = (
    10  # assumed of a data set, which may not be there yet; with more a job needs longer than it asks for
)

# What an experiment chooses of a run is read by `study.choices`, to which the schema says how.
TIMES = {"$ref": "#/$defs/times"}
STARTS = {"$ref": "#/$defs/starts"}
REWIND_ITERATIONS = {"$ref": "#/$defs/some_rewind_iterations"}
ROUNDS = {"$ref": "#/$defs/some_rounds"}
SCHEDULE = {"$ref": "#/$defs/schedule"}
TOLERANCE = {
    "type": "number",
    "exclusiveMinimum": 0,
    "exclusiveMaximum": 1,
    "description": "residual, relative to the eigenvalue",
}


def section(**properties: dict) -> dict:
    """Schema of a section of the configuration that has these settings and no other."""
    return {"type": "object", "additionalProperties": False, "per_run": True, "properties": properties}


def schedule_problems(run: Run, part: str, *names: str) -> Iterator[str]:
    """Schedules of a section that do not rise, a sentence each."""
    for name in names:
        try:
            sampled_iterations(run.settings[part][name], run.iterations, f"{part}.{name}")
        except InvalidInput as error:
            yield str(error)


# Jobs


def branches_of(entries: list[dict]) -> list[Block]:
    """Tickets in blocks, of `perturbed` or `sparse_pretraining`; each stands for all combinations."""
    keys = {"k": "rewind_iterations", "round": "rounds", "perturbation": "perturbations"}
    keys |= {name: name for name in ("pretraining", "iterations")}
    return [{name: entry[key] for name, key in keys.items() if key in entry} for entry in entries]


# Spans


def from_start(job: Job) -> range:
    """Train to the end: from iteration 0, after pretraining from where its clock then stands."""
    first = job.study.pretraining(job.names)
    return range(first.start if first else 0, job.run.iterations)


def first_phase(job: Job) -> range:
    """Train for as long as pretraining takes."""
    return range(job.study.first_phase(job.names).iterations)


def from_k(job: Job) -> range:
    """Train from k to the end."""
    return range(int(job.names["k"]), job.run.iterations)


def branch_span(job: Job) -> range:
    """Train from where the clock of a perturbed ticket stands to the end."""
    start = job.study.starts_at(job.names["perturbation"], int(job.names["k"]))
    return range(start, job.run.iterations)


# Specs


def training_spec(job: Job) -> dict:
    """Network, task and settings of a training, and the columns that name it."""
    network, first, columns = job.entry("models"), job.study.pretraining(job.names), job.columns
    if first is not None:
        past = branch_span(job).start if "perturbation" in job.names else 0
        total = past + first.iterations + len(from_start(job))
        columns |= {"task": job.run.task} | first.columns(total)
    return {
        "model": {key: value for key, value in network.items() if key != "training"},
        "task": job.entry("tasks"),
        "training": job.run.training,
        "columns": columns,
    }


def measured_spec(job: Job) -> dict:
    """A training, and the stage's own settings but for its times, which paths name."""
    (own,) = job.stage.settings
    chosen = {key: value for key, value in job.run.settings[own].items() if key != "iterations"}
    return training_spec(job) | {own: chosen}


def second_phase_spec(job: Job) -> dict:
    """A training from the start and, of a network that was pretrained, how its second phase begins."""
    first = job.study.pretraining(job.names)
    return training_spec(job) | ({"second_phase": first.second_phase} if first else {})


def first_phase_spec(job: Job) -> dict:
    """A training on what is learned first; its learning rate falls only at milestones of the entry's own.

    Source: OpenLTH, whose pretraining ends before the learning rate first falls.
    """
    first = job.study.first_phase(job.names)
    changes = job.run.changes(first.training, first.iterations)
    constant: dict = {"milestones": []}
    if schedule := job.run.training.get("schedule"):
        constant["schedule"] = {"function": "constant", "warmup": schedule.get("warmup", 0)}
    columns = job.columns | {"task": first.task}
    return training_spec(job) | {
        "task": job.entry("pretraining"),
        "training": job.run.training | constant | changes | {"iterations": first.iterations},
        "columns": columns | first.columns(first.iterations),
    }


def branch_spec(job: Job) -> dict:
    """A training, what is done to the ticket first, and the iteration at which its clock then stands."""
    return training_spec(job) | {
        "perturbation": entries_of(job.entry("perturbations")),
        "round": int(job.names["round"]),
        "start": branch_span(job).start,
    }


# Inputs


def dense_end(job: Job) -> Inputs:
    """The trained dense network, which perturbations may look at."""
    return {"final": job.path("checkpoint", "state", k=job.run.iterations)}


# Work and size


def training_work(job: Job) -> Work:
    """Forward and backward passes of a training, and the evaluations that fall among them."""
    own = enlargement(job.entry("pretraining" if "pretraining" in job.stage.looks_up else "tasks"))
    batches: float = own * len(job.span)
    if "deficit" in job.names:  # it changes what the job's own task has made of a mini-batch
        window = range(
            max(job.span.start, int(job.names["first"])), min(job.span.stop, int(job.names["end"]))
        )
        deficit = job.study.config["tasks"][job.names["deficit"]]
        batches += own * (enlargement(deficit) - 1) * len(window)
    images = (1 + BACKWARD) * batches * job.run.training["batch_size"]
    tested = images_of(job.study, job.run.dataset)["test"]
    return Work(images + evaluations_of(job) * tested, (1 + BACKWARD) * len(job.span))


def image_by_image(images: int) -> Work:
    """Each image by itself: a forward pass, and a backward pass for each class."""
    return Work(images * (1 + BACKWARD * CLASSES), 3 * images)  # calls of a single image are quick


def evaluations_of(job: Job) -> int:
    """Evaluations of a training: at the cadence and at the end."""
    if not job.span:
        return 0
    every = job.run.training["evaluate_every"]
    at_cadence = job.span.stop // every - (job.span.start - 1) // every
    return at_cadence + (job.span.stop % every != 0)


def metrics_size(job: Job) -> float:
    """Bytes of the evaluations of a training and of its run record."""
    return evaluations_of(job) * ROW + RECORD


def one_row(job: Job) -> float:
    """Bytes of a row."""
    return ROW


def state_size(job: Job) -> float:
    """Bytes of a state of the network."""
    return 4.0 * network_of(job.study, job.run.dataset, job.run.model).parameters


def ticket_size(job: Job) -> float:
    """Bytes of a trained ticket with its mask, of which the kept weights alone are stored."""
    density = (1 - job.run.prune_fraction) ** int(job.names["round"])
    return state_size(job) * (density + 2 / 32) + metrics_size(job)
