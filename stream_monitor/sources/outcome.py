"""What a replay ends with: what became of every row, and how good the models were."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import orjson
from rich.table import Table

from stream_monitor.config.values import DAY_MS
from stream_monitor.events import Stream
from stream_monitor.monitor import Monitor
from stream_monitor.quality.cohorts import Cohort, Cohorts
from stream_monitor.quality.figures import Figure

NAMES_SHOWN_MAX = 10
MAIN = ("mae", "rmse", "mean_error", "above", "accuracy", "precision", "recall", "f1", "f1_macro", "log_loss")
"""The figures of the table, those of them that an output has."""
USUAL = {"predictions", "labels", "pairs"}
"""What the join counts of any input; the rest is said only where it happened."""


# Rows


def outcome(monitor: Monitor, checks: Counter[str]) -> Table:
    """``checks``: the alerts that were told, by check."""
    counters = monitor.decider.counters
    table = Table(show_header=False, box=None, pad_edge=False)
    table.add_column(justify="left")
    table.add_column(overflow="fold")
    table.add_row("events", f"{monitor.rows - monitor.label_rows:,}")
    if monitor.config.labels is not None:
        table.add_row("labels", f"{monitor.label_rows:,}")
    for reason, count in sorted(monitor.rejected.items()):
        table.add_row(f"rejected, {reason}", f"{count:,}")
    table.add_row("late", f"{counters['rows_late']:,}")
    for what, said in _joined(monitor):
        table.add_row(f"joined, {what}", said)
    table.add_row("slices closed", f"{counters['slices_closed']:,}")
    table.add_row("alerts", f"{checks.total():,}")
    for check, count in sorted(checks.items()):
        table.add_row(f"alerts, {check}", f"{count:,}")
    for what, by_model in (
        ("still learning", monitor.decider.learning()),
        ("unwatchable without `center`", monitor.decider.unwatchable()),
    ):
        for model, names in sorted(by_model.items()):
            table.add_row(f"{what}, {model}", _shortened(names))
    return table


def _joined(monitor: Monitor) -> Iterator[tuple[str, str]]:
    if monitor.config.labels is None:
        return
    counted = monitor.joined
    yield "pairs", f"{counted['pairs']:,}"
    for name, count in sorted(counted.items()):
        if count and name not in USUAL:
            yield name.replace("_", " "), f"{count:,}"
    labeled = counted["pairs"] + counted["pairs_again"] - counted["withdrawals"]
    left_out = counted["predictions_duplicate"] + counted["predictions_over_limit"]
    yield "coverage", _share(labeled, counted["predictions"] - left_out)


def _share(labeled: int, predictions: int) -> str:
    return f"{100 * labeled / predictions:.1f} %" if predictions else "none"


def _shortened(names: list[str]) -> str:
    more = len(names) - NAMES_SHOWN_MAX
    return ", ".join(names[:NAMES_SHOWN_MAX]) + (f" and {more} more" if more > 0 else "")


# Quality


@dataclass(frozen=True, slots=True)
class Day:
    """How good one output of a stream was, of predictions of one day (UTC)."""

    stream: Stream
    output: str
    start: int
    cohort: Cohort

    @property
    def date(self) -> str:
        return f"{datetime.fromtimestamp(self.start / 1000, UTC):%Y-%m-%d}"

    @property
    def figures(self) -> dict[str, Figure]:
        return self.cohort.measures[self.output].figures()

    def to_json(self) -> bytes:
        """One object: the stream, the day, on how many labels it rests, and all figures that are defined."""
        said: dict[str, Any] = {**self.stream._asdict(), "output": self.output, "day": self.date}
        said |= {"predictions": self.cohort.predictions, "labeled": self.cohort.labeled}
        said["n"] = self.cohort.measures[self.output].n
        figures = sorted(self.figures.items())
        said["figures"] = {name: one.value for name, one in figures if one.value is not None}
        return orjson.dumps(said)


def days(quality: Mapping[Stream, Cohorts]) -> Iterator[Day]:
    """By stream, output and day: those that have a label."""
    for stream, cohorts in sorted(quality.items()):
        by_day: defaultdict[int, Cohort] = defaultdict(Cohort)
        for start, cohort in cohorts.items():
            by_day[start // DAY_MS * DAY_MS] += cohort
        outputs = {output for cohort in by_day.values() for output in cohort.measures}
        for output in sorted(outputs):
            for start, cohort in sorted(by_day.items()):
                if output in cohort.measures:
                    yield Day(stream, output, start, cohort)


def quality_table(found: list[Day]) -> Table:
    """For a person. Columns that say nothing are left out."""
    shown = [name for name in MAIN if any(name in one.figures for one in found)]
    table = Table("model", "version", "role", "segment", "output", "day", box=None, pad_edge=False)
    for name in ("n", "coverage", *shown):
        table.add_column(name, justify="right")
    for one in found:
        figures, measures = one.figures, one.cohort.measures[one.output]
        values = (figures[name].value if name in figures else None for name in shown)
        said = ("" if value is None else f"{value:.4g}" for value in values)
        coverage = _share(one.cohort.labeled, one.cohort.predictions)
        table.add_row(*one.stream, one.output, one.date, f"{measures.n:,}", coverage, *said)
    return table
