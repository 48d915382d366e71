"""When a worker flushes: as often as it is told to, and once more when it has caught up."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(slots=True)
class Pace:
    """Every ``interval_s``, and at once when the end of the input is reached after a whole interval in which
    it was not: what was caught up with waits for nothing. Who keeps up flushes no more often for that.
    """

    interval_s: float
    _next_s: float = 0.0
    _was_behind: bool = True
    _has_caught_up: bool = False

    def is_due(self, now_s: float) -> bool:
        return now_s >= self._next_s

    def hasten(self) -> None:
        """The next one is due now."""
        self._next_s = 0.0

    def caught_up(self) -> None:
        """All is read that there was to read a moment ago."""
        self._has_caught_up = True
        if self._was_behind:
            self.hasten()

    def flushed(self, now_s: float, *, at_end: bool) -> None:
        """``at_end``: there is nothing left to read."""
        self._next_s = now_s + self.interval_s
        self._was_behind, self._has_caught_up = not self._has_caught_up, at_end
