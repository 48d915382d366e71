"""Healthy slices of many signals, in bounded memory however many there are."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple, Self

import numpy as np
from numpy.typing import NDArray

from stream_monitor.detectors.alike import Alike, Seen, parted
from stream_monitor.detectors.base import Float64s, Int64s, Snapshot, restored

STEPS_MAX = 1_024
"""A signal's slices are kept in so many steps; where there are more, two become one."""
MORE = 64
"""Steps that room is made for at once."""
TOGETHER_MAX = 256
"""Signals that are estimated at once: that takes 100 KB each, as long as it lasts."""


class Learned(NamedTuple):
    """Of s signals with L steps of 2^``level`` slices each. ``n``, ``total`` (L, s): events, sum of values.

    ``slices`` (s,): seen. ``m2`` and ``spare`` (s,): squared deviations within slices, and how many of them
    are free. ``squares``, ``inverse`` and ``pairs`` (level, s): of neighbouring blocks of 2^0, 2^1, .. slices
    the squared differences, the sum of 1 / n of both, and how many pairs there were. ``further`` (F, L, s):
    sums of something else.
    """

    level: int
    n: Float64s
    total: Float64s
    slices: Float64s
    m2: Float64s
    spare: Float64s
    squares: Float64s
    inverse: Float64s
    pairs: Float64s
    further: Float64s


