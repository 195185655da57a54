"""Time training steps and evaluations of networks on this machine, in every precision, in turns."""

import argparse
import json
import resource
import time
from collections.abc import Callable, Iterator
from functools import partial

import numpy as np
import torch
import torch.nn.functional as F
from torch import nn

from earlyphase.core.images import Images, shuffled_batches
from earlyphase.core.masks import full_mask
from earlyphase.core.networks import network
from earlyphase.core.networks.state import prunable_names
from earlyphase.core.optimizer import MaskedOptimizer
from earlyphase.core.precision import autocast, use_precision
from earlyphase.core.settings import TrainingSettings
from earlyphase.core.training import EVALUATION_BATCH, Training, evaluate, train
from earlyphase.errors import InvalidInput
from earlyphase.runtime.execution import keep_freed_memory
from earlyphase.runtime.machine import granted_threads
from earlyphase.runtime.plugins import load
from earlyphase.runtime.timing import EnergyCounters, Timing, in_turns
from earlyphase.study.signatures import registered

CLASSES = 10  # of the networks that are timed: an output layer takes next to no time
LONGEST = 0.2  # seconds forward and back; where a whole mini-batch takes longer, fewer images are timed
FEWEST = 8  # images of a step
TURNS = 5
SETTINGS = TrainingSettings.from_spec(
    {
        "iterations": 10**9, "batch_size": FEWEST, "learning_rate": 0.001, "milestones": [], "decay": 0.1,
        "momentum": 0.9, "weight_decay": 1e-4, "crop_padding": 4, "flip": True, "evaluate_every": 10**9,
    }
)  # fmt: skip
LEAST_SECONDS = {"step": 0.25, "evaluation": 0.1, "single": 0.05}  # of a turn


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.add_argument("--device", default="cpu", help="of torch: cpu, cuda, cuda:1")
    parser.add_argument(
        "cases", nargs="+", type=json.loads,
        help='JSON: {"model": {"function": "resnet", "depth": 20}, "shape": [3, 32, 32], "batch_size": 128}',
    )  # fmt: skip


def run(args: argparse.Namespace) -> None:
    """Print a JSON list: what `measured` says of each case, and how long a process takes to import torch.

    Raises:
        InvalidInput: there is no such device, or a network cannot be made.
    """
    start = time.process_time()
    keep_freed_memory()
    torch.set_num_threads(granted_threads())
    device = torch.device(args.device)
    if device.type == "cuda" and not torch.cuda.is_available():
        raise InvalidInput("torch sees no CUDA device; run this where there is one, or say device: cpu")
    print(json.dumps([measured(case, device) | {"start_seconds": round(start, 3)} for case in args.cases]))


def measured(case: dict, device: torch.device) -> dict[str, object]:
    """Time a case.

    Returns:
        `step_seconds`: precision -> seconds of an iteration, a number for each turn; `evaluation_seconds`:
        precision -> seconds an image; `single_seconds`: forward and back for one image in eval mode, in
        float32; `images`: of the mini-batches that were timed; `parameters` and `prunable`: their numbers;
        `state_bytes`: of a state dict; `peak_memory_mb`: of this process so far.
    """
    entry = dict(case["model"])
    load({registered("models")[entry["function"]].module})
    model = network.named(entry.pop("function"))(case["shape"][0], CLASSES, **entry).to(device)
    most = affordable(model, case["shape"], device)
    size = min(most, case["batch_size"])
    turns = timed(model, random_images(4 * size, case["shape"], device), size, min(most, EVALUATION_BATCH))
    state, prunable = model.state_dict(), set(prunable_names(model))
    scale = case["batch_size"] / size
    return {
        "step_seconds": {name: [one * scale for one in found] for name, found in turns["step"].items()},
        "evaluation_seconds": {name: float(np.median(found)) for name, found in turns["evaluation"].items()},
        "single_seconds": float(np.median(turns["single"]["float32"])),
        "images": size,
        "parameters": sum(one.numel() for one in model.parameters()),
        "prunable": sum(tensor.numel() for name, tensor in state.items() if name in prunable),
        "state_bytes": sum(tensor.numel() * tensor.element_size() for tensor in state.values()),
        "peak_memory_mb": round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024),
    }


