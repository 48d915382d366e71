"""Predictions and labels as bad as real ones, for the join: everything that can come does, from a seed.

Labels come late, out of order, twice, corrected, withdrawn, before their prediction, for nobody, and beyond
the horizon; predictions come twice, live and as shadow, and never get a label; some records are neither.

    feed = Feed.of(seed=7, predictions=3_000, partitions=3)
    feed.logs["labels", 0][12]          # (Kafka timestamp, key, value) at offset 12
    feed.write(folder)                  # as tests/join_oracle.py reads it
"""

from __future__ import annotations

import json
import random
import zlib
from collections import defaultdict
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

START_MS = 1_767_225_600_000
SECOND_MS = 1_000
HOUR_MS = 3_600_000
HORIZON_MS = 2 * HOUR_MS
COHORT_MS = HOUR_MS // 2
PREDICTIONS = "predictions"
LABELS = "labels"
QUALITY: dict[str, dict[str, Any]] = {
    "fare": {"amount": {"task": "regression", "error_max": 5.0}},
    "churn": {"class": {"task": "binary", "score": "score", "positive": "leaves"}},
    "topic": {
        "topic": {"task": "multiclass", "score": "probs", "classes": ["a", "b", "c"], "label": "what"},
        "length": {"task": "regression", "error_max": 50.0},
    },
}
SEGMENTS = ["country", "tier"]
VALUES: dict[str, list[Any]] = {"country": ["DE", "FR", None, ""], "tier": [1, 2.0, True, None]}

Record = tuple[int, str | None, str | None]
"""Kafka timestamp (ms), key and value."""


def settings(policy: str = "last") -> dict[str, Any]:
    """What the oracle has to know."""
    models = {name: {"segments": SEGMENTS, "quality": quality} for name, quality in QUALITY.items()}
    return {"horizon_ms": HORIZON_MS, "cohort_ms": COHORT_MS, "policy": policy, "models": models}


def config(policy: str = "last", **changed: Any) -> dict[str, Any]:
    """The same for the pipeline. ``other`` is a model whose labels nobody asks for."""
    models = {name: {"segments": SEGMENTS, "quality": quality} for name, quality in QUALITY.items()}
    labels = {"topics": [LABELS], "horizon": "2h", "cohort": "30m", "slice": "1m", "policy": policy}
    skew = {"lateness": "2s", "idle_after": "1d", "max_clock_skew": "5s"}
    return {"predictions": {"topics": [PREDICTIONS], **skew}, "labels": labels, "models": models, **changed}


@dataclass
class Feed:
    """``logs`` by topic and partition: records in offset order."""

    partitions: int
    logs: dict[tuple[str, int], list[Record]] = field(default_factory=dict)

    @classmethod
    def of(cls, seed: int = 7, predictions: int = 3_000, partitions: int = 3, span_h: int = 12) -> Feed:
        """``predictions`` ids over ``span_h`` hours of event time, and what follows from each."""
        maker = _Maker(random.Random(seed), span_h * HOUR_MS)
        for number in range(predictions):
            maker.add(f"p-{number}")
        feed = cls(partitions)
        for topic in (PREDICTIONS, LABELS):
            for partition in range(partitions):
                feed.logs[topic, partition] = []
            for arrival, _, key, value in sorted(maker.sent[topic]):
                partition = zlib.crc32(key.encode()) % partitions
                # Not every producer sets a key; without one a tombstone says nothing.
                sent = None if value is not None and arrival % 5 == 0 else key
                feed.logs[topic, partition].append((arrival, sent, value))
        return feed

    def write(self, folder: Path) -> None:
        """TOPIC-PARTITION.jsonl, a record a line."""
        for (topic, partition), log in self.logs.items():
            lines = [json.dumps(dict(zip(("timestamp", "key", "value"), one, strict=True))) for one in log]
            (folder / f"{topic}-{partition}.jsonl").write_text("".join(f"{line}\n" for line in lines))


