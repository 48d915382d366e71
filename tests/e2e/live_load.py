"""A live load: two models of 20 features, each event stamped with the moment at which it is sent."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import orjson
from confluent_kafka import Producer
from numpy.typing import NDArray

MODELS = ("cards", "loans")
SHIFTED = {("cards", "feature", "amount"), ("loans", "output", "score")}
"""The feature of one model and the output of the other; the same signals of their neighbour stay."""
FEATURES = 20

_TIME_MARK = b'"ts":0'
_TICKS = 20
"""Bursts a second."""
_CHANNELS = np.array(["web", "app", "terminal", "phone"])
_COUNTRIES = np.array(["DE", "FR", "ES", "IT", "PL", "NL", "BE", "AT"])
_PLANS = np.array(["basic", "plus", "business"])
_DEVICES = np.array([f"device-{number}" for number in range(200)])


@dataclass(frozen=True)
class LiveLoad:
    """``events`` in ``seconds``; from ``change_at`` (a share of them) on both shifts are in. All values and
    their order follow the seed; only times do not."""

    seed: int
    events: int
    seconds: int
    change_at: float = 0.6

    def send(self, bootstrap: str, topic: str) -> int:
        """Produce them over as many seconds. Returns the time of the first shifted event (epoch ms)."""
        producer = Producer({"bootstrap.servers": bootstrap, "linger.ms": 10, "compression.type": "lz4"})
        begin_s = time.monotonic()
        changed_ms = 0
        for tick, events in enumerate(self._bursts()):
            time.sleep(max(0.0, begin_s + tick / _TICKS - time.monotonic()))
            now_ms = time.time_ns() // 1_000_000
            if not changed_ms and tick >= self._change_tick:
                changed_ms = now_ms
            stamp = b'"ts":%d' % now_ms
            for key, event in events:
                producer.produce(topic, event.replace(_TIME_MARK, stamp, 1), key)
            producer.poll(0)
        assert producer.flush(60) == 0
        return changed_ms

    @property
    def _change_tick(self) -> int:
        return round(self.seconds * _TICKS * self.change_at)

    def _bursts(self) -> Iterator[list[tuple[bytes, bytes]]]:
        """Keys and values of each tick, with a mark for the time."""
        random = np.random.default_rng(self.seed)
        ticks = self.seconds * _TICKS
        size = self.events // ticks
        assert size * ticks == self.events
        for tick in range(ticks):
            yield _burst(random, f"{self.seed}-{tick}", size, shifted=tick >= self._change_tick)


def _burst(random: np.random.Generator, name: str, size: int, *, shifted: bool) -> list[tuple[bytes, bytes]]:
    burst = []
    model = random.integers(0, len(MODELS), size)
    features = _rows(_features(random, size, shifted & (model == 0)))
    outputs = _rows(_outputs(random, size, shifted & (model == 1)))
    for number, (of_model, its_features, its_outputs) in enumerate(
        zip(model.tolist(), features, outputs, strict=True)
    ):
        key = f"{name}-{number}"
        event = {
            "model": MODELS[of_model],
            "ts": 0,
            "prediction_id": key,
            "model_version": "3",
            "features": its_features,
            "outputs": its_outputs,
        }
        burst.append((key.encode(), orjson.dumps(event)))
    return burst


def _features(random: np.random.Generator, n: int, shifted: NDArray[np.bool_]) -> dict[str, NDArray[Any]]:
    columns: dict[str, NDArray[Any]] = {
        "amount": (random.lognormal(3.5, 0.9, n) * np.where(shifted, 1.6, 1.0)).round(2),
        "balance": random.normal(1800, 950, n).round(2),
        "credit_limit": random.integers(2, 40, n) * 250,
        "utilization": random.beta(2, 5, n).round(4),
        "age": np.clip(random.normal(41, 12, n), 18, 99).astype(np.int64),
        "tenure_days": random.exponential(400, n).round(1),
        "income": random.lognormal(8, 0.5, n).round(2),
        "idle_days": random.exponential(9, n).round(2),
        "sessions": random.poisson(6, n),
        "clicks": random.poisson(80, n),
        "distance_km": random.lognormal(2, 1.2, n).round(3),
        "payments": random.poisson(1.3, n),
        "basket": random.lognormal(3.4, 0.6, n).round(2),
        "discount": random.beta(1, 8, n).round(4),
        "device_score": random.normal(0, 1, n).round(5),
        "temperature_k": random.normal(290, 6, n).round(2),
        "channel": random.choice(_CHANNELS, n, p=(0.45, 0.30, 0.20, 0.05)),
        "country": random.choice(_COUNTRIES, n),
        "device": _DEVICES[random.zipf(1.4, n) % len(_DEVICES)],
        "plan": random.choice(_PLANS, n, p=(0.6, 0.3, 0.1)),
    }
    assert len(columns) == FEATURES
    income = columns["income"].astype(object)
    income[random.random(n) < 0.03] = None
    return {**columns, "income": income}


def _outputs(random: np.random.Generator, n: int, shifted: NDArray[np.bool_]) -> dict[str, NDArray[Any]]:
    return {
        "score": random.beta(np.where(shifted, 3.0, 2.0), 5.0).round(5),
        "decision": random.choice(np.array(["accept", "review", "decline"]), n, p=(0.8, 0.15, 0.05)),
    }


def _rows(columns: dict[str, NDArray[Any]]) -> list[dict[str, Any]]:
    lists = [column.tolist() for column in columns.values()]
    return [dict(zip(columns, row, strict=True)) for row in zip(*lists, strict=True)]
