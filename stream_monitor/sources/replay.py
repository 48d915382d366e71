"""Run files, or a range of the topics, through the same core as the workers.

Alerts go to stdout, or to a file; what became of the events is summed up on stderr.
"""

from __future__ import annotations

import sys
from argparse import ArgumentParser, ArgumentTypeError, Namespace
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, TextIO

from rich.console import Console
from rich.progress import BarColumn, TextColumn, TimeElapsedColumn
from rich.progress import Progress as ProgressBar

from stream_monitor.alerting.alert import Alert
from stream_monitor.config import Config, load_config
from stream_monitor.config.values import duration_text
from stream_monitor.errors import InputError
from stream_monitor.events import Records, Source
from stream_monitor.monitor import Monitor
from stream_monitor.sources.files import PARTITIONERS, Mapped, key_at, partitioned, read
from stream_monitor.sources.outcome import days, outcome, quality_table
from stream_monitor.times import epoch_ms
from stream_monitor.watermark import NEVER

if TYPE_CHECKING:
    # It needs the Kafka client, which the replay of a file does not.
    from stream_monitor.sources.topic import TopicRange

WIDTH_CHARS = 160
PREDICTIONS_HELP = "predictions: Parquet, CSV or JSON lines"

Steps = Iterator[list[Alert]]


def add_arguments(parser: ArgumentParser) -> None:
    parser.add_argument("config", type=Path, metavar="CONFIG")
    parser.add_argument("--file", type=Path, metavar="FILE", help=PREDICTIONS_HELP)
    add_input(parser)
    parser.add_argument("--json", action="store_true", help="one JSON object a line")
    parser.add_argument("--out", type=Path, metavar="FILE", help="alerts go there instead of to stdout")
    parser.add_argument(
        "--quality",
        action="store_true",
        help="at the end, to stdout: how good outputs were, by day and stream, in the last `labels.horizon`",
    )


def add_input(parser: ArgumentParser) -> None:
    """What is read, but for ``file``: the file of predictions, None for the topics."""
    file = parser.add_argument_group("from files")
    file.add_argument(
        "--labels", type=Path, metavar="FILE", help="their labels, by the field mapping of labels"
    )
    file.add_argument(
        "--partitions", type=_count, default=1, help="of the topics that they stand for; default 1"
    )
    file.add_argument(
        "--partitioner", choices=PARTITIONERS, default=PARTITIONERS[0], help="of their producers"
    )
    topic = parser.add_argument_group("from the topics, without FILE; TIME is RFC 3339 or epoch ms")
    topic.add_argument("--since", type=_time, metavar="TIME", help="default: their beginning")
    topic.add_argument("--until", type=_time, metavar="TIME", help="default: their end")


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
    config = load_config(args.config)
    check_input(args, config)
    if args.quality and (config.labels is None or (args.file and not args.labels)):
        raise InputError("replay: expected labels, since --quality rests on them; configure and give them")
    checks: Counter[str] = Counter()
    console = Console(stderr=True)
    with ExitStack() as stack:
        out = stack.enter_context(_opened(args.out)) if args.out else sys.stdout
        monitor, steps = monitored(config, args, stack)
        progress = stack.enter_context(_progress(console))
        task = progress.add_task("replay", total=None, events=0)
        for alerts in steps:
            progress.update(task, events=monitor.rows)
            checks.update(alert.check for alert in alerts)
            out.writelines(map(_json if args.json else _sentence, alerts))
    console.print(outcome(monitor, checks))
    if args.quality:
        _print_quality(monitor, as_json=args.json)
        console.print("".join(_reach(monitor)), end="", soft_wrap=True)
    return 0


def check_input(args: Namespace, config: Config) -> None:
    """InputError where the arguments do not go together."""
    if args.file and (args.since, args.until) != (None, None):
        raise InputError("--since and --until are for the topics, not for a file")
    if args.labels and not args.file:
        raise InputError("--labels is for a file of predictions, not for the topics")
    if args.labels and config.labels is None:
        raise InputError("expected a section labels in the configuration, since --labels is given")
    if not args.file and config.labels is not None and config.labels.repartition != "none":
        raise InputError(
            f'expected labels.repartition "none", got "{config.labels.repartition}": '
            "ids do not meet in these topics; replay files instead, predictions and --labels"
        )
    if not args.file and not config.names_brokers:
        raise InputError("expected a file, or kafka.bootstrap.servers in the configuration, got neither")


