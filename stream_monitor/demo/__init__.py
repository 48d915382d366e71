"""Watch injected drift being found: a model's traffic on an embedded broker, and the monitor on it.

Three changes are injected at one moment: into a numeric feature, a category and the model's output. The
exit code is 0 only if exactly these are found, at their time, and nothing else (with --no-drift: nothing).
"""

from __future__ import annotations

import time
from argparse import ArgumentParser, ArgumentTypeError, Namespace

from stream_monitor.config import load_config
from stream_monitor.demo.library import run_seeds
from stream_monitor.demo.scenario import Scenario
from stream_monitor.demo.show import Show, tally


def add_arguments(parser: ArgumentParser) -> None:
    parser.add_argument("--seed", type=int, default=1, help="of all values (default: %(default)s)")
    parser.add_argument("--seconds", type=_seconds, default=30, help="of traffic (default: %(default)s)")
    parser.add_argument("--no-drift", action="store_true", help="inject nothing")
    parser.add_argument("--no-detectors", action="store_true", help="switch the detectors off: finds nothing")
    parser.add_argument("--json", action="store_true", help="one JSON document of the outcome, nothing else")
    parser.add_argument(
        "--seeds",
        type=_seeds,
        metavar="FIRST-LAST",
        help="run the scenario of each of these seeds through the library instead: no broker, no waiting",
    )
    parser.add_argument(
        "--load",
        metavar="CONFIG",
        help="send the traffic to the Kafka of this file instead, round after round, until stopped",
    )


def main(args: Namespace) -> int:
    drift, detectors = not args.no_drift, not args.no_detectors
    if args.seeds is not None:
        outcomes = run_seeds(args.seeds, seconds=args.seconds, drift=drift, detectors=detectors)
        return tally(outcomes, len(args.seeds), as_json=args.json)
    # The library's way needs no Kafka client.
    from stream_monitor.demo import live, load  # noqa: PLC0415
    from stream_monitor.runtime import logs  # noqa: PLC0415

    if args.load is not None:
        logs.setup()
        load.run(load_config(args.load), Scenario(args.seed, args.seconds, drift=drift))
    scenario = Scenario(args.seed, args.seconds, start_ms=(int(time.time()) + 3) * 1000, drift=drift)
    show = Show(scenario, as_json=args.json)
    with show:
        outcome = live.run(scenario, show.tell, detectors=detectors)
    show.close(outcome)
    return 0 if outcome.exact else 1


def _seconds(text: str) -> int:
    if not text.isdigit() or int(text) < 20:
        message = f"expected a whole number of at least 20, got {text!r}"
        raise ArgumentTypeError(message)
    return int(text)


def _seeds(text: str) -> range:
    first, _, last = text.partition("-")
    if not (first.isdigit() and (last or first).isdigit()) or int(last or first) < int(first):
        message = f"expected FIRST-LAST, as in 1-100, got {text!r}"
        raise ArgumentTypeError(message)
    return range(int(first), int(last or first) + 1)
