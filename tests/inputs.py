"""Inputs as bad as real ones: late, out of order, unseen and extreme values, changes of every kind."""

from __future__ import annotations

import zlib
from typing import Any

import numpy as np
import orjson

from tests.core import Record

START_MS = 1_767_225_600_000
MODELS: dict[str, Any] = {
    "*": {
        "learn": 1500,
        "detectors": ["adwin", "page_hinkley", "scan"],
        "features": {
            "bounded": {"range": [-8, 8]},
            "kelvin": {"type": "number"},
            "grade": {"type": "category", "values": ["a", "b", "c"]},
        },
    },
}


def config(topic: str = "predictions", **changed: Any) -> dict[str, Any]:
    """The configuration that MESSY inputs are made for."""
    return {
        "predictions": {"topics": [topic], "lateness": "2s", "idle_after": "2s", "max_clock_skew": "5s"},
        "models": MODELS,
        **changed,
    }


def messy(events: int = 12_000, partitions: int = 4, seconds: int = 60, seed: int = 7) -> list[list[Record]]:
    """Two models, four streams, changes of six kinds from two thirds of the time on.

    One event in 50 comes later than lateness allows, one in 10 out of order; some values are extreme.
    """
    random = np.random.default_rng(seed)
    times = np.sort(random.integers(0, seconds * 1000, events))
    arrivals = times + random.integers(0, 300, events)
    delayed = random.random(events)
    arrivals = np.where(delayed < 0.1, times + random.integers(300, 1900, events), arrivals)
    arrivals = np.where(delayed < 0.02, times + random.integers(4000, 20_000, events), arrivals)
    logs: list[list[Record]] = [[] for _ in range(partitions)]
    for i in np.argsort(arrivals, kind="stable"):
        model = "alpha" if random.random() < 0.7 else "beta"
        changed = times[i] >= seconds * 1000 * 2 // 3
        event = _event(random, model, int(START_MS + times[i]), changed=bool(changed))
        event["prediction_id"] = f"{model}-{i}"
        partition = zlib.crc32(event["prediction_id"].encode()) % partitions
        logs[partition].append((int(START_MS + arrivals[i]), orjson.dumps(event)))
    return logs


def _event(random: np.random.Generator, model: str, time: int, *, changed: bool) -> dict[str, Any]:
    normal = random.normal(0, 1, 8).round(4).tolist()
    features: dict[str, Any] = {
        "shifted": normal[0] + (1.0 if changed else 0.0),
        "spread": normal[1] * (3.0 if changed else 1.0),
        "steady": normal[2],
        "kelvin": 300 + normal[3] * 2 + (2.5 if changed else 0.0),
        "bounded": normal[4] * (1.0 if random.random() > (0.1 if changed else 0.0) else 100.0),
        "gappy": None if changed and random.random() < 0.4 else normal[5],
        "typed": "n/a" if changed and random.random() < 0.3 else normal[6],
        "infinite": "inf" if changed and random.random() < 0.2 else normal[7],
        "channel": str(
            random.choice(["web", "app", "shop"], p=[0.2, 0.4, 0.4] if changed else [0.6, 0.3, 0.1])
        ),
        "country": "XX" if changed and random.random() < 0.25 else str(random.choice(["DE", "FR", "ES"])),
        "grade": "z" if changed and random.random() < 0.2 else str(random.choice(["a", "b", "c"])),
        "user": f"u{int(random.integers(0, 5000))}",
        "huge": float(random.choice([1e300, -1e300, 1e-300, 0.0, -0.0, 5e9])),
    }
    if random.random() < 0.05:
        features.pop("steady")
    score = random.beta(2, 5) if not changed else random.beta(4, 3)
    event = {
        "model": model,
        "model_version": "2" if random.random() < 0.5 else "1",
        "ts": time,
        "features": features,
        "outputs": {"score": round(score, 4), "probs": [round(score, 3), round(1 - score, 3)]},
    }
    if model == "beta" and random.random() < 0.3:
        event["role"] = "shadow"
    return event