# What is fed


@dataclass(frozen=True, slots=True)
class Feed:
    """Records of some sources, in the order in which they are there."""

    sources: Sequence[Source]
    records: Iterator[Records]


def alerts_of(monitor: Monitor, feeds: Iterable[Feed]) -> Steps:
    """The alerts of each batch of records, and at last those of the slices that were still open.

    Of all feeds the one that is furthest behind is fed next, so that slices close as time goes on; one
    that has ended holds nobody back.
    """
    unread = list(feeds)

    def clock(feed: Feed) -> int:
        clocks = map(monitor.clock, feed.sources)
        return max((one for one in clocks if one is not None), default=NEVER)

    while unread:
        feed = min(unread, key=clock)
        records = next(feed.records, None)
        if records is not None:
            yield monitor.update(records)
        else:
            unread.remove(feed)
            yield [alert for source in feed.sources for alert in monitor.end(source)]
    yield monitor.close()


def monitored(config: Config, args: Namespace, stack: ExitStack) -> tuple[Monitor, Steps]:
    """A monitor of what the arguments name (see add_input), and its alerts as they come.

    Raises InputError. What is opened is closed with ``stack``.
    """
    return _from_files(config, args) if args.file else _from_topics(config, args, stack)


# From files


def _from_files(config: Config, args: Namespace) -> tuple[Monitor, Steps]:
    if not args.labels:
        config = config.model_copy(update={"labels": None})
    feeds = [_feed(args.file, config.predictions.fields, config.predictions.topics[0], args)]
    if config.labels is not None:
        feeds.append(_feed(args.labels, config.labels.fields, config.labels.topics[0], args))
    monitor = Monitor(config, [source for feed in feeds for source in feed.sources])
    return monitor, alerts_of(monitor, feeds)


def _feed(path: Path, fields: Mapped, topic: str, args: Namespace) -> Feed:
    rows = read(path, fields, topic)
    sources = [Source(topic, number) for number in range(args.partitions)]
    return Feed(sources, partitioned(rows, args.partitions, args.partitioner, key_at(fields.id)))


# From the topics


def _from_topics(config: Config, args: Namespace, stack: ExitStack) -> tuple[Monitor, Steps]:
    from stream_monitor.sources.topic import TopicRange  # noqa: PLC0415 (as above)

    topics = stack.enter_context(TopicRange(config, args.since, args.until))
    monitor = Monitor(config, list(topics.bounds), from_topics=True)
    return monitor, alerts_of(monitor, feeds_of(topics))


def feeds_of(topics: TopicRange) -> list[Feed]:
    """One a partition."""
    return [Feed([source], topics.records(source)) for source in sorted(topics.bounds)]


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


def _reach(monitor: Monitor) -> Iterator[str]:
    """Since when there is quality, where that is not all of the input."""
    first, labels = monitor.decider.first(), monitor.config.labels
    kept = min((start for cohorts in monitor.quality().values() for start in cohorts), default=None)
    if first is not None and labels is not None and kept is not None and first + labels.cohort_ms <= kept:
        since, horizon = datetime.fromtimestamp(kept / 1000, UTC), duration_text(labels.horizon_ms)
        yield f"quality: of predictions since {since:%Y-%m-%d %H:%M} UTC, for labels.horizon is {horizon}\n"


def _print_quality(monitor: Monitor, *, as_json: bool) -> None:
    found = list(days(monitor.quality()))
    if as_json:
        sys.stdout.writelines(one.to_json().decode() + "\n" for one in found)
        return
    width = None if sys.stdout.isatty() else WIDTH_CHARS
    Console(file=sys.stdout, width=width, highlight=False, markup=False).print(quality_table(found))
