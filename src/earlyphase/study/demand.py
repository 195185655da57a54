"""What a training job needs, minutes and megabytes, from the numbers of its study.

These are requests to a scheduler, not predictions: about three times what was measured for the
networks of the presets, so that a slower machine keeps within them. A job that meets its limit goes
on from its progress with more (see `minutes`), so a bad guess costs a restart and no result.
"""

import math
from collections.abc import Mapping

from earlyphase.core.work import LAYERS, Work, work_of
from earlyphase.study.configuration import entries_of
from earlyphase.study.signatures import registered, stated
from earlyphase.study.stages import STAGES, Names
from earlyphase.study.study import Study

START = 4  # minutes: a busy file system, two starts of Snakemake, importing torch
CPU_RATE = 1.2e10  # multiply-adds a second of one core; 2.7e10 to 4.8e10 measured for ResNet-20 at batch 128
CPU_STEP = 0.015  # seconds an iteration whatever the network; 0.004 to 0.008 measured for narrow ones
GPU_RATE = 1e12  # multiply-adds a second; 2e12 measured for ResNet-20 in float32 on an H200, alone on it
HESSIAN_PRODUCTS = 300  # of an eigen-solve; 32 to 64 in the default study
GPU_LAYER_STEP = 0.001  # seconds an iteration and layer, whatever its work; 0.0004 measured, as above
CLASSES = 10  # of a data set; more take longer than is asked for at first
KEPT = 3  # numbers kept for the way back, for each that a convolution or linear layer puts out
EVALUATED_AT_ONCE = 500  # images, as in training.EVALUATION_BATCH
CPU_BASE, GPU_BASE = 1000, 4000  # MB: Python with torch (measured: 510), the same with CUDA (assumed)

UNKNOWN = {"train": 60_000, "test": 10_000, "size": 32, "channels": 3}  # a folder of images is not counted


def images_of(entry: Mapping) -> dict[str, int]:
    """Numbers of training and test images of a configured data set, their width in pixels, channels.

    They are what the entry says or, where it is silent, the function's defaults and what it says of itself.
    """
    known = known_of(entry)
    return {name: known[name] for name in UNKNOWN}


def known_of(entry: Mapping) -> dict:
    """What is known of a configured data set; what its entry says comes before its function's defaults."""
    return UNKNOWN | stated("datasets", entry)


def work_of_model(study: Study, dataset: str, model: str) -> Work:
    """The work of a configured network for an image of a data set; what is unknown counts as a ResNet-56."""
    images, entry = images_of(study.config["datasets"][dataset]), study.config["models"][model]
    stated = registered("models")[entry["function"]].facts.get("work")
    known = work_of(entry, images["size"], images["channels"], stated)
    return known or Work.of(LAYERS["resnet"](images["size"], images["channels"], depth=56))


def of_unknown_work(study: Study) -> list[str]:
    """A sentence for each network of the study that does not state its work."""
    entries = {run.model: study.config["models"][run.model] for run in study.runs}
    return [
        f"network {name} does not state its work (work= of its decorator): time and memory are asked for "
        "as for a ResNet-56"
        for name, entry in entries.items()
        if entry["function"] not in LAYERS and "work" not in registered("models")[entry["function"]].facts
    ]


def enlargement(entry: dict | list[dict]) -> int:
    """How many times as large as configured the mini-batches of a task are: 4 of all turns of each image."""
    factor = 1
    for one in entries_of(entry):
        described = registered("tasks")[one["function"]]
        for argument, factors in described.facts.get("enlarges", {}).items():
            factor *= factors.get((described.defaults | one)[argument], 1)
    return factor


def mini_batches(study: Study, rule: str, names: Names, span: range) -> int:
    """Mini-batches of the configured size that iterations of a job amount to, where a task enlarges some.

    A deficit changes what the job's own task has made of a mini-batch.
    """
    own = enlargement(
        study.entry("pretraining" if "pretraining" in STAGES[rule].looks_up else "tasks", names)
    )
    count = own * len(span)
    if "deficit" in names:
        window = range(max(span.start, int(names["first"])), min(span.stop, int(names["end"])))
        count += own * (enlargement(study.config["tasks"][names["deficit"]]) - 1) * len(window)
    return count


def seconds_of(network: Work, work: int | float, ways: float, *, gpu: bool) -> float:
    """Seconds to ask for some work, in multiply-adds, that is done in a number of ways through a network."""
    if gpu:
        return work / GPU_RATE + ways * GPU_LAYER_STEP * network.layers
    return work / CPU_RATE + ways * CPU_STEP


