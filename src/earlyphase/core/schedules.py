"""Functions of time: when a run is looked at, and how its learning rate changes.

A schedule takes an iteration, counted from where the schedule began, and the number of iterations that it is
made for; it returns the factor of the learning rate in the step from that iteration. Each can begin with a
linear warm-up.

Source of the warm-up: Goyal et al. 2017; in the form of OpenLTH, in which the first step has a rate of zero.
"""

import math
from bisect import bisect_right
from collections.abc import Sequence
from typing import Annotated

from earlyphase.errors import InvalidInput
from earlyphase.registry import schedule

Warmup = Annotated[int, {"minimum": 0, "description": "iterations in which the learning rate rises from 0"}]
Milestones = Annotated[list[Annotated[int, {"minimum": 1}]], {"description": "iterations at which it falls"}]
Share = Annotated[float, {"exclusiveMinimum": 0, "maximum": 1}]
Final = Annotated[float, {"minimum": 0, "maximum": 1, "description": "factor at the end"}]


def as_iterations(time: float, iterations: int) -> int:
    """Read a time of the configuration: an integer is iterations, a float a fraction of training."""
    return round(time * iterations) if isinstance(time, float) else time


def sampled_iterations(
    schedule: Sequence[Sequence[float]], iterations: int, name: str = "schedule"
) -> tuple[int, ...]:
    """List the iterations at which a run is sampled: 0 and those of `schedule`, rising.

    Args:
        schedule: pairs of (until, every): up to `until`, one sample every so many iterations. An integer
            is iterations, a float a fraction of training. What lies past the end is left out.
        iterations: length of training.
        name: what messages call the schedule.

    Raises:
        InvalidInput: `until` falls, or `until` or `every` is not positive.

    The paper's range: [[50, 1], [500, 10], [4000, 50]].
    """
    sampled, start = {0}, 0
    for until, every in schedule:
        stop, step = as_iterations(until, iterations), as_iterations(every, iterations)
        if until <= 0 or every <= 0 or stop < start:
            raise InvalidInput(
                f"{name}: [{until}, {every}] does not follow iteration {start}; "
                "each pair is [until, every], both positive, until rising"
            )
        sampled.update(range(start, min(stop, iterations) + 1, max(step, 1)))
        start = stop
    return tuple(sorted(sampled))


@schedule
def steps(iteration: int, length: int, *, milestones: Milestones, decay: Share, warmup: Warmup = 0) -> float:
    """Multiply the learning rate by `decay` at every milestone.

    Source: He et al. 2016; Frankle, Schwab & Morcos 2020, without warm-up.
    """
    return decay ** bisect_right(milestones, iteration) * warmed(iteration, warmup)


@schedule
def cosine(iteration: int, length: int, *, warmup: Warmup = 0, final: Final = 0.0) -> float:
    """Let the learning rate fall along half a cosine, from the end of the warm-up to the end of training.

    Past that end it stays at `final`.

    Source: Loshchilov & Hutter 2017, without restarts.
    """
    past = min(max(iteration - warmup, 0) / max(length - warmup, 1), 1.0)
    return (final + (1 - final) * (1 + math.cos(math.pi * past)) / 2) * warmed(iteration, warmup)


@schedule
def constant(iteration: int, length: int, *, warmup: Warmup = 0) -> float:
    """Keep the learning rate as it is."""
    return warmed(iteration, warmup)


def warmed(iteration: int, warmup: int) -> float:
    """Factor of a linear warm-up: 0 at iteration 0, 1 from iteration `warmup` on."""
    return iteration / warmup if iteration < warmup else 1.0
