"""Measure what the sparsity of tickets buys: bytes, multiply-adds, time and energy of inference."""

import lzma
from collections.abc import Iterable, Iterator
from functools import partial
from importlib.metadata import version

import numpy as np
import torch
from torch import nn

from earlyphase.core.channels import without_emptied_channels
from earlyphase.core.inference import RUNTIMES, Forward, cost_of, deviation
from earlyphase.core.masks import Mask, density, full_mask
from earlyphase.core.networks import network
from earlyphase.core.networks.resnet import ResNet
from earlyphase.core.networks.state import load_state, prunable_names, state_of
from earlyphase.errors import InvalidInput
from earlyphase.runtime.assignment import Assignment, Files
from earlyphase.runtime.execution import Execution, instructions, keep_freed_memory, processor_model
from earlyphase.runtime.storage import Row, as_bytes, load_mask, load_tensors, save_rows
from earlyphase.runtime.tickets import load_trained, pack_ticket
from earlyphase.runtime.timing import EnergyCounters, Timing, in_turns
from earlyphase.stages._training import task_of

PRUNED, NARROW = "as pruned", "emptied channels removed"  # forms of a ticket
TOLERANCE = 1e-5  # largest difference of a runtime's outputs from torch's, relative to the largest output
Sized = tuple[Row, nn.Module]  # a network, and what is known of it before it is timed


def measure(job: Assignment, inputs: Files, outputs: Files) -> None:
    """Measure the dense network and its tickets; write a row for each, with its runtime and batch size.

    Raises:
        InvalidInput: a file is not what it must be, or a runtime gives other outputs than torch.
    """
    keep_freed_memory()
    settings, entry = job.spec["inference"], dict(job.spec["model"])
    data, header = load_tensors(inputs["data"], "data set")
    task = task_of(job.spec, data, header, Execution(torch.device("cpu"), "float32", 1))
    pixels, most = task.test.pixels, max(settings["batch_sizes"])
    images = task.test.normalise(pixels[torch.arange(most) % len(pixels)]).contiguous()
    build, networks = network.named(entry.pop("function")), []
    tickets = zip(settings["rounds"], inputs["weights"], inputs["masks"], strict=True)
    for imp_round, state, mask in [(0, inputs["dense"], None), *tickets]:
        weights, end = load_trained(state)
        model = build(images.shape[1], task.classes, **entry)
        load_state(model.eval(), weights)
        kept = load_mask(mask) if mask else full_mask(weights, prunable_names(model))
        networks += forms_of(model, kept, imp_round, end, images[:1])
    rows = timed(networks, images, settings)
    save_rows(outputs["table"], [job.spec["columns"] | row for row in rows])


def forms_of(
    model: nn.Module, mask: Mask, imp_round: int, iteration: int, image: torch.Tensor
) -> Iterator[Sized]:
    """A network, and a ticket also without its emptied channels, each with its sizes.

    Args:
        model: in eval mode; the weights that the mask prunes are zero.
        mask: of the dense network, which keeps all, in round 0.
        imp_round: 0 is the dense network.
        iteration: at which training ended; files say it.
        image: (1, C, H, W), for which multiply-adds are counted.
    """
    facts = {"round": imp_round, "density": density(mask)}
    yield facts | {"form": PRUNED} | sizes_of(model, mask, iteration, image), model
    if imp_round and isinstance(model, ResNet):  # of other networks it is not known what reads a channel
        narrow = without_emptied_channels(model)
        state = state_of(narrow)
        mask = {name: state[name] != 0 for name in prunable_names(narrow)}
        yield facts | {"form": NARROW} | sizes_of(narrow, mask, iteration, image), narrow


def sizes_of(model: nn.Module, mask: Mask, iteration: int, image: torch.Tensor) -> Row:
    """Parameters, multiply-adds for an image, and bytes of the files that could hold a network.

    LZMA of the standard library compresses them: it needs no further package, makes smaller files of dense
    weights than Zstandard and zlib, and its slowness does not matter to a file that is written once.
    """
    weights = state_of(model)
    files = {
        "dense": as_bytes("checkpoint", weights, iteration=iteration),
        "packed": pack_ticket(weights, mask, iteration),
    }
    sizes: Row = {f"bytes_{name}": len(content) for name, content in files.items()}
    sizes |= {
        f"bytes_{name}_compressed": len(lzma.compress(content, preset=9)) for name, content in files.items()
    }
    return cost_of(model, image) | sizes


def timed(networks: Iterable[Sized], images: torch.Tensor, settings: dict) -> list[Row]:
    """Time every network under every runtime, all in turns, on one thread.

    Args:
        networks: as from `forms_of`.
        images: normalised, (N, C, H, W), as many as the largest batch.
        settings: `batch_sizes`, `turns`, `least_seconds`, as in the configuration.

    Returns:
        A row for each network, runtime and batch size. What is not measured is NaN, and `note` says why.

    Raises:
        InvalidInput: a runtime gives other outputs than torch.
    """
    torch.set_num_threads(1)  # whatever was granted: the job has the machine to itself, and uses one core
    runs = [
        (facts | about, forward)
        for facts, model in networks
        for about, forward in runtimes_of(model, facts["form"] == NARROW, images)
    ]
    for note in dict.fromkeys(facts["note"] for facts, _ in runs if facts["note"]):
        print(note)
    keys = [(number, batch) for number in range(len(runs)) for batch in settings["batch_sizes"]]
    energy = EnergyCounters()
    with torch.inference_mode():
        calls = {
            (number, batch): partial(forward, images[:batch].clone())
            for number, batch in keys
            if (forward := runs[number][1])
        }
        timings = in_turns(calls, settings["turns"], settings["least_seconds"], energy)
    machine = {"processor": processor_model() or "unknown", "instructions": instructions()}
    return [
        runs[number][0] | {"batch": batch} | columns_of(timings.get((number, batch)), energy) | machine
        for number, batch in keys
    ]


def runtimes_of(model: nn.Module, narrow: bool, images: torch.Tensor) -> Iterator[tuple[Row, Forward | None]]:
    """A network under each runtime, None where that is absent; a narrower network is there to be run densely.

    Raises:
        InvalidInput: a runtime gives other outputs than torch.
    """
    for name in ("torch", "onnxruntime") if narrow else RUNTIMES:
        about = {"runtime": name, "version": "", "deviation": np.nan, "note": ""}
        try:
            forward = RUNTIMES[name](model, images)
        except InvalidInput as absent:
            yield about | {"note": f"not measured: {absent}"}, None
            continue
        found = deviation(forward, model, images)
        if found > TOLERANCE:
            raise InvalidInput(f"{name} differs from torch by {found:.1e} of the largest output")
        yield about | {"version": version(name.removesuffix("_csr")), "deviation": found}, forward


def columns_of(timing: Timing | None, energy: EnergyCounters) -> Row:
    """Seconds of one call, its joules, and the share of the time that the processor did other work.

    Seconds and shares are medians over the turns. What was not measured is NaN.
    """
    if timing is None:
        return {"seconds": np.nan, "waited": np.nan, "joules": np.nan, "energy": "not measured"}
    waited = 1 - np.divide(timing.processor_seconds, timing.seconds)
    columns = {"seconds": float(np.median(timing.seconds)), "waited": round(float(np.median(waited)), 4)}
    if not energy.readable:
        why = "not measured: no energy counter of the processor (RAPL) can be read"
        return columns | {"joules": np.nan, "energy": why}
    joules = timing.joules / (timing.calls * len(timing.seconds))
    return columns | {"joules": joules, "energy": "measured (RAPL)"}
