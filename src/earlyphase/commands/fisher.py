"""The trace of the Fisher information at one state of a dense run, and of the empirical one."""

import argparse

from earlyphase.commands._job import training_job
from earlyphase.commands._options import add_training_arguments, load_state_at
from earlyphase.core.fisher import fisher_trace
from earlyphase.core.networks.state import load_state
from earlyphase.core.streams import generator
from earlyphase.core.tasks import sample_at
from earlyphase.runtime.storage import save_rows


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    add_training_arguments(parser)
    parser.add_argument("--state", required=True, help="dense state after k iterations, .safetensors")
    parser.add_argument("--out-row", required=True, help="both traces with their standard errors, .csv")


def run(args: argparse.Namespace) -> None:
    """Measure both on as many training images as asked for, or on all that there are.

    Raises:
        InvalidInput: the state is of another iteration or network.
    """
    with training_job(args, state=args.state) as job:
        k, chosen = job.spec["columns"]["k"], job.spec["fisher"]
        model = job.network()
        load_state(model, load_state_at(args.state, k))
        stream = generator(job.seed, "fisher sample")
        batch = sample_at(job.task, job.sample_size(chosen["sample"]), k, stream)
        save_rows(args.out_row, job.described([{"iteration": k} | fisher_trace(model, batch)]))
        job.resume.remove()
