"""Replay a history under one or more configurations, and hold what they tell against its known incidents.

FILE, or without it the topics of each configuration, is read as `replay` reads it. The incidents are in a
YAML or JSON file:

    incidents:
      - name: blizzard
        start: 2013-02-08T12:00:00Z          # or epoch ms
        end: 2013-02-10T00:00:00Z            # without it: to the end of the history
        model: arrival-delay                 # without it: any; a glob may stand here
        signals: [dep_delay, arr_delay]      # without them: any; globs, too

An incident is found by the first alert of its model and signals in a slice that overlaps it, or the grace
after it. A false page is one that belongs to no incident. The week is one of history, learning included.
"""

from __future__ import annotations

import sys
from argparse import ArgumentParser, ArgumentTypeError, Namespace
from collections import Counter
from collections.abc import Collection, Iterator, Sequence
from pathlib import Path

import orjson
from rich.console import Console

from stream_monitor.config import load_config
from stream_monitor.config.values import UNITS_MS, duration_ms
from stream_monitor.errors import InputError
from stream_monitor.sources.replay import PREDICTIONS_HELP, WIDTH_CHARS, add_input, check_input
from stream_monitor.trials.incidents import Incident, load_incidents
from stream_monitor.trials.picture import picture
from stream_monitor.trials.report import document, lines, moment, short_duration, table
from stream_monitor.trials.runs import Run, cores, runs
from stream_monitor.trials.verdict import History, Verdict, judge

STDOUT = Path("-")


def add_arguments(parser: ArgumentParser) -> None:
    parser.add_argument("file", type=Path, nargs="?", metavar="FILE", help=PREDICTIONS_HELP)
    parser.add_argument(
        "--config",
        type=Path,
        action="append",
        required=True,
        metavar="CONFIG",
        help="give it again for each further one",
    )
    parser.add_argument("--incidents", type=Path, required=True, metavar="FILE", help="when what was wrong")
    parser.add_argument(
        "--grace",
        type=duration,
        default=UNITS_MS["h"],
        help="an alert may come so long after the end of an incident; default 1h",
    )
    add_input(parser)
    parser.add_argument("--alerts", action="store_true", help="list every alert with its verdict, too")
    parser.add_argument("--json", type=Path, metavar="FILE", help="all of it, for programs; -: to stdout")
    parser.add_argument("--svg", type=Path, metavar="FILE", help="a picture: a lane a configuration")
    parser.add_argument(
        "--processes", type=int, default=cores(), help="configurations at a time; default: the cores"
    )


def duration(text: str) -> int:
    """An argument that is one, in ms."""
    try:
        return duration_ms(text)
    except ValueError as error:
        raise ArgumentTypeError(str(error)) from error


def main(args: Namespace) -> int:
    incidents = load_incidents(args.incidents)
    for path in args.config:
        check_input(args, load_config(path))
    verdicts = []
    with Console(stderr=True).status(f"{len(args.config)} configurations"):
        found = runs(args.config, args, args.processes)
    for name, run in zip(_names(args.config), found, strict=True):
        verdicts.append(judge(name, run.history, run.alerts, incidents, args.grace))
    source = str(args.file or "topics")
    if args.svg:
        write(args.svg, picture(source, verdicts))
    if args.json:
        write(args.json, orjson.dumps(document(source, args.grace, incidents, verdicts)).decode() + "\n")
    if args.json != STDOUT:
        _show(args, incidents, found, verdicts)
    return 0


def write(path: Path, text: str) -> None:
    """To the file, or to stdout. InputError where that cannot be."""
    if path == STDOUT:
        sys.stdout.write(text)
        return
    try:
        path.write_text(text, encoding="utf-8")
    except OSError as error:
        raise InputError(f"{path}: expected to write there, got {error.strerror}") from error


def _names(configs: Sequence[Path]) -> list[str]:
    """As short as tells them apart."""
    often = Counter(path.stem for path in configs)
    return [path.stem if often[path.stem] == 1 else str(path) for path in configs]


def _show(
    args: Namespace, incidents: Sequence[Incident], found: Sequence[Run], verdicts: Sequence[Verdict]
) -> None:
    width = None if sys.stdout.isatty() else WIDTH_CHARS
    console = Console(file=sys.stdout, width=width, highlight=False, markup=False)
    history = verdicts[0].history
    console.print(
        f"{history.events:,} events from {moment(history.first)} to {moment(history.last)}: "
        f"{short_duration(history.length_ms)}\n"
    )
    console.print(table(verdicts))
    seen = frozenset[tuple[str, str]]().union(*(run.signals for run in found))
    for note in _notes(incidents, history, seen):
        console.print(note)
    if args.alerts:
        for verdict in verdicts:
            console.print(f"\n{verdict.name}")
            for line in lines(verdict):
                console.print(f"  {line}", soft_wrap=True)


def _notes(
    incidents: Sequence[Incident], history: History, seen: Collection[tuple[str, str]]
) -> Iterator[str]:
    """What may be a slip of whoever wrote the incidents down."""
    for one in incidents:
        if not history.holds(one):
            yield f"{one.name}: left out, for it is not in this history ({moment(one.start)})"
        elif not any(one.shows_in(*signal) for signal in seen):
            yield f"{one.name}: no signal of this history is {', '.join(one.signals)} of model {one.model}"
