"""What the demo prints: traffic, alerts as they come, and what was injected against what was found."""

from __future__ import annotations

import sys
import threading
from collections.abc import Iterable
from functools import partial
from types import TracebackType
from typing import Any, Self

import orjson
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table

from stream_monitor.demo.outcome import Found, Outcome
from stream_monitor.demo.scenario import CHANGE_AT, INJECTED, MODEL, TOPIC, Scenario


class Show:
    """Used as a context around the run; ``close`` prints the verdict. ``as_json``: only that, as JSON."""

    def __init__(self, scenario: Scenario, *, as_json: bool) -> None:
        self._scenario = scenario
        self._as_json = as_json
        self._lock = threading.Lock()
        self._console = Console(quiet=as_json, highlight=False)
        self._progress = Progress(
            TextColumn("{task.description:<42}"), BarColumn(), TimeElapsedColumn(), console=self._console
        )
        self._task = self._progress.add_task("starting", total=scenario.seconds)

    def __enter__(self) -> Self:
        scenario = self._scenario
        change = int(scenario.seconds * CHANGE_AT)
        say = partial(self._console.print, soft_wrap=True)
        say(f"Model [bold]{MODEL}[/] makes {scenario.rate} predictions a second for {scenario.seconds} s, "
            f"to topic {TOPIC} of an embedded broker.")  # fmt: skip
        say(f"The monitor learns from the first {scenario.learn_events} of them.")
        if scenario.drift:
            say(f"After {change} s three things change:")
            for (kind, name), what in INJECTED.items():
                say(f"  {kind} [bold]{name}[/]: {what}")
        else:
            say("Nothing changes, so nothing should be found.")
        say()
        self._progress.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._progress.stop()

    def tell(self, what: str, value: Any) -> None:
        """Something happened; from any thread."""
        with self._lock:
            if what == "second":
                self._progress.update(self._task, completed=value, description=self._phase(value))
            elif what == "alert":
                self._console.print(f"[bold red]ALERT[/] {value['summary']}", soft_wrap=True)
            else:
                self._progress.update(self._task, description="done")

    def _phase(self, second: int) -> str:
        sent = f"{second * self._scenario.rate:,} events"
        if second >= self._scenario.seconds:
            return f"{sent}; waiting for the last slices"
        if self._scenario.drift and second > int(self._scenario.seconds * CHANGE_AT):
            return f"{sent}; drifted"
        return f"{sent}; healthy"

    def close(self, outcome: Outcome) -> None:
        if self._as_json:
            sys.stdout.write(orjson.dumps(outcome.to_dict(), option=orjson.OPT_INDENT_2).decode() + "\n")
            return
        self._console.print()
        if outcome.found or outcome.missed:
            self._console.print(_table(outcome))
        self._console.print(_verdict(outcome))


def _table(outcome: Outcome) -> Table:
    scenario = outcome.scenario
    table = Table(title="Injected against found, in seconds of event time")
    for column in ("signal", "changed", "found change", "alerted", "delay", ""):
        table.add_column(column)
    for one in outcome.found:
        table.add_row(*_row(one, outcome, scenario))
    for kind, name in outcome.missed:
        table.add_row(
            f"{kind} {name}", _seconds(scenario.change_ms, scenario), "-", "-", "-", "[red]missed[/]"
        )
    return table


def _row(one: Found, outcome: Outcome, scenario: Scenario) -> tuple[str, ...]:
    right = outcome.is_right(one)
    return (
        " ".join(one.signal),
        _seconds(scenario.change_ms, scenario) if right else "-",
        _seconds(one.since_ms, scenario),
        _seconds(one.at_ms, scenario),
        f"{(one.at_ms - scenario.change_ms) / 1000:.0f} s" if right else "-",
        "[green]right[/]" if right else "[red]false alarm[/]",
    )


def _seconds(time_ms: int, scenario: Scenario) -> str:
    return f"{(time_ms - scenario.start_ms) / 1000:.0f}"


def _verdict(outcome: Outcome) -> str:
    if outcome.exact and outcome.scenario.drift:
        return f"[green]Exactly the {len(INJECTED)} injected changes were found.[/]"
    if outcome.exact:
        return "[green]Nothing changed, and nothing was found.[/]"
    return f"[red]{len(outcome.missed)} missed, {len(outcome.false)} false.[/]"


def tally(outcomes: Iterable[Outcome], total: int, *, as_json: bool) -> int:
    """Many outcomes in one: a line for each that is not exact, and the count. 0 if all are exact."""
    console = Console(quiet=as_json, highlight=False)
    seen = []
    with Progress(console=console, transient=True) as progress:
        for outcome in progress.track(outcomes, total, description="seeds"):
            seen.append(outcome)
            if not outcome.exact:
                false = [" ".join(one.signal) for one in outcome.false]
                console.print(f"seed {outcome.scenario.seed}: missed {outcome.missed}, false {false}")
    exact = sum(outcome.exact for outcome in seen)
    console.print(f"{exact} of {len(seen)} seeds exact")
    if as_json:
        sys.stdout.write(orjson.dumps([outcome.to_dict() for outcome in seen]).decode() + "\n")
    return 0 if exact == len(seen) else 1
