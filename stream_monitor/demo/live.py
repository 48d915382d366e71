"""The demo live: traffic on an embedded broker, both workers in threads, alerts as they come."""

from __future__ import annotations

import contextlib
import logging
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import orjson
from confluent_kafka import Producer
from prometheus_client import CollectorRegistry

from stream_monitor.config import Config, parse_config
from stream_monitor.demo.load import send
from stream_monitor.demo.outcome import Outcome, outcome
from stream_monitor.demo.scenario import TOPIC, Scenario
from stream_monitor.metrics import Metrics
from stream_monitor.runtime import tail
from stream_monitor.runtime.embedded import PARTITIONS, EmbeddedBroker
from stream_monitor.runtime.health import Health
from stream_monitor.runtime.workers import ROLES, worker

END_TIMEOUT_S = 20.0
LAST_ALERTS_S = 1.5

Tell = Callable[[str, Any], None]
"""Is told ("second", number), ("alert", its published form) and ("end", None) as they happen."""


def run(scenario: Scenario, tell: Tell, *, detectors: bool = True) -> Outcome:
    """The scenario in real time, ``scenario.start_ms`` being now. Takes its seconds and about six more."""
    with _quiet(), EmbeddedBroker() as broker:
        document = scenario.config(detectors=detectors)
        document["kafka"] = {"bootstrap.servers": broker.bootstrap}
        document["summaries"]["partitions"] = PARTITIONS
        config = parse_config(document)
        broker.create_topics(
            TOPIC, *(config.topic(name) for name in ("summaries", "alerts", "rejects", "state"))
        )
        registry = CollectorRegistry()
        with _workers(config, registry), _tail(config, tell) as alerts:
            _produce(broker.bootstrap, scenario, tell)
            _wait_for_the_end(registry, scenario)
        tell("end", None)
        return outcome(scenario, alerts)


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """What the workers log would run into the picture."""
    log = logging.getLogger("stream_monitor")
    before = log.level
    log.setLevel(logging.ERROR)
    try:
        yield
    finally:
        log.setLevel(before)


@contextlib.contextmanager
def _workers(config: Config, registry: CollectorRegistry) -> Iterator[None]:
    stop = threading.Event()
    metrics = Metrics(registry)
    running = [
        threading.Thread(
            target=worker(role, config, "demo", metrics, Health(registry), embedded=True).run, args=(stop,)
        )
        for role in ROLES
    ]
    for one in running:
        one.start()
    try:
        yield
    finally:
        stop.set()
        for one in running:
            one.join()


@contextlib.contextmanager
def _tail(config: Config, tell: Tell) -> Iterator[list[dict[str, Any]]]:
    found: list[dict[str, Any]] = []
    stop = threading.Event()

    def follow() -> None:
        for value in tail.alerts(config, from_beginning=True, stop=stop):
            found.append(orjson.loads(value))
            tell("alert", found[-1])

    follower = threading.Thread(target=follow)
    follower.start()
    try:
        yield found
    finally:
        stop.set()
        follower.join()


def _produce(bootstrap: str, scenario: Scenario, tell: Tell) -> None:
    producer = Producer({"bootstrap.servers": bootstrap, "linger.ms": 5})
    for second in send(producer, TOPIC, scenario):
        tell("second", second)
    producer.flush(END_TIMEOUT_S)


def _wait_for_the_end(registry: CollectorRegistry, scenario: Scenario) -> None:
    """Until the last slice has closed, for the partitions fall idle, and its alerts have come."""
    end_s = scenario.start_ms / 1000 + scenario.seconds
    deadline_s = time.monotonic() + END_TIMEOUT_S
    labels = [{"partition": str(partition)} for partition in range(PARTITIONS)]
    while time.monotonic() < deadline_s:
        seen = [registry.get_sample_value("stream_monitor_watermark_seconds", one) for one in labels]
        if all(watermark is not None and watermark >= end_s for watermark in seen):
            break
        time.sleep(0.1)
    time.sleep(LAST_ALERTS_S)
