"""How fast a job advances: the lines that say so in its log, written and read."""

import re
import time
from collections.abc import Sequence
from typing import NamedTuple

SAID_EVERY = 5.0  # seconds between two lines
LINE = re.compile(r"^iteration (\d+) of (\d+), ([\d.e+]+) a second")


class Pace:
    """How fast a job advances, for people who read its log, and for `read`."""

    def __init__(self, stop: int) -> None:
        """Nothing is measured before the first iteration.

        Args:
            stop: the iteration at which training ends.
        """
        self._stop, self._iteration, self._since = stop, -1, 0.0

    def line(self, iteration: int) -> str:
        """What to say after `iteration` steps; nothing where something was said a moment ago."""
        now = time.monotonic()
        if self._iteration < 0:
            self._iteration, self._since = iteration, now
        if now < self._since + SAID_EVERY:
            return ""
        rate = (iteration - self._iteration) / (now - self._since)
        self._iteration, self._since = iteration, now
        left = f", {(self._stop - iteration) / rate:.0f} s left" if rate else ""
        return f"iteration {iteration} of {self._stop}, {rate:.3g} a second{left}"


class Said(NamedTuple):
    """What such a line tells."""

    iteration: int
    stop: int  # the iteration at which training ends
    rate: float  # iterations a second


def read(lines: Sequence[str]) -> Said | None:
    """The last such line among those of a log, or None."""
    found = next(filter(None, map(LINE.match, reversed(lines))), None)
    return Said(int(found[1]), int(found[2]), float(found[3])) if found else None
