"""What every detector of change promises, and how it says what it found.

A detector watches S signals at once, slice after slice. A slice is, per signal, n events with their
mean and M2, the sum of their squared deviations from that mean.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Protocol, Self, TypeVar, runtime_checkable

import numpy as np
from numpy.typing import ArrayLike, NDArray

from stream_monitor.errors import FormatError

Float32s = NDArray[np.float32]
Float64s = NDArray[np.float64]
Int64s = NDArray[np.int64]
Snapshot = dict[str, Any]
"""Strings, plain numbers and numpy arrays only: it crosses a topic that others may write to."""

T = TypeVar("T", np.float32, np.float64, np.int32, np.int64)

SNAPSHOT_VERSION = 1
ANEW = 2.0
"""What a detector learned is estimated when so many times as many slices were seen, by default."""


@dataclass(frozen=True, slots=True, eq=False)
class Changes:
    """The k signals that changed in one update; arrays (k,), in ascending order of ``signal``.

    Times are in slices ago, empty and skipped slices included: ``since`` is where the changed window
    begins, 0 if the current slice is its first. ``earliest >= since >= latest`` is an interval of
    90 % or more for it. ``before`` and ``after`` are the two sides of that cut, in events.
    ``statistic`` has exceeded ``threshold``, both in the detector's own terms (NaN: it has none).
    """

    signal: Int64s
    since: Int64s
    earliest: Int64s
    latest: Int64s
    before_n: Float64s
    before_mean: Float64s
    after_n: Float64s
    after_mean: Float64s
    statistic: Float64s
    threshold: Float64s

    def __len__(self) -> int:
        return len(self.signal)


class Detector(Protocol):
    """Sequential detection on S signals at once. Signals do not influence each other.

    The outcome is a function of the slices in their order: no clock, no randomness.
    """

    def __init__(self, signals: int, **params: Any) -> None:
        """Parameters are those of the method; ValueError where they make no sense."""

    @property
    def signals(self) -> int:
        """S, the number of signals."""

    def update(self, n: Float64s, mean: Float64s, m2: Float64s) -> Changes | None:
        """Take the next slice; arrays (S,) float64. None where nothing changed.

        Where ``n`` is 0 nothing was seen: the signal keeps its state, ``mean`` and ``m2`` may be
        anything. Raises ValueError for other shapes, negative counts and values that are not finite.
        """

    def skip(self, slices: int) -> None:
        """Pass a run of slices in which no signal saw an event. O(1), however long."""

    @property
    def nbytes(self) -> int:
        """What the state takes, in bytes."""

    def bytes_max(self, slices: int) -> int:
        """Bound on ``nbytes`` once so many slices with events were seen."""

    def snapshot(self) -> Snapshot:
        """Everything that the detector is; holds copies."""

    @classmethod
    def restore(cls, snapshot: Snapshot) -> Self:
        """Equal to the detector that made the snapshot, and goes on exactly as it would.

        Called by ``detectors.restore``. Raises FormatError, KeyError, TypeError or ValueError if it is
        not a snapshot of this detector.
        """


@runtime_checkable
class Learns(Detector, Protocol):
    """A detector that learns how signals move by themselves, and keeps a run length.

    ``dead`` (S,): so far a level may move; it counts from the next ``rate`` on.
    """

    dead: Float64s

    def begin(self, anew: float = ANEW) -> None:
        """What was seen was healthy: watch from the next slice on, as soon as enough is known. While more can
        be known, it is estimated each time that ``anew`` times as many slices were seen."""

    def rate(self, run_length: ArrayLike) -> None:
        """From now on raise one false change in so many slices, a number or an array (S,)."""


def checked_slice(signals: int, n: Float64s, mean: Float64s, m2: Float64s) -> Int64s:
    """The indexes of the signals that saw events, after checking what the caller promised."""
    if not n.shape == mean.shape == m2.shape == (signals,):
        raise ValueError(
            f"slice: expected three arrays ({signals},), got {n.shape}, {mean.shape}, {m2.shape}"
        )
    if not (np.isfinite(n) & (n >= 0)).all():
        raise ValueError("slice: expected finite counts >= 0")
    if not ((n == 0) | (np.isfinite(mean) & np.isfinite(m2) & (m2 >= 0))).all():
        raise ValueError("slice: expected finite mean and m2 >= 0 wherever n > 0")
    return np.flatnonzero(n)


def checked_snapshot(snapshot: Snapshot, detector: str) -> None:
    """Raise FormatError unless it is one of ``detector``, of this version."""
    found = (snapshot.get("detector"), snapshot.get("version"))
    if found != (detector, SNAPSHOT_VERSION):
        raise FormatError(f"detector snapshot: expected {(detector, SNAPSHOT_VERSION)}, got {found}")


def restored(snapshot: Snapshot, name: str, dtype: type[T], shape: tuple[int, ...]) -> NDArray[T]:
    """A copy of one array of a snapshot. Raises FormatError where it is not of that type and shape."""
    values = snapshot.get(name)
    if not isinstance(values, np.ndarray) or values.dtype != dtype or values.shape != shape:
        got = f"{values.dtype} {values.shape}" if isinstance(values, np.ndarray) else type(values).__name__
        raise FormatError(f"detector snapshot: {name}: expected {dtype.__name__} {shape}, got {got}")
    return values.copy()


def each(value: ArrayLike, signals: int) -> Float64s:
    """One number for all signals, or one for each, as (S,)."""
    return np.broadcast_to(np.asarray(value, np.float64), (signals,)).copy()
