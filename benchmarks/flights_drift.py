"""Section ``flights``: a year of flights from New York and of the weather there, as the product watches them.

Both streams by the day and by the hour, with January to learn from: by the scan with its budget (one false
alarm a week), and by ADWIN and Page-Hinkley together. Of each alert the figures tell the month and whether a
person would want it, by what became of the flights that it is about (see ``flights_judged``):

- page: somebody should look at once. ticket: true, and worth a change of the model or its feed in time.
  nobody: true of the data and no news, such as what weather and season do.

January cannot teach the season of a year, nor could the year: spring is told as a change.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from itertools import islice
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from benchmarks import results
from benchmarks.flights_judged import VERDICTS, Year, judged
from examples.flights import make
from stream_monitor import Monitor
from stream_monitor.alerting.alert import Alert

SECTION = "flights"
BATCH = 10_000
MOMENT = timedelta(milliseconds=1)
LEARN = "31d"
SLICES = ("1d", "1h")
DETECTORS: dict[str, list[str]] = {"scan": ["scan"], "adwin, page_hinkley": ["adwin", "page_hinkley"]}

Events = Iterable[Mapping[str, Any]]


@dataclass(frozen=True, slots=True)
class Told:
    """An alert. ``time``: the end of the slice that showed it; ``month``: of that slice, as in "2013-02"."""

    stream: str
    slice: str
    detectors: str
    month: str
    time: str
    signal: str
    check: str
    summary: str
    verdict: str
    why: str


def told(stream: str, events: Events, width: str, detectors: str, year: Year) -> list[Told]:
    """All alerts of a year, in order."""
    found = []
    for alert in _alerts(events, slice=width, detectors=DETECTORS[detectors]):
        verdict, why = judged(alert.finding, year)
        time = datetime.fromtimestamp(alert.time / 1000, UTC)
        month = f"{time - MOMENT:%Y-%m}"
        told_of = alert.finding.signal, alert.check, alert.summary
        found.append(Told(stream, width, detectors, month, f"{time:%Y-%m-%dT%H}", *told_of, verdict, why))
    return found


def _alerts(events: Events, **settings: Any) -> Iterator[Alert]:
    monitor = Monitor({"predictions": {"topics": [SECTION]}, "models": {"*": {"learn": LEARN, **settings}}})
    left = iter(events)
    while batch := list(islice(left, BATCH)):
        yield from monitor.update(batch)
    yield from monitor.close()


def run(folder: Path, console: Console) -> Path:
    """Returns the path of the JSON. Nothing in it is random."""
    flights = make.read_flights()
    year = Year.of(flights)
    streams = {
        "flights": list(make.events(make.predictions(flights))),
        "weather": list(make.weather_events(make.read_weather())),
    }
    alerts = [
        one
        for stream, events in streams.items()
        for width in SLICES
        for name in DETECTORS
        for one in told(stream, events, width, name, year)
    ]
    show(alerts, console)
    settings = {"learn": LEARN, "events": {name: len(events) for name, events in streams.items()}}
    lines = [one for one in alerts if one.detectors == "scan"]
    return results.save(SECTION, figures_of(alerts), settings, [lines], folder)


def figures_of(alerts: Sequence[Told]) -> dict[str, float]:
    """By stream, slice, detectors, and verdict or month: how many."""
    figures: dict[str, float] = {}
    months = sorted({one.month for one in alerts})
    for run in dict.fromkeys(map(_run_of, alerts)):
        own = [one for one in alerts if _run_of(one) == run]
        stream, width, detectors = run
        counts = Counter([*(one.verdict for one in own), *(one.month for one in own)])
        key = f"{stream}_{width}_{'_'.join(DETECTORS[detectors])}"
        figures |= {f"{key}_{name}": counts[name] for name in (*VERDICTS, *months)}
    return figures


def _run_of(one: Told) -> tuple[str, str, str]:
    return one.stream, one.slice, one.detectors


def show(alerts: Sequence[Told], console: Console) -> None:
    """Alerts by month, of each run; then those of the scan, one a line."""
    months = sorted({one.month for one in alerts})
    table = Table(title="alerts by month: page + ticket + nobody")
    table.add_column("stream, slice, detectors")
    for heading in (*months, "year"):
        table.add_column(heading, justify="right")
    for run in dict.fromkeys(map(_run_of, alerts)):
        own = [one for one in alerts if _run_of(one) == run]
        by_month = [[one for one in own if one.month == month] for month in months]
        table.add_row(", ".join(run), *map(_cell, by_month), _cell(own))
    console.print(table)
    for one in alerts:
        if one.detectors == "scan":
            console.print(
                f"{one.stream} {one.slice} {one.verdict}: {one.summary} ({one.why})", highlight=False
            )


def _cell(alerts: Sequence[Told]) -> str:
    counts = Counter(one.verdict for one in alerts)
    return " + ".join(str(counts[verdict]) for verdict in VERDICTS) if alerts else ""
