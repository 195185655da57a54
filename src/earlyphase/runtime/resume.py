"""Training that survives a kill: progress beside the outputs, one process at a time, the same bytes."""

import os
import signal
import time
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from torch import nn

from earlyphase.core.images import Images, shuffled_batches
from earlyphase.core.masks import Mask, Weights
from earlyphase.core.networks.state import load_state, state_of
from earlyphase.core.training import MaskedSGD, TrainingSettings, evaluate, train
from earlyphase.errors import InvalidInput
from earlyphase.runtime.execution import Execution
from earlyphase.runtime.locks import acquire, only_local
from earlyphase.runtime.storage import Row, load_tensors, save_tensors


@dataclass
class Progress:
    """A training run so far."""

    iteration: int
    weights: Weights = field(default_factory=dict)  # the whole state dict
    velocity: Weights = field(default_factory=dict)  # momentum buffers
    rows: list[Row] = field(default_factory=list)  # an evaluation each
    states: dict[int, tuple[Weights, Weights]] = field(
        default_factory=dict
    )  # weights, velocity, as asked for
    seen: Weights = field(default_factory=dict)  # what an observer keeps
    seconds: float = 0.0  # over all attempts


class Observer(Protocol):
    """Looks at a run and keeps something of it; `state` is saved with the progress, and given back."""

    state: Weights

    def observe(self, iteration: int, model: nn.Module) -> None:
        """See the network after `iteration` steps; it must be left as it is."""


class ResumeFile:
    """Progress of one job, in an undeclared file beside its outputs.

    Snakemake deletes declared outputs when a job starts or fails; this file stays. It counts only
    for the identity it was written under, so an edited experiment never continues an old one.
    """

    def __init__(self, path: str | Path, identity: str, interval: float = 30.0) -> None:
        """Nothing is opened yet.

        Args:
            identity: what determines the result: spec, code, inputs, device.
            interval: seconds of work that a kill may cost.
        """
        self.path = Path(path)
        self.identity = identity
        self._interval = interval
        self._next_save = time.monotonic() + interval

    @contextmanager
    def lock(self) -> Iterator[bool]:
        """Hold the job for this process; yield whether another held it first.

        After Snakemake itself was killed, its jobs live on and a second copy of one may start: it
        waits here until the first has ended.

        Raises:
            InvalidInput: the file system is read-only, full or without locks.
        """
        lock_path = self.path.with_name(self.path.name + ".lock")
        try:
            descriptor, waited = acquire(lock_path)
        except OSError as error:
            raise InvalidInput(
                f"cannot lock {lock_path}: {error.strerror}; results must lie in a folder that can be "
                "written, on a file system with locks (flock)"
            ) from None
        if doubt := only_local(lock_path):
            print(f"warning: {doubt}", flush=True)
        try:
            yield waited
        finally:
            lock_path.unlink(missing_ok=True)
            os.close(descriptor)

    def load(self) -> Progress | None:
        """Return what an earlier attempt left, or None where that is nothing or of no use."""
        if not self.path.exists():
            return None
        try:
            tensors, header = load_tensors(self.path, "progress")
        except InvalidInput as error:
            print(f"starting anew: {error}", flush=True)
            return None
        if header["identity"] != self.identity:
            print(f"starting anew: {self.path} is of another spec, code, input or device", flush=True)
            return None
        progress = Progress(header["iteration"], rows=header["rows"], seconds=header["seconds"])
        parts: dict[str, Weights] = {}
        for name, array in tensors.items():
            part, tensor_name = name.split("/", 1)
            parts.setdefault(part, {})[tensor_name] = array
        progress.weights, progress.velocity = parts["weights"], parts["velocity"]
        progress.seen = parts.get("seen", {})
        progress.states = {
            iteration: (parts[f"weights{iteration}"], parts[f"velocity{iteration}"])
            for iteration in header["states"]
        }
        return progress

    def due(self) -> bool:
        """Whether it is time to save."""
        return time.monotonic() >= self._next_save

    def save(self, progress: Progress) -> None:
        """Write `progress`; the next save is due after the interval, later where saving is slow."""
        began = time.monotonic()
        tensors = named("weights", progress.weights) | named("velocity", progress.velocity)
        tensors |= named("seen", progress.seen)
        for iteration, (weights, velocity) in progress.states.items():
            tensors |= named(f"weights{iteration}", weights) | named(f"velocity{iteration}", velocity)
        save_tensors(
            self.path,
            "progress",
            tensors,
            identity=self.identity,
            iteration=progress.iteration,
            rows=progress.rows,
            seconds=progress.seconds,
            states=list(progress.states),
        )
        ended = time.monotonic()
        self._next_save = ended + max(self._interval, 50 * (ended - began))  # at most 2 % of the time

    def remove(self) -> None:
        """Forget the progress, and what a kill in the middle of a save left: the outputs are written."""
        self.path.unlink(missing_ok=True)
        for unfinished in self.path.parent.glob(f".{self.path.name}.*.part"):
            unfinished.unlink(missing_ok=True)


