"""Prepare a data set: one file of tensors, which is all that training reads."""

import argparse

from earlyphase.commands._options import add_job_arguments, begin
from earlyphase.datasets import dataset
from earlyphase.runtime.storage import save_tensors


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    add_job_arguments(parser)
    parser.add_argument("--out", required=True, help="data set, .safetensors")


def run(args: argparse.Namespace) -> None:
    """Make the data set and write it."""
    begin(args)
    arguments = dict(args.spec["data"])
    data = dataset.named(arguments.pop("function"))(**arguments)
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
