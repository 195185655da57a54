"""How long calls take, in turns; what energy they took; and whether the machine did other work meanwhile."""

import gc
import math
import os
import time
from collections.abc import Callable, Hashable
from dataclasses import dataclass, field
from pathlib import Path

POWERCAP = Path("/sys/class/powercap")
NOT_READABLE = "not measured: no energy counter of the processor (RAPL) can be read"


@dataclass
class Timing:
    """Times of one call, a number for each turn.

    Attributes:
        calls: of a turn.
        seconds: of one call, the mean of a turn's, by the clock.
        processor_seconds: the same of the processor's time, without what it spent on other work.
        joules: of all calls of all turns.
    """

    calls: int
    seconds: list[float] = field(default_factory=list)
    processor_seconds: list[float] = field(default_factory=list)
    joules: float = 0.0


class EnergyCounters:
    """The energy counters of all processors (RAPL), where this process may read them."""

    def __init__(self, folder: Path = POWERCAP) -> None:
        """Find the counters of whole packages: `intel-rapl:0`, ...; the name is the same for AMD's."""
        self._files = sorted(folder.glob("intel-rapl:[0-9]*/energy_uj"))
        self._files = [path for path in self._files if path.parent.name.count(":") == 1]
        self.readable = bool(self._files) and all(os.access(path, os.R_OK) for path in self._files)
        self._ranges = [
            _number(path.with_name("max_energy_range_uj")) for path in self._files * self.readable
        ]

    def read(self) -> list[int]:
        """Microjoules of each package; nothing where they cannot be read."""
        return [_number(path) for path in self._files * self.readable]

    def joules(self, before: list[int], after: list[int]) -> float:
        """Energy between two readings; a counter that passed its range starts at 0 again."""
        changes = zip(before, after, self._ranges, strict=True)
        return sum((last - first) % (most + 1) for first, last, most in changes) / 1e6


def _number(path: Path) -> int:
    return int(path.read_text(encoding="utf-8"))


def in_turns(
    calls: dict[Hashable, Callable[[], object]], turns: int, least_seconds: float, energy: EnergyCounters
) -> dict[Hashable, Timing]:
    """Time several functions in turns, so that what slows the machine for a while slows all of them alike.

    Args:
        calls: by name, each on the thread that calls it; each is called twice before anything is timed.
        turns: how often each has its turn.
        least_seconds: of a turn; a function that takes less is called several times.
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


class Others:
    """How many processors were busy with anything but this process."""

    def __init__(self, stat: Path = Path("/proc/stat")) -> None:
        """Start to count."""
        self._stat = stat
        self._start = self._busy(), time.process_time(), time.perf_counter()

    def _busy(self) -> float:
        """Seconds that all processors together were not idle, since the machine started; NaN if not Linux."""
        try:
            ticks = [
                int(one) for one in self._stat.read_text(encoding="utf-8").split("\n", 1)[0].split()[1:9]
            ]
        except OSError:
            return float("nan")
        return (sum(ticks) - ticks[3] - ticks[4]) / os.sysconf(
            "SC_CLK_TCK"
        )  # without idle, and waiting for disks

    def busy(self) -> float:
        """Mean number of processors since the start; NaN where the machine does not tell."""
        busy, own, start = self._start
        seconds = time.perf_counter() - start
        return max((self._busy() - busy) - (time.process_time() - own), 0.0) / seconds  # NaN stays
