"""The quality of an output that is taken for normal: learned from its first labels."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from stream_monitor.quality.measures import Measures

if TYPE_CHECKING:
    from stream_monitor.config import Learn

LEARN_LABELS_MIN = 500
"""No reference is made of fewer labels, however long they took."""


@dataclass(slots=True)
class QualityLearning:
    """What one output was measured by so far, by start of the cohort. ``since``: the end of the arrival slice
    that brought its first label that still stands, ms."""

    cohorts: dict[int, Measures] = field(default_factory=dict)
    since: int | None = None

    def add(self, end: int, changed: Mapping[int, Measures]) -> None:
        """What an arrival slice that ends at ``end`` changed."""
        for start, more in changed.items():
            total = self.cohorts.pop(start) + more if start in self.cohorts else more
            if not total.is_empty:
                self.cohorts[start] = total
        if self._labels <= 0:
            self.since = None
        elif self.since is None:
            self.since = end

    def is_enough(self, end: int, learn: Learn) -> bool:
        """Whether a reference can be made of it, as long as it is to be learned."""
        if self.since is None or self._labels < LEARN_LABELS_MIN:
            return False
        return end - self.since >= learn.ms if learn.ms is not None else self._labels >= (learn.events or 0)

    @property
    def total(self) -> Measures:
        """All of it."""
        first, *others = self.cohorts.values()
        return sum(others, first)

    @property
    def labels(self) -> dict[int, int]:
        """By cohort."""
        return {start: one.n for start, one in sorted(self.cohorts.items())}

    @property
    def _labels(self) -> int:
        return sum(one.n for one in self.cohorts.values())
