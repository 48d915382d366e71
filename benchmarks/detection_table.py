"""The section ``detection`` to read."""

from __future__ import annotations

from rich.console import Console
from rich.table import Table

from benchmarks.detection_parts import FalseAlarms, Part


def show(part: Part, console: Console) -> None:
    """Of one kind: false alarms, how the tuned ones were met, delays of everyone, and the comparison."""
    for table in (_false_alarms(part), _tuned(part), _delays(part), _pairs(part)):
        if table.row_count:
            console.print(table)


def _table(title: str, *headings: str) -> Table:
    table = Table(title=title)
    table.add_column(headings[0])
    for heading in headings[1:]:
        table.add_column(heading, justify="right")
    return table


def _false_alarms(part: Part) -> Table:
    said = part.kind if part.promised else f"{part.kind} (not promised)"
    table = _table(
        f"{said}: false alarms",
        "contender",
        "slice",
        "events",
        "a million (95 %)",
        "budget",
        "warm-up",
        "held",
    )
    for one in part.false_alarms:
        rate = f"{one.per_million:.3g} ({one.low:.3g} - {one.high:.3g})"
        cells = f"{one.slice:,}", f"{one.events:,}", rate, f"{one.budget:g}", f"{one.warm_up:,}"
        table.add_row(one.contender, *cells, _held(one))
    return table


def _held(one: FalseAlarms) -> str:
    if one.held:
        return "yes"
    return "no" if one.low > one.budget or one.warm_up else "open"


def _tuned(part: Part) -> Table:
    table = _table(f"{part.kind}: tuned to the rate of scan", "river's", "level", "wanted", "seen", "alarms")
    for one in part.tuned:
        table.add_row(
            one.detector, f"{one.level:.4g}", f"{one.wanted:.3g}", f"{one.seen:.3g}", str(one.alarms)
        )
    return table


def _delays(part: Part) -> Table:
    """One line a shift: median delays, with the share found where that is not all."""
    contenders = list(dict.fromkeys(one.contender for one in part.delays))
    table = _table(f"{part.kind}: median delay in events", "shift", *contenders)
    for shift in dict.fromkeys(one.shift for one in part.delays):
        cells = dict.fromkeys(contenders, "-")
        for one in part.delays:
            if one.shift == shift:
                said = "never" if one.median is None else f"{one.median:,.0f}"
                cells[one.contender] = said if one.found == 1 else f"{said} ({one.found:.0%})"
        table.add_row(shift, *cells.values())
    return table


def _pairs(part: Part) -> Table:
    table = _table(
        f"{part.kind}: at equal false alarms",
        "shift",
        "scan",
        "best of river's",
        "",
        "ratio (95 %)",
        "at most",
        "",
    )
    for one in part.pairs:
        ours, theirs, ratio, low, high = (
            "-" if value is None else f"{value:,.3g}"
            for value in (one.ours, one.theirs, one.ratio, one.low, one.high)
        )
        said = "later" if one.later else "earlier" if one.earlier else ""
        table.add_row(one.shift, ours, theirs, one.best, f"{ratio} ({low} - {high})", f"{one.most:g}", said)
    return table
