"""Prepare a data set: one file of tensors, which is all that training reads."""

from pathlib import Path

from earlyphase.errors import InvalidInput
from earlyphase.runtime.assignment import Assignment, Files
from earlyphase.study.jobs import Job, Stage, no_work, once
from earlyphase.study.limits import images_of


def spec(job: Job) -> dict:
    """The entry of the data set, and what its files contain where it is made of any."""
    arguments = {key: value for key, value in job.entry("datasets").items() if key != "flip"}
    return {"data": arguments} | job.study.contents(job.names["dataset"])


def size(job: Job) -> float:
    """Bytes of all images and labels."""
    images = images_of(job.study, job.names["dataset"])
    return (images["train"] + images["test"]) * (images["channels"] * images["size"] ** 2 + 8)


def compute(job: Assignment, inputs: Files, outputs: Files) -> None:
    """Make the data set and write it.

    Raises:
        InvalidInput: its files are not what they were when the study was planned.
    """
    from earlyphase.datasets import dataset
    from earlyphase.runtime.storage import save_tensors
    from earlyphase.study.study import digest_of_files

    arguments = dict(job.spec["data"])
    data = dataset.named(arguments.pop("function"))(**arguments)
    if digest_of_files(job.spec["data"], Path(outputs["data"]).stem) != job.spec.get("contents"):
        raise InvalidInput("the files changed while the workflow was running; run Snakemake again")
    tensors = {
        "train_images": data.train_images,
        "train_labels": data.train_labels,
        "test_images": data.test_images,
        "test_labels": data.test_labels,
        "mean": data.mean,
        "std": data.std,
    }
    save_tensors(outputs["data"], "data set", tensors, classes=list(data.classes), provenance=data.provenance)
    print(f"{outputs['data']}: {len(data.train_labels)} training and {len(data.test_labels)} test images")


STAGE = Stage(jobs=once, spec=spec, work=no_work, size=size, looks_up=("datasets",))
