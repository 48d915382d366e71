"""Run a file, or a range of the prediction topics, through the same core as the workers.

Alerts go to stdout, or to a file; what became of the events is summed up on stderr.
"""

from __future__ import annotations

import sys
from argparse import ArgumentParser, ArgumentTypeError, Namespace
from collections import Counter
from collections.abc import Iterable, Iterator
from contextlib import ExitStack
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, TextIO

from rich.console import Console
from rich.progress import BarColumn, TextColumn, TimeElapsedColumn
from rich.progress import Progress as ProgressBar
from rich.table import Table

from stream_monitor.alerting.alert import Alert
from stream_monitor.codecs.times import epoch_ms
from stream_monitor.config import Config, load_config
from stream_monitor.errors import InputError
from stream_monitor.events import Records, Source
from stream_monitor.monitor import Monitor
from stream_monitor.sources.files import PARTITIONERS, key_at, partitioned, read
from stream_monitor.watermark import NEVER

if TYPE_CHECKING:
    # It needs the Kafka client, which the replay of a file does not.
    from stream_monitor.sources.topic import TopicRange

NAMES_SHOWN_MAX = 10

Steps = Iterator[list[Alert]]


def add_arguments(parser: ArgumentParser) -> None:
    parser.add_argument("config", type=Path, metavar="CONFIG")
    file = parser.add_argument_group("from a file")
    file.add_argument("--file", type=Path, metavar="FILE", help="Parquet, CSV or JSON lines")
    file.add_argument(
        "--partitions", type=_count, default=1, help="of the topic that it stands for; default 1"
    )
    file.add_argument("--partitioner", choices=PARTITIONERS, default=PARTITIONERS[0], help="of its producer")
    topic = parser.add_argument_group("from the topics, without --file; TIME is RFC 3339 or epoch ms")
    topic.add_argument("--since", type=_time, metavar="TIME", help="default: their beginning")
    topic.add_argument("--until", type=_time, metavar="TIME", help="default: their end")
    parser.add_argument("--json", action="store_true", help="one JSON object a line")
    parser.add_argument("--out", type=Path, metavar="FILE", help="alerts go there instead of to stdout")


def _count(text: str) -> int:
    if not text.isdecimal() or not int(text):
        raise ArgumentTypeError(f'expected a number from 1, got "{text}"')
    return int(text)


def _time(text: str) -> int:
    time_ms = epoch_ms(text)
    if time_ms is None:
        raise ArgumentTypeError(f'expected RFC 3339 with a zone or epoch ms, got "{text}"')
    return time_ms


def main(args: Namespace) -> int:
    if args.file and (args.since, args.until) != (None, None):
        raise InputError("replay: --since and --until are for the topics, not for a file")
    config = load_config(args.config)
    checks: Counter[str] = Counter()
    console = Console(stderr=True)
    with ExitStack() as stack:
        out = stack.enter_context(_opened(args.out)) if args.out else sys.stdout
        monitor, steps = _from_file(config, args) if args.file else _from_topics(config, args, stack)
        progress = stack.enter_context(_progress(console))
        task = progress.add_task("replay", total=None, events=0)
        for alerts in steps:
            progress.update(task, events=monitor.rows)
            checks.update(alert.check for alert in alerts)
            out.writelines(map(_json if args.json else _sentence, alerts))
    console.print(_outcome(monitor, checks))
    return 0


# From a file


def _from_file(config: Config, args: Namespace) -> tuple[Monitor, Steps]:
    topic = config.predictions.topics[0]
    monitor = Monitor(config, [Source(topic, number) for number in range(args.partitions)])
    fields = config.predictions.fields
    rows = read(args.file, fields, topic)
    records = partitioned(rows, args.partitions, args.partitioner, key_at(fields.id))
    return monitor, alerts_of(monitor, records)


def alerts_of(monitor: Monitor, records: Iterable[Records]) -> Steps:
    """The alerts of each batch of records, and at last those of the slices that were still open."""
    yield from map(monitor.update, records)
    yield monitor.close()


# From the topics


def _from_topics(config: Config, args: Namespace, stack: ExitStack) -> tuple[Monitor, Steps]:
    from stream_monitor.sources.topic import TopicRange  # noqa: PLC0415 (as above)

    topics = stack.enter_context(TopicRange(config, args.since, args.until))
    monitor = Monitor(config, list(topics.bounds))
    return monitor, alerts_of_topics(monitor, topics)


def alerts_of_topics(monitor: Monitor, topics: TopicRange) -> Steps:
    """As ``alerts_of``. Of all partitions the one that is furthest behind is fed next, so that slices close
    as the range goes on; one that has ended holds nobody back."""
    known = monitor.decider.ledger.sources
    unread = set(topics.bounds)

    def clock(source: Source) -> tuple[int, Source]:
        state = known.get(source)
        return (NEVER if state is None or state.clock is None else state.clock), source

    while unread:
        source = min(unread, key=clock)
        records = topics.take(source)
        if records is not None:
            yield monitor.update(records)
        else:
            unread.remove(source)
            yield monitor.end(source)
    yield monitor.close()


# What a person is shown


def _opened(path: Path) -> TextIO:
    try:
        return path.open("w", encoding="utf-8")
    except OSError as error:
        raise InputError(f"{path}: expected to write alerts there, got {error.strerror}") from error


def _json(alert: Alert) -> str:
    return alert.to_json().decode() + "\n"


def _sentence(alert: Alert) -> str:
    found = datetime.fromtimestamp(alert.time / 1000, UTC)
    return f"{found:%Y-%m-%d %H:%M:%S}Z {alert.severity:6} {alert.summary}\n"


def _progress(console: Console) -> ProgressBar:
    # Alerts go to stdout whatever happens on stderr, but on one screen they must not run into the bar.
    return ProgressBar(
        TextColumn("{task.description}"),
        BarColumn(),
        TextColumn("{task.fields[events]:,} events"),
        TimeElapsedColumn(),
        console=console,
        disable=not console.is_terminal,
        redirect_stdout=sys.stdout.isatty(),
        transient=True,
    )


def _outcome(monitor: Monitor, checks: Counter[str]) -> Table:
    counters = monitor.decider.counters
    table = Table(show_header=False, box=None, pad_edge=False)
    table.add_column(justify="left")
    table.add_column(overflow="fold")
    table.add_row("events", f"{monitor.rows:,}")
    for reason, count in sorted(monitor.rejected.items()):
        table.add_row(f"rejected, {reason}", f"{count:,}")
    table.add_row("late", f"{counters['rows_late']:,}")
    table.add_row("slices closed", f"{counters['slices_closed']:,}")
    table.add_row("alerts", f"{checks.total():,}")
    for check, count in sorted(checks.items()):
        table.add_row(f"alerts, {check}", f"{count:,}")
    for what, by_model in (
        ("still learning", monitor.decider.learning()),
        ("unwatchable without `center`", monitor.decider.unwatchable()),
    ):
        for model, names in sorted(by_model.items()):
            table.add_row(f"{what}, {model}", _shortened(names))
    return table


def _shortened(names: list[str]) -> str:
    more = len(names) - NAMES_SHOWN_MAX
    return ", ".join(names[:NAMES_SHOWN_MAX]) + (f" and {more} more" if more > 0 else "")
