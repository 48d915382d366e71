"""Events as a payment-risk model would log them: 20 features, two outputs, about 550 bytes of JSON."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import orjson
from numpy.typing import NDArray

MODEL = "payments"
SIZE_MIN, SIZE_MAX = 534, 560
"""Bytes of an event."""
START_MS = 1_767_225_600_000
JITTER_MS = 20
"""Events are logged so much out of order."""
DRIFTING = frozenset({"amount", "channel", "score", "class"})
"""The signals that change; ``class`` follows from ``score``."""

_CHUNK = 5_000
_PADDING_MAX = 80
_CHANNELS = np.array(["web", "app", "terminal", "phone"])
_CHANNEL_SHARES = (0.45, 0.30, 0.20, 0.05)
_CHANNEL_SHARES_AFTER = (0.30, 0.30, 0.20, 0.20)
_COUNTRIES = np.array(["DE", "FR", "ES", "IT", "PL", "NL", "BE", "AT", "PT", "SE", "DK", "FI"])
_PLANS = np.array(["basic", "plus", "business"])
_DEVICES = np.array([f"dev-{number}" for number in range(200)])
_CLASSES = np.array(["accept", "review", "decline"])


class Chunk(NamedTuple):
    """Consecutive events: Kafka keys, values and times (epoch ms)."""

    keys: list[bytes]
    values: list[bytes]
    times: list[int]


@dataclass(frozen=True, slots=True)
class Workload:
    """``events`` distinct events, ``rate`` in a second of event time; the seed decides all values.

    After ``change_at`` of them ``amount`` and ``score`` are larger and ``channel`` has other shares.
    ``income`` and ``device_score`` are null at times, ``distance_km`` is left out at times.
    """

    events: int
    seed: int = 1
    rate: int = 10_000
    change_at: float = 0.6

    @property
    def change_ms(self) -> int:
        """When the changes begin."""
        return START_MS + int(self.events * self.change_at) * 1000 // self.rate

    def chunks(self) -> Iterator[Chunk]:
        """All events in order of logging, a few thousand at a time. Cost: about 8 us an event."""
        random = np.random.default_rng(self.seed)
        for first in range(0, self.events, _CHUNK):
            yield self._chunk(random, first, min(_CHUNK, self.events - first))

    def _chunk(self, random: np.random.Generator, first: int, n: int) -> Chunk:
        index = np.arange(first, first + n)
        drifted = index >= self.events * self.change_at
        times = (START_MS + index * 1000 // self.rate + random.integers(0, JITTER_MS, n)).tolist()
        ids = [f"{self.seed:04x}-{one:010x}" for one in index.tolist()]
        features, outputs = _features(random, drifted), _outputs(random, drifted)
        for row in np.flatnonzero(random.random(n) < 0.02).tolist():
            del features[row]["distance_km"]
        sizes = random.integers(SIZE_MIN, SIZE_MAX + 1, n).tolist()
        padding = random.bytes(n * _PADDING_MAX // 2).hex().encode()
        events = [
            {
                "prediction_id": ids[row],
                "model": MODEL,
                "model_version": "3",
                "ts": times[row],
                "features": features[row],
                "outputs": outputs[row],
                "latency_ms": 12,
                "trace": "",
            }
            for row in range(n)
        ]
        values = [
            _padded(orjson.dumps(event), size, padding[row * _PADDING_MAX : (row + 1) * _PADDING_MAX])
            for row, (event, size) in enumerate(zip(events, sizes, strict=True))
        ]
        return Chunk([one.encode() for one in ids], values, times)


def _padded(event: bytes, size: int, padding: bytes) -> bytes:
    """Lengthen the closing ``trace`` so that the event has ``size`` bytes, or as many as it has already."""
    padded = b'%b%b"}' % (event[:-2], padding[: max(size - len(event), 0)])
    assert SIZE_MIN <= len(padded) <= SIZE_MAX, padded
    return padded


def _features(random: np.random.Generator, drifted: NDArray[np.bool_]) -> list[dict[str, Any]]:
    """Sixteen numbers and four categories."""
    n = len(drifted)
    shares = np.where(drifted[:, None], np.cumsum(_CHANNEL_SHARES_AFTER), np.cumsum(_CHANNEL_SHARES))
    columns: dict[str, NDArray[Any]] = {
        "amount": (random.lognormal(3.5, 0.9, n) * np.where(drifted, 1.5, 1.0)).round(2),
        "balance": random.normal(1800, 950, n).round(2),
        "credit_limit": random.integers(2, 40, n) * 250,
        "utilization": random.beta(2, 5, n).round(4),
        "age": np.clip(random.normal(41, 12, n), 18, 99).astype(np.int64),
        "tenure_days": random.exponential(400, n).round(1),
        "income": random.lognormal(8, 0.5, n).round(2),
        "idle_days": random.exponential(9, n).round(2),
        "sessions_7d": random.poisson(6, n),
        "clicks_7d": random.poisson(80, n),
        "distance_km": random.lognormal(2, 1.2, n).round(3),
        "payments_1h": random.poisson(1.3, n),
        "basket_30d": random.lognormal(3.4, 0.6, n).round(2),
        "discount": random.beta(1, 8, n).round(4),
        "device_score": random.normal(0, 1, n).round(5),
        "temperature_k": random.normal(290, 6, n).round(2),
        "channel": _CHANNELS[(random.random(n)[:, None] > shares[:, :-1]).sum(axis=1)],
        "country": _COUNTRIES[np.minimum(random.geometric(0.25, n), len(_COUNTRIES)) - 1],
        "device": _DEVICES[random.zipf(1.4, n) % len(_DEVICES)],
        "plan": random.choice(_PLANS, n, p=(0.6, 0.3, 0.1)),
    }
    lists = {name: column.tolist() for name, column in columns.items()}
    for name, share in (("income", 0.03), ("device_score", 0.01)):
        for row in np.flatnonzero(random.random(n) < share).tolist():
            lists[name][row] = None
    return _rows(lists)


def _outputs(random: np.random.Generator, drifted: NDArray[np.bool_]) -> list[dict[str, Any]]:
    score = random.beta(np.where(drifted, 3.0, 2.0), 5.0).round(5)
    classes = _CLASSES[np.digitize(score, (0.6, 0.8))]
    return _rows({"score": score.tolist(), "class": classes.tolist()})


def _rows(columns: dict[str, list[Any]]) -> list[dict[str, Any]]:
    return [dict(zip(columns, row, strict=True)) for row in zip(*columns.values(), strict=True)]