def training_seconds(
    study: Study, dataset: str, model: str, iterations: int, *, gpu: bool, batches: int | None = None
) -> float:
    """Seconds to ask for `iterations` of training with the evaluations that fall among them.

    Args:
        batches: mini-batches of the configured size that they amount to; None for as many as iterations.
    """
    run = study.run({"dataset": dataset, "model": model})
    images, settings = images_of(study.config["datasets"][dataset]), run.training
    network = work_of_model(study, dataset, model)
    evaluations = iterations / settings["evaluate_every"]
    shown = settings["batch_size"] * (iterations if batches is None else batches)
    work = network.multiply_adds * (3 * shown + images["test"] * evaluations)
    return seconds_of(network, work, iterations, gpu=gpu)


def curvature_seconds(study: Study, dataset: str, model: str, *, gpu: bool) -> float:
    """Seconds to ask for an eigen-solve for each kind of statistics.

    A product with the Hessian is three ways forward and back.
    """
    network = work_of_model(study, dataset, model)
    chosen = study.run({"dataset": dataset, "model": model}).curvature
    products = HESSIAN_PRODUCTS * len(chosen["statistics"])
    work = products * 9 * chosen["sample"] * network.multiply_adds
    return work / GPU_RATE + products * 9 * GPU_LAYER_STEP * network.layers if gpu else work / CPU_RATE


def fisher_seconds(study: Study, dataset: str, model: str, *, gpu: bool) -> float:
    """Seconds to ask for a trace of the Fisher information: per image, a backward pass for each class."""
    network = work_of_model(study, dataset, model)
    chosen = study.run({"dataset": dataset, "model": model}).fisher
    work = chosen["sample"] * (1 + 2 * CLASSES) * network.multiply_adds
    return seconds_of(network, work, chosen["sample"], gpu=gpu)


def line_seconds(study: Study, dataset: str, model: str, *, gpu: bool) -> float:
    """Seconds to ask for the line between two copies: at each point a way forward of sample and test set."""
    network = work_of_model(study, dataset, model)
    tested = images_of(study.config["datasets"][dataset])["test"]
    chosen = study.run({"dataset": dataset, "model": model}).stability
    seen = chosen["points"] * (chosen["sample"] + tested)
    batches = math.ceil(seen / EVALUATED_AT_ONCE)
    return seconds_of(network, seen * network.multiply_adds, batches, gpu=gpu)


def minutes(study: Study, rule: str, wildcards: Mapping[str, str], attempt: int, *, gpu: bool) -> int:
    """Time to ask for; attempt n requests n times the estimate.

    Progress survives, so after n attempts n (n + 1) / 2 times the first request has been used.

    Args:
        attempt: 1 for the first.
    """
    network = wildcards["dataset"], wildcards["model"]
    measured = {"curvature": curvature_seconds, "fisher": fisher_seconds}
    if rule in measured:
        return attempt * (START + math.ceil(measured[rule](study, *network, gpu=gpu) / 60))
    names = dict(wildcards)
    span = STAGES[rule].trains(study, names)
    batches = mini_batches(study, rule, names, span)
    seconds = training_seconds(study, *network, len(span), gpu=gpu, batches=batches)
    if rule == "stability":
        seconds += line_seconds(study, *network, gpu=gpu)
    return attempt * (START + math.ceil(seconds / 60)) if span else attempt


def largest_batch(study: Study, names: Names) -> int:
    """The most times as large as configured that a mini-batch of a job with these wildcards may be."""
    own = enlargement(study.entry("tasks", names))
    if "pretraining" in names:
        own = max(own, enlargement(study.entry("pretraining", names)))
    return own * (enlargement(study.config["tasks"][names["deficit"]]) if "deficit" in names else 1)


def megabytes(study: Study, wildcards: Mapping[str, str], attempt: int, *, gpu: bool) -> int:
    """Main memory to ask for, in steps of 500 MB; attempt n requests n times the estimate.

    The images are held three times while they are loaded, as bytes. A deficit has training images of its
    own, and these once more with a margin to crop in. Without a GPU, activations come on top: each layer's,
    kept for the way back, and a few of an evaluation.
    """
    names = dict(wildcards)
    network = work_of_model(study, wildcards["dataset"], wildcards["model"])
    images = images_of(study.config["datasets"][wildcards["dataset"]])
    settings = study.run(names).training
    pixels = images["size"] ** 2
    held = 3 * (images["train"] + images["test"])
    if "deficit" in names and names["first"] != names["end"]:
        held += 2 * images["train"]
    needed = held * images["channels"] * pixels / 1e6
    if gpu:
        needed += GPU_BASE
    else:
        kept = KEPT * network.outputs * settings["batch_size"] * largest_batch(study, names)
        needed += CPU_BASE + 4 * (kept + 20 * network.largest * EVALUATED_AT_ONCE) / 1e6
    return attempt * 500 * math.ceil(needed / 500)