def random_images(count: int, shape: list[int], device: torch.device) -> Images:
    """Images of random pixels in ten classes: what they show changes no time."""
    draw, level = np.random.default_rng(0), np.full(shape[0], 0.5, np.float32)
    pixels = draw.integers(0, 256, (count, *shape), np.uint8)
    return Images.from_arrays(pixels, draw.integers(0, CLASSES, count), level, level, device)


def affordable(model: nn.Module, shape: list[int], device: torch.device) -> int:
    """Images that go forward and back in `LONGEST` seconds, from `FEWEST` to some 1,000.

    Their number is doubled until the next would take longer: few at a time cost more each.
    """
    model.train()
    count, clock = FEWEST, time.thread_time if on_one_thread(device) else time.perf_counter
    while True:
        images, labels = next(random_images(count, shape, device).in_batches(count))
        for _ in range(2):  # the first prepares kernels
            start = clock()
            F.cross_entropy(model(images), labels).backward()
            waited_for(device)
            seconds = clock() - start
        model.zero_grad()
        if count >= EVALUATION_BATCH or 2 * seconds > LONGEST:
            return max(FEWEST, int(count * min(LONGEST / seconds, 2)))
        count *= 2


def timed(model: nn.Module, images: Images, size: int, tested: int) -> dict[str, dict[str, list[float]]]:
    """Time a step, an evaluation and a single image, in every precision.

    Args:
        size: images of a mini-batch.
        tested: images of an evaluation.

    Returns:
        What was timed -> precision -> seconds of a step, or of an image, in each turn.
    """
    device = images.pixels.device
    names = ["float32", "bfloat16", *(["tf32"] if device.type == "cuda" else [])]
    mask = full_mask(model.state_dict(), prunable_names(model))
    optimizer = MaskedOptimizer(model, mask, SETTINGS.optimizer)
    steps = {name: steps_of(model, optimizer, images, size, name) for name in names}
    some = random_images(tested, [images.pixels.shape[axis] for axis in (3, 1, 2)], device)
    context = {name: partial(autocast, name, device.type) for name in names}
    calls = {
        "step": {name: partial(next, steps[name]) for name in names},
        "evaluation": {name: partial(evaluate, model, some, context[name]) for name in names},
        "single": {"float32": partial(one_image, model, next(images.in_batches(1)))},
    }
    units = {"step": 1, "evaluation": tested, "single": 1}
    return {
        kind: {
            name: [one / units[kind] for one in seconds_of(timing, device)]
            for name, timing in in_turns(
                {name: in_precision(name, call, device) for name, call in of_kind.items()},
                TURNS, LEAST_SECONDS[kind], EnergyCounters(),
            ).items()
        }
        for kind, of_kind in calls.items()
    }  # fmt: skip


def steps_of(
    model: nn.Module, optimizer: MaskedOptimizer, images: Images, size: int, precision: str
) -> Iterator[int]:
    """A training without end, a step with each `next` but the first."""
    batch_at = shuffled_batches(images, 0, size, SETTINGS.augmentation_at)
    training = Training({}, range(SETTINGS.iterations), batch_at, SETTINGS)  # the network is at its start
    return train(model, optimizer, training, partial(autocast, precision, images.pixels.device.type))


def one_image(model: nn.Module, batch: tuple[torch.Tensor, torch.Tensor]) -> None:
    """Forward and back for one image, with batch norm's running statistics."""
    model.eval()
    images, labels = batch
    F.cross_entropy(model(images), labels).backward()


def in_precision(name: str, call: Callable[[], object], device: torch.device) -> Callable[[], None]:
    """A call in a precision that ends when all its work is done."""

    def called() -> None:
        use_precision(name)
        call()
        waited_for(device)

    return called


def waited_for(device: torch.device) -> None:
    """Wait for what a GPU has been given to do."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def on_one_thread(device: torch.device) -> bool:
    """Whether this thread does all the work, so that its processor's time tells how much there is.

    Other jobs on the same cores change the time by the clock, and the processor's hardly.
    """
    return device.type == "cpu" and torch.get_num_threads() == 1


def seconds_of(timing: Timing, device: torch.device) -> list[float]:
    """Seconds of each turn: of the processor where they tell, else by the clock."""
    return timing.processor_seconds if on_one_thread(device) else timing.seconds
