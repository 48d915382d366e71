"""How long signals are taken for healthy, and what is normal is learned from them."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Self

if TYPE_CHECKING:
    from stream_monitor.config import Learn

EVENTS_MIN = 500
"""No reference is made of fewer events, however long they took."""
EVENTS_MAX = 1 << 25
"""Learning ends here at the latest."""


@dataclass(frozen=True, slots=True)
class Period:
    """Since ``start``, in ms, with so many events."""

    start: int
    rows: int

    def and_(self, rows: int) -> Self:
        return replace(self, rows=self.rows + rows)

    def holds(self, end: int, learn: Learn, share: float = 1.0) -> bool:
        """Whether it has come, at ``end``, to this share of what is to be learned."""
        least = learn.ms if learn.ms is not None else learn.events or 0
        enough = (end - self.start if learn.ms is not None else self.rows) >= share * least
        return self.rows >= share * EVENTS_MAX or (enough and self.rows >= EVENTS_MIN)
