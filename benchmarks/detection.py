"""Section ``detection``: how often detectors alarm where nothing happens, how late where something does.

The streams are those of ``streams``. Ours see slices, as scores of the product; river's see each event, as
its users feed it. Everything by default first; then ``scan`` against river's ADWIN and Page-Hinkley *at equal
false alarms*: tuned, on streams of the same kind, to the rate that ``scan`` has there.

- A false alarm is a slice (river's: an event) that alarms. Rates are of what comes after learning; alarms
  while learning are told apart, in ``warm_up``, and a budget with any is not held.
- A delay counts the events from the onset on, less one slice where there are slices. Where nothing is found
  within the horizon it is longer than any other.
- river's ADWIN and Page-Hinkley, tuned, are those of ``running``: the same alarms from cumulative sums. At
  their defaults they are river's own; DDM and HDDM_A only where events are 0 and 1, which they are made for.
- Of categories river's see 0 and 1: whether it is the one that loses. So they are told where to look; ours
  watches all.
- Where there is a season the scan has learned it if there is a detector that does (see ``watching``); without
  one it is shown it as it is, and takes it for noise of long memory.
- No minimum effect: it would hide the smallest shifts from ours alone.

``python -m benchmarks.detection KIND ..`` measures some kinds and keeps each in results/detection; the
section takes what is there of the same settings, and measures the rest.
"""

from __future__ import annotations

import json
import os
from argparse import ArgumentParser
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict
from pathlib import Path
from typing import Any

from rich.console import Console

from benchmarks import detection_table, results
from benchmarks.delays import delays_of, delays_of_defaults
from benchmarks.detection_parts import Delay, FalseAlarms, Pair, Part, Settings
from benchmarks.equalize import Tuned, tuned
from benchmarks.false_alarms import of_defaults, of_ours
from benchmarks.streams import BY_NAME, KINDS, Kind

SECTION = "detection"
LEAST_RATE = 0.25
"""Of the budget: to tune to fewer alarms would take too long. river's then may have more than ours."""


def run(settings: Settings, folder: Path, console: Console, kinds: tuple[Kind, ...] = KINDS) -> Path:
    """A kind for each core at a time. Returns the path of the JSON."""
    parts = []
    with ProcessPoolExecutor(len(os.sched_getaffinity(0))) as pool:
        for part in pool.map(_named, [(kind.name, settings, folder / SECTION) for kind in kinds]):
            detection_table.show(part, console)
            parts.append(part)
    figures = figures_of(parts)
    console.print(figures)
    return results.save(SECTION, figures, asdict(settings), [parts], folder)


def figures_of(parts: list[Part]) -> dict[str, float]:
    """Numbers of rows: of healthy streams (a kind, in slices of a size) and, of these, those whose rate is
    within the budget to the upper end of its interval; of kinds and shifts at equal false alarms.
    """
    promised = [part for part in parts if part.promised]
    scans = [one for part in promised for one in part.false_alarms if one.contender == "scan"]
    pairs = [pair for part in promised for pair in part.pairs]
    tuned_ones = [one for part in promised for one in part.tuned]
    of_one_sd = [
        one.found
        for part in promised
        for one in part.delays
        if one.contender == "scan" and one.shift.startswith("1 sd")
    ]
    figures: dict[str, float] = {
        "stationary_streams": len(scans),
        "budget_held": sum(one.held for one in scans),
        "pairs": len(pairs),
        "tuned": len(tuned_ones),
        "tuned_within_a_tenth": sum(one.met for one in tuned_ones),
        "later_than_best_river": sum(pair.later for pair in pairs),
        "earlier_than_best_river": sum(pair.earlier for pair in pairs),
    }
    if of_one_sd:
        figures["least_found_of_1_sd"] = min(of_one_sd)
    return results.rounded(figures)


def measure(kind: Kind, settings: Settings) -> Part:
    """Everything of one kind."""
    alarms = [one for n in settings.slices for one in of_ours(kind, n, settings)]
    alarms += of_defaults(kind, settings)
    scan = alarms[0]
    rate = max(scan.alarms / scan.events, LEAST_RATE / settings.budget)
    at = settings.at(settings.slices[0], kind)
    streams = settings.tune_streams, settings.verify_streams
    equal = tuned(kind, settings.seed + 1_000_000, streams, at.learn + at.watch, rate)
    delays, pairs = delays_of(kind, settings, {one.detector: one.level for one in equal})
    delays += delays_of_defaults(kind, settings)
    return Part(kind.name, kind.promised, alarms, equal, delays, pairs)


def _named(asked: tuple[str, Settings, Path]) -> Part:
    name, settings, folder = asked
    return kept(BY_NAME[name], settings, folder)


def kept(kind: Kind, settings: Settings, folder: Path) -> Part:
    """Measured, or read where it was with the same settings."""
    path = folder / f"{kind.name.replace(' ', '_')}.json"
    said = json.loads(json.dumps(asdict(settings)))
    if path.exists() and (content := json.loads(path.read_text()))["settings"] == said:
        return _part(content["part"])
    part = measure(kind, settings)
    folder.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps({"settings": said, "part": asdict(part)}, indent=1) + "\n")
    return part


def _part(content: dict[str, Any]) -> Part:
    rows: tuple[tuple[str, type], ...] = (
        ("false_alarms", FalseAlarms),
        ("tuned", Tuned),
        ("delays", Delay),
        ("pairs", Pair),
    )
    return Part(**(content | {name: [of(**one) for one in content[name]] for name, of in rows}))


def main() -> None:
    parser = ArgumentParser("benchmarks.detection", description="Measure some kinds of streams.")
    parser.add_argument("kinds", nargs="+", choices=sorted(BY_NAME), metavar="KIND")
    parser.add_argument("--seed", type=int, default=1, help="default: %(default)s")
    parser.add_argument("--results", type=Path, default=results.FOLDER, help="where the JSON goes")
    args = parser.parse_args()
    for name in args.kinds:
        part = kept(BY_NAME[name], Settings(args.seed), args.results / SECTION)
        detection_table.show(part, Console())


if __name__ == "__main__":
    main()
