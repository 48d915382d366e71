"""Section ``change_points``: detectors on short series in which people have marked what changed.

The series and measures are those of the Turing change point benchmark (see ``annotated``, ``segmentation``),
and so are the two columns: *default*, and *best*: for each series whatever of a small grid does best, chosen
with the annotations at hand, which nobody has in production.

What is to be read with care:

- These detectors are for streams. 105 to 774 observations are less than ours learn from by default (2,000
  slices), so nothing would be found: "default" is with the shortest learning there is, 32 observations. The
  scan promises its run length for memories below a 25th of what it learned, and a price has no level at all.
- A level that was learned does not hold after a change. So a detector that learns is begun anew there, which
  the product does only when it is told to; ADWIN, Page-Hinkley and river's do so by themselves.
- Where a change is, is where a detector says that it began: river's ADWIN and KSWIN at the first observation
  of the window that they keep, river's Page-Hinkley, which does not say, at its alarm.
- All see values standardized with the whole series, as in that benchmark: a look ahead that a stream does not
  have. What changed in any dimension counts.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from itertools import product
from pathlib import Path
from statistics import mean
from typing import Any

import numpy as np
from rich.console import Console
from rich.table import Table
from river import drift

from benchmarks import results
from benchmarks.annotated import Series, annotated
from benchmarks.segmentation import MARGIN, covering, f1
from stream_monitor.detectors import make
from stream_monitor.events import Float64s

SECTION = "change_points"
SHORTEST = 32

Params = Mapping[str, Any]


def learned(name: str, values: Float64s, **params: Any) -> set[int]:
    """Of a detector of ours that learns: anew from each change on."""
    found, start = set[int](), 0
    detector, at = make(name, values.shape[1], params), 0
    while at < len(values):
        changes = detector.update(*_slice(values[at]))
        at += 1
        if changes is not None:
            start = max(at - 1 - int(changes.since.max()), start + 1)
            found.add(start)
            detector, at = make(name, values.shape[1], params), start
    return found


def by_itself(name: str, values: Float64s, **params: Any) -> set[int]:
    """Of a detector of ours that starts afresh after a change."""
    detector, found = make(name, values.shape[1], params), set[int]()
    for at, row in enumerate(values):
        changes = detector.update(*_slice(row))
        if changes is not None:
            found.update((at - changes.since).tolist())
    return found


def _slice(row: Float64s) -> tuple[Float64s, Float64s, Float64s]:
    return np.ones(len(row)), row, np.zeros(len(row))


def of_river(name: str, values: Float64s, **params: Any) -> set[int]:
    """One detector a dimension."""
    found = set[int]()
    for column in values.T:
        detector = getattr(drift, name)(**params)
        for at, value in enumerate(column.tolist()):
            detector.update(value)
            if detector.drift_detected:
                found.add(at + 1 - _kept(detector))
    return found


def _kept(detector: Any) -> int:
    """How many observations it takes for those after the change, the last one included."""
    if isinstance(detector, drift.ADWIN):
        return max(int(detector.width), 1)
    return len(detector.window) if isinstance(detector, drift.KSWIN) else 1


@dataclass(frozen=True, slots=True)
class Contender:
    """``default``: its parameters, where they are not those it has by itself; ``grid``: others to choose
    from."""

    find: Callable[..., set[int]]
    default: Params = field(default_factory=dict)
    grid: Mapping[str, Sequence[Any]] = field(default_factory=dict)

    def settings(self) -> list[Params]:
        """The default first."""
        chosen = [dict(zip(self.grid, values, strict=True)) for values in product(*self.grid.values())]
        return [self.default, *({**self.default, **one} for one in chosen if self.grid)]


_LEARN = {"learn": (SHORTEST, 64), "run_length": (30.0, 100.0, 1e4)}
_DELTA = {"delta": (1e-10, 1e-4, 0.002, 0.05, 0.3, 0.9)}
_PAGE_HINKLEY = {
    "delta": (0.005, 0.05, 0.25, 0.5),
    "threshold": (2.0, 5.0, 10.0, 20.0, 50.0),
    "min_instances": (5, 30),
}

CONTENDERS: dict[str, Contender] = {
    "nothing": Contender(lambda _values: set()),
    "scan": Contender(partial(learned, "scan"), {"learn": SHORTEST}, _LEARN),
    "cusum": Contender(partial(learned, "cusum"), {"learn": SHORTEST}, _LEARN | {"shift": (0.5, 2.0)}),
    "ewma": Contender(partial(learned, "ewma"), {"learn": SHORTEST}, _LEARN | {"window": (4.0, 16.0)}),
    "adwin": Contender(partial(by_itself, "adwin"), {}, _DELTA),
    "page_hinkley": Contender(
        partial(by_itself, "page_hinkley"), {"delta": 0.05, "threshold": 200.0}, _PAGE_HINKLEY
    ),
    "river ADWIN": Contender(partial(of_river, "ADWIN"), {}, _DELTA | {"clock": (1, 32)}),
    "river PageHinkley": Contender(partial(of_river, "PageHinkley"), {}, _PAGE_HINKLEY),
    "river KSWIN": Contender(
        partial(of_river, "KSWIN"),
        {"seed": 1},
        {"alpha": (1e-7, 1e-4, 0.005), "window_size": (60, 100), "stat_size": (20, 30)},
    ),
}


@dataclass(frozen=True, slots=True)
class Scored:
    """Of one contender on one series. ``best_*`` may be of different parameters, as in that benchmark."""

    contender: str
    series: str
    found: list[int]
    covering: float
    f1: float
    best_covering: float
    best_f1: float


def score(name: str, series: Series) -> Scored:
    contender, length = CONTENDERS[name], len(series.values)
    found = [contender.find(series.values, **params) for params in contender.settings()]
    covers = [covering(series.annotations, one, length) for one in found]
    scores = [f1(series.annotations, one) for one in found]
    return Scored(name, series.name, sorted(found[0]), covers[0], scores[0], max(covers), max(scores))


def run(folder: Path, console: Console) -> Path:
    """Returns the path of the JSON. Nothing in it is random but KSWIN, whose seed is given."""
    series = annotated()
    scores = [score(name, one) for name in CONTENDERS for one in series]
    figures = figures_of(scores)
    show(scores, figures, console)
    settings = {"margin": MARGIN, "series": {one.name: one.values.shape for one in series}}
    return results.save(SECTION, figures, settings, [scores], folder)


_MEASURES = ("covering", "f1", "best_covering", "best_f1")


def figures_of(scores: Sequence[Scored]) -> dict[str, float]:
    """By "CONTENDER_MEASURE": the mean over all series."""
    figures = {}
    for name in dict.fromkeys(one.contender for one in scores):
        own = [one for one in scores if one.contender == name]
        for measure in _MEASURES:
            figures[f"{name.lower().replace(' ', '_')}_{measure}"] = mean(
                getattr(one, measure) for one in own
            )
    return results.rounded(figures)


def show(scores: Sequence[Scored], figures: Mapping[str, float], console: Console) -> None:
    """One line a contender: of each series covering and F1 by default, then the means of all four."""
    names = list(dict.fromkeys(one.series for one in scores))
    table = Table(title="covering / F1 by default; means by default, and with the best of a grid a series")
    table.add_column("contender")
    for heading in (*names, "mean", "mean of best"):
        table.add_column(heading, justify="right")
    for name in dict.fromkeys(one.contender for one in scores):
        own = {one.series: one for one in scores if one.contender == name}
        cells = [f"{own[one].covering:.2f} / {own[one].f1:.2f}" for one in names]
        means = [figures[f"{name.lower().replace(' ', '_')}_{measure}"] for measure in _MEASURES]
        table.add_row(name, *cells, *(f"{means[i]:.3f} / {means[i + 1]:.3f}" for i in (0, 2)))
    console.print(table)
