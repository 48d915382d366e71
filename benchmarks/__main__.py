"""``python -m benchmarks [SECTION]``, or ``make bench ONLY=SECTION``."""

from __future__ import annotations

import signal
import sys
from argparse import ArgumentParser, Namespace
from collections.abc import Callable
from pathlib import Path

from rich.console import Console

from benchmarks import concept, join, results, throughput
from tests.kafka.broker import KafkaUnavailableError

SECTIONS: dict[str, Callable[[Namespace, Console], object]] = {
    throughput.SECTION: lambda args, to: throughput.run(args.events, args.rounds, args.results, to),
    concept.SECTION: lambda args, to: concept.run(args.events, args.rounds, args.results, to),
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
    parser.add_argument("--results", type=Path, default=results.FOLDER, help="where the JSON goes")
    args = parser.parse_args()
    # Without this a terminated run would leave its broker and workers behind.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        for name, run in SECTIONS.items():
            if args.section in {None, name}:
                run(args, Console())
    except KafkaUnavailableError as error:
        print(f"benchmarks: {error}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