def named(part: str, arrays: Weights) -> Weights:
    """Put `part/` before each name."""
    return {f"{part}/{name}": array for name, array in arrays.items()}


@contextmanager
def noticing_termination() -> Iterator[list[int]]:
    """Collect SIGTERM and SIGINT in a list, so that training can save and stop between two iterations."""
    noticed: list[int] = []
    before = {
        number: signal.signal(number, lambda number, _frame: noticed.append(number))
        for number in (signal.SIGTERM, signal.SIGINT)
    }
    try:
        yield noticed
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def train_resumably(
    model: nn.Module,
    mask: Mask | None,
    settings: TrainingSettings,
    train_images: Images,
    test_images: Images,
    resume: ResumeFile,
    execution: Execution,
    *,
    seed: int,
    start: int,
    velocity: Weights | None = None,
    keep: Collection[int] = (),
    observer: Observer | None = None,
    evaluates_at: Callable[[int], bool] | None = None,
) -> Progress:
    """Train `model` from `start` to the end, or on from where an earlier attempt was killed.

    Args:
        mask: of the sub-network; None trains the dense one.
        velocity: momentum buffers at `start`; None starts them at zero.
        keep: iterations whose state is returned; those before `start` are ignored.
        observer: sees every iteration once, however often training is interrupted.
        evaluates_at: iteration -> whether to evaluate there; None leaves it to the settings.

    Returns:
        The finished run. Its final weights and rows do not depend on how often it was interrupted.

    Raises:
        SystemExit: the process was asked to end; progress is saved.
    """
    optimizer = MaskedSGD(model, mask, settings.momentum, settings.weight_decay)
    if velocity is not None:
        optimizer.velocity = velocity
    progress = resume.load() or Progress(start)
    resumed_at = progress.iteration if progress.weights else None
    if resumed_at is not None:
        print(f"resuming at iteration {resumed_at}", flush=True)
        load_state(model, progress.weights)
        optimizer.velocity = progress.velocity
        if observer is not None:
            observer.state = progress.seen
    evaluates_at = evaluates_at or settings.evaluates_at
    batch_at = shuffled_batches(train_images, seed, settings.batch_size, settings.crop_padding, settings.flip)
    clock = time.monotonic()
    with noticing_termination() as noticed:
        for iteration in train(
            model,
            optimizer,
            batch_at,
            settings.learning_rate_at,
            start=progress.iteration,
            stop=settings.iterations,
            autocast=execution.autocast,
        ):
            if iteration != resumed_at:  # otherwise this state was seen to before the kill
                if iteration in keep:
                    progress.states[iteration] = (state_of(model), optimizer.velocity)
                if observer is not None:
                    observer.observe(iteration, model)
                if evaluates_at(iteration):
                    measured = evaluate(model, test_images, execution.autocast)
                    progress.rows.append({"iteration": iteration, **measured})
                    print(f"iteration {iteration} of {settings.iterations}: {measured}", flush=True)
            finished = iteration == settings.iterations
            if finished or noticed or resume.due():
                progress.iteration = iteration
                progress.weights, progress.velocity = state_of(model), optimizer.velocity
                progress.seen = observer.state if observer is not None else {}
                progress.seconds += time.monotonic() - clock
                clock = time.monotonic()
                if not finished:
                    resume.save(progress)
            if noticed and not finished:
                print(
                    f"stopped by signal {noticed[0]} at iteration {iteration}; progress is saved",
                    flush=True,
                )
                raise SystemExit(128 + noticed[0])
    return progress
