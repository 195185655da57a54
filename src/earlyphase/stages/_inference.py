"""Measure what the sparsity of tickets buys: bytes, multiply-adds, time and energy of inference."""

import lzma
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from importlib.metadata import PackageNotFoundError, version

import numpy as np
import torch
from torch import nn

from earlyphase.core.channels import without_emptied_channels
from earlyphase.core.costs import cost_of
from earlyphase.core.inference import RUNTIMES, SPARSE, Forward, deviation
from earlyphase.core.masks import Mask, Weights, density, full_mask
from earlyphase.core.networks import network
from earlyphase.core.networks.resnet import ResNet
from earlyphase.core.networks.state import load_state, prunable_names, state_of
from earlyphase.core.tasks import Task
from earlyphase.errors import InvalidInput
from earlyphase.runtime.assignment import Assignment, Files
from earlyphase.runtime.execution import Execution, instructions, keep_freed_memory, processor_model
from earlyphase.runtime.storage import Row, as_bytes, load_mask, load_tensors, save_rows
from earlyphase.runtime.tickets import load_trained, pack_ticket
from earlyphase.runtime.timing import NOT_READABLE, EnergyCounters, Others, Timing, in_turns
from earlyphase.stages._training import task_of

PRUNED, NARROW = "as pruned", "emptied channels removed"
OF_NARROW = ("torch", "onnxruntime")  # the narrower network is there to be run densely
TOLERANCE = 1e-5  # of outputs, relative to the largest
NOT_QUIET = 0.2  # processors busy with anything else, from which on times are called rough
MISSING = float("nan")


@dataclass(frozen=True)
class Candidate:
    """A network under one runtime: what is known before it is timed."""

    facts: Row
    forward: Forward | None  # None where the runtime is absent


def measure(job: Assignment, inputs: Files, outputs: Files) -> None:
    """Time all networks in turns, on one thread, and write a row for each with its runtime and batch size."""
    keep_freed_memory()
    torch.set_num_threads(
        1
    )  # whatever was granted: the job has the machine to itself, and uses one core of it
    settings = job.spec["inference"]
    data, header = load_tensors(inputs["data"], "data set")
    task = task_of(job.spec, data, header, Execution(torch.device("cpu"), "float32", 1))
    images = first_images(task, max(settings["batch_sizes"]))
    entry = dict(job.spec["model"])
    build = partial(network.named(entry.pop("function")), images.shape[1], task.classes, **entry)
    candidates = [
        candidate
        for facts, model in networks_of(job.spec, inputs, build, images[:1])
        for candidate in candidates_of(facts, model, images)
    ]
    others, energy = Others(), EnergyCounters()
    with torch.inference_mode():
        calls = {
            (number, size): partial(candidate.forward, images[:size].clone())
            for number, candidate in enumerate(candidates)
            for size in settings["batch_sizes"]
            if candidate.forward
        }
        timings = in_turns(calls, settings["turns"], settings["least_seconds"], energy)
    produced = {"others_busy": round(others.busy(), 3), "threads": 1} | made_with()
    print_conditions(candidates, produced["others_busy"], energy)
    save_rows(
        outputs["table"],
        [
            job.spec["columns"]
            | candidate.facts
            | measured(timings.get((number, size)), size, settings["turns"], energy)
            | produced
            for number, candidate in enumerate(candidates)
            for size in settings["batch_sizes"]
        ],
    )


def first_images(task: Task, count: int) -> torch.Tensor:
    """The first test images, normalised, float32 (count, C, H, W); repeated where there are too few."""
    pixels = task.test.pixels
    return task.test.normalise(pixels[torch.arange(count) % len(pixels)]).contiguous()


def networks_of(
    spec: dict, inputs: Files, build: partial, image: torch.Tensor
) -> Iterator[tuple[Row, nn.Module]]:
    """The dense network, every ticket, and every ticket without its emptied channels, each with its sizes."""
    weights, end = load_trained(inputs["dense"])
    model = built(build, weights)
    mask = full_mask(weights, prunable_names(model))
    yield {"round": 0, "form": PRUNED} | sizes_of(model, mask, end, image), model
    rounds = zip(spec["inference"]["rounds"], inputs["masks"], inputs["weights"], strict=True)
    for imp_round, of_mask, of_weights in rounds:
        (weights, end), mask = load_trained(of_weights), load_mask(of_mask)
        model = built(build, weights)
        pruned = sizes_of(model, mask, end, image)
        yield {"round": imp_round, "form": PRUNED} | pruned, model
        if isinstance(model, ResNet):  # of other networks it is not known what reads a channel
            narrow = without_emptied_channels(model)
            kept = {name: array != 0 for name, array in state_of(narrow).items()}
            mask = {name: kept[name] for name in prunable_names(narrow)}
            sizes = sizes_of(narrow, mask, end, image) | {"density": pruned["density"]}
            yield {"round": imp_round, "form": NARROW} | sizes, narrow


