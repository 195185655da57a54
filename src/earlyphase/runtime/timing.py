"""How long calls take, in turns, and what energy."""

import gc
import math
import os
import time
from collections.abc import Callable, Hashable
from dataclasses import dataclass, field
from pathlib import Path


@dataclass
class Timing:
    """Times of one call, a number for each turn.

    Attributes:
        calls: how often the call is repeated within a turn.
        seconds: of one call, the mean of a turn's, by the clock.
        processor_seconds: the same of the processor's time, without what it spent on other work.
        joules: energy of all calls of all turns.
    """

    calls: int
    seconds: list[float] = field(default_factory=list)
    processor_seconds: list[float] = field(default_factory=list)
    joules: float = 0.0


class EnergyCounters:
    """The energy counters of all processors (RAPL), where this process may read them."""

    def __init__(self, folder: Path = Path("/sys/class/powercap")) -> None:
        """Find the counters of whole packages: `intel-rapl:0`, ...; the name is the same for AMD's."""
        files = sorted(folder.glob("intel-rapl:[0-9]*/energy_uj"))
        files = [path for path in files if path.parent.name.count(":") == 1]
        self.readable = bool(files) and all(os.access(path, os.R_OK) for path in files)
        self._files = files if self.readable else []
        self._ranges = [int(path.with_name("max_energy_range_uj").read_text()) for path in self._files]

    def read(self) -> list[int]:
        """Microjoules of each package; nothing where they cannot be read."""
        return [int(path.read_text()) for path in self._files]

    def joules(self, before: list[int], after: list[int]) -> float:
        """Energy between two readings; a counter that passed its range starts at 0 again."""
        changes = zip(before, after, self._ranges, strict=True)
        return sum((last - first) % (most + 1) for first, last, most in changes) / 1e6


def in_turns(
    calls: dict[Hashable, Callable[[], object]], turns: int, least_seconds: float, energy: EnergyCounters
) -> dict[Hashable, Timing]:
    """Time several functions in turns, so that what slows the machine for a while slows all of them alike.

    Args:
        calls: functions by name, which compute on this thread; each is called twice before anything is timed.
        turns: how often each has its turn.
        least_seconds: length of a turn; a function that takes less is called several times.
        energy: read around each turn.
    """
    timings = {}
    for name, call in calls.items():
        call()
        start = time.thread_time()
        call()
        timings[name] = Timing(math.ceil(least_seconds / max(time.thread_time() - start, 1e-6)))
    gc.collect()
    gc.disable()
    try:
        for _ in range(turns):
            for name, call in calls.items():
                timing = timings[name]
                before, start, own = energy.read(), time.perf_counter(), time.thread_time()
                for _ in range(timing.calls):
                    call()
                timing.processor_seconds.append((time.thread_time() - own) / timing.calls)
                timing.seconds.append((time.perf_counter() - start) / timing.calls)
                timing.joules += energy.joules(before, energy.read())
    finally:
        gc.enable()
    return timings
