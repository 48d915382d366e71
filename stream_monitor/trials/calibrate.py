"""Run a configuration over a history known to be healthy, and say what it would cost and what it can see.

FILE, or without it the topics of the configuration, is read as `replay` reads it. All alerts are false, by
assumption: they are held against what the scans' thresholds allow, with an exact interval (Poisson).

Of each signal it says the smallest lasting shift that is found within an hour, and within a day, at this
traffic and with the noise that was learned: with a probability of at least 50 %, and of at least 95 %.
Shifts of numbers are in standard deviations (of a normal signal whose ranks move as far), those of
categories and of what is missing in percentage points. A signal that in the longest time sees no shift
of 1 sd, or of 25 points, is a blind spot. Smaller shifts than `min_effect` are never told.

Where a model told more than it is allowed, larger minimum effects are looked for that hold its budget, and
the history is run again with them.
"""

from __future__ import annotations

import sys
from argparse import ArgumentParser, Namespace
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import orjson
from rich.console import Console
from rich.table import Table

from stream_monitor.config.values import duration_text
from stream_monitor.errors import InputError
from stream_monitor.sources.replay import PREDICTIONS_HELP, WIDTH_CHARS, add_input
from stream_monitor.trials.backtest import STDOUT, duration, write
from stream_monitor.trials.healthy import Raised, raised
from stream_monitor.trials.report import moment, rfc3339, short_duration
from stream_monitor.trials.runs import history_of, replayed
from stream_monitor.trials.settling import Settled, settled
from stream_monitor.trials.sight import CHANCES, Sight, sights
from stream_monitor.trials.verdict import History

NEVER = "never"
WITHIN = ("1h", "1d")


def add_arguments(parser: ArgumentParser) -> None:
    parser.add_argument("file", type=Path, nargs="?", metavar="FILE", help=PREDICTIONS_HELP)
    parser.add_argument("--config", type=Path, required=True, metavar="CONFIG")
    add_input(parser)
    parser.add_argument(
        "--within",
        type=duration,
        action="append",
        metavar="TIME",
        help="in which shifts are to be found; give it again for each further one; default 1h and 1d",
    )
    parser.add_argument("-o", "--out", type=Path, metavar="FILE", help="the report as Markdown; -: to stdout")
    parser.add_argument("--json", type=Path, metavar="FILE", help="the same for programs; -: to stdout")


def main(args: Namespace) -> int:
    if args.out == args.json == STDOUT:
        raise InputError("expected one of --out and --json on stdout, got both")
    with Console(stderr=True).status("calibrate"):
        monitor, alerts = replayed(args.config, args)
        history, models = history_of(monitor), raised(monitor, alerts)
        quieter = settled(args.config, args, models, alerts)
    spans_ms = sorted(args.within or map(duration, WITHIN))
    subjects = monitor.decider.subjects()
    seen = [one for stream, subject in subjects for one in sights(stream, subject, spans_ms)]
    seen.sort(key=lambda one: (one.stream, one.signal))
    if args.out:
        write(args.out, _markdown(str(args.config), history, models, quieter, seen, spans_ms))
    if args.json:
        write(args.json, orjson.dumps(document(history, models, quieter, seen, spans_ms)).decode() + "\n")
    if STDOUT not in {args.out, args.json}:
        width = None if sys.stdout.isatty() else WIDTH_CHARS
        console = Console(file=sys.stdout, width=width, highlight=False, markup=False)
        console.print("\n".join(_lines(history, models, quieter, seen)), soft_wrap=True)
        if seen:
            console.print(_table(seen, spans_ms))
    return 0


def _lines(
    history: History, models: Sequence[Raised], quieter: Mapping[str, Settled], seen: Sequence[Sight]
) -> Iterator[str]:
    yield (
        f"{history.events:,} events from {moment(history.first)} to {moment(history.last)}: "
        f"{short_duration(history.length_ms)}"
    )
    for one in models:
        low, high = one.interval
        yield (
            f"{one.model}: {one.alerts} alerts, {one.pages} of them pages "
            f"(95 %: {low:.2g} to {high:.2g} in as long a time); {_allowed(one)}"
        )
        if one.model in quieter:
            yield _settled(quieter[one.model])
    seasons: defaultdict[int, list[str]] = defaultdict(list)
    blind: defaultdict[str, list[str]] = defaultdict(list)
    for sight in seen:
        if sight.season:
            seasons[sight.season].append(_name(sight))
        if sight.blind is not None:
            blind[sight.blind].append(_name(sight))
    for hours, names in sorted(seasons.items()):
        yield f"season of {hours} hours: {'; '.join(names)}"
    for why, names in sorted(blind.items()):
        yield f"blind spots ({why}): {'; '.join(names)}"
    if not blind:
        yield "no blind spots" if seen else "no scan watches a signal, so what would be seen is not known"


