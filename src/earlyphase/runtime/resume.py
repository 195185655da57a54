"""Training that survives a kill: progress beside the outputs, one process at a time, the same bytes."""

import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from earlyphase.core.masks import Weights
from earlyphase.core.training import Progress, Run
from earlyphase.errors import InvalidInput
from earlyphase.runtime.locks import acquire, release
from earlyphase.runtime.pace import Pace
from earlyphase.runtime.storage import load_tensors, save_tensors

COST = 0.02  # share of the time that saving may take


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
        self.seconds = 0.0  # of training, over all attempts
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
        path = self.path.with_name(f"{self.path.name}.lock")
        try:
            descriptor, waited = acquire(path)
        except OSError as error:
            raise InvalidInput(
                f"cannot lock {path}: {error.strerror}; results must lie in a folder that can be "
                "written, on a file system with locks (flock)"
            ) from None
        try:
            yield waited
        finally:
            release(path, descriptor)

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
        parts: dict[str, Weights] = {}
        for name, array in tensors.items():
            part, tensor_name = name.split("/", 1)
            parts.setdefault(part, {})[tensor_name] = array
        states = {at: (parts[f"weights{at}"], parts.get(f"optimizer{at}", {})) for at in header["states"]}
        self.seconds = header["seconds"]
        return Progress(
            header["iteration"], parts["weights"], parts.get("optimizer", {}), header["rows"], states,
            parts.get("seen", {}),
        )  # fmt: skip

    def due(self) -> bool:
        """Whether it is time to save."""
        return time.monotonic() >= self._next_save

    def save(self, progress: Progress) -> None:
        """Write `progress`; the next save is due after the interval, later where saving is slow."""
        began = time.monotonic()
        tensors = named("weights", progress.weights) | named("optimizer", progress.optimizer_state)
        tensors |= named("seen", progress.seen)
        for iteration, (weights, state) in progress.states.items():
            tensors |= named(f"weights{iteration}", weights) | named(f"optimizer{iteration}", state)
        save_tensors(
            self.path, "progress", tensors, identity=self.identity, iteration=progress.iteration,
            rows=progress.rows, seconds=self.seconds, states=list(progress.states),
        )  # fmt: skip
        ended = time.monotonic()
        self._next_save = ended + max(self._interval, (ended - began) / COST)

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


def finish(run: Run, resume: ResumeFile) -> Progress:
    """Advance a run to its end, from where an earlier attempt was killed, and save it on the way.

    Raises:
        SystemExit: the process was asked to end; progress is saved.
    """
    stop, reported = run.training.span.stop, 0
    if (progress := resume.load()) is not None:
        print(f"resuming at iteration {progress.iteration}", flush=True)
        run.resume(progress)
        reported = len(run.rows)
    clock, pace = time.monotonic(), Pace(stop)
    with noticing_termination() as noticed:
        for iteration in run:
            if said := pace.line(iteration):
                print(said, flush=True)
            for row in run.rows[reported:]:
                measured = {name: value for name, value in row.items() if name != "iteration"}
                print(f"iteration {iteration} of {stop}: {measured}", flush=True)
            reported = len(run.rows)
            if iteration == stop or not (noticed or resume.due()):
                continue
            resume.seconds += time.monotonic() - clock
            clock = time.monotonic()
            resume.save(run.progress())
            if noticed:
                print(
                    f"stopped by signal {noticed[0]} at iteration {iteration}; progress is saved", flush=True
                )
                raise SystemExit(128 + noticed[0])
    resume.seconds += time.monotonic() - clock
    return run.progress()
