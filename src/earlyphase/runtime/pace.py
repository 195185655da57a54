"""How fast a job advances: the lines that say so in its log."""

import time

SAID_EVERY = 5.0  # seconds between two lines


class Pace:
    """How fast a job advances, for people who read its log."""

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
