"""This package's detectors over many streams at once: they learn from healthy slices, and are fed others."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from benchmarks.scored import Scores, followed, kept, learned, parts
from benchmarks.streams import DAY, Streams
from stream_monitor.config.values import DAY_MS
from stream_monitor.detectors import DETECTORS, Adwin, Changes, PageHinkley, make
from stream_monitor.detectors.base import Float64s, Int64s

PIECE = 2_000
"""Events at a time of each stream: their scores fit the cache."""
SEASONAL = "seasonal"


@dataclass(frozen=True, slots=True)
class Learned:
    """What detectors are made of: of ``slices`` of ``n`` events.

    ``rates`` (K S,): which of K ``scores`` of S streams are; ``follows``: see the check. ``run_length`` in
    slices (K S,): the budget is shared among the scores of a stream. ``mean`` and ``sd`` of events.
    """

    n: int
    scores: int
    slices: int
    run_length: Float64s
    rates: NDArray[np.bool_]
    follows: Int64s
    mean: Float64s
    sd: Float64s


class Updated(Protocol):
    def update(self, n: Float64s, mean: Float64s, m2: Float64s) -> Changes | None: ...


class InSds:
    """A detector that sees standard deviations of the reference, as the watch gives them to Page-Hinkley."""

    def __init__(self, detector: Updated, of: Learned) -> None:
        self._detector, self._mean, self._sd = detector, of.mean, of.sd

    def update(self, n: Float64s, mean: Float64s, m2: Float64s) -> Changes | None:
        return self._detector.update(n, (mean - self._mean) / self._sd, m2 / self._sd**2)


def _scan(of: Learned) -> Updated:
    """The default: with a season, as soon as there is a detector that takes one off."""
    params: dict[str, Any] = {"run_length": of.run_length, "learn": of.slices, "share": of.rates}
    params["follows"] = of.follows
    if SEASONAL in DETECTORS:
        return make(SEASONAL, len(of.rates), params | {"slice_ms": int(DAY_MS / DAY * of.n)})
    return make("scan", len(of.rates), params)


def _adwin(of: Learned) -> Updated:
    return Adwin(len(of.rates), delta=0.002 / of.scores)


def _page_hinkley(of: Learned) -> Updated:
    return InSds(PageHinkley(len(of.rates), delta=0.05, threshold=200.0), of)


OURS: dict[str, Callable[[Learned], Updated]] = {
    "scan": _scan,
    "adwin": _adwin,
    "page_hinkley": _page_hinkley,
}
"""As the watch makes them of one signal without the configuration saying anything."""


class Watching:
    """S streams of a kind from their first event on, in slices of ``n`` events, at a ``budget`` of one alarm
    in so many events. The first ``learn`` are the reference, and what detectors learn from.

    Alarms are of a stream and slice, however many of its scores changed. ``warm_up``: those while learning.
    """

    def __init__(
        self, streams: Streams, n: int, learn: int, budget: float, contenders: Iterable[str]
    ) -> None:
        self.streams, self.n = streams, n
        scored, pieces = streams.kind.scored, -(-learn // PIECE)
        healthy = [kept(scored, streams.take(PIECE)) for _ in range(pieces)]
        self._of = learned(scored, np.concatenate(healthy, axis=1))
        scores = [self._of.of(piece, n) for piece in healthy]
        mean = np.concatenate([one.mean for one in scores])
        m2 = np.concatenate([one.m2 for one in scores])
        names, level = self._of.names, mean.mean(axis=0)
        self.names = names
        variance = m2.sum(axis=0) / (n * len(mean)) + mean.var(axis=0)
        found = Learned(
            n,
            len(names),
            len(mean),
            np.repeat(budget / n / parts(names), streams.number),
            np.repeat(self._of.rates, streams.number),
            followed(names, streams.number),
            level,
            np.sqrt(np.maximum(variance, 1e-4)),
        )
        self.detectors = {name: OURS[name](found) for name in contenders}
        self.by_score = {name: np.zeros(len(names), np.int64) for name in contenders}
        self.warm_up = {
            name: int(sum(self._alarms(name, one).sum() for one in scores)) for name in contenders
        }
        self.by_score = {name: np.zeros(len(names), np.int64) for name in contenders}

    def feed(self, values: Float64s, contenders: Iterable[str]) -> dict[str, NDArray[np.bool_]]:
        """Of values (S, T n): which of the T slices raised an alarm (T, S)."""
        scores = self._of.of(kept(self.streams.kind.scored, values), self.n)
        return {name: self._alarms(name, scores) for name in contenders}

    def _alarms(self, name: str, scores: Scores) -> NDArray[np.bool_]:
        detector, streams = self.detectors[name], self.streams.number
        n = np.full(scores.mean.shape[1], scores.n)
        found = np.zeros((len(scores.mean), streams), np.bool_)
        for alarms, mean, m2 in zip(found, scores.mean, scores.m2, strict=True):
            changes = detector.update(n, mean, m2)
            if changes is not None:
                alarms[changes.signal % streams] = True
                np.add.at(self.by_score[name], changes.signal // streams, 1)
        return found
