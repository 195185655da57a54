"""Replay a dense run, and write down how its state changes."""

import argparse
from collections.abc import Iterable, Iterator

from earlyphase.commands._job import Job, training_job
from earlyphase.commands._options import add_training_arguments
from earlyphase.commands.checkpoint import part
from earlyphase.core.images import iterations_per_epoch
from earlyphase.core.masks import Weights
from earlyphase.core.networks.state import load_state
from earlyphase.core.schedules import sampled_iterations
from earlyphase.core.telemetry import Telemetry
from earlyphase.runtime.storage import Row, load_tensors, save_rows


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
        end, stop = job.settings.iterations, job.spec["stop"]
        sampled, evaluated = (
            sampled_iterations(job.spec["telemetry"][name], end) for name in ("schedule", "evaluations")
        )
        model = job.network()
        start = job.initial_state(model)
        load_state(model, start)
        on_cpu = job.execution.device.type == "cpu"
        telemetry = Telemetry(model, sampled, kept_states(args.trajectory), seed=job.seed, exact=on_cpu)
        progress = job.train(
            job.training(start, range(stop)), model, observer=telemetry,
            evaluates_at=frozenset(evaluated).__contains__,
        )  # fmt: skip
        save_rows(args.out_state, job.described(with_rates(telemetry.rows(), job)))
        save_rows(args.out_traces, job.described(telemetry.traces()))
        save_rows(args.out_evaluations, job.described(with_epochs(progress.rows, job)))
        job.finish(args.out_run, replayed=stop)


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
    per_epoch = iterations_per_epoch(len(job.task.train), job.settings.batch_size)
    for row in rows:
        yield row | {"epochs": row["iteration"] / per_epoch}