class Learning:
    """Collects slices of S signals, each with a clock of its own: slices without events are in none.

    ``further``: so many other sums are kept of each step, which signals that are ``Alike`` share, as they do
    their events. Values are added up as deviations from the first mean, so that float32 is enough. Memory:
    4 KB a signal and 4 KB a group, 4 KB a group for each further sum, and 40 bytes for each doubling of its
    steps.
    """

    def __init__(self, signals: int, further: int = 0) -> None:
        self.signals, self.further = signals, further
        self._alike = Alike(signals)
        groups = len(self._alike.first)
        self._slices: Int64s = np.zeros(groups, np.int64)
        self._level: Int64s = np.zeros(groups, np.int64)
        self._size: Int64s = np.zeros(groups, np.int64)
        self._spare: Float64s = np.zeros(groups)
        self._m2: Float64s = np.zeros(signals)
        self._origin: Float64s = np.zeros(signals)
        self._off = np.zeros((0, signals), np.float32)
        self._events = np.zeros((1 + further, 0, groups), np.float32)
        self._half_off: Float64s = np.zeros((0, signals))
        self._half_events: Float64s = np.zeros((1 + further, 0, groups))
        self._squares: Float64s = np.zeros((0, signals))
        self._pairs: Float64s = np.zeros((2, 0, groups))

    @property
    def slices(self) -> Int64s:
        """In which each signal was seen, (S,)."""
        return self._slices[self._alike.of]

    def add(self, seen: Int64s, n: Float64s, mean: Float64s, m2: Float64s, *further: Float64s) -> None:
        """The next slice, in which the signals ``seen`` (s,) saw n > 0 events."""
        if not seen.size:
            return
        whole = np.zeros((1 + self.further, self.signals))
        whole[:, seen] = n, *further
        self._part(self._alike.part(whole[0]))
        of = self._alike.seen(seen)
        first = self._slices[of.groups][of.place] == 0
        self._origin[seen[first]] = mean[first]
        events = whole[:, self._alike.first[of.groups]]
        self._slices[of.groups] += 1
        self._m2[seen] += m2
        self._spare[of.groups] += np.maximum(events[0] - 1.0, 0.0)
        off, level = n * (mean - self._origin[seen]), 0
        while of.signals.size:
            last = self._level[of.groups] == level
            if last.all():
                self._append(of, off, events)
                return
            if last.any():
                ended, mine = of.take(last)
                self._append(ended, off[mine], events[:, last])
                of, mine = of.take(~last)
                off, events = off[mine], events[:, ~last]
            of, off, events = self._paired(level, of, off, events)
            level += 1

    def _paired(
        self, level: int, of: Seen, off: Float64s, events: Float64s
    ) -> tuple[Seen, Float64s, Float64s]:
        """Two blocks as one; the first of two waits for the second."""
        if not of.signals.size:
            return of, off, events
        waited = self._half_events[0, level, of.groups] > 0
        first, mine = of.take(~waited)
        self._half_off[level, first.signals] = off[mine]
        self._half_events[:, level, first.groups] = events[:, ~waited]
        of, mine = of.take(waited)
        before = self._half_off[level, of.signals], self._half_events[:, level, of.groups]
        self._half_off[level, of.signals] = 0.0
        self._half_events[:, level, of.groups] = 0.0
        off, events = off[mine], events[:, waited]
        self._differ(np.full(len(of.groups), level), of, before, (off, events))
        return of, before[0] + off, before[1] + events

    def _append(self, of: Seen, off: Float64s, events: Float64s) -> None:
        size = self._size[of.groups]
        if int(size.max()) == len(self._off):
            self._off = np.pad(self._off, ((0, MORE), (0, 0)))
            self._events = np.pad(self._events, ((0, 0), (0, MORE), (0, 0)))
        self._off[size[of.place], of.signals] = off
        self._events[:, size, of.groups] = events
        self._size[of.groups] += 1
        full = self._size[of.groups] == STEPS_MAX
        if full.any():
            self._coarsen(of.take(full)[0])

    def _coarsen(self, of: Seen) -> None:
        """Take pairs of steps together."""
        off = self._off[:STEPS_MAX, of.signals].astype(np.float64)
        events = self._events[:, :STEPS_MAX, of.groups].astype(np.float64)
        if int(self._level[of.groups].max()) == len(self._half_off):
            self._half_off, self._squares = (
                np.pad(one, ((0, 1), (0, 0))) for one in (self._half_off, self._squares)
            )
            self._half_events, self._pairs = (
                np.pad(one, ((0, 0), (0, 1), (0, 0))) for one in (self._half_events, self._pairs)
            )
        for pair in range(STEPS_MAX // 2):
            first, second = 2 * pair, 2 * pair + 1
            self._differ(
                self._level[of.groups],
                of,
                (off[first], events[:, first]),
                (off[second], events[:, second]),
            )
        self._off[: STEPS_MAX // 2, of.signals] = off[::2] + off[1::2]
        self._off[STEPS_MAX // 2 :, of.signals] = 0.0
        self._events[:, : STEPS_MAX // 2, of.groups] = events[:, ::2] + events[:, 1::2]
        self._events[:, STEPS_MAX // 2 :, of.groups] = 0.0
        self._size[of.groups] = STEPS_MAX // 2
        self._level[of.groups] += 1

    def _differ(
        self,
        level: Int64s,
        of: Seen,
        first: tuple[Float64s, Float64s],
        second: tuple[Float64s, Float64s],
    ) -> None:
        """How far two blocks are apart, by their ``off`` (s,) and events (.., g); ``level`` (g,)."""
        before, after = (off / events[0, of.place] for off, events in (first, second))
        self._squares[level[of.place], of.signals] += np.square(after - before)
        inverse = 1.0 / first[1][0] + 1.0 / second[1][0]
        self._pairs[:, level, of.groups] += inverse, np.ones_like(inverse)

    def _part(self, groups: Int64s) -> None:
        """There are new groups, that saw what these did."""
        if groups.size:
            for name in self._GROUPED:
                setattr(self, name, parted(getattr(self, name), groups))

    def groups(self, signals: Int64s) -> Iterator[tuple[Int64s, Learned]]:
        """What was learned of these signals, those together that have equally many steps, up to TOGETHER_MAX.

        One alone comes twice: numpy adds up one column in another order than several.
        """
        of = self._alike.of[signals]
        keys, group = np.unique(np.stack((self._level[of], self._size[of])), axis=1, return_inverse=True)
        for at, (level, size) in enumerate(keys.T.tolist()):
            alike = signals[group.ravel() == at]
            for mine in np.array_split(alike, -(-len(alike) // TOGETHER_MAX)):
                several = mine.repeat(2) if len(mine) == 1 else mine
                yield several, self._learned(several, level, size)

    def _learned(self, signals: Int64s, level: int, size: int) -> Learned:
        of = self._alike.of[signals]
        off = self._off[:size, signals].astype(np.float64, order="C")
        n, *further = self._events[:, :size, of].astype(np.float64, order="C")
        inverse, pairs = self._pairs[:, :level, of]
        squares, total = self._squares[:level, signals], off + n * self._origin[signals]
        within, more = (self._m2[signals], self._spare[of]), np.array(further).reshape(-1, *n.shape)
        slices = self._slices[of].astype(np.float64)
        return Learned(level, n, total, slices, *within, squares, inverse, pairs, more)

    def so_far(self, signals: Int64s) -> Float64s:
        """Mean and number of the events in whole steps, (2, s); NaN without events."""
        steps = np.stack((self._events[0][:, self._alike.of[signals]], self._off[:, signals]))
        n, off = steps.sum(axis=1, dtype=np.float64)
        shift = np.divide(off, n, out=np.full_like(n, np.nan), where=n > 0)
        return np.stack((self._origin[signals] + shift, n))

    @property
    def nbytes(self) -> int:
        return self._alike.nbytes + sum(one.nbytes for one in self._arrays().values())

    def _arrays(self) -> dict[str, NDArray[Any]]:
        return {name.removeprefix("_"): getattr(self, name) for name in self._GROUPED + self._SINGLE}

    _GROUPED = ("_slices", "_level", "_size", "_spare", "_events", "_half_events", "_pairs")
    _SINGLE = ("_m2", "_origin", "_off", "_half_off", "_squares")

    def snapshot(self) -> Snapshot:
        """Arrays copied."""
        return {name: one.copy() for name, one in self._arrays().items()} | self._alike.snapshot()

    @classmethod
    def restore(cls, snapshot: Snapshot) -> Self:
        """FormatError, KeyError, TypeError or ValueError if it is no snapshot of one."""
        signals, (sums, rows) = len(snapshot["origin"]), snapshot["events"].shape[:2]
        learning, levels = cls(signals, sums - 1), len(snapshot["half_off"])
        learning._alike = Alike.restore(snapshot, signals)
        groups = len(learning._alike.first)
        for name in ("slices", "level", "size"):
            setattr(learning, f"_{name}", restored(snapshot, name, np.int64, (groups,)))
        learning._spare = restored(snapshot, "spare", np.float64, (groups,))
        learning._m2 = restored(snapshot, "m2", np.float64, (signals,))
        learning._origin = restored(snapshot, "origin", np.float64, (signals,))
        learning._off = restored(snapshot, "off", np.float32, (rows, signals))
        learning._events = restored(snapshot, "events", np.float32, (sums, rows, groups))
        learning._half_off = restored(snapshot, "half_off", np.float64, (levels, signals))
        learning._half_events = restored(snapshot, "half_events", np.float64, (sums, levels, groups))
        learning._squares = restored(snapshot, "squares", np.float64, (levels, signals))
        learning._pairs = restored(snapshot, "pairs", np.float64, (2, levels, groups))
        return learning
