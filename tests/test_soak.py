"""The soak sends what it says, and calls flat what is flat."""

from __future__ import annotations

import math
from xml.etree import ElementTree as ET

import numpy as np
import orjson
import pytest

from benchmarks import looking
from benchmarks.lines import LEFT, PANEL, RIGHT, TOP, WIDTH, Panel, picture
from benchmarks.soak import Took, drawn, figures_of, judge
from benchmarks.soak_load import Load, send
from benchmarks.trend import trend
from tests.kafka.broker import Cluster

TIMES_S = [5.0 * number for number in range(1, 121)]


def noise(seed: int, spread: float = 1.0) -> list[float]:
    """Each sample much like the one before."""
    random, value, found = np.random.default_rng(seed), 0.0, []
    for step in random.normal(0, spread, len(TIMES_S)):
        value = 0.8 * value + float(step)
        found.append(value)
    return found


def test_noise_is_flat_and_a_slope_in_it_is_not() -> None:
    flat = [trend(TIMES_S, [100 + one for one in noise(seed)], 1.0).is_flat for seed in range(100)]
    assert sum(flat) >= 97
    rising = [20 * time_s / TIMES_S[-1] for time_s in TIMES_S]
    grown = [
        trend(TIMES_S, [100 + one + up for one, up in zip(noise(seed), rising, strict=True)], 1.0)
        for seed in range(100)
    ]
    assert not any(one.is_flat for one in grown)
    assert np.mean([one.growth for one in grown]) == pytest.approx(20, rel=0.1)


def test_growth_within_the_room_is_flat_and_so_is_what_falls() -> None:
    assert trend(TIMES_S, [100 + time_s / 1_000 for time_s in TIMES_S], 1.0).is_flat
    assert not trend(TIMES_S, [100 + time_s / 100 for time_s in TIMES_S], 1.0).is_flat
    assert trend(TIMES_S, [100 - time_s / 100 for time_s in TIMES_S], 1.0).is_flat


def test_too_few_samples_are_not_judged() -> None:
    with pytest.raises(ValueError, match="expected at least 12 samples to judge, got 3"):
        trend([1, 2, 3, 4], [1.0, 1.0, math.nan, 1.0], 1.0)


def samples(leak: float = 0.0) -> list[Took]:
    found = []
    for time_s, one in zip(TIMES_S, noise(3, 0.1), strict=True):
        sample = {"store_mib": 50 + one, "log_mib": time_s, "alert_s": 1.0, "machine_cpu": 1.0}
        for role in ("observe", "join", "decide"):
            sample |= {f"{role}_{what}": 1.0 for what in ("cpu", "aborts", "handles", "commit_ms")}
            sample[f"{role}_rss_mib"] = 200 + one + leak * time_s
        found.append(Took(time_s, sample | {"observe_lag": 10.0, "join_lag": 10.0}))
    return found


def test_only_the_role_that_leaks_grows_and_logs_are_not_judged() -> None:
    calm = judge(samples(), 1_000, 300)
    assert all(one.is_flat for one in calm.values())
    assert "log_mib" not in calm
    leaking = samples()
    for one, other in zip(leaking, samples(leak=0.05), strict=True):
        one.sample["join_rss_mib"] = other.sample["join_rss_mib"]
    trends = judge(leaking, 1_000, 300)
    assert [name for name, one in trends.items() if not one.is_flat] == ["join_rss_mib"]
    figures = figures_of(leaking, trends, [1.0, 2.0, 3.0], 10)
    assert figures["flat"] == 0
    assert figures["alert_s_p50"] == 2
    assert figures["join_rss_mib_growth"] == pytest.approx(15, rel=0.1)
    assert ">grows<" in drawn(leaking, trends, 10, 1_000)


def test_a_picture_stays_in_its_panels() -> None:
    series = {"a": [1.0, 1e9, math.nan, 2.0], "b < c": [3.0, 3.0, 3.0, 3.0]}
    root = ET.fromstring(picture("title", [0, 60, 120, 180], [Panel("one", series)], 90))
    lines = [one.get("points", "") for one in root.iter() if one.tag.endswith("polyline")]
    assert len(lines) == 2
    points = [tuple(map(float, point.split(","))) for line in lines for point in line.split()]
    assert len(points) == 7
    assert all(LEFT <= x <= WIDTH - RIGHT and TOP <= y <= TOP + PANEL for x, y in points)


def test_the_load_sends_all_events_and_a_label_for_half_of_them(kafka: Cluster) -> None:
    predictions, labels = (kafka.create_topic(kafka.unique(name), 2) for name in ("predictions", "labels"))
    load = Load(kafka.bootstrap, predictions, labels, rate=500, seconds=6, delay_s=2, behind_s=10, calm_s=2)
    sent = send(load)
    events = [orjson.loads(one.value() or b"") for one in looking.read(kafka.bootstrap, predictions)]
    assert len(events) == sent["predictions"] == 3_000
    assert len({event["prediction_id"] for event in events}) == 3_000
    assert {len(event["features"]) for event in events} <= {19, 20}
    times = sorted({event["ts"] for event in events})
    assert times[-1] - times[0] == pytest.approx(6_000 - 50, abs=1)
    by_id = {event["prediction_id"]: event["ts"] for event in events}
    said = [orjson.loads(one.value() or b"") for one in looking.read(kafka.bootstrap, labels)]
    assert len(said) == sent["labels"]
    assert 0.3 < len(said) / len(events) < 0.5
    assert all(900 < label["ts"] - by_id[label["prediction_id"]] <= 2_100 for label in said)


def test_only_probes_change_and_one_after_the_other(kafka: Cluster) -> None:
    predictions, labels = (kafka.create_topic(kafka.unique(name), 2) for name in ("predictions", "labels"))
    load = Load(
        kafka.bootstrap,
        predictions,
        labels,
        4_000,
        12,
        2,
        behind_s=20,
        models=1,
        probes=2,
        probe_s=2,
        calm_s=2,
    )
    send(load)
    means: dict[tuple[str, int], list[float]] = {}
    begin = None
    for message in looking.read(kafka.bootstrap, predictions):
        event = orjson.loads(message.value() or b"")
        begin = event["ts"] if begin is None else min(begin, event["ts"])
        means.setdefault((event["model"], event["ts"]), []).append(event["outputs"]["score"])
    assert begin is not None

    def shifted(model: str, from_s: float, to_s: float) -> bool:
        found = [
            score
            for (of, at), scores in means.items()
            if of == model and from_s <= (at - begin) / 1000 < to_s
            for score in scores
        ]
        return float(np.mean(found)) > 0.33

    assert not any(shifted(model, 0, 2) for model in ("model-0", "model-1", "model-2"))
    assert not shifted("model-0", 2, 12)
    assert [shifted("model-1", at, at + 4) for at in (2, 6)] == [True, False]
    assert [shifted("model-2", at, at + 4) for at in (2, 6)] == [False, True]
