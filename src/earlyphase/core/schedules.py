"""Times at which a run is looked at."""

from collections.abc import Sequence

from earlyphase.errors import InvalidInput


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
