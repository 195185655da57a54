"""What every training stage does around its one call into the core."""

import hashlib
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, replace
from functools import partial

from torch import nn

from earlyphase.core.images import Images
from earlyphase.core.masks import Mask, Weights, empty_layers
from earlyphase.core.networks import network
from earlyphase.core.networks.state import initial_state
from earlyphase.core.precision import autocast, use_precision
from earlyphase.core.pretraining import NEW_OUTPUT, moved, output_names
from earlyphase.core.settings import TrainingSettings
from earlyphase.core.tasks import Task, apply, hold_out
from earlyphase.core.training import Progress, Run, Training
from earlyphase.runtime.assignment import Assignment, Files
from earlyphase.runtime.execution import Execution, explaining, prepare
from earlyphase.runtime.machine import peak_memory
from earlyphase.runtime.record import is_done, run_record, versions
from earlyphase.runtime.resume import ResumeFile, finish
from earlyphase.runtime.storage import Row, load_tensors, save_json, stored_header
from earlyphase.runtime.tickets import load_trained
from earlyphase.study.configuration import entries_of
from earlyphase.study.fingerprints import canonical


@dataclass
class TrainingJob:
    """A training job that holds its lock: its task and settings, and where progress is kept."""

    spec: dict
    settings: TrainingSettings
    task: Task
    execution: Execution
    resume: ResumeFile
    record: dict  # of the run, without what is measured

    @property
    def seed(self) -> int:
        """The replicate."""
        return self.spec["columns"]["seed"]

    @property
    def autocast(self) -> Callable[[], AbstractContextManager]:
        """Makes the context of forward passes, which sets their precision."""
        return partial(autocast, self.execution.precision, self.execution.device.type)

    def sample_size(self, asked: int) -> int:
        """How many training images to measure on: as many as asked for, or all that there are."""
        there = len(self.task.train)
        if there < asked:
            print(f"sample: all {there} training images, where {asked} were asked for", flush=True)
        return min(asked, there)

    def network(self, classes: int | None = None) -> nn.Module:
        """Build the network that the spec names; its weights are not yet meaningful.

        Args:
            classes: None for those of the task.
        """
        entry = dict(self.spec["model"])
        build = network.named(entry.pop("function"))
        channels = self.task.train.pixels.shape[-1]
        return build(channels, classes or self.task.classes, **entry).to(self.execution.device)

    def initial_state(self, model: nn.Module, purpose: str = "initial") -> Weights:
        """State dict of a network at iteration 0; each purpose is a draw of its own."""
        return initial_state(model, self.seed, purpose, self.settings.initialisation)

    def moved(self, weights: Weights, model: nn.Module, purpose: str, *, redraw: bool = False) -> Weights:
        """Fit a state dict that was trained on another task to the network of this one: see `moved`.

        Args:
            purpose: the stream that a new output layer is drawn from.
        """
        fresh = self.initial_state(model, purpose)
        output = output_names(self.network, self.task.classes)
        return moved(weights, fresh, output, redraw=redraw)

    def second_phase(self, path: str, model: nn.Module) -> Weights:
        """Read the state that pretraining ended with, and fit it to the task of this job."""
        weights, _ = load_trained(path)
        redraw = self.spec["second_phase"]["output_layer"] == "redrawn"
        return self.moved(weights, model, NEW_OUTPUT, redraw=redraw)

    def training(
        self, start: Weights, span: range, mask: Mask | None = None, optimizer_state: Weights | None = None
    ) -> Training:
        """A training on the job's task, with its settings and its data order."""
        settings = self.settings
        batch_at = self.task.batches(self.seed, settings.batch_size, settings.augmentation_at)
        return Training(start, span, batch_at, settings, mask, optimizer_state)

    def train(self, training: Training, model: nn.Module, **options: object) -> Progress:
        """Train to the end, resuming where an earlier attempt was killed; `options` are those of `Run`."""
        if empty := empty_layers(training.mask or {}):
            print(f"layer collapse: no weight is left in {', '.join(empty)}", flush=True)
        run = Run(training, model, self.task.test, self.autocast, validation=self.task.validation, **options)
        return finish(run, self.resume)

    def metrics(self, progress: Progress, density: float, mask: Mask | None = None) -> list[Row]:
        """Rows of the metrics table: an evaluation each, with what identifies and produced it.

        Where a mask leaves layers without weights, `empty_layers` says how many.
        """
        empty = len(empty_layers(mask or {}))
        about = {"density": density} | ({"empty_layers": empty} if empty else {})
        return list(self.described(about | row for row in progress.rows))

    def described(self, rows: Iterator[Row]) -> Iterator[Row]:
        """Put what identifies the run before each row, and what produced it behind."""
        produced = self.execution.columns() | {"torch": versions()["torch"]}
        for row in rows:
            yield self.spec["columns"] | row | produced

    def finish(self, path: str, **measured: object) -> None:
        """Write the run record, the sign that all outputs are there, and forget the progress."""
        measured |= {"seconds": round(self.resume.seconds, 3), "peak_memory_mb": peak_memory()}
        save_json(path, self.record | measured)
        self.resume.remove()


@contextmanager
def training_job(job: Assignment, inputs: Files, outputs: Files) -> Iterator[TrainingJob]:
    """Set up a job and hold its lock.

    Args:
        inputs: `data`, and the other artifacts that the result depends on.
        outputs: `run` is the run record, where there is one.

    Raises:
        SystemExit: another process has just done the same job, so that nothing is left to do.
        InvalidInput: memory is exhausted, or the GPU failed.
    """
    data, header = load_tensors(inputs["data"], "data set")
    execution = prepare(job.device, job.precision)
    use_precision(execution.precision)
    checksums = {role: stored_header(path)["sha256"] for role, path in inputs.items()}
    determining = [job.spec, job.code, checksums, execution.record()]
    identity = hashlib.sha256(canonical(determining).encode()).hexdigest()
    resume = ResumeFile(job.resume, identity, job.resume_interval)
    with explaining(execution.device), resume.lock() as waited:
        if waited and "run" in outputs and is_done(outputs["run"], outputs.values(), identity):
            print("the other process finished this job", flush=True)
            raise SystemExit(0)
        settings = TrainingSettings.from_spec(job.spec["training"])
        record = run_record(
            job.spec, job.code, checksums, execution.machine(), identity=identity, **execution.record()
        )
        task = task_of(job.spec, data, header, execution)
        yield TrainingJob(job.spec, settings, task, execution, resume, record)


def task_of(spec: dict, data: Weights, header: dict, execution: Execution) -> Task:
    """The task that the spec names, made of the images of a data set.

    Images that are held out to validate on become what the task makes of test images.
    """
    train, test = (
        Images.from_arrays(
            data[f"{part}_images"], data[f"{part}_labels"], data["mean"], data["std"], execution.device
        )
        for part in ("train", "test")
    )
    entries, seed = entries_of(spec["task"]), spec["columns"]["seed"]
    whole = Task(train, test, len(header["classes"]))
    given, held_out = hold_out(whole, spec["training"].get("validation", 0), seed)
    task = apply(entries, given, seed)
    if held_out is None:
        return task
    return replace(task, validation=apply(entries, replace(given, test=held_out), seed).test)
