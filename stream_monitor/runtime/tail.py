"""Show alerts as they come, one a line.

Reads only committed alerts, with a consumer outside of any group: watching changes nothing.
"""

from __future__ import annotations

import logging
import sys
from argparse import ArgumentParser, Namespace
from collections.abc import Iterator
from itertools import islice
from threading import Event

import orjson
from confluent_kafka import OFFSET_BEGINNING, OFFSET_END, Consumer, KafkaError, KafkaException, TopicPartition

from stream_monitor.config import Config, load_config
from stream_monitor.errors import InputError
from stream_monitor.runtime import client_log, logs
from stream_monitor.runtime.kafka import check_brokers, reader_properties

POLL_S = 0.5
CALL_TIMEOUT_S = 10.0


def add_arguments(parser: ArgumentParser) -> None:
    parser.add_argument("config", metavar="CONFIG", help="the YAML file")
    parser.add_argument("--json", action="store_true", help="the alerts as they are on the topic")
    parser.add_argument("--from-beginning", action="store_true", help="also those that are there already")
    parser.add_argument("--max", type=int, metavar="N", help="end after N alerts")


def main(args: Namespace) -> int:
    logs.setup(level=logging.WARNING)
    config = load_config(args.config)
    check_brokers(config)
    for value in islice(alerts(config, from_beginning=args.from_beginning), args.max):
        sys.stdout.write(f"{value.decode() if args.json else line(value)}\n")
        sys.stdout.flush()
    return 0


def alerts(config: Config, *, from_beginning: bool, stop: Event | None = None) -> Iterator[bytes]:
    """The alerts of all partitions, until ``stop`` is set. InputError where the topic is not there."""
    topic = config.topic("alerts")
    consumer = Consumer({**reader_properties(config), "enable.partition.eof": False}, logger=client_log.log)
    try:
        known = consumer.list_topics(topic, timeout=CALL_TIMEOUT_S).topics[topic]
        if known.error is not None:
            message = f"{topic}: expected this topic, got none; `stream-monitor topics create` makes it"
            raise InputError(message)
        start = OFFSET_BEGINNING if from_beginning else OFFSET_END
        consumer.assign([TopicPartition(topic, partition, start) for partition in known.partitions])
        while stop is None or not stop.is_set():
            record = consumer.poll(POLL_S)
            if record is None:
                continue
            error = record.error()
            if error is None:
                yield record.value() or b""
            elif error.code() == KafkaError._AUTO_OFFSET_RESET or error.fatal():  # noqa: SLF001 (its own code)
                message = f"{topic}: {error.str()}"
                raise InputError(message)
    except KafkaException as error:
        consumer.poll(0)
        message = f"{topic}: {error.args[0].str()}"
        raise InputError(message) from error
    finally:
        consumer.close()


def line(value: bytes) -> str:
    """One alert for human eyes: when, how bad, what.

    >>> line(b'{"time": "2026-01-01T00:00:40Z", "severity": "page", "summary": "m: x moved"}')
    '2026-01-01T00:00:40Z PAGE   m: x moved'
    """
    alert = orjson.loads(value)
    return f"{alert['time']} {alert['severity'].upper():<6} {alert['summary']}"
