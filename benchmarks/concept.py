"""Section ``concept``: how soon a change of the concept is seen in the errors, how often one that is none.

Features keep their distribution and classes their shares; only what the label depends on turns. So a watch of
the features finds nothing (it runs beside). All contenders see the same errors in the same order: river's
detectors one by one, with their defaults, and this package's in slices of a minute, as the join sends them.

Which of river's detectors for 0 and 1 make no sense on weighted slices, and why:

- HDDM_W weighs every event by those that came after it, and a slice does not know the order of its events:
  the same slice would have many answers. No weighted form.
- DDM and HDDM_A are functions of how many events and errors there were up to a moment, so a form for slices
  would be theirs, looked at when a slice ends. But river's take single events: a slice mean counts as *one*.
  DDM then takes sqrt(p (1 - p) / slices) for the spread of its mean, sqrt(n) times what it is; HDDM_A's bound
  holds (means lie in [0, 1]) and is as much too wide. Both see less the more events a slice has. DDM's spread
  is, besides, that of 0 and 1: of no other error.

All three run as ``river: drift.binary.DDM``, HDDMA or HDDMW on slice means, as the rows "by slice" show.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from statistics import mean, median
from typing import Any

import numpy as np
from rich.console import Console
from rich.table import Table
from river import drift

from benchmarks import results
from stream_monitor.checks.subject import Subject
from stream_monitor.config import Config, parse_config
from stream_monitor.decide.arrivals import of_errors
from stream_monitor.detectors import Adwin, Detector, PageHinkley, make
from stream_monitor.events import Column, Finding, Float64s, Int64s, JsonType, Stream
from stream_monitor.join.cells import Cells, summaries_of
from stream_monitor.quality.signals import signals_of
from stream_monitor.summary.shape import Shape

SECTION = "concept"
MINUTE_MS = 60_000
PER_MINUTE = 120
HOUR = 60
HOURS = 12
LEARN_MIN = HOUR
ONSET_MIN = 6 * HOUR
PAIRS = HOURS * HOUR * PER_MINUTE
OLD, NEW = np.array([2.0, 1.0]), np.array([0.5, 2.2])
"""What the classes depend on, before and after: errors go from 21 to 34 percent."""
SMALL = 0.02
"""A minimum effect in place of the default of 0.05: of a location score, which for 0 and 1 is their share."""


@dataclass(frozen=True, slots=True)
class Scenario:
    """``share`` of the new concept by minute; ``onsets``: minutes at which it begins."""

    name: str
    onsets: tuple[int, ...]
    share: Callable[[Float64s], Float64s]


def _recurring(minute: Float64s) -> Float64s:
    return np.asarray((minute >= ONSET_MIN) & ((minute - ONSET_MIN) // (2 * HOUR) % 2 == 0), np.float64)


SCENARIOS = (
    Scenario("none", (), np.zeros_like),
    Scenario("sudden", (ONSET_MIN,), lambda minute: (minute >= ONSET_MIN).astype(np.float64)),
    Scenario("gradual", (ONSET_MIN,), lambda minute: np.clip((minute - ONSET_MIN) / HOUR, 0, 1)),
    Scenario("recurring", (ONSET_MIN, ONSET_MIN + 4 * HOUR), _recurring),
)


@dataclass(frozen=True, slots=True)
class Pairs:
    """Predictions and labels in order, PER_MINUTE a minute. ``features`` (n, 2)."""

    features: Float64s
    score: Float64s
    label: Int64s

    @property
    def wrong(self) -> Float64s:
        return np.asarray((self.score >= 0.5) != self.label, np.float64)

    @classmethod
    def of(cls, scenario: Scenario, seed: int) -> Pairs:
        """The model scores by the old concept, whatever is true."""
        random = np.random.default_rng(seed)
        features = random.normal(size=(PAIRS, 2))
        minute = np.arange(PAIRS) / PER_MINUTE
        is_new = random.random(PAIRS) < scenario.share(minute)
        score = _sigmoid(features @ OLD)
        truth = np.where(is_new, _sigmoid(features @ NEW), score)
        return cls(features, score, (random.random(PAIRS) < truth).astype(np.int64))


def _sigmoid(values: Float64s) -> Float64s:
    return np.asarray(1 / (1 + np.exp(-values)), np.float64)


# Contenders: the minute, with fraction, of each alarm


def config_of(**settings: Any) -> Config:
    quality = {"class": {"task": "binary", "score": "score", "positive": "1"}}
    return parse_config(
        {
            "predictions": {"topics": ["predictions"]},
            "labels": {"topics": ["labels"], "slice": "1m"},
            "models": {"m": {"slice": "1m", "learn": f"{LEARN_MIN}m", "quality": quality, **settings}},
        }
    )


def findings(columns: dict[str, Column], config: Config) -> list[Finding]:
    """What is told of these signals: a reference is learned for the first LEARN_MIN minutes."""
    assert config.labels is not None
    model = of_errors(config.model("m"), config.labels)
    subject = Subject(model, {}, None)
    cells = Cells.of(Stream("m"), np.arange(PAIRS) // PER_MINUTE * MINUTE_MS, ((),) * PAIRS, 0)
    slices = summaries_of(columns, cells, Shape.of(model))
    return [one for key, summary in sorted(slices.items()) for one in subject.close(key.start, summary)]


def monitor(pairs: Pairs, **settings: Any) -> list[float]:
    """What this package tells of the error signals."""
    config = config_of(**settings)
    scores = [(str(int(one >= 0.5)), one) for one in pairs.score.tolist()]
    labels = [(str(one),) for one in pairs.label.tolist()]
    columns = signals_of(config.model("m").quality, [(one,) for one in scores], labels)
    return [one.found / MINUTE_MS for one in findings(columns, config)]


def features_told(pairs: Pairs) -> list[float]:
    """The same of the features: nothing has happened to them."""
    columns = {name: Column(JsonType.NUMBER, pairs.features[:, i]) for i, name in enumerate(("x", "y"))}
    return [one.found / MINUTE_MS for one in findings(columns, config_of())]


def on_slices(begin: Callable[[], Detector], pairs: Pairs, *, in_sds: bool = False) -> list[float]:
    """The bare detector, without a minimum effect. ``in_sds``: of the first LEARN_MIN minutes."""
    wrong, known = pairs.wrong, pairs.wrong[: LEARN_MIN * PER_MINUTE]
    values = (wrong - known.mean()) / known.std() if in_sds else wrong
    slices = values.reshape(-1, PER_MINUTE)
    means, detector = slices.mean(axis=1), begin()
    spread = np.square(slices - means[:, None]).sum(axis=1)
    n = np.array([float(PER_MINUTE)])
    return [
        at + 1.0
        for at in range(len(slices))
        if detector.update(n, means[at : at + 1], spread[at : at + 1]) is not None
    ]


def event_by_event(begin: Callable[[], Any], pairs: Pairs) -> list[float]:
    detector, alarms = begin(), []
    for i, wrong in enumerate(pairs.wrong.tolist()):
        detector.update(wrong)
        if detector.drift_detected:
            alarms.append((i + 1) / PER_MINUTE)
    return alarms


CONTENDERS: dict[str, Callable[[Pairs], list[float]]] = {
    "stream-monitor": monitor,
    f"stream-monitor, min_effect {SMALL}": lambda pairs: monitor(pairs, min_effect={"location": SMALL}),
    "its ADWIN alone": lambda pairs: on_slices(lambda: Adwin(1), pairs),
    "its Page-Hinkley alone": lambda pairs: on_slices(
        lambda: PageHinkley(1, delta=0.05, threshold=200.0), pairs, in_sds=True
    ),
    "river ADWIN": lambda pairs: event_by_event(drift.ADWIN, pairs),
    "river PageHinkley": lambda pairs: event_by_event(drift.PageHinkley, pairs),
    "river DDM": lambda pairs: event_by_event(drift.binary.DDM, pairs),
    "river HDDM_A": lambda pairs: event_by_event(drift.binary.HDDMA, pairs),
    "river HDDM_W": lambda pairs: event_by_event(drift.binary.HDDMW, pairs),
    "river DDM by slice": lambda pairs: on_slices(lambda: make("drift.binary.DDM", 1, {}), pairs),
    "river HDDM_A by slice": lambda pairs: on_slices(lambda: make("drift.binary.HDDMA", 1, {}), pairs),
    "river HDDM_W by slice": lambda pairs: on_slices(lambda: make("drift.binary.HDDMW", 1, {}), pairs),
    "a watch of the features": features_told,
}


# Outcomes


@dataclass(frozen=True, slots=True)
class Outcome:
    """Of one contender on one stream. ``delays_min``: from each onset to the first alarm; None: not found."""

    contender: str
    scenario: str
    seed: int
    delays_min: list[float | None]
    false_alarms: int


def outcome(contender: str, scenario: Scenario, seed: int, alarms: list[float]) -> Outcome:
    """An alarm before the first onset is false. The new concept ends after two hours where it recurs."""
    first = scenario.onsets[0] if scenario.onsets else HOURS * HOUR
    lasts = 2 * HOUR if len(scenario.onsets) > 1 else HOURS * HOUR
    delays = [
        next((alarm - onset for alarm in alarms if onset < alarm <= onset + lasts), None)
        for onset in scenario.onsets
    ]
    return Outcome(contender, scenario.name, seed, delays, sum(LEARN_MIN < one <= first for one in alarms))


def run(events: int, rounds: int, folder: Path, console: Console) -> Path:
    """Streams of PAIRS pairs each, as many of every scenario as ``events`` allow, ``rounds`` times."""
    seeds = max(1, events // (len(SCENARIOS) * PAIRS))
    done = []
    for number in range(rounds):
        console.print(f"round {number + 1} of {rounds}")
        done.append(list(one_round(range(number * seeds, (number + 1) * seeds))))
    outcomes = [one for same in done for one in same]
    found = figures(outcomes)
    show(found, console, len(outcomes) // len(CONTENDERS) // len(SCENARIOS))
    settings = {
        "pairs": PAIRS,
        "pairs_per_minute": PER_MINUTE,
        "learn_min": LEARN_MIN,
        "onset_min": ONSET_MIN,
        "streams": seeds * rounds,
    }
    return results.save(SECTION, found, settings, done, folder)


def one_round(seeds: range) -> Iterator[Outcome]:
    for scenario in SCENARIOS:
        for seed in seeds:
            pairs = Pairs.of(scenario, seed)
            for name, alarms in CONTENDERS.items():
                yield outcome(name, scenario, seed, alarms(pairs))


def figures(outcomes: list[Outcome]) -> dict[str, float]:
    """By "CONTENDER_SCENARIO": median delay in minutes (of those found) and share found; false alarms per
    100,000 pairs without a change."""
    found: dict[str, float] = {}
    quiet_min = {one.name: (one.onsets[0] if one.onsets else HOURS * HOUR) - LEARN_MIN for one in SCENARIOS}
    for name in CONTENDERS:
        own, key = [one for one in outcomes if one.contender == name], name.lower().replace(" ", "_")
        pairs = sum(quiet_min[one.scenario] for one in own) * PER_MINUTE
        found[f"{key}_false_alarms"] = sum(one.false_alarms for one in own) / pairs * 100_000
        for scenario in SCENARIOS[1:]:
            delays = [delay for one in own if one.scenario == scenario.name for delay in one.delays_min]
            seen = [delay for delay in delays if delay is not None]
            found[f"{key}_{scenario.name}_found"] = mean(delay is not None for delay in delays)
            if seen:
                found[f"{key}_{scenario.name}_delay_min"] = median(seen)
    return {name: float(f"{value:.4g}") for name, value in found.items()}


def show(found: dict[str, float], console: Console, streams: int) -> None:
    """One line a contender: false alarms, and by scenario the median delay with the share found."""
    table = Table(title=f"{streams} streams of each scenario, {PAIRS:,} pairs, {PER_MINUTE} a minute")
    table.add_column("contender")
    for heading in ("false alarms / 100,000", *(f"{one.name}: delay min (found)" for one in SCENARIOS[1:])):
        table.add_column(heading, justify="right")
    for name in CONTENDERS:
        key = name.lower().replace(" ", "_")
        cells = [f"{found[f'{key}_false_alarms']:.2f}"]
        for scenario in SCENARIOS[1:]:
            delay = found.get(f"{key}_{scenario.name}_delay_min", math.nan)
            share = found[f"{key}_{scenario.name}_found"]
            cells.append(f"{delay:.1f} ({share:.0%})" if share else "none")
        table.add_row(name, *cells)
    console.print(table)
