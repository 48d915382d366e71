"""Which of a budget of false alarms a watch may spend, and how many slices there are to spend it in."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol, Self

if TYPE_CHECKING:
    from stream_monitor.config import Budget


@dataclass(slots=True)
class Pace:
    """Which share of the slices since ``since``, in ms, has events.

    That of the last budget period that is over holds; until there is one, every slice is taken to have some.
    """

    since: int
    slices: int = 0
    share: float = 1.0

    def passes(self, start: int, slice_ms: int, period_ms: int) -> bool:
        """Count a slice with events; whether a period is over with it."""
        over = start - self.since >= period_ms
        if over:
            self.settle(start, slice_ms)
        self.slices += 1
        return over

    def settle(self, now: int, slice_ms: int) -> None:
        """What was counted holds from now on."""
        if self.slices and now > self.since:
            self.share = min(1.0, self.slices * slice_ms / (now - self.since))
        self.since, self.slices = now, 0

    def snapshot(self) -> list[Any]:
        return [self.since, self.slices, self.share]

    @classmethod
    def restore(cls, state: list[Any]) -> Self:
        return cls(*state)


class Rated(Protocol):
    """What raises false alarms of ``signals`` signals."""

    @property
    def signals(self) -> int: ...

    def rate(self, slices: float) -> None: ...


def divide(budget: Budget, slice_ms: int, tracks: int, among: Iterable[Rated]) -> None:
    """The budget of a model in equal parts to all signals: of every stream, segment and track."""
    rated = list(among)
    signals = tracks * sum(one.signals for one in rated)
    for one in rated:
        one.rate(budget.slices_between(slice_ms) * signals)
