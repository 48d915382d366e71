"""Slow twins of the detectors, from the definitions: one signal, plain Python, every event sum anew."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from river.drift import datasets

from stream_monitor.detectors.base import Changes, Detector


class Slice(NamedTuple):
    """One slice of one signal."""

    n: float
    mean: float
    m2: float


@dataclass
class Bucket:
    slices: list[tuple[int, Slice]]

    @property
    def n(self) -> float:
        return sum(one.n for _, one in self.slices)


class AdwinTwin:
    """ADWIN that keeps every slice, and computes every mean and variance from all of them."""

    def __init__(self, *, delta: float, max_buckets: int, least: int = 5, grace: int = 10) -> None:
        self.delta, self.max_buckets, self.least, self.grace = delta, max_buckets, least, grace
        self.index = -1
        self.rows: list[list[Bucket]] = [[]]

    def update(self, seen: Slice) -> tuple[int, float, float] | None:
        """None, or where the most likely significant cut is, and the means on both sides."""
        self.index += 1
        if seen.n == 0:
            return None
        self.rows[0].append(Bucket([(self.index, seen)]))
        for level in range(64):
            if len(self.rows[level]) <= self.max_buckets:
                break
            if level + 1 == len(self.rows):
                self.rows.append([])
            first, second, *rest = self.rows[level]
            self.rows[level + 1].append(Bucket(first.slices + second.slices))
            self.rows[level] = rest
        cut = self._cut([bucket for row in reversed(self.rows) for bucket in row])
        if cut is not None:
            self.rows = [[]]
        return cut

    def _cut(self, buckets: list[Bucket]) -> tuple[int, float, float] | None:
        window = [pair for bucket in buckets for pair in bucket.slices]
        width, mean, m2 = pooled([one for _, one in window])
        if width <= self.grace:
            return None
        confidence = math.log(2 * math.log(width) / self.delta)
        best: tuple[float, tuple[int, float, float]] | None = None
        cut_at = 0
        for bucket in buckets[:-1]:
            cut_at += len(bucket.slices)
            n0, mean0, _ = pooled([one for _, one in window[:cut_at]])
            n1, mean1, _ = pooled([one for _, one in window[cut_at:]])
            if min(n0, n1) < self.least:
                continue
            inverse_m = 1 / (n0 - self.least + 1) + 1 / (n1 - self.least + 1)
            bound = math.sqrt(2 * inverse_m * m2 / width * confidence) + 2 / 3 * confidence * inverse_m
            likelihood = n0 * (mean0 - mean) ** 2 + n1 * (mean1 - mean) ** 2
            if abs(mean0 - mean1) > bound and (best is None or likelihood > best[0]):
                best = likelihood, (window[cut_at][0], mean0, mean1)
        return None if best is None else best[1]


class PageHinkleyTwin:
    """Page-Hinkley as its docstring defines it for slices; weights are summed term by term."""

    def __init__(self, *, delta: float, threshold: float, min_instances: int, alpha: float) -> None:
        self.delta, self.threshold, self.alpha = delta, threshold, alpha
        self.min_instances = min_instances
        self.seen: list[Slice] = []
        self.sums: list[tuple[float, float]] = []

    def update(self, seen: Slice) -> bool:
        """Whether the signal changed."""
        if seen.n == 0:
            return False
        self.seen.append(seen)
        n, mean, _ = pooled(self.seen)
        weight = sum(self.alpha**k for k in range(int(seen.n)))
        up, down = self.sums[-1] if self.sums else (0.0, 0.0)
        kept = self.alpha**seen.n
        self.sums.append(
            (
                kept * up + weight * (seen.mean - mean - self.delta),
                kept * down + weight * (seen.mean - mean + self.delta),
            )
        )
        rise = self.sums[-1][0] - min(up for up, _ in self.sums)
        fall = max(down for _, down in self.sums) - self.sums[-1][1]
        changed = n >= self.min_instances and max(rise, fall) > self.threshold
        if changed:
            self.seen, self.sums = [], []
        return changed


def pooled(slices: list[Slice]) -> Slice:
    """Several slices as one."""
    n = sum(one.n for one in slices)
    mean = sum(one.n * one.mean for one in slices) / n
    return Slice(n, mean, sum(one.m2 + one.n * (one.mean - mean) ** 2 for one in slices))


def river_changes(detector: Any, values: Iterable[float]) -> list[int]:
    """The indexes at which a river detector reports a change."""
    found = []
    for index, value in enumerate(values):
        detector.update(float(value))
        if detector.drift_detected:
            found.append(index)
    return found


def changes_per_event(detector: Detector, values: np.ndarray) -> list[list[int]]:
    """For each row of values (S, T) the indexes at which ``detector`` reports a change, one event a slice."""
    found: list[list[int]] = [[] for _ in values]
    one, zero = np.ones(len(values)), np.zeros(len(values))
    for index in range(values.shape[1]):
        changes = detector.update(one, values[:, index].copy(), zero)
        for signal in [] if changes is None else changes.signal:
            found[signal].append(index)
    return found


def bundled_series() -> dict[str, np.ndarray]:
    """river's change-point series, name to (columns, time), as they are and standardized."""
    series = {}
    for name in datasets.__all__:
        rows = [row for _, row in getattr(datasets, name)()]
        columns = [[row[key] for row in rows] for key in rows[0]] if isinstance(rows[0], dict) else [rows]
        raw = np.array(columns, np.float64)
        center, spread = raw.mean(axis=1, keepdims=True), raw.std(axis=1, keepdims=True)
        series[name] = np.concatenate([raw, (raw - center) / spread])
    return series