def built(build: partial, weights: Weights) -> nn.Module:
    """A network in eval mode in a given state."""
    model = build()
    load_state(model, weights)
    return model.eval()


def sizes_of(model: nn.Module, mask: Mask, iteration: int, image: torch.Tensor) -> Row:
    """Density, parameters, multiply-adds for an image, and bytes of the files that could hold a network.

    LZMA of the standard library compresses them: it needs no further package, makes smaller files of dense
    weights than Zstandard and zlib, and its slowness does not matter to a file that is written once.
    """
    weights, cost = state_of(model), cost_of(model, image)
    dense = as_bytes("checkpoint", weights, iteration=iteration)
    packed = pack_ticket(weights, mask, iteration)
    return {
        "density": density(mask),
        **cost._asdict(),
        "bytes_dense": len(dense),
        "bytes_dense_compressed": len(lzma.compress(dense, preset=9)),
        "bytes_packed": len(packed),
        "bytes_packed_compressed": len(lzma.compress(packed, preset=9)),
    }


def candidates_of(facts: Row, model: nn.Module, images: torch.Tensor) -> Iterator[Candidate]:
    """A network under each runtime; outputs are compared with torch's before anything is timed.

    Raises:
        InvalidInput: a runtime gives other outputs than torch.
    """
    for runtime in RUNTIMES if facts["form"] == PRUNED else OF_NARROW:
        executed = facts["kept_multiply_adds" if runtime in SPARSE else "multiply_adds"]
        named = facts | {"runtime": runtime, "executed_multiply_adds": executed}
        try:
            forward = RUNTIMES[runtime](model, images)
        except InvalidInput as absent:
            yield Candidate(named | {"deviation": MISSING, "note": f"not measured: {absent}"}, None)
            continue
        found = deviation(forward, model, images)
        if found > TOLERANCE:
            raise InvalidInput(f"{runtime} differs from torch by {found:.1e} of the largest output")
        yield Candidate(named | {"deviation": found, "note": ""}, forward)


def measured(timing: Timing | None, size: int, turns: int, energy: EnergyCounters) -> Row:
    """Columns of a measurement: quartiles over the turns of one call, on `batch` images; its joules."""
    low, middle, high = np.quantile(timing.seconds, (0.25, 0.5, 0.75)) if timing else (MISSING,) * 3
    joules, words = MISSING, "not measured"
    if timing and energy.readable:
        joules, words = timing.joules / (timing.calls * turns), "measured (RAPL)"
    elif timing:
        words = NOT_READABLE
    return {
        "batch": size,
        "seconds": float(middle),
        "seconds_low": float(low),
        "seconds_high": float(high),
        "processor_seconds": float(np.median(timing.processor_seconds)) if timing else MISSING,
        "turns": turns if timing else 0,
        "calls": timing.calls if timing else 0,
        "joules": joules,
        "energy": words,
    }


def made_with() -> Row:
    """Columns that say what the times belong to: processor, its instructions, versions."""
    found = {"processor": processor_model() or "unknown", "instructions": instructions()}
    for package in ("torch", "scipy", "onnx", "onnxruntime"):
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            found[package] = "absent"
    return found


def print_conditions(candidates: list[Candidate], busy: float, energy: EnergyCounters) -> None:
    """Say in the log what was not measured, and whether the machine was this job's own."""
    for note in dict.fromkeys(candidate.facts["note"] for candidate in candidates):
        if note:
            print(note)
    if not energy.readable:
        print(f"energy {NOT_READABLE}")
    quiet = "; times are rough: run it on a machine that does nothing else" if busy > NOT_QUIET else ""
    print(f"{busy:.2f} processors were busy with other work, on average{quiet}", flush=True)
