"""What a detector said of scores, until it is over: which of them changed, and which of that is told."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from stream_monitor.checks.base import Observations, Score
from stream_monitor.events import Float64s, Int64s

if TYPE_CHECKING:
    from stream_monitor.checks.movement import Movement
    from stream_monitor.detectors.base import Changes

NOISE_SDS = 3.0
"""The level since a change must be beyond the minimum effect by this many of its standard errors."""
REARM = 0.5
"""A finding is over when every score of it is back within this share of its minimum effect."""
OPPOSITE = 0.1
"""It is over, too, when a score has been beyond it on the other side for this share of the reference's
events: what merely swings (the weather) is told once."""

_COLUMNS = (
    ("changed", np.bool_),
    ("since", np.int64),
    ("earliest", np.int64),
    ("latest", np.int64),
    ("n", np.float64),
    ("total", np.float64),
    ("statistic", np.float64),
    ("threshold", np.float64),
    ("detector", np.int64),
    ("direction", np.int64),
    ("told", np.int64),
    ("turned", np.float64),
)
"""Per score: whether and since when it changed, its level since then, where it went (-1, 0, 1), where it was
told to have gone, and how many events long it has been beyond its minimum effect in the other."""


class Pending:
    """Of S scores, the first ``levels`` of which are levels, and the others how those move. Times in ms.

    Scores of one signal and check are told together.
    """

    def __init__(self, scores: Sequence[Score], levels: int, slice_ms: int) -> None:
        self._levels, self._slice_ms = levels, slice_ms
        self.dead = np.array([score.dead for score in scores])
        groups = {group: at for at, group in enumerate(sorted({(one.signal, one.check) for one in scores}))}
        self._groups = len(groups)
        self._group: Int64s = np.array([groups[one.signal, one.check] for one in scores], np.int64)
        names = sorted({score.signal for score in scores})
        self._signal: Int64s = np.searchsorted(names, [score.signal for score in scores])
        self._of: dict[str, np.ndarray] = {name: np.zeros(len(scores), dtype) for name, dtype in _COLUMNS}

    def __getitem__(self, column: str) -> np.ndarray:
        """Of every score, (S,): see _COLUMNS."""
        return self._of[column]

    def add(self, slices: Observations) -> None:
        """What was seen since."""
        self._of["n"] += slices.n
        self._of["total"] += slices.n * slices.mean

    def note(self, detector: int, changes: Changes, start: int, baseline: Float64s, *, learns: bool) -> None:
        """What a detector said of the slice at ``start``; ``learns``: it compares with one level for ever."""
        at, of = changes.signal, self._of
        direction = np.sign(changes.after_mean - baseline[at]).astype(np.int64)
        # What is compared with one level for ever tells again what lasts: it began when it was told first.
        lasts = of["changed"][at] & (direction == of["direction"][at])
        new = ~lasts if learns else np.ones_like(lasts)
        for name in ("since", "earliest", "latest"):
            of[name][at[new]] = start - getattr(changes, name)[new] * self._slice_ms
        of["changed"][at] = True
        of["direction"][at] = direction
        of["n"][at] = changes.after_n
        of["total"][at] = changes.after_n * changes.after_mean
        of["statistic"][at] = changes.statistic
        of["threshold"][at] = changes.threshold
        of["detector"][at] = detector

    def effect(self, baseline: Float64s) -> Float64s:
        """How far levels are from the baseline since they changed, (S,)."""
        found: Float64s = self._of["total"] / np.maximum(self._of["n"], 1.0) - baseline
        return found

    def judge(
        self, start: int, seen: Float64s, baseline: Observations, sd: Float64s, movement: Movement | None
    ) -> list[Int64s]:
        """The scores of each group that is to be told now. ``seen``: events of the slice, ``sd``: standard
        deviations of the baseline, both by score."""
        changed = self._of["changed"]
        if not changed.any():
            return []
        effect = self.effect(baseline.mean)
        noise = NOISE_SDS * sd / np.sqrt(np.maximum(self._of["n"], 1.0))
        beyond = changed & (np.abs(effect) - self.dead > noise)
        if movement is not None:
            beyond = self._lasting(movement, beyond, start)
        firing = self._still_told(effect, beyond, seen, baseline.n)
        groups = np.unique(self._group[beyond])
        return [np.flatnonzero(beyond & (self._group == group)) for group in groups[~firing[groups]]]

    def tell(self, scores: Int64s, effect: Float64s) -> None:
        """These are told now to have gone where they are."""
        self._of["told"][scores] = np.sign(effect[scores]).astype(np.int64)

    def _lasting(self, movement: Movement, beyond: NDArray[np.bool_], start: int) -> NDArray[np.bool_]:
        """``beyond`` without what is no change of a movement: what did not last, or is told to have drifted.

        That is forgotten, so that what comes later does not count from it.
        """
        of, moves = self._of, np.arange(len(beyond)) >= self._levels
        drifting = np.isin(self._signal, self._signal[~moves & (beyond | (of["told"] != 0))])
        least = np.concatenate((np.zeros(self._levels, np.int64), movement.lasts)) * self._slice_ms
        lasted = start - of["since"] >= least
        over = moves & (of["told"] == 0) & (drifting | (lasted & ~beyond))
        of["changed"][over] = False
        found: NDArray[np.bool_] = beyond & ~(moves & (drifting | ~lasted))
        return found

    def _still_told(
        self, effect: Float64s, beyond: NDArray[np.bool_], seen: Float64s, events: Float64s
    ) -> NDArray[np.bool_]:
        """Per group, whether what was told of it still holds. Where it does not, it is forgotten."""
        of, told = self._of, self._of["told"]
        away = of["changed"] & (np.abs(effect) > REARM * self.dead)
        of["turned"] = np.where(beyond & (effect * told < 0), of["turned"] + seen, 0.0)
        opposite = of["turned"] >= OPPOSITE * np.maximum(events, 1.0)
        firing = np.bincount(self._group, told != 0, self._groups) > 0
        firing &= np.bincount(self._group, away, self._groups) > 0
        firing &= np.bincount(self._group, opposite, self._groups) == 0
        over = (told != 0) & ~firing[self._group]
        of["changed"][over & (np.abs(effect) <= self.dead)] = False
        told[over] = 0
        return firing

    def snapshot(self) -> dict[str, np.ndarray]:
        return dict(self._of)

    def restore(self, state: Mapping[str, np.ndarray]) -> None:
        self._of = {name: state[name] for name, _ in _COLUMNS}
