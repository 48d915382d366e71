"""``python -m benchmarks.gate``: fails when a stage has come to cost 1.6 times what it did, or more.

Not a time but a ratio is compared: CPU time of the stage over that of its baseline (see ``stages``) in the
process, both many times in turn and the least of each: neither a slow machine nor a busy one moves it.
``gate.json`` has the ratios as recorded, the largest of some, also with all cores
busy, and what doubling gave.
A stage above its limit is measured again, twice at most: noise only ever adds.

    --record         take today's ratios as those to keep
    --double STAGE   double the cost of a stage: must fail
"""

from __future__ import annotations

import gc
import json
import os
import subprocess
import sys
import time
from argparse import ArgumentParser
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any

from rich.console import Console
from rich.table import Table

from benchmarks import facts
from benchmarks.stages import Stage, stages

RECORDED = Path(__file__).with_name("gate.json")
LIMIT = 1.6
"""Times the recorded ratio: between the spread of a healthy stage and the 2 of a doubled one."""
STALE = LIMIT / 2
"""Below, a doubled stage would pass."""
ROUNDS = 20
TRIES_MAX = 3
RECORDINGS = 3
"""Takes minutes: each is as long as the gate itself, and longer while all cores are busy."""

Clock = Callable[[], float]


def ratios(
    given: Sequence[Stage], rounds: int = ROUNDS, clock: Clock = time.process_time
) -> dict[str, float]:
    """By stage, its least CPU time over the least of its baseline. All stages take turns in each round: what
    disturbs for a tenth of a second then spoils a part of every stage's rounds, and not all rounds of one."""
    least_s = [[float("inf"), float("inf")] for _ in given]
    gc.collect()
    gc.disable()
    try:
        for _ in range(rounds):
            for stage, least in zip(given, least_s, strict=True):
                for which, call in enumerate((stage.work, stage.baseline)):
                    began_s = clock()
                    call()
                    least[which] = min(least[which], clock() - began_s)
    finally:
        gc.enable()
    return {stage.name: least[0] / least[1] for stage, least in zip(given, least_s, strict=True)}


@dataclass(frozen=True, slots=True)
class Outcome:
    """``ratio`` is the best of ``tries``."""

    stage: Stage
    recorded: float
    ratio: float
    tries: int

    @property
    def growth(self) -> float:
        """Of the cost since it was recorded."""
        return self.ratio / self.recorded

    @property
    def passes(self) -> bool:
        return self.growth <= LIMIT

    def text(self) -> str:
        """What a failure says."""
        return (
            f"{self.stage.name}: expected at most {LIMIT} x {self.recorded:.2f} times the CPU of "
            f"{self.stage.baseline_name}, got {self.growth:.2f} x in the best of {self.tries} tries; "
            "find what it was spent on, or record what was gained by it (--record)"
        )


def judge(
    given: Sequence[Stage], recorded: Mapping[str, float], clock: Clock = time.process_time
) -> list[Outcome]:
    """Measure each stage until it passes, at most TRIES_MAX times."""
    best, tries = {stage.name: float("inf") for stage in given}, Counter[str]()
    for _ in range(TRIES_MAX):
        left = [stage for stage in given if best[stage.name] > LIMIT * recorded[stage.name]]
        for name, found in ratios(left, clock=clock).items():
            best[name] = min(best[name], found)
            tries[name] += 1
    return [Outcome(one, recorded[one.name], best[one.name], tries[one.name]) for one in given]


def recording(given: Sequence[Stage]) -> dict[str, Any]:
    """Medians of RECORDINGS ratios, the largest of these and of as many while all cores are busy, in terms
    of the median, and the same of each doubled stage."""
    quiet = [ratios(given) for _ in range(RECORDINGS)]
    with busy_cores():
        busy = [ratios(given) for _ in range(RECORDINGS)]
    names = [stage.name for stage in given]
    middle = {name: median(one[name] for one in quiet) for name in names}
    doubled = {name: one / middle[name] for name, one in ratios([one.twice() for one in given]).items()}
    return {
        "command": "python -m benchmarks.gate --record",
        "limit": LIMIT,
        "recordings": RECORDINGS,
        "ratios": _rounded(middle),
        "largest": _rounded({name: max(one[name] for one in quiet) / middle[name] for name in names}),
        "largest_busy": _rounded({name: max(one[name] for one in busy) / middle[name] for name in names}),
        "doubled": _rounded(doubled),
        "baselines": {stage.name: stage.baseline_name for stage in given},
        "machine": facts.machine(),
        "versions": facts.versions(),
    }


@contextmanager
def busy_cores() -> Iterator[None]:
    """One process a core that does nothing, as fast as it can."""
    spinning = [subprocess.Popen([sys.executable, "-c", "while True: pass"]) for _ in os.sched_getaffinity(0)]
    try:
        yield
    finally:
        for one in spinning:
            one.kill()
            one.wait()


def _rounded(values: Mapping[str, float]) -> dict[str, float]:
    return {name: float(f"{value:.3g}") for name, value in values.items()}


def show(outcomes: Sequence[Outcome], console: Console) -> None:
    """One line a stage."""
    table = Table(title="CPU of a stage over that of its baseline")
    for heading in ("stage", "baseline"):
        table.add_column(heading)
    for heading in ("recorded", "now", "growth", "tries"):
        table.add_column(heading, justify="right")
    for one in outcomes:
        figures = f"{one.recorded:.2f}", f"{one.ratio:.2f}", f"{one.growth:.2f}", str(one.tries)
        table.add_row(one.stage.name, one.stage.baseline_name, *figures)
    console.print(table)
    for one in outcomes:
        if one.growth < STALE:
            console.print(f"{one.stage.name} has become cheaper: doubled it would pass. Record it anew.")


def main() -> int:
    given = stages()
    parser = ArgumentParser("benchmarks.gate", description="Fails when a stage has become expensive.")
    parser.add_argument("--record", action="store_true", help="take today's ratios as those to keep")
    names = [stage.name for stage in given]
    parser.add_argument("--double", choices=names, help="double the cost of a stage: must fail")
    args = parser.parse_args()
    if args.record:
        RECORDED.write_text(json.dumps(recording(given), indent=2) + "\n")
    recorded = json.loads(RECORDED.read_text())["ratios"]
    outcomes = judge([one.twice() if one.name == args.double else one for one in given], recorded)
    show(outcomes, Console())
    for one in outcomes:
        if not one.passes:
            print(one.text(), file=sys.stderr)
    return 0 if all(one.passes for one in outcomes) else 1


if __name__ == "__main__":
    sys.exit(main())
