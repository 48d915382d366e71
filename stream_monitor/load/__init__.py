"""Load a deployment: send events of the configured form to its prediction topics, and labels to theirs.

Events have features, outputs, ids and the time at which they are sent; keys are ids, or with --key-skew
customers of whom few are frequent. Ends after --events or --seconds and the labels of these, or with Ctrl-C.
The exit code is 0 only if every record was delivered.
"""

from __future__ import annotations

import sys
import time
from argparse import ArgumentParser, ArgumentTypeError, Namespace

from rich.console import Console
from rich.progress import BarColumn, Progress, ProgressColumn, Task, TextColumn, TimeElapsedColumn
from rich.text import Text

from stream_monitor.config import Config, load_config
from stream_monitor.config.values import duration_ms
from stream_monitor.errors import StreamMonitorError
from stream_monitor.load.events import Events, Mix
from stream_monitor.load.population import Synthetic
from stream_monitor.load.run import Load, Pace
from stream_monitor.load.sender import Sender, check_topics, properties

POOL_MIN, POOL_MAX = 1_024, 65_536


def add_arguments(parser: ArgumentParser) -> None:
    add = parser.add_argument
    add("config", metavar="CONFIG", help="the YAML file of the deployment")
    add("--rate", type=_positive, metavar="N", help="events a second (default: as many as go)")
    add("--events", type=_whole, metavar="N", help="end after so many")
    add("--seconds", type=_positive, metavar="S", help="end after so long")
    add("--models", type=_whole, default=1, metavar="N", help="load-0, load-1, ... (default: %(default)s)")
    add("--model-skew", type=_exponent, default=0.0, metavar="S", help="exponent of Zipf's law; 0: even")
    add(
        "--key-skew", type=_exponent, default=0.0, metavar="S", help="likewise, of keys; 0: the key is the id"
    )
    add("--features", type=_whole, default=20, metavar="N", help="default: %(default)s")
    add("--categories", type=int, default=4, metavar="N", help="so many of them (default: %(default)s)")
    add("--cardinality", type=_whole, default=50, metavar="N", help="values of each (default: %(default)s)")
    add("--size", type=_whole, default=0, metavar="BYTES", help="of an event, at least")
    add("--labels", type=_share, default=0.0, metavar="SHARE", help="of events that get a label (default: 0)")
    add("--label-delay", type=_duration_s, default=0.0, metavar="TIME", help="from event to label, as in 10m")
    add("--drift", type=_duration_s, metavar="TIME", help="the population changes so long after the start")
    add("--seed", type=_whole, help="of all values (default: the time, so that ids are new)")


def main(args: Namespace) -> int:
    config = load_config(args.config)
    mix = _mix(args, config)
    if not 0 <= args.categories <= args.features:
        message = f"--categories: expected at most --features, {args.features}, got {args.categories}"
        raise StreamMonitorError(message)
    events = Events(mix, Synthetic(args.features, args.categories, args.cardinality), config)
    pace = Pace(args.rate, args.events, args.seconds, args.drift, args.label_delay)
    settings = properties(config)
    check_topics(config, labels=mix.labels > 0)
    sender = Sender(settings)
    load = Load(config, events, pace, sender)
    total = args.events
    if total is None and args.rate is not None and args.seconds is not None:
        total = int(args.rate * args.seconds)
    try:
        with _progress(sender) as bar:
            task = bar.add_task("events", total=total)
            load.run(lambda sent: bar.update(task, completed=sent), labelled=mix.labels > 0)
    finally:
        sender.close()
    seconds = load.seconds or 1.0
    why = f": {sender.why.str()}" if sender.why is not None else ""
    said = f"{load.sent:,} events in {seconds:.1f} s ({load.sent / seconds:,.0f}/s), {load.labels:,} labels, "
    sys.stdout.write(f"{said}{sender.failed:,} failed{why}\n")
    return 1 if sender.failed else 0


def _mix(args: Namespace, config: Config) -> Mix:
    if config.predictions.format != "json":
        message = (
            f"predictions.format: expected json, got {config.predictions.format}: a load sends no tables"
        )
        raise StreamMonitorError(message)
    models = [f"load-{number}" for number in range(args.models)]
    if unknown := [name for name in models if not config.knows(name)]:
        message = f"models: expected an entry that names {unknown[0]}, got none: add load-*"
        raise StreamMonitorError(message)
    if args.labels and config.labels is None:
        message = "--labels: expected the section labels in the configuration, got none; leave it out"
        raise StreamMonitorError(message)
    seed = int(time.time()) if args.seed is None else args.seed
    pool = min(max(POOL_MIN, 4 * args.cardinality), POOL_MAX)
    return Mix(seed, models, args.model_skew, args.key_skew, (args.size, args.size), args.labels, pool=pool)


class _Rate(ProgressColumn):
    def render(self, task: Task) -> Text:
        return Text(f"{task.finished_speed or task.speed or 0:,.0f}/s", justify="right")


class _Failed(ProgressColumn):
    def __init__(self, sender: Sender) -> None:
        super().__init__()
        self._sender = sender

    def render(self, _task: Task) -> Text:
        failed = self._sender.failed
        return Text(f"{failed:,} failed", style="red" if failed else "")


def _progress(sender: Sender) -> Progress:
    sent = TextColumn("{task.completed:,.0f} {task.description}")
    return Progress(
        sent, BarColumn(), _Rate(), _Failed(sender), TimeElapsedColumn(), console=Console(stderr=True)
    )


def _whole(text: str) -> int:
    if not text.isdigit() or int(text) < 1:
        message = f"expected a whole number of at least 1, got {text!r}"
        raise ArgumentTypeError(message)
    return int(text)


def _positive(text: str) -> float:
    try:
        number = float(text)
    except ValueError:
        number = 0.0
    if not 0 < number < float("inf"):
        message = f"expected a number above 0, got {text!r}"
        raise ArgumentTypeError(message)
    return number


def _exponent(text: str) -> float:
    return 0.0 if text == "0" else _positive(text)


def _share(text: str) -> float:
    number = 0.0 if text == "0" else _positive(text)
    if number > 1:
        message = f"expected a share of at most 1, got {text!r}"
        raise ArgumentTypeError(message)
    return number


def _duration_s(text: str) -> float:
    try:
        return duration_ms(text) / 1000
    except ValueError as error:
        raise ArgumentTypeError(str(error)) from None
