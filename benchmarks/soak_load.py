"""The load of the soak: ``python -m benchmarks.soak_load SETTINGS`` (JSON), in a process of its own.

Predictions of some models at a steady rate, each stamped with the moment at which it is sent, and labels for
half of them later. Values are those of ``generator``, a pool of them over and over, under ids of their own.
The last models are *probes*: in every other period their values are shifted, one after the other, so that
alerts keep coming.
"""

from __future__ import annotations

import json
import sys
import time
from collections import defaultdict
from dataclasses import dataclass

import numpy as np
from confluent_kafka import Producer

from benchmarks.generator import Workload
from benchmarks.topic import PRODUCER_SETTINGS
from stream_monitor.events import Int64s

POOL = 20_000
TICKS = 20
"""Bursts a second."""
LABELED = 0.5
DELAY_LEAST_S = 1.0


@dataclass(frozen=True, slots=True)
class Load:
    """``rate`` events a second for ``seconds``, ids from ``first`` on; labels come up to ``delay_s`` after.

    ``behind_s``: so long ago the first event is to have happened; those of a backlog are sent at once.
    """

    bootstrap: str
    predictions: str
    labels: str
    rate: int
    seconds: float
    delay_s: float
    first: int = 0
    behind_s: float = 0.0
    models: int = 2
    probes: int = 6
    probe_s: float = 5.0
    calm_s: float = 20.0


class Sender:
    """What was sent so far, and to whom labels are due, by tick."""

    def __init__(self, load: Load) -> None:
        self._load = load
        self._calm, self._shifted = _tails(change_at=1.0), _tails(change_at=0.0)
        self._random = np.random.default_rng(load.first)
        self._producer = Producer({**PRODUCER_SETTINGS, "bootstrap.servers": load.bootstrap, "linger.ms": 10})
        self._due: dict[int, list[Int64s]] = defaultdict(list)
        self._next = load.first
        self.predictions = self.labels = 0

    def tick(self, number: int, now_ms: int) -> None:
        """The burst of one tick."""
        load = self._load
        n = load.rate * (number + 1) // TICKS - load.rate * number // TICKS
        ids = np.arange(self._next, self._next + n)
        self._next += n
        names = [b"model-%d" % one for one in range(load.models + load.probes)]
        tails = [self._tails_of(one, number / TICKS) for one in range(len(names))]
        for one in ids.tolist():
            model = one % len(names)
            key = b"%016x" % one
            event = b'{"prediction_id":"%b","model":"%b","model_version":"3","ts":%d%b'
            self._produce(
                load.predictions, key, event % (key, names[model], now_ms, tails[model][one % POOL]), now_ms
            )
        self._put_off(number, ids)
        for labeled in self._due.pop(number, []):
            for one in labeled.tolist():
                key, says = b"%016x" % one, b"accept" if one % 5 else b"decline"
                label = b'{"prediction_id":"%b","ts":%d,"label":"%b"}' % (key, now_ms, says)
                self._produce(load.labels, key, label, now_ms)
                self.labels += 1
        self._producer.poll(0)
        self.predictions += n

    def flush(self) -> None:
        left = self._producer.flush(60)
        if left:
            raise RuntimeError(f"expected all records delivered, got {left} waiting")

    def _tails_of(self, model: int, at_s: float) -> list[bytes]:
        load = self._load
        probe = model - load.models
        if probe < 0 or at_s < load.calm_s:
            return self._calm
        period_s = 2 * load.probe_s * load.probes
        begins_s = load.calm_s + 2 * load.probe_s * probe
        return self._shifted if (at_s - begins_s) % period_s < load.probe_s * load.probes else self._calm

    def _put_off(self, number: int, ids: Int64s) -> None:
        chosen = ids[self._random.random(len(ids)) < LABELED]
        ages_s = DELAY_LEAST_S * (self._load.delay_s / DELAY_LEAST_S) ** self._random.random(len(chosen))
        due = number + (ages_s * TICKS).astype(np.int64)
        order = np.argsort(due, kind="stable")
        for tick, first, size in zip(
            *np.unique(due[order], return_index=True, return_counts=True), strict=True
        ):
            self._due[int(tick)].append(chosen[order][first : first + size])

    def _produce(self, topic: str, key: bytes, value: bytes, now_ms: int) -> None:
        while True:
            try:
                self._producer.produce(topic, value, key, timestamp=now_ms)
            except BufferError:
                self._producer.poll(0.05)
            else:
                return


def _tails(change_at: float) -> list[bytes]:
    """The events of the pool from their features on."""
    values = [value for chunk in Workload(POOL, change_at=change_at).chunks() for value in chunk.values]
    return [value[value.index(b',"features"') :] for value in values]


def send(load: Load) -> dict[str, float]:
    """All of it. Returns what was sent, and how far sending fell behind at the most."""
    sender = Sender(load)
    begin_s, late_s = time.time() - load.behind_s, 0.0
    for number in range(int(load.seconds * TICKS)):
        due_s = begin_s + number / TICKS
        time.sleep(max(0.0, due_s - time.time()))
        if not load.behind_s:
            late_s = max(late_s, time.time() - due_s)
        sender.tick(number, int(due_s * 1000))
    sender.flush()
    return {"predictions": sender.predictions, "labels": sender.labels, "late_s_max": late_s}


if __name__ == "__main__":
    print(json.dumps(send(Load(**json.loads(sys.argv[1])))))
