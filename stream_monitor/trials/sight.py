"""What the scans of a monitor can see: of each signal the smallest shift that is found in time."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from scipy.special import ndtri

from stream_monitor.checks.base import Score, Unit
from stream_monitor.checks.pending import NOISE_SDS
from stream_monitor.checks.subject import Subject
from stream_monitor.checks.watch import Watch
from stream_monitor.detectors import Scan, Seasonal
from stream_monitor.detectors.base import Float64s
from stream_monitor.detectors.reach import smallest_shift
from stream_monitor.events import Stream

CHANCES = (0.5, 0.95)
BLIND_SD, BLIND_SHARE = 1.0, 0.25
"""Who needs a larger shift to see it in the last span, with the greater chance, sees nothing useful."""


LEARNING = "it is still being learned"


@dataclass(frozen=True, slots=True)
class Sight:
    """Of one signal of a stream: ``shifts`` that are found within each span of time (rows) with at least each
    of CHANCES (columns), in ``unit``: "sd" or "share"; None where no shift is. ``missing``: the same of the
    share of events that lack it. ``season``: the period that was learned, in hours; 0: none. ``blind``: why
    nothing useful is seen, or None.
    """

    stream: Stream
    signal: str
    score: str
    unit: str
    shifts: tuple[tuple[float | None, ...], ...]
    missing: tuple[tuple[float | None, ...], ...]
    season: int
    blind: str | None


def sights(stream: Stream, subject: Subject, spans_ms: Sequence[int]) -> Iterator[Sight]:
    """One a signal, by name; none of what no scan watches. ``spans_ms`` ascend.

    A number is asked for its location, in standard deviations of a normal signal that would move its ranks as
    far; a category for that of its shares which is seen last.
    """
    found = {}
    for watch in subject.watches:
        for scan, scores in watch.detectors:
            if isinstance(scan, Scan) and any(map(_tells, scores)):
                shifts = _shifts(scan, scores, subject.slice_ms, spans_ms)
                for name in sorted(watch.reference.kinds):
                    found[name] = _sight(stream, name, watch, scan, scores, shifts)
    for name in subject.learning:
        none = ((None,) * len(CHANCES),) * len(spans_ms)
        found[name] = Sight(stream, name, "", "sd", none, none, 0, LEARNING)
    yield from (found[name] for name in sorted(found))


def _sight(
    stream: Stream, name: str, watch: Watch, scan: Scan, scores: Sequence[Score], shifts: Float64s
) -> Sight:
    own = [(at, score) for at, score in enumerate(scores) if score.signal == name]
    drift = [at for at, score in own if _tells(score)]
    missing = [at for at, score in own if score.check == "missing"]
    at = max(drift, key=lambda one: float(shifts[-1, -1, one]), default=None)
    unit = "share" if at is not None and scores[at].unit == Unit.SHARE else "sd"
    of = np.full(shifts.shape[:2], np.inf) if at is None else shifts[..., at]
    blind = None
    if not (scan.noise.turnover > 0).any():
        blind = LEARNING
    elif name in watch.unwatchable:
        blind = "it needs `center` in the configuration"
    elif not of[-1, -1] <= (BLIND_SD if unit == "sd" else BLIND_SHARE):
        blind = "it moves too far by itself, or has too little traffic"
    lost = shifts[..., missing[0]] if missing else np.full(of.shape, np.inf)
    moves, season = ("", 0) if at is None else (scores[at].name, _season(scan, at))
    return Sight(stream, name, moves, unit, _plain(of), _plain(lost), season, blind)


def _season(scan: Scan, at: int) -> int:
    return int(scan.season.period[at]) if isinstance(scan, Seasonal) else 0


def _tells(score: Score) -> bool:
    """Whether it says how far a signal has moved, in terms that a person has."""
    return score.check == "drift" and (score.name == "location" or score.name.startswith("share of"))


def _plain(shifts: Float64s) -> tuple[tuple[float | None, ...], ...]:
    return tuple(tuple(one if np.isfinite(one) else None for one in row) for row in shifts.tolist())


def _shifts(scan: Scan, scores: Sequence[Score], slice_ms: int, spans_ms: Sequence[int]) -> Float64s:
    """Of all scores (spans, chances, S), inf where none is found."""
    found = np.full((len(spans_ms), len(CHANCES), len(scores)), np.inf)
    for row, span_ms in enumerate(spans_ms):
        slices = np.floor(scan.busy * span_ms / slice_ms)
        for column, chance in enumerate(CHANCES):
            found[row, column] = _in_time(scan, scores, slices, chance)
    ranks = np.array([score.unit == Unit.RANK for score in scores])
    found[..., ranks] = _as_normal(found[..., ranks])
    return found


def _in_time(scan: Scan, scores: Sequence[Score], slices: Float64s, chance: float) -> Float64s:
    """What the scan finds, and the watch tells: its level is beyond the minimum effect by its own noise."""
    noise = scan.noise
    share = np.array([score.unit == Unit.SHARE for score in scores])
    heights = noise.heights(scan.run_length)
    seen = smallest_shift(noise, heights, slices=slices, chance=chance, dead=scan.dead, share=share)
    some = np.maximum(slices, 1.0)
    events = np.maximum(some * noise.n / np.maximum(noise.slices, 1.0), 1e-9)
    strays = ndtri(chance) * np.sqrt(noise.long_run / some + noise.error)
    least = np.array([score.dead for score in scores])
    told: Float64s = np.maximum(seen, least + NOISE_SDS * np.sqrt(noise.within / events) + strays)
    return told


def _as_normal(shift: Float64s) -> Float64s:
    """Of a mean of 2 (rank) - 1: by how many standard deviations a normal signal moves to have it."""
    rank = (1.0 + np.clip(shift, 0.0, 1.0)) / 2.0
    found: Float64s = np.sqrt(2.0) * ndtri(rank)
    return found
