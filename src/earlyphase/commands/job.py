"""What every training command does around its one call into the core."""

import argparse
import hashlib
import json
import resource
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

from torch import nn

from earlyphase.commands.options import begin
from earlyphase.core.images import Images
from earlyphase.core.masks import Weights
from earlyphase.core.networks import network
from earlyphase.core.networks.state import load_state
from earlyphase.core.training import TrainingSettings
from earlyphase.runtime.execution import Execution, prepare
from earlyphase.runtime.resume import Progress, ResumeFile, train_resumably
from earlyphase.runtime.storage import Row, load_tensors, read_bytes, save_json, stored_header
from earlyphase.study.fingerprints import canonical, run_record, versions


@dataclass
class Job:
    """A training job that holds its lock: settings, data in memory, and where progress is kept."""

    spec: dict
    settings: TrainingSettings
    execution: Execution
    train_images: Images
    test_images: Images
    classes: int
    resume: ResumeFile
    record: dict  # of the run, without what is measured

    @property
    def seed(self) -> int:
        """The replicate."""
        return self.spec["columns"]["seed"]

    def network(self) -> nn.Module:
        """Build the network that the spec names; its weights are not yet meaningful."""
        model = dict(self.spec["model"])
        build = network.named(model.pop("function"))
        channels = self.train_images.pixels.shape[-1]
        return build(channels, self.classes, **model).to(self.execution.device)

    def metrics(self, progress: Progress, density: float) -> list[Row]:
        """Rows of the metrics table: an evaluation each, with what identifies and produced it."""
        produced = self.execution.record() | {"torch": versions()["torch"]}
        return [self.spec["columns"] | {"density": density} | row | produced for row in progress.rows]

    def finish(self, path: str, seconds: float, **measured: object) -> None:
        """Write the run record, the sign that all outputs are there, and forget the progress."""
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
        measured |= {"seconds": round(seconds, 3), "peak_memory_mb": round(peak)}
        save_json(path, self.record | measured)
        self.resume.remove()


@contextmanager
def training_job(args: argparse.Namespace, **inputs: str) -> Iterator[Job | None]:
    """Set up a job and hold its lock; None where another process has just done the same job.

    Args:
        args: the parsed options of `add_training_arguments`, and `out_run` where there is a run record.
        inputs: role -> path of the other artifacts that the result depends on.
    """
    begin(args)
    execution = prepare(args.device, args.precision)
    data, header = load_tensors(args.data, "data set")
    checksums = {"data": header["sha256"]} | {
        role: stored_header(path)["sha256"] for role, path in inputs.items()
    }
    determining = [args.spec, args.code, checksums, execution.record()]
    identity = hashlib.sha256(canonical(determining).encode()).hexdigest()
    resume = ResumeFile(args.resume, identity, args.resume_interval)
    with resume.lock() as waited:
        if waited and _is_done(args, identity):
            print("the other process finished this job", flush=True)
            yield None
            return
        mean, std = data["mean"], data["std"]
        yield Job(
            args.spec,
            TrainingSettings.from_spec(args.spec["training"]),
            execution,
            *(
                Images.from_arrays(
                    data[f"{part}_images"], data[f"{part}_labels"], mean, std, execution.device
                )
                for part in ("train", "test")
            ),
            classes=len(header["classes"]),
            resume=resume,
            record=run_record(args.spec, args.code, checksums, identity=identity, **execution.record()),
        )


def _is_done(args: argparse.Namespace, identity: str) -> bool:
    """Whether all outputs are there, and those of this very job."""
    outputs = [Path(path) for option, path in vars(args).items() if option.startswith("out_")]
    if not outputs or not all(path.exists() for path in outputs):
        return False
    return "out_run" in args and json.loads(read_bytes(args.out_run)).get("identity") == identity


def train_on(args: argparse.Namespace, weights: Weights, velocity: Weights, start: int, stop: int) -> Weights:
    """Continue the dense run from its state at `start`; return its state dict at `stop`."""
    with training_job(args, trajectory=args.trajectory) as job:
        model = job.network()
        load_state(model, weights)
        settings = replace(job.settings, iterations=stop, evaluate_every=stop)
        progress = train_resumably(
            model, None, settings, job.train_images, job.test_images, job.resume, job.execution,
            seed=job.seed, start=start, velocity=velocity,
        )  # fmt: skip
        job.resume.remove()
        return progress.weights
