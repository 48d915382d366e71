"""Verdicts side by side: as a table, as lines, as JSON."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from itertools import pairwise
from typing import Any

from rich.table import Table

from stream_monitor.config.values import UNITS_MS, duration_text
from stream_monitor.trials.incidents import ANY, Incident
from stream_monitor.trials.verdict import Met, Told, Verdict

NONE = "-"


def table(verdicts: Sequence[Verdict]) -> Table:
    """A column a configuration: the sums first, then each incident."""
    shown = Table("", box=None, pad_edge=False)
    for verdict in verdicts:
        shown.add_column(verdict.name, justify="right", overflow="fold")
    rows = {
        "incidents found": [f"{len(one.found)} of {len(one.met)}" for one in verdicts],
        "  delay, median": [_delay(one.delay_median_ms) for one in verdicts],
        "false pages": [f"{len(one.false_pages):,}" for one in verdicts],
        "  a week": [_rate(one.false_pages_a_week) for one in verdicts],
        "false tickets": [f"{len(one.false) - len(one.false_pages):,}" for one in verdicts],
    }
    for name, cells in rows.items():
        shown.add_row(name, *cells)
    shown.add_section()
    for of in zip(*(one.met for one in verdicts), strict=True):
        incident = of[0].incident
        delays = (_delay(one.delay_ms) if one.found else "missed" for one in of)
        shown.add_row(f"{moment(incident.start)} {incident.name}", *delays)
    return shown


def lines(verdict: Verdict) -> Iterator[str]:
    """Every alert in order of time, with the incident that it belongs to."""
    said = [(told, "false") for told in verdict.false]
    for met in verdict.met:
        name = met.incident.name
        said += [(told, f"{'found' if told is met.found else 'of'} {name}") for told in met.alerts]
    for told, what in sorted(said, key=lambda one: (one[0].time, one[0].signal, one[1])):
        yield f"{moment(told.time)} {told.severity:6} {what}: {told.summary}"


def document(
    source: str, grace_ms: int, incidents: Sequence[Incident], verdicts: Sequence[Verdict]
) -> dict[str, Any]:
    """All of it, for programs: times RFC 3339, durations in ms."""
    history = verdicts[0].history
    return {
        "history": {
            "input": source,
            "from": rfc3339(history.first),
            "to": rfc3339(history.last),
            "weeks": history.weeks,
            "events": history.events,
        },
        "grace_ms": grace_ms,
        "incidents": [_incident(one, inside=history.holds(one)) for one in incidents],
        "configurations": [_verdict(one) for one in verdicts],
    }


def _incident(one: Incident, *, inside: bool) -> dict[str, Any]:
    return {
        "name": one.name,
        "start": rfc3339(one.start),
        "end": None if one.end is None else rfc3339(one.end),
        "model": None if one.model == ANY else one.model,
        "signals": one.signals,
        "in_history": inside,
    }


def _verdict(verdict: Verdict) -> dict[str, Any]:
    return {
        "name": verdict.name,
        "found": len(verdict.found),
        "missed": len(verdict.missed),
        "delay_median_ms": verdict.delay_median_ms,
        "false_pages": len(verdict.false_pages),
        "false_pages_a_week": verdict.false_pages_a_week,
        "false_tickets": len(verdict.false) - len(verdict.false_pages),
        "incidents": [_met(one) for one in verdict.met],
        "false": [_told(one) for one in verdict.false],
    }


def _met(one: Met) -> dict[str, Any]:
    return {
        "name": one.incident.name,
        "start": rfc3339(one.incident.start),
        "found": one.found is not None,
        "delay_ms": one.delay_ms,
        "alerts": [_told(told) for told in one.alerts],
    }


def _told(one: Told) -> dict[str, Any]:
    return {
        "id": one.id,
        "time": rfc3339(one.time),
        "since": rfc3339(one.since),
        "severity": one.severity,
        "model": one.model,
        "signal": {"kind": one.kind, "name": one.signal},
        "check": one.check,
        "summary": one.summary,
    }


# Times and durations


def rfc3339(time_ms: int) -> str:
    return _utc(time_ms).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def moment(time_ms: int) -> str:
    return f"{_utc(time_ms):%Y-%m-%d %H:%M:%S}Z"


def short_duration(ms: float) -> str:
    """The two largest units of it.

    >>> short_duration(94_680_000), short_duration(61_500), short_duration(0)
    ('1d2h', '1m2s', '0s')
    """
    units = list(UNITS_MS.values())
    least = next((small for big, small in pairwise(units) if ms >= big), 1)
    return duration_text(round(ms / least) * least)


def _utc(time_ms: int) -> datetime:
    return datetime.fromtimestamp(time_ms / 1000, UTC)


def _delay(ms: float | None) -> str:
    return NONE if ms is None else short_duration(ms)


def _rate(rate: float | None) -> str:
    return NONE if rate is None else f"{rate:.3g}"
