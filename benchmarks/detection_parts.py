"""What the section ``detection`` measures with, and what it finds."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Self

import numpy as np
from scipy.stats import gamma

from benchmarks.equalize import Tuned
from benchmarks.streams import WEEK, Kind

FIRST_SLICE = 100
EVENTS_OF_SLICES = 10_000
"""A budget period has at most so many slices: where they are small it is shorter."""


@dataclass(frozen=True, slots=True)
class Settings:
    """``budget``: one false alarm in so many events. ``learn`` and ``watch``: events of each of ``streams``.
    ``delay_streams`` with each shift; a shift is followed for ``horizon`` events, a gradual one grows for
    ``ramp``. ``tune_streams``: that river's are tuned on, ``verify_streams``: for each of the sets of seeds
    that show what came of it. ``slices``: events in one, the first for the comparison. ``default_events``: of
    each stream for river's at their defaults."""

    seed: int = 1
    budget: int = 1_000_000
    learn: int = 200_000
    watch: int = 1_000_000
    streams: int = 100
    tune_streams: int = 300
    verify_streams: int = 600
    delay_streams: int = 100
    horizon: int = 100_000
    ramp: int = 10_000
    slices: tuple[int, ...] = (FIRST_SLICE, 1, 10, 1_000)
    default_events: int = 10_000

    def at(self, n: int, kind: Kind) -> Self:
        """In slices of n events: as many budget periods. Learning takes a week where there is a season, two
        where it is of the week; small slices are shown fewer events."""
        budget = min(self.budget, EVENTS_OF_SLICES * n)
        learn = int(np.clip(self.learn * n // FIRST_SLICE, self.learn // 10, 5 * self.learn))
        if kind.season:
            learn = max(self.learn, WEEK if kind.season < WEEK else 2 * WEEK)
        return replace(self, budget=budget, learn=learn, watch=self.watch * budget // self.budget)


FAST = Settings(
    budget=20_000,
    learn=20_000,
    watch=20_000,
    streams=20,
    tune_streams=10,
    verify_streams=10,
    delay_streams=10,
    horizon=4_000,
    ramp=1_000,
    slices=(FIRST_SLICE,),
    default_events=500,
)
"""Seconds for a kind."""


@dataclass(frozen=True, slots=True)
class FalseAlarms:
    """Of one contender on healthy streams; ``slice``: events in one, 1 where each event is seen.

    ``per_million`` events with a 95 % interval. ``budget``: what was allowed. ``warm_up``: alarms in the
    events before. ``by_score``: which scores alarmed how often.
    """

    contender: str
    slice: int
    streams: int
    events: int
    alarms: int
    warm_up: int
    budget: float
    per_million: float
    low: float
    high: float
    by_score: dict[str, int] = field(default_factory=dict)

    @classmethod
    def of(
        cls,
        contender: str,
        n: int,
        events: int,
        by_stream: Sequence[int],
        warm_up: int,
        budget: float,
        **more: dict[str, int],
    ) -> Self:
        """``events`` in all streams."""
        alarms = int(sum(by_stream))
        low, high = (end / events * 1e6 for end in interval(by_stream))
        count, allowed = len(by_stream), 1e6 / budget
        rate = alarms / events * 1e6
        return cls(contender, n, count, events, alarms, warm_up, allowed, rate, low, high, **more)

    @property
    def held(self) -> bool:
        return self.high <= self.budget and not self.warm_up


def interval(by_stream: Sequence[int]) -> tuple[float, float]:
    """Of 95 % for the number of alarms of all streams: Poisson's, wider where streams differ by more."""
    counts = np.asarray(by_stream, np.float64)
    total = float(counts.sum())
    wider = max(1.0, float(counts.var(ddof=1) / counts.mean())) if total and len(counts) > 1 else 1.0
    low = wider * float(gamma.ppf(0.025, total / wider)) if total else 0.0
    return low, wider * float(gamma.ppf(0.975, total / wider + 1.0))


@dataclass(frozen=True, slots=True)
class Delay:
    """Of one contender and shift: the median in events, less one slice; None: not within the horizon."""

    contender: str
    shift: str
    slice: int
    streams: int
    found: float
    median: float | None


@dataclass(frozen=True, slots=True)
class Pair:
    """One shift at equal false alarms: the median delay of ``scan`` over that of the best of river's, with a
    95 % interval by bootstrap over streams. None: beyond the horizon, or of what is.
    """

    shift: str
    sds: float
    gradual: bool
    best: str
    ours: float | None
    theirs: float | None
    ratio: float | None
    low: float | None
    high: float | None

    @property
    def most(self) -> float:
        """How large a ratio may be."""
        return 1.1 if self.sds <= 0.25 else 1.0

    @property
    def later(self) -> bool:
        return self.theirs is not None and (self.ours is None or self.ours > self.most * self.theirs)

    @property
    def earlier(self) -> bool:
        return self.ours is not None and (self.theirs is None or self.ours < self.theirs)


@dataclass(frozen=True, slots=True)
class Part:
    """What was found of one kind."""

    kind: str
    promised: bool
    false_alarms: list[FalseAlarms]
    tuned: list[Tuned]
    delays: list[Delay]
    pairs: list[Pair]
