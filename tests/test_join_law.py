"""The law with labels: the same records, the same alerts, whatever was read first and in which cuts."""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import orjson
import pytest

from stream_monitor.decide import Decider
from stream_monitor.events import NO_TIMESTAMP, Records, Source
from stream_monitor.monitor import Monitor
from stream_monitor.reference import References

START_MS = 1_767_225_600_000
PREDICTIONS, LABELS = Source("predictions", 0), Source("labels", 0)
SLICE = {"slice": "1m", "cohort": "10m", "horizon": "6h"}
CONFIG: dict[str, Any] = {
    "predictions": {"topics": ["predictions"], "lateness": "10s"},
    "labels": {"topics": ["labels"], **SLICE},
    "models": {
        "m": {
            "slice": "1m",
            "learn": 2_000,
            "quality": {"eta": {"task": "regression"}},
            "segments": ["from"],
        }
    },
}
Log = list[bytes]


def feed(rng: np.random.Generator, *, corrected: bool = False) -> tuple[Log, Log]:
    """9,000 predictions in 2.5 h; their errors are three times as large from the middle on. With
    ``corrected`` the labels of the second hour are wrong by 9 at first, and right half an hour later.
    """
    predictions, labels = [], []
    for number in range(9_000):
        time = START_MS + number * 1_000
        right = float(rng.normal(50, 10))
        wrong = right + float(rng.normal(0, 3 if number >= 4_500 and not corrected else 1))
        said = {"prediction_id": f"p{number}", "model": "m"}
        features = {"from": "north" if number % 3 else "south"}
        event = {**said, "ts": time, "features": features, "outputs": {"eta": right}}
        predictions.append((time, orjson.dumps(event)))
        at = time + int(rng.exponential(300_000))
        mistaken = corrected and 3_600 <= number < 5_400
        labels.append((at, {**said, "ts": at, "label": wrong + 9 * mistaken}))
        if mistaken:
            labels.append((at + 1_800_000, {**said, "ts": at + 1_800_000, "label": wrong}))
    ordered = [orjson.dumps(label) for _, label in sorted(labels, key=lambda one: one[0])]
    return [value for _, value in predictions], ordered


def alerts_of(
    config: dict[str, Any], order: Iterator[tuple[Source, Log]], restored_every: int = 0
) -> list[bytes]:
    """What is told of labels, in order; with the state put away and taken up again every so many parts."""
    monitor = Monitor(config, [PREDICTIONS, LABELS])
    first = {PREDICTIONS: 0, LABELS: 0}
    alerts = []
    for part, (source, values) in enumerate(order, 1):
        offset = np.arange(first[source], first[source] + len(values))
        first[source] += len(values)
        none = np.full(len(values), NO_TIMESTAMP, np.int64)
        alerts += monitor.update(Records((source,), np.zeros(len(values), np.int64), offset, none, values))
        if restored_every and part % restored_every == 0:
            put_away(monitor)
    alerts += monitor.close()
    assert sum(monitor.rejected.values()) == 0
    return [alert.to_json() for alert in alerts if alert.subject in ("quality", "labels")]


def put_away(monitor: Monitor) -> None:
    """Decide ends, and another takes up what it left."""
    saved = monitor.decider.snapshot("m")
    taken_up = Decider(monitor.config, References(monitor.config))
    taken_up.restore_ledger(saved)
    taken_up.restore("m", saved)
    monitor.decider = taken_up
    for stage in monitor._stages:
        stage._decider = taken_up


def cut(log: Log, size: int) -> Iterator[Log]:
    for at in range(0, len(log), size):
        yield log[at : at + size]


def live(predictions: Log, labels: Log) -> Iterator[tuple[Source, Log]]:
    """Each label as its time comes."""
    at = 0
    for part in cut(predictions, 300):
        yield PREDICTIONS, part
        now = orjson.loads(part[-1])["ts"]
        end = at
        while end < len(labels) and orjson.loads(labels[end])["ts"] <= now:
            end += 1
        if end > at:
            yield LABELS, labels[at:end]
        at = end
    yield LABELS, labels[at:]


def labels_first(predictions: Log, labels: Log) -> Iterator[tuple[Source, Log]]:
    yield LABELS, labels
    yield from ((PREDICTIONS, part) for part in cut(predictions, 700))


def predictions_first(predictions: Log, labels: Log) -> Iterator[tuple[Source, Log]]:
    yield PREDICTIONS, predictions
    yield from ((LABELS, part) for part in cut(labels, 1_000))


def at_random(predictions: Log, labels: Log) -> Iterator[tuple[Source, Log]]:
    order = random.Random(5)
    left = {PREDICTIONS: predictions, LABELS: labels}
    while any(left.values()):
        source = order.choice([one for one, log in left.items() if log])
        size = order.randint(1, 900)
        yield source, left[source][:size]
        left[source] = left[source][size:]


@pytest.fixture(scope="module")
def drifted() -> tuple[Log, Log]:
    return feed(np.random.default_rng(1))


@pytest.fixture(scope="module")
def told(drifted: tuple[Log, Log]) -> list[dict[str, Any]]:
    return [orjson.loads(alert) for alert in alerts_of(CONFIG, live(*drifted))]


def test_a_concept_that_drifts_while_features_stay_is_found_and_when(told: Sequence[dict[str, Any]]) -> None:
    # At the end no prediction comes any more, so labels are ever later.
    of_errors = [alert for alert in told if alert["signal"]["name"] != "label_delay"]
    whole = [alert for alert in of_errors if alert["segment"] is None]
    assert {alert["check"] for alert in whole} == {"drift", "quality"}
    changed = START_MS + 4_500_000
    for alert in whole:
        if alert["check"] == "quality":
            assert ms(alert["predicted"]["earliest"]) <= changed < ms(alert["predicted"]["latest"])
            assert alert["effect"]["score"] in ("mae", "rmse")
        assert changed <= ms(alert["since"]["latest"])
        assert ms(alert["time"]) - changed < 1_800_000
        assert 0 < alert["basis"]["labels"] <= alert["basis"]["predictions"] <= 9_000


def ms(text: str) -> int:
    return int(np.datetime64(text.removesuffix("Z"), "ms").astype(np.int64))


@pytest.mark.parametrize("order", [labels_first, predictions_first, at_random])
def test_alerts_on_quality_are_the_same_whatever_is_read_first(
    drifted: tuple[Log, Log], told: Sequence[dict[str, Any]], order: Any
) -> None:
    assert [orjson.loads(alert) for alert in alerts_of(CONFIG, order(*drifted))] == told


def test_decide_goes_on_where_a_snapshot_was_taken(
    drifted: tuple[Log, Log], told: Sequence[dict[str, Any]]
) -> None:
    again = alerts_of(CONFIG, live(*drifted), restored_every=3)
    assert [orjson.loads(alert) for alert in again] == told


def test_an_alert_that_corrections_make_untrue_is_taken_back_under_its_own_id() -> None:
    predictions, labels = feed(np.random.default_rng(2), corrected=True)
    alerts = [orjson.loads(one) for one in alerts_of(CONFIG, live(predictions, labels), restored_every=20)]
    by_status = {
        status: [alert["id"] for alert in alerts if alert["check"] == "quality" and alert["status"] == status]
        for status in ("firing", "retracted")
    }
    assert by_status["firing"]
    assert sorted(by_status["retracted"]) == sorted(by_status["firing"])
    assert all("no longer worse" in one["summary"] for one in alerts if one["status"] == "retracted")
