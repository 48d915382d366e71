"""Section ``synthetic``: the errors of a model whose concept changes, on river's generators.

The streams are those of ``synthetic_streams``. Ours see slices of SLICE events; those that learn do so from
the first LEARN events, and may alarm once in BUDGET events. river's see each event, at their defaults.

- The onset is where the new concept begins to show (see ``synthetic_streams``): half of the events are new a
  width later. A change is found by the first alarm within HORIZON events from there, from which its delay
  counts; by one in the width before, too, which has no delay.
- A false alarm is one before that, or at any time where nothing changes; those among the first LEARN events
  are told apart, in ``warm_up``.
- Who alarms often is often early: what is found means nothing without the false alarms beside it.
- Our Page-Hinkley sees standard deviations of the first LEARN events, as the product gives them to it.
- river's KSWIN sees the first of the streams of each kind only, and not what others learn from: it takes
  300 us for each event.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
from rich.console import Console
from rich.table import Table

from benchmarks import results
from benchmarks.detection_parts import interval
from benchmarks.false_alarms import RIVER, RIVER_BINARY, alarms_of
from benchmarks.synthetic_streams import CONCEPTS, EVENTS, HORIZON, LEARN, ONSET, WIDTHS, errors
from stream_monitor.detectors import make
from stream_monitor.events import Float64s

SECTION = "synthetic"
SLICE = 10
BUDGET = 1_000_000
SEEDS = 8

Alarms = Callable[[Float64s], list[list[int]]]
"""Of streams (S, events): of each after how many events it alarmed."""


def in_slices(name: str, params: Mapping[str, Any], *, in_sds: bool = False) -> Alarms:
    """A detector of ours, all streams at once."""

    def alarms(wrong: Float64s) -> list[list[int]]:
        known = wrong[:, :LEARN]
        sd = np.maximum(known.std(axis=1, keepdims=True), 0.01)
        values = (wrong - known.mean(axis=1, keepdims=True)) / sd if in_sds else wrong
        slices = values.reshape(len(values), -1, SLICE)
        means = slices.mean(axis=2)
        spread = np.square(slices - means[:, :, None]).sum(axis=2)
        detector, n = make(name, len(values), params), np.full(len(values), float(SLICE))
        found: list[list[int]] = [[] for _ in values]
        for at, (mean, m2) in enumerate(zip(means.T, spread.T, strict=True)):
            changes = detector.update(n, mean.copy(), m2.copy())
            for signal in () if changes is None else changes.signal.tolist():
                found[signal].append(SLICE * (at + 1))
        return found

    return alarms


def by_event(begin: Callable[[], Any]) -> Alarms:
    return lambda wrong: [alarms_of(begin(), row.tolist()) for row in wrong]


def kswin(wrong: Float64s) -> list[list[int]]:
    watched = wrong[0, LEARN:].tolist()
    return [[LEARN + at for at in alarms_of(RIVER["river KSWIN"](), watched)]]


_LEARNING = {"learn": LEARN // SLICE, "run_length": BUDGET / SLICE, "share": True}

CONTENDERS: dict[str, Alarms] = {
    "scan": in_slices("scan", _LEARNING),
    "scan, 5,000 learned": in_slices("scan", _LEARNING | {"learn": 5_000 // SLICE}),
    "cusum": in_slices("cusum", _LEARNING),
    "eprocess": in_slices("eprocess", _LEARNING),
    "adwin": in_slices("adwin", {}),
    "page_hinkley": in_slices("page_hinkley", {"delta": 0.05, "threshold": 200.0}, in_sds=True),
    **{name: by_event(begin) for name, begin in (RIVER | RIVER_BINARY).items()},
    "river KSWIN": kswin,
}


@dataclass(frozen=True, slots=True)
class Outcome:
    """Of one contender on streams of a concept and shape: ``delays`` in events from the onset, None where it
    found nothing, empty where nothing changes; ``false_alarms`` in ``quiet`` events after learning.
    ``errors``: the shares of wrong predictions before, and in the last half of the horizon."""

    contender: str
    concept: str
    shape: str
    errors: tuple[float, float]
    delays: list[int | None]
    false_alarms: list[int]
    warm_up: int
    quiet: int

    @property
    def found(self) -> list[int]:
        return [one for one in self.delays if one is not None]


def outcome(contender: str, concept: str, shape: str, wrong: Float64s, alarms: list[list[int]]) -> Outcome:
    width = WIDTHS[shape]
    end = ONSET - width if width else EVENTS
    delays = [next((max(at - ONSET, 0) for at in one if at > end), None) for one in alarms if width]
    return Outcome(
        contender,
        concept,
        shape,
        (float(wrong[:, :ONSET].mean()), float(wrong[:, -HORIZON // 2 :].mean())),
        delays,
        [sum(LEARN < at <= end for at in one) for one in alarms],
        sum(at <= LEARN for one in alarms for at in one),
        (end - LEARN) * len(alarms),
    )


def run(seed: int, folder: Path, console: Console, seeds: int = SEEDS) -> Path:
    """Returns the path of the JSON."""
    outcomes = []
    for concept in CONCEPTS:
        for shape in WIDTHS:
            wrong = np.stack([errors(concept, shape, seed * 1_000 + one) for one in range(seeds)])
            outcomes += [
                outcome(name, concept.name, shape, wrong, alarms(wrong))
                for name, alarms in CONTENDERS.items()
            ]
    figures = figures_of(outcomes)
    show(outcomes, console)
    settings = {
        "seed": seed,
        "streams": seeds,
        "slice": SLICE,
        "budget": BUDGET,
        "learn": LEARN,
        "onset": ONSET,
        "horizon": HORIZON,
        "widths": WIDTHS,
    }
    return results.save(SECTION, figures, settings, [outcomes], folder)


def figures_of(outcomes: Sequence[Outcome]) -> dict[str, float]:
    """By contender: false alarms per million quiet events with the ends of a 95 % interval, and how many
    while learning; by shape how many changes were found and missed, and the median delay of those found."""
    figures: dict[str, float] = {}
    for name in CONTENDERS:
        own, key = [one for one in outcomes if one.contender == name], _key(name)
        by_stream = [alarms for one in own for alarms in one.false_alarms]
        quiet = sum(one.quiet for one in own)
        ends = (sum(by_stream), *interval(by_stream))
        for what, alarms in zip(("", "_low", "_high"), ends, strict=True):
            figures[f"{key}_false_alarms_per_million{what}"] = alarms / quiet * 1e6
        figures[f"{key}_warm_up"] = sum(one.warm_up for one in own)
        for shape in [one for one, width in WIDTHS.items() if width]:
            of_shape = [one for one in own if one.shape == shape]
            found = [delay for one in of_shape for delay in one.found]
            figures[f"{key}_{shape}_found"] = len(found)
            figures[f"{key}_{shape}_missed"] = sum(len(one.delays) for one in of_shape) - len(found)
            if found:
                figures[f"{key}_{shape}_delay"] = median(found)
    return results.rounded(figures)


def _key(name: str) -> str:
    return name.lower().replace(", ", "_").replace(" ", "_")


def show(outcomes: Sequence[Outcome], console: Console) -> None:
    """One line a concept and shape: of each contender the median delay, with what it found if not all, and
    how many false alarms there were before."""
    table = Table(title="median delay in events (found) + false alarms")
    table.add_column("stream, errors")
    for name in CONTENDERS:
        table.add_column(name, justify="right")
    for key in dict.fromkeys((one.concept, one.shape) for one in outcomes):
        own = {one.contender: one for one in outcomes if (one.concept, one.shape) == key}
        before, after = next(iter(own.values())).errors
        label = f"{key[0]}, {key[1]}: {before:.1%} to {after:.1%}"
        table.add_row(label, *(_cell(own[name]) for name in CONTENDERS))
    console.print(table)


def _cell(one: Outcome) -> str:
    false_alarms = f"+{sum(one.false_alarms)}"
    if not one.delays:
        return false_alarms
    said = f"{median(one.found):,.0f}" if one.found else "never"
    share = "" if len(one.found) == len(one.delays) else f" ({len(one.found)}/{len(one.delays)})"
    return f"{said}{share} {false_alarms}"
