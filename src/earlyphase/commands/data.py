"""Prepare a data set: one file of tensors, which is all that training reads."""

import argparse
from pathlib import Path

from earlyphase.commands._options import add_job_arguments, begin
from earlyphase.datasets import dataset
from earlyphase.errors import InvalidInput
from earlyphase.runtime.storage import save_tensors
from earlyphase.study.study import digest_of_files


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    add_job_arguments(parser)
    parser.add_argument("--out", required=True, help="data set, .safetensors")


def run(args: argparse.Namespace) -> None:
    """Make the data set and write it."""
    begin(args)
    arguments = dict(args.spec["data"])
    data = dataset.named(arguments.pop("function"))(**arguments)
    if digest_of_files(args.spec["data"], Path(args.out).stem) != args.spec.get("contents"):
        raise InvalidInput("the files changed while the workflow was running; run Snakemake again")
    tensors = {
        "train_images": data.train_images,
        "train_labels": data.train_labels,
        "test_images": data.test_images,
        "test_labels": data.test_labels,
        "mean": data.mean,
        "std": data.std,
    }
    save_tensors(args.out, "data set", tensors, classes=list(data.classes), provenance=data.provenance)
    print(f"{args.out}: {len(data.train_labels)} training and {len(data.test_labels)} test images")
