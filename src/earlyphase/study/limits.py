"""How long jobs take, and what they may ask a scheduler for: minutes and megabytes.

There is one clock. It multiplies what a job computes by a constant that is generous for the networks of the
presets, and corrects that by what finished trainings of the same network on the same kind of device took, as
their run records say. So the first jobs of a study ask for more than they need, later ones for less.
`plan`, `status`, the line at the foot of the terminal and time limits all ask it.
"""

import json
import math
import statistics
import time
from functools import cache
from itertools import islice
from pathlib import Path

from earlyphase.core.work import LAYERS, NetworkWork, work_of
from earlyphase.study.configuration import entries_of
from earlyphase.study.jobs import RECORD, Job, all_jobs
from earlyphase.study.run import Run
from earlyphase.study.signatures import registered, stated
from earlyphase.study.study import Study

FIXED = 2.0  # seconds of a job besides its work: Python, its packages, reading and writing
START = 4  # minutes that a job may take to start: a busy file system, Snakemake once more, torch
MEASURED_MARGIN = 3  # times as long as finished trainings took, that a job may take
LOOK_AGAIN = 60  # seconds after which a network is looked at again of which nothing was finished
RECORDS = 50  # finished trainings of a network that its speed is taken from

CPU_RATE = 1.2e10  # multiply-adds a second of one core; 2.7e10 to 4.8e10 measured for ResNet-20 at batch 128
CPU_CALL = 0.005  # seconds of a call whatever the network; a training step is three, 0.004 to 0.008 measured
GPU_RATE = 1e12  # multiply-adds a second; 2e12 measured for ResNet-20 in float32 on an H200, alone on it
GPU_LAYER_CALL = 0.00033  # seconds of a call for each layer, whatever its work; a step of 0.0004 measured

KEPT = 3  # numbers kept for the backward pass, for each that a convolution or linear layer puts out
EVALUATED_AT_ONCE = 500  # images, as in training.EVALUATION_BATCH
CPU_BASE, GPU_BASE = 1000, 4000  # MB: Python with torch (measured: 510), the same with CUDA (assumed)

UNKNOWN = {"train": 60_000, "test": 10_000, "size": 32, "channels": 3}  # a folder of images is not counted


# What the configuration tells of a job's network and images


def images_of(study: Study, dataset: str) -> dict[str, int]:
    """Numbers of training and test images of a configured data set, their width in pixels, channels.

    They are what the entry says or, where it is silent, the function's defaults and what it says of itself.
    """
    known = UNKNOWN | stated("datasets", study.config["datasets"][dataset])
    return {name: known[name] for name in UNKNOWN}


@cache
def network_of(study: Study, dataset: str, model: str) -> NetworkWork:
    """The work of a network for an image of a data set; what is unknown counts as a ResNet-56."""
    images, entry = images_of(study, dataset), study.config["models"][model]
    own = registered("models")[entry["function"]].facts.get("work")
    known = work_of(entry, images["size"], images["channels"], own)
    return known or NetworkWork.of(LAYERS["resnet"](images["size"], images["channels"], depth=56))


def enlargement(entry: dict | list[dict]) -> int:
    """How many times as large as configured the mini-batches of a task are: 4 of all turns of each image."""
    factor = 1
    for part in entries_of(entry):
        task = registered("tasks")[part["function"]]
        for argument, factors in task.facts.get("enlarges", {}).items():
            factor *= factors.get((task.defaults | part)[argument], 1)
    return factor


# Time


def generous_seconds(job: Job, *, gpu: bool) -> float:
    """Seconds of the work of a job with its network on a slow processor or GPU, without anything measured."""
    work = job.stage.work(job)
    if not work.images:
        return 0.0
    network = network_of(job.study, job.run.dataset, job.run.model)
    if gpu:
        return work.images * network.multiply_adds / GPU_RATE + work.calls * GPU_LAYER_CALL * network.layers
    return work.images * network.multiply_adds / CPU_RATE + work.calls * CPU_CALL


class Clock:
    """How long the jobs of a study take."""

    def __init__(self, study: Study, *, gpu: bool) -> None:
        """Read nothing yet.

        Args:
            gpu: whether jobs compute on one.
        """
        self._study, self._gpu = study, gpu
        self._speeds: dict[tuple[str, str], tuple[float | None, float]] = {}  # with the time of the look

    def measured(self, run: Run) -> float | None:
        """What finished trainings of a run took, as a share of generous seconds; None before any."""
        network, now = (run.dataset, run.model), time.monotonic()
        speed, looked = self._speeds.get(network, (None, -math.inf))
        if speed is None and now > looked + LOOK_AGAIN:
            shares = (
                share
                for rule, stage in self._study.stages.items()
                if RECORD in self._study.rules[rule].outputs
                for job in all_jobs(self._study, [run], [rule])
                if (share := self._share_taken(job)) is not None
            )
            taken = list(islice(shares, RECORDS))
            speed = statistics.median(taken) if taken else None
            self._speeds[network] = speed, now
        return speed

    def _share_taken(self, job: Job) -> float | None:
        """Share of its generous seconds that a training took; None where no record of this device says so."""
        try:
            record = json.loads(Path(job.record or "").read_text(encoding="utf-8"))
            if (record["device"] == "cuda") != self._gpu:
                return None
            return record["seconds"] / generous_seconds(job, gpu=self._gpu)
        except (OSError, ValueError, KeyError, TypeError, ZeroDivisionError):
            return None  # not there, being replaced, or damaged

    def seconds(self, job: Job) -> float:
        """Seconds that a job takes, alone on its core or GPU."""
        work = generous_seconds(job, gpu=self._gpu)
        share = self.measured(job.run) if work else None
        return FIXED + work * (1.0 if share is None else share)

    def minutes(self, job: Job, attempt: int) -> int:
        """Time to ask a scheduler for; attempt n requests n times the first request.

        Progress survives, so after n attempts n (n + 1) / 2 times the first request has been used.

        Args:
            attempt: 1 for the first.
        """
        work = generous_seconds(job, gpu=self._gpu)
        share = self.measured(job.run)
        margin = 1.0 if share is None else min(1.0, MEASURED_MARGIN * share)
        return attempt * (START + math.ceil(work * margin / 60))


def megabytes(job: Job, attempt: int, *, gpu: bool) -> int:
    """Main memory to ask for, in steps of 500 MB; attempt n requests n times the first request.

    The images are held three times while they are loaded, as bytes. A deficit has training images of its
    own, and these once more with a margin to crop in. Without a GPU, activations come on top: each layer's,
    kept for the backward pass, and a few of an evaluation.
    """
    network = network_of(job.study, job.run.dataset, job.run.model)
    images = images_of(job.study, job.run.dataset)
    held = 3 * (images["train"] + images["test"])
    if "deficit" in job.names and job.names["first"] != job.names["end"]:
        held += 2 * images["train"]
    needed = held * images["channels"] * images["size"] ** 2 / 1e6
    if gpu:
        needed += GPU_BASE
    else:
        kept = KEPT * network.outputs * job.run.training["batch_size"] * largest_batch(job)
        needed += CPU_BASE + 4 * (kept + 20 * network.largest * EVALUATED_AT_ONCE) / 1e6
    return attempt * 500 * math.ceil(needed / 500)


def largest_batch(job: Job) -> int:
    """The most times as large as configured that a mini-batch of a job may be."""
    own = enlargement(job.entry("tasks"))
    if "pretraining" in job.names:
        own = max(own, enlargement(job.entry("pretraining")))
    return own * (
        enlargement(job.study.config["tasks"][job.names["deficit"]]) if "deficit" in job.names else 1
    )
