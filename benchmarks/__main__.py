"""``python -m benchmarks [SECTION]``, or ``make bench ONLY=SECTION``."""

from __future__ import annotations

import json
import signal
import sys
from argparse import ArgumentParser, Namespace
from collections.abc import Callable
from pathlib import Path

from rich.console import Console

from benchmarks import (
    arrow,
    capacity,
    change_points,
    compare,
    concept,
    detection,
    flights_drift,
    join,
    latency,
    loading,
    models,
    results,
    scaling,
    statistics,
    synthetic,
    throughput,
)
from benchmarks.detection_parts import Settings
from tests.kafka.broker import KafkaUnavailableError

LATENCY_S = 60.0

SECTIONS: dict[str, Callable[[Namespace, Console], object]] = {
    throughput.SECTION: lambda args, to: throughput.run(args.events * 2, args.rounds, args.results, to),
    arrow.SECTION: lambda args, to: arrow.run(args.events, args.rounds, args.results, to),
    concept.SECTION: lambda args, to: concept.run(args.events, args.rounds, args.results, to),
    capacity.SECTION: lambda args, to: capacity.run(args.rounds, args.results, to),
    models.SECTION: lambda args, to: models.run(args.events // 4, args.rounds, args.results, to),
    statistics.SECTION: lambda args, to: statistics.run(args.events, args.rounds, args.results, to),
    scaling.SECTION: lambda args, to: scaling.run(args.events * 2, args.rounds, args.results, to),
    loading.SECTION: lambda args, to: loading.run(args.events // 2, args.rounds, args.results, to),
    latency.SECTION: lambda args, to: latency.run(args.events // 4, LATENCY_S, args.results, to),
    detection.SECTION: lambda args, to: detection.run(Settings(args.seed), args.results, to),
    synthetic.SECTION: lambda args, to: synthetic.run(args.seed, args.results, to),
    change_points.SECTION: lambda args, to: change_points.run(args.results, to),
    flights_drift.SECTION: lambda args, to: flights_drift.run(args.results, to),
    join.SECTION: lambda args, to: join.run(args.pending, args.seconds, args.results, to),
}


def main() -> int:
    parser = ArgumentParser(
        "benchmarks", description="Measure on a real Kafka; figures go to results/SECTION.json."
    )
    parser.add_argument("section", nargs="?", choices=SECTIONS, help="only this one (default: all)")
    parser.add_argument("--events", type=int, default=2_000_000, help="default: %(default)s")
    parser.add_argument("--rounds", type=int, default=3, help="default: %(default)s")
    parser.add_argument("--pending", type=int, default=20_000_000, help="of join; default: %(default)s")
    parser.add_argument("--seconds", type=float, default=600, help="of join; default: %(default)s")
    parser.add_argument(
        "--seed", type=int, default=1, help="of detection and synthetic; default: %(default)s"
    )
    parser.add_argument(
        "--compare", type=Path, metavar="EARLIER", help="a result: print the ratio of each figure to its"
    )
    parser.add_argument("--results", type=Path, default=results.FOLDER, help="where the JSON goes")
    args = parser.parse_args()
    # Without this a terminated run would leave its broker and workers behind.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    console = Console()
    # Read now: it may be the one that is written anew.
    earlier = json.loads(args.compare.read_text()) if args.compare else None
    try:
        for name, run in SECTIONS.items():
            if args.section in {None, name}:
                run(args, console)
                results.gather(args.results)
                if earlier is not None and earlier["section"] == name:
                    compare.show(earlier, json.loads((args.results / f"{name}.json").read_text()), console)
    except KafkaUnavailableError as error:
        print(f"benchmarks: {error}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