def shifting_values(signals: int, length: int, seed: int) -> np.ndarray:
    """(S, T) normal values with three shifts of the mean each."""
    random = np.random.default_rng(seed)
    values = random.normal(size=(signals, length))
    for row in values:
        for begin in random.integers(0, length, 3):
            row[begin:] += random.normal()
    return values


class Slices(NamedTuple):
    """Arrays (T, S)."""

    n: np.ndarray
    mean: np.ndarray
    m2: np.ndarray


def shifting_slices(signals: int, length: int, seed: int, *, n_max: int = 40) -> Slices:
    """Slices of 0 to ``n_max`` events in [0, 1] whose mean shifts; NaN where there are none."""
    random = np.random.default_rng(seed)
    n = random.integers(0, n_max + 1, size=(length, signals)) * (random.random((length, signals)) < 0.9)
    level = random.choice([0.2, 0.5, 0.8], size=(length // 25 + 1, signals)).repeat(25, axis=0)[:length]
    events = np.maximum(n, 1)
    mean = np.clip(level + random.normal(size=n.shape) * 0.1 / np.sqrt(events), 0.0, 1.0)
    m2 = np.maximum(n - 1, 0) * 0.01
    return Slices(n.astype(np.float64), np.where(n > 0, mean, np.nan), np.where(n > 0, m2, np.nan))


def run(detector: Detector, slices: Slices, collect: Callable[[int, Changes], None]) -> None:
    """Feed all slices; ``collect`` gets the index of the slice and what changed in it."""
    for index, (n, mean, m2) in enumerate(zip(*slices, strict=True)):
        changes = detector.update(n, mean, m2)
        if changes is not None:
            collect(index, changes)


Told = tuple[Any, ...]


def told(detector: Detector, slices: Slices) -> list[Told]:
    """All changes as plain tuples (slice, signal, since, ...), the signals of one slice in order."""
    found: list[Told] = []

    def collect(index: int, changes: Changes) -> None:
        columns = [getattr(changes, name).tolist() for name in Changes.__slots__]
        found.extend((index, *(repr(value) for value in row)) for row in zip(*columns, strict=True))

    run(detector, slices, collect)
    return found
