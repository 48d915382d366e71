"""What a check is: it turns a closed slice into scores, which detectors watch.

A check says which scores it has for the signals of a reference, and measures them on any summary. A
slice gives each score a weighted observation: n events, their mean and their sum of squared deviations.
Scores are bounded or nearly so, which makes detectors robust, and need no scale per signal.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from functools import lru_cache
from typing import TYPE_CHECKING, NamedTuple, Protocol

import numpy as np

from stream_monitor.events import Float64s, Int64s
from stream_monitor.reference import Reference
from stream_monitor.summary.summary import Count, Summary

if TYPE_CHECKING:
    from stream_monitor.config import MinEffect, Signal

__all__ = ["Check", "Measure", "Observations", "Score", "Unit", "concatenate", "places", "rates"]


class Unit(StrEnum):
    """How a person reads a score."""

    RANK = "rank"
    """Mean of a polynomial of u = 2 (rank in the reference) - 1."""
    SD = "sd"
    """Standard deviations of the reference, on the fine codes."""
    SHARE = "share"
    """Share of events, 0 to 1."""
    LIKENESS = "likeness"
    """How far neighbouring slices are on one side of their level, -1 to 1: see ``movement``."""
    LOG = "log"
    """Natural logarithm of a ratio of variances."""


class Score(NamedTuple):
    """What a detector watches: ``name`` of ``signal``, in the name of ``check``.

    ``dead`` is the minimum effect: a change of the mean by less than this against the reference is no
    finding, however significant.
    """

    check: str
    signal: str
    name: str
    unit: Unit
    dead: float


@dataclass(frozen=True, slots=True)
class Observations:
    """Per score: n events, their mean, their sum of squared deviations. Arrays (scores,) float64."""

    n: Float64s
    mean: Float64s
    m2: Float64s

    def __add__(self, other: Observations) -> Observations:
        """Of the events of both (Chan, Golub and LeVeque 1979)."""
        n = self.n + other.n
        part = np.divide(other.n, n, out=np.zeros_like(n), where=n > 0)
        shift = other.mean - self.mean
        m2 = self.m2 + other.m2 + shift * shift * self.n * part
        return Observations(n, self.mean + shift * part, m2)


class Measure(Protocol):
    """The scores of one check over the signals of one reference."""

    @property
    def scores(self) -> list[Score]: ...

    def measure(self, summary: Summary) -> Observations:
        """One slice. A signal that the slice does not have gives n = 0, or what its absence means."""


class Check(Protocol):
    """A watch. ``min_effect`` is the model's setting, ``declared`` the subject's configured fields."""

    def __call__(
        self, reference: Reference, min_effect: MinEffect, declared: Mapping[str, Signal], /
    ) -> Measure: ...


def rates(hits: Float64s, n: Float64s) -> Observations:
    """Observations of 0-or-1 events: ``hits`` (.., scores) of ``n`` (scores,)."""
    mean = np.divide(hits, n, out=np.zeros_like(hits), where=n > 0)
    return Observations(n, mean, n * mean * (1.0 - mean))


def concatenate(parts: list[Observations]) -> Observations:
    if not parts:
        empty = np.zeros(0)
        return Observations(empty, empty, empty)
    return Observations(
        np.concatenate([part.n for part in parts]),
        np.concatenate([part.mean for part in parts]),
        np.concatenate([part.m2 for part in parts]),
    )


@lru_cache(maxsize=256)
def places(names: tuple[str, ...], among: tuple[str, ...]) -> Int64s:
    """Of each name its place among others, or -1 where it is none of them; (names,), read only.

    Slice after slice of a stream has the same signals.
    """
    place = {name: at for at, name in enumerate(among)}
    found: Int64s = np.array([place.get(name, -1) for name in names], np.int64)
    found.flags.writeable = False
    return found


def counts_of(summary: Summary, signals: tuple[str, ...]) -> np.ndarray[tuple[int, int], np.dtype[np.int64]]:
    """The counts (signals, len(Count)) in the order asked for; zeros where the summary lacks a signal."""
    rows = places(signals, summary.signals)
    there = rows >= 0
    counts = np.zeros((len(signals), len(Count)), np.int64)
    counts[there] = summary.counts[rows[there]]
    return counts
