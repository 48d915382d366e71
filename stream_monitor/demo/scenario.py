"""What the demo sends: a churn model's predictions, with three changes injected at a stated moment."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

MODEL = "churn"
TOPIC = "predictions"
CHANNELS = np.array(["web", "app", "store", "phone"])
COUNTRIES = np.array(["DE", "FR", "ES", "IT", "PL", "NL"])
HEALTHY_SHARES = (0.45, 0.30, 0.15, 0.10)
DRIFTED_SHARES = (0.25, 0.30, 0.15, 0.30)
INJECTED = {
    ("feature", "income"): "income rises by 0.8 standard deviations (of its logarithm)",
    ("feature", "channel"): "the share of 'phone' goes from 10 % to 30 %, at the cost of 'web'",
    ("output", "score"): "the churn score goes from Beta(2, 5) to Beta(3, 4.5)",
}
CHANGE_AT = 0.6
"""Share of the demo after which the changes are injected."""


@dataclass(frozen=True, slots=True)
class Scenario:
    """``seconds`` of traffic at ``rate`` events a second from ``start_ms`` on; all values follow the seed."""

    seed: int
    seconds: int = 30
    rate: int = 800
    start_ms: int = 1_767_225_600_000
    drift: bool = True

    @property
    def change_ms(self) -> int:
        """When the changes begin: at a full second."""
        return self.start_ms + int(self.seconds * CHANGE_AT) * 1000

    @property
    def learn_events(self) -> int:
        """The monitor learns from the first half."""
        return self.rate * self.seconds // 2

    def config(self, *, detectors: bool = True) -> dict[str, Any]:
        """The configuration that the demo's monitor runs with."""
        model: dict[str, Any] = {
            "slice": "100ms",
            "learn": self.learn_events,
            "labels": {"team": "growth", "runbook": "https://runbooks.example/churn"},
        }
        if not detectors:
            model["detectors"] = []
        return {
            "pipeline": "demo",
            "predictions": {"topics": [TOPIC], "lateness": "1s", "idle_after": "2s", "max_clock_skew": "1s"},
            "summaries": {"partitions": 1},
            "models": {MODEL: model},
        }

    def seconds_of_events(self) -> Iterator[list[dict[str, Any]]]:
        """One list of events a second, in order of time."""
        random = np.random.default_rng(self.seed)
        for second in range(self.seconds):
            begin = self.start_ms + second * 1000
            yield self._events(random, begin, drifted=self.drift and begin >= self.change_ms)

    def _events(self, random: np.random.Generator, begin: int, *, drifted: bool) -> list[dict[str, Any]]:
        n = self.rate
        times = begin + np.sort(random.integers(0, 1000, n))
        columns = {
            "age": np.clip(random.normal(41, 12, n), 18, 99).round(),
            "income": random.lognormal(8.0 + (0.4 if drifted else 0.0), 0.5, n).round(2),
            "tenure_days": random.exponential(400, n).round(1),
            "sessions": random.poisson(4, n),
            "balance": random.normal(0, 250, n).round(2),
            "channel": random.choice(CHANNELS, n, p=DRIFTED_SHARES if drifted else HEALTHY_SHARES),
            "country": random.choice(COUNTRIES, n),
            "member": random.random(n) < 0.4,
        }
        score = (random.beta(3, 4.5, n) if drifted else random.beta(2, 5, n)).round(4)
        without_balance = random.random(n) < 0.03
        rows = zip(*(column.tolist() for column in columns.values()), strict=True)
        events: list[dict[str, Any]] = []
        for row, time, one_score, no_balance in zip(
            rows, times.tolist(), score.tolist(), without_balance, strict=True
        ):
            features = dict(zip(columns, row, strict=True))
            if no_balance:
                features["balance"] = None
            events.append(
                {
                    "prediction_id": f"{self.seed}-{time}-{len(events)}",
                    "model": MODEL,
                    "model_version": "3",
                    "ts": time,
                    "features": features,
                    "outputs": {"score": one_score},
                    "latency_ms": 12,
                }
            )
        return events
