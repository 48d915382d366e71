"""The demo's traffic on a real Kafka, round after round, until it is stopped: each drifts and recovers."""

from __future__ import annotations

import logging
import time
from collections.abc import Iterator
from itertools import count

import orjson
from confluent_kafka import Producer

from stream_monitor.config import Config
from stream_monitor.demo.scenario import Scenario

log = logging.getLogger(__name__)

FLUSH_TIMEOUT_S = 30.0


def run(config: Config, scenario: Scenario) -> None:
    """Send to the first topic of ``config``, each event at its time, from now on. Ends with Ctrl-C."""
    producer = Producer({"linger.ms": 5, **config.kafka_properties()})
    topic = config.predictions.topics[0]
    start_ms = (int(time.time()) + 1) * 1000
    try:
        for number in count():
            begin_ms = start_ms + number * scenario.seconds * 1000
            one = Scenario(scenario.seed + number, scenario.seconds, start_ms=begin_ms, drift=scenario.drift)
            change_s = (one.change_ms - one.start_ms) // 1000
            log.info("a round begins", extra={"round": number, "seed": one.seed, "changes_after_s": change_s})
            for _ in send(producer, topic, one):
                pass
    finally:
        producer.flush(FLUSH_TIMEOUT_S)


def send(producer: Producer, topic: str, scenario: Scenario) -> Iterator[int]:
    """One scenario in real time. Yields after each second how many have passed."""
    for second, events in enumerate(scenario.seconds_of_events(), start=1):
        for event in events:
            _sleep_until(event["ts"])
            producer.produce(
                topic, orjson.dumps(event), event["prediction_id"].encode(), timestamp=event["ts"]
            )
            producer.poll(0)
        yield second


def _sleep_until(time_ms: int) -> None:
    left_s = time_ms / 1000 - time.time()
    if left_s > 0.001:
        time.sleep(left_s)
