"""Replay a dense run, and write down how its state changes."""

import argparse
from collections.abc import Iterable, Iterator
from dataclasses import replace

from earlyphase.commands.checkpoint import part
from earlyphase.commands.job import Job, training_job
from earlyphase.commands.options import add_training_arguments
from earlyphase.core.images import iterations_per_epoch
from earlyphase.core.masks import Weights
from earlyphase.core.networks.state import initial_state, load_state
from earlyphase.core.schedules import sampled_iterations
from earlyphase.core.telemetry import Telemetry
from earlyphase.runtime.resume import train_resumably
from earlyphase.runtime.storage import Row, load_tensors, save_rows
from earlyphase.study.fingerprints import versions


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    add_training_arguments(parser)
    parser.add_argument("--trajectory", required=True, help="states that the dense run kept, .safetensors")
    parser.add_argument("--out-state", required=True, help="numbers of weights and gradients, .csv")
    parser.add_argument("--out-traces", required=True, help="ten single weights, .csv")
    parser.add_argument("--out-evaluations", required=True, help="accuracy and loss, .csv")
    parser.add_argument("--out-run", required=True, help="run record, .json; written last")


def run(args: argparse.Namespace) -> None:
    """Train from iteration 0 once more, up to the last sample, and watch."""
    with training_job(args, trajectory=args.trajectory) as job:
        if job is None:
            return
        end = job.settings.iterations
        sampled = sampled_iterations(job.spec["telemetry"]["schedule"], end)
        evaluated = sampled_iterations(job.spec["telemetry"]["evaluations"], end)
        last = min(max(sampled[-1] + 1, evaluated[-1]), end)  # a gradient is read one step later
        model = job.network()
        load_state(model, initial_state(model, job.seed))
        kept = kept_states(args.trajectory)
        on_cpu = job.execution.device.type == "cpu"
        telemetry = Telemetry(model, sampled, kept, seed=job.seed, exact=on_cpu)
        progress = train_resumably(
            model, None, replace(job.settings, iterations=last), job.train_images, job.test_images,
            job.resume, job.execution, seed=job.seed, start=0, observer=telemetry,
            evaluates_at=frozenset(evaluated).__contains__,
        )  # fmt: skip
        save_rows(args.out_state, described(job, with_rates(telemetry.rows(), job)))
        save_rows(args.out_traces, described(job, telemetry.traces()))
        save_rows(args.out_evaluations, described(job, with_epochs(progress.rows, job)))
        job.finish(args.out_run, progress.seconds, replayed=last)


def kept_states(trajectory: str) -> dict[int, Weights]:
    """States of a trajectory file: iteration -> state dict."""
    tensors, header = load_tensors(trajectory, "trajectory")
    return {iteration: part(tensors, f"{iteration}/weights/") for iteration in header["iterations"]}


def with_rates(rows: Iterable[Row], job: Job) -> Iterator[Row]:
    """Add to each row the learning rate of the step from its iteration."""
    for row in rows:
        yield row | {"learning_rate": job.settings.learning_rate_at(row["iteration"])}


def with_epochs(rows: Iterable[Row], job: Job) -> Iterator[Row]:
    """Add to each row how often every training image has been seen."""
    per_epoch = iterations_per_epoch(len(job.train_images), job.settings.batch_size)
    for row in rows:
        yield row | {"epochs": row["iteration"] / per_epoch}


def described(job: Job, rows: Iterable[Row]) -> Iterator[Row]:
    """Put what identifies the run before each row, and what produced it behind."""
    produced = job.execution.record() | {"torch": versions()["torch"]}
    for row in rows:
        yield job.spec["columns"] | row | produced
