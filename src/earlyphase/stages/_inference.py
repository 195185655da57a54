"""Measure what the sparsity of tickets buys: bytes of files, time and energy of inference."""

import lzma
from collections.abc import Iterable, Iterator
from functools import partial

import numpy as np
import torch
from torch import nn

from earlyphase.core.channels import without_emptied_channels
from earlyphase.core.inference import RUNTIMES, Forward, deviation
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
        networks += forms_of(model, kept, imp_round, end)
    rows = timed(networks, images, settings)
    save_rows(outputs["table"], [job.spec["columns"] | row for row in rows])


def forms_of(model: nn.Module, mask: Mask, imp_round: int, iteration: int) -> Iterator[Sized]:
    """A network, and a ticket also without its emptied channels, each with the bytes of its files.

    Args:
        model: a trained network.
        mask: of its weights.
        imp_round: of pruning; 0 is the dense network.
        iteration: of training; the files say it.
    """
    facts = {"round": imp_round, "density": density(mask)}
    yield facts | {"form": PRUNED} | bytes_of(model, mask, iteration), model
    if imp_round and isinstance(model, ResNet):  # of other networks it is not known what reads a channel
        narrow = without_emptied_channels(model)
        state = state_of(narrow)
        mask = {name: state[name] != 0 for name in prunable_names(narrow)}
        yield facts | {"form": NARROW} | bytes_of(narrow, mask, iteration), narrow


def bytes_of(model: nn.Module, mask: Mask, iteration: int) -> Row:
    """Bytes of the files that could hold a network, as they are and compressed.

    LZMA of the standard library compresses them: it needs no further package, makes smaller files of dense
    weights than Zstandard and zlib, and its slowness does not matter to a file that is written once.
    """
    weights = state_of(model)
    dense, packed = (
        as_bytes("checkpoint", weights, iteration=iteration),
        pack_ticket(weights, mask, iteration),
    )
    files = {
        "bytes_dense": dense,
        "bytes_packed": packed,
        "bytes_dense_compressed": lzma.compress(dense, preset=9),
        "bytes_packed_compressed": lzma.compress(packed, preset=9),
    }
    return {name: len(content) for name, content in files.items()}


def timed(networks: Iterable[Sized], images: torch.Tensor, settings: dict) -> list[Row]:
    """Time every network under every runtime, all in turns, on one thread.

    Args:
        networks: as from `forms_of`; a narrower network is there to be run densely.
        images: normalised, (N, C, H, W), as many as the largest batch.
        settings: `batch_sizes`, `turns`, `least_seconds`, as in the configuration.

    Returns:
        A row for each network, runtime and batch size.

    Raises:
        InvalidInput: a runtime gives other outputs than torch.
    """
    torch.set_num_threads(1)  # whatever was granted: the job has the machine to itself, and uses one core
    runs = [
        (facts | {"runtime": name}, checked(name, model, images))
        for facts, model in networks
        for name in (["torch"] if facts["form"] == NARROW else RUNTIMES)
    ]
    energy = EnergyCounters()
    with torch.inference_mode():
        calls = {
            (number, batch): partial(forward, images[:batch].clone())
            for number, (_, forward) in enumerate(runs)
            for batch in settings["batch_sizes"]
        }
        timings = in_turns(calls, settings["turns"], settings["least_seconds"], energy)
    machine = {"processor": processor_model() or "unknown", "instructions": instructions()}
    return [
        facts | {"batch": batch} | columns_of(timings[number, batch], energy) | machine
        for number, (facts, _) in enumerate(runs)
        for batch in settings["batch_sizes"]
    ]


def checked(name: str, model: nn.Module, images: torch.Tensor) -> Forward:
    """A network under a runtime, whose outputs are torch's."""
    forward = RUNTIMES[name](model)
    if (difference := deviation(forward, model, images)) > TOLERANCE:
        raise InvalidInput(f"{name} differs from torch by {difference:.1e} of the largest output")
    return forward


def columns_of(timing: Timing, energy: EnergyCounters) -> Row:
    """Seconds of one call, the share of the time that the processor did other work, and joules of one call.

    Seconds and shares are medians over the turns. Where no energy can be read, joules are NaN.
    """
    waited = 1 - np.divide(timing.processor_seconds, timing.seconds)
    joules = timing.joules / (timing.calls * len(timing.seconds)) if energy.readable else np.nan
    return {
        "seconds": float(np.median(timing.seconds)),
        "waited": round(float(np.median(waited)), 4),
        "joules": joules,
    }