def _allowed(one: Raised) -> str:
    if one.allowed is None:
        return "no scan watches it, so there is no number to hold this against"
    verdict = "MORE than allowed" if one.over else "no more than chance makes of it"
    budget = f"budget {one.budget.false_alarms:g} in {duration_text(one.budget.per_ms)}"
    return f"{one.allowed:.2g} are allowed in {one.weeks:.3g} weeks of watching ({budget}): {verdict}"


def _settled(one: Settled) -> str:
    effects = ", ".join(f"{name}: {value:g}" for name, value in one.min_effect.items())
    verdict = "still MORE than allowed" if one.raised.over else "no more than chance makes of what is allowed"
    return (
        f"{one.raised.model} with `min_effect: {{{effects}}}`, fitted to what was told of this history: "
        f"{one.raised.alerts} alerts, {verdict}"
    )


def _cells(one: Sight) -> list[str]:
    shifts = [_shift(shift, one.unit) for row in one.shifts for shift in row]
    moves = "its mean" if one.score == "location" else one.score
    note = "" if one.blind is None else "BLIND SPOT"
    return [_name(one), moves, *shifts, _shift(one.missing[-1][-1], "share"), note]


def _heads(spans_ms: Sequence[int]) -> list[str]:
    found = [f"{duration_text(span)}, {chance:.0%}" for span in spans_ms for chance in CHANCES]
    return ["signal", "moves in", *found, f"missing, {found[-1]}", ""]


def _table(seen: Sequence[Sight], spans_ms: Sequence[int]) -> Table:
    table, heads = Table(box=None, pad_edge=False), _heads(spans_ms)
    for number, head in enumerate(heads):
        of_shift = 2 <= number < len(heads) - 1
        table.add_column(head, justify="right" if of_shift else "left", overflow="fold")
    for one in seen:
        table.add_row(*_cells(one))
    return table


def _markdown(
    config: str,
    history: History,
    models: Sequence[Raised],
    quieter: Mapping[str, Settled],
    seen: Sequence[Sight],
    spans_ms: Sequence[int],
) -> str:
    first, *more = _lines(history, models, quieter, seen)
    heads = _heads(spans_ms)
    rows = ["| " + " | ".join(cells) + " |" for cells in (heads, *map(_cells, seen))]
    rows.insert(1, "|" + "---|" * len(heads))
    return "\n".join(
        [f"# {config} on a healthy history", "", first, "", *(f"- {one}" for one in more), "", *rows, ""]
    )


def _name(one: Sight) -> str:
    stream = one.stream
    version = f" version {stream.version}" if stream.version else ""
    shadow = " (shadow)" if stream.role == "shadow" else ""
    segment = f", {stream.segment}" if stream.segment else ""
    return f"{stream.model}{version}{shadow}{segment}: {one.signal}"


def _shift(shift: float | None, unit: str) -> str:
    if shift is None:
        return NEVER
    return f"{shift:.2g} sd" if unit == "sd" else f"{100 * shift:.2g} points"


def document(
    history: History,
    models: Sequence[Raised],
    quieter: Mapping[str, Settled],
    seen: Sequence[Sight],
    spans_ms: Sequence[int],
) -> dict[str, Any]:
    """All of it, for programs: shifts of a share as a part of 1, null where none is found; ``settled``: what
    holds the budget of a model that told too much, null of others."""
    return {
        "history": {
            "from": rfc3339(history.first),
            "to": rfc3339(history.last),
            "weeks": history.weeks,
            "events": history.events,
        },
        "models": [
            {
                "model": one.model,
                "alerts": one.alerts,
                "pages": one.pages,
                "checks": dict(sorted(one.checks.items())),
                "interval": one.interval,
                "allowed": one.allowed,
                "budget": {"false_alarms": one.budget.false_alarms, "per_ms": one.budget.per_ms},
                "weeks_watched": one.weeks,
                "over": one.over,
                "settled": _as_plain(quieter.get(one.model)),
            }
            for one in models
        ],
        "spans_ms": spans_ms,
        "chances": CHANCES,
        "signals": [
            {
                **one.stream._asdict(),
                "signal": one.signal,
                "score": one.score,
                "unit": one.unit,
                "shifts": one.shifts,
                "missing": one.missing,
                "season_hours": one.season or None,
                "blind": one.blind,
            }
            for one in seen
        ],
    }


def _as_plain(one: Settled | None) -> dict[str, Any] | None:
    if one is None:
        return None
    return {"min_effect": one.min_effect, "alerts": one.raised.alerts, "over": one.raised.over}