class _Maker:
    def __init__(self, chance: random.Random, span_ms: int) -> None:
        self.chance = chance
        self.span_ms = span_ms
        self.sent: dict[str, list[tuple[int, int, str, str | None]]] = defaultdict(list)

    def add(self, name: str) -> None:
        """One id: its predictions and its labels."""
        chance = self.chance
        model = chance.choice([*QUALITY, "other"]) if chance.random() < 0.9 else "fare"
        time = START_MS + chance.randrange(self.span_ms)
        predicted = self._prediction(name, model, time, role=None)
        if chance.random() < 0.2:
            self._prediction(name, model, time + chance.randrange(5_000), role="shadow")
        if chance.random() < 0.04:
            self._send(PREDICTIONS, time + chance.randrange(HOUR_MS), name, predicted)
        if chance.random() < 0.02:
            again = {**predicted, "ts": time + HORIZON_MS + chance.randrange(HOUR_MS)}
            self._send(PREDICTIONS, again["ts"], name, again)
        if chance.random() < 0.01:
            bad = chance.choice(['{"prediction_id": ', '{"model": "fare"}', "7", "[]", None])
            self._put(PREDICTIONS, time, name, bad)
        if chance.random() < 0.8:
            self._labels(name, model, time)
        if chance.random() < 0.03:
            self._label(f"nobody-{name}", model, time, self._truth(model))

    def _prediction(self, name: str, model: str, time: int, role: str | None) -> dict[str, Any]:
        chance = self.chance
        features = {field: chance.choice(values) for field, values in VALUES.items()}
        event = {
            "prediction_id": name,
            "model": model,
            "model_version": "next" if role else chance.choice(["1", "2"]),
            "ts": time,
            "features": features,
            "outputs": self._outputs(model),
        }
        if role or chance.random() < 0.5:
            event["role"] = role or "live"
        self._send(PREDICTIONS, time, name, event)
        return event

    def _outputs(self, model: str) -> dict[str, Any]:
        chance = self.chance
        score = round(chance.random() ** 2, 6)
        match model:
            case "fare":
                return {} if chance.random() < 0.03 else {"amount": round(chance.lognormvariate(2, 1), 4)}
            case "churn":
                return {"class": "leaves" if score >= 0.4 else "stays", "score": score}
            case "topic":
                probs = {"a": score, "b": (1 - score) / 4, "c": (1 - score) * 3 / 4}
                return {
                    "topic": max(probs, key=lambda one: probs[one]),
                    "probs": probs,
                    "length": 100 * score,
                }
            case _:
                return {"value": score}

    def _truth(self, model: str) -> Any:
        chance = self.chance
        match model:
            case "fare":
                return 0 if chance.random() < 0.02 else round(chance.lognormvariate(2, 1), 2)
            case "churn":
                return chance.choice(["leaves", "stays", "stays", "returns"])
            case "topic":
                return {"what": chance.choice("abcd"), "length": chance.randrange(120)}
            case _:
                return 1

    def _labels(self, name: str, model: str, time: int) -> None:
        """The label of a prediction made at ``time``, and what becomes of it later."""
        chance = self.chance
        # From a second to 1.4 horizons; one in ten was there before.
        delay = int(SECOND_MS * (1.4 * HORIZON_MS / SECOND_MS) ** chance.random())
        at = time - delay if chance.random() < 0.1 else time + delay
        value = "n/a" if chance.random() < 0.02 else self._truth(model)
        of_model = None if chance.random() < 0.5 else model
        if chance.random() < 0.02:
            of_model = "churn" if model != "churn" else "fare"
        self._label(name, of_model, at, value)
        while chance.random() < 0.3:
            at += chance.randrange(HORIZON_MS // 2)
            kind = chance.random()
            if kind < 0.25:
                value = None
            elif kind > 0.6:
                value = self._truth(model)
            self._label(name, of_model, at, value)

    def _label(self, name: str, model: str | None, time: int, value: Any) -> None:
        label = {"prediction_id": name, "ts": time, "label": value}
        if model is not None:
            label["model"] = model
        if value is None and self.chance.random() < 0.5:
            self._put(LABELS, time, name, None)
        elif self.chance.random() < 0.02:
            # Two labels in a record, or a record that is none.
            other = {**label, "label": self._truth(model or "fare")}
            self._put(LABELS, time, name, self.chance.choice([json.dumps([label, other]), '{"label": 1}']))
        else:
            self._send(LABELS, time, name, label)

    def _send(self, topic: str, time: int, key: str, event: dict[str, Any]) -> None:
        """Most at once, some later, a few from a batch at night."""
        chance = self.chance
        later = chance.randrange(500) if chance.random() < 0.8 else chance.randrange(60 * SECOND_MS)
        arrival = time + later
        if topic == LABELS and chance.random() < 0.1:
            arrival = START_MS + -(-(arrival - START_MS) // (4 * HOUR_MS)) * 4 * HOUR_MS
        self._put(topic, arrival, key, json.dumps(event))

    def _put(self, topic: str, arrival: int, key: str, value: str | None) -> None:
        self.sent[topic].append((arrival, len(self.sent[topic]), key, value))
