"""Calibrate: what a configuration costs on a healthy history, and that what it says it sees it does see."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import orjson
import pytest
import yaml
from scipy.signal import lfilter
from scipy.stats import poisson

from stream_monitor import cli
from stream_monitor.config import Budget, MinEffect
from stream_monitor.config.values import DAY_MS
from stream_monitor.monitor import Monitor
from stream_monitor.trials.healthy import Raised, poisson_interval
from stream_monitor.trials.settling import fields_of, raised_min_effect
from stream_monitor.trials.verdict import Told
from tests.test_replay import write

START, SLICE_MS, EVENTS = 1_767_225_600_000, 10_000, 6
LEARNED = 1_200
"""Slices: more than are learned from."""
HOUR = 360
Event = dict[str, Any]


def events(slices: int, *, x: float = 0.0, since: int = 0) -> list[Event]:
    """``x`` is the shift of x from the slice ``since`` on, in standard deviations; ``slow`` remembers."""
    random = np.random.default_rng(1)
    level = lfilter([1], [1, -0.9], random.normal(size=slices))
    found = []
    for number in range(slices):
        for one in range(EVENTS):
            features = {
                "x": random.normal(50, 5) + (5 * x if number >= since else 0.0),
                "c": "abd"[random.integers(3)],
                "slow": float(level[number]) + random.normal(),
            }
            time = START + number * SLICE_MS + one
            found.append({"prediction_id": f"{number}.{one}", "model": "m", "ts": time, "features": features})
    return found


def config(detector: str) -> dict[str, Any]:
    model = {"slice": "10s", "learn": "2h", "detectors": [detector]}
    return {"predictions": {"topics": ["t"]}, "models": {"*": model}}


def restless() -> list[Event]:
    """After two hours the level of x moves by itself, and comes back, an hour each time."""
    levels = (0, 0, 2.5, 0, -3, 0, 2, 0, -2.5, 0)
    found = events(HOUR * len(levels))
    for number, event in enumerate(found):
        event["features"]["x"] += levels[number // (HOUR * EVENTS)]
        del event["features"]["slow"]
    return found


def calibrate(folder: Path, found: list[Event], detector: str) -> tuple[dict[str, Any], str]:
    """The report for programs, and as Markdown."""
    path = folder / "monitor.yaml"
    path.write_text(yaml.safe_dump(config(detector)))
    file, reports = write(folder / "f.jsonl", found), [folder / "r.json", folder / "r.md"]
    command = ["calibrate", file, "--config", path, "--json", reports[0], "--out", reports[1]]
    command += [part for span in ("1d", "5s", "1h") for part in ("--within", span)]
    assert cli.main([*map(str, command)]) == 0
    return orjson.loads(reports[0].read_bytes()), reports[1].read_text()


@pytest.fixture(scope="module")
def report(tmp_path_factory: pytest.TempPathFactory) -> tuple[dict[str, Any], str]:
    return calibrate(tmp_path_factory.mktemp("healthy"), events(LEARNED + HOUR), "scan")


def test_alerts_are_held_against_what_the_thresholds_allow(report: tuple[dict[str, Any], str]) -> None:
    (model,) = report[0]["models"]
    assert model["alerts"] == sum(model["checks"].values())
    low, high = model["interval"]
    assert low <= model["alerts"] <= high
    a_week = model["allowed"] / model["weeks_watched"]
    assert model["budget"] == {"false_alarms": 1.0, "per_ms": 7 * DAY_MS}
    assert 0.8 < a_week < 1.05
    assert 0 < model["weeks_watched"] < report[0]["history"]["weeks"]
    assert not model["over"]


def test_more_time_and_less_certainty_see_smaller_shifts(report: tuple[dict[str, Any], str]) -> None:
    seen = {one["signal"]: one for one in report[0]["signals"]}
    assert {name: one["unit"] for name, one in seen.items()} == {"c": "share", "slow": "sd", "x": "sd"}
    for name in ("c", "x"):
        within_a_slice, (half, most), (half_in_a_day, most_in_a_day) = seen[name]["shifts"]
        assert within_a_slice == [None, None]
        assert 0 < half_in_a_day < half < most
        assert half_in_a_day < most_in_a_day < most


def test_a_signal_that_sees_nothing_useful_is_named(report: tuple[dict[str, Any], str]) -> None:
    said, markdown = report
    assert [one["signal"] for one in said["signals"] if one["blind"]] == ["slow"]
    assert next(line for line in markdown.splitlines() if "m: slow |" in line).endswith("| BLIND SPOT |")
    assert any(line.startswith("- blind spots (") and "m: slow" in line for line in markdown.splitlines())


def test_the_shift_that_is_named_is_found_in_an_hour_and_the_half_of_it_is_not(
    report: tuple[dict[str, Any], str],
) -> None:
    of_x = next(one for one in report[0]["signals"] if one["signal"] == "x")
    shift = of_x["shifts"][1][1]
    found = []
    for part in (1.0, 0.5):
        monitor = Monitor(config("scan"))
        stream = events(LEARNED + HOUR, x=part * shift, since=LEARNED)
        alerts = [*monitor.update(stream), *monitor.close()]
        found.append([alert.finding.signal for alert in alerts if alert.finding.since >= START])
    assert "x" in found[0]
    assert "x" not in found[1]


def test_what_is_still_learned_is_a_blind_spot_and_without_a_scan_nothing_is_claimed(
    tmp_path: Path,
) -> None:
    few = events(100)
    said, _ = calibrate(tmp_path, few, "scan")
    assert {one["blind"] for one in said["signals"]} == {"it is still being learned"}
    long = events(LEARNED)
    said, markdown = calibrate(tmp_path, long, "adwin")
    assert said["signals"] == []
    assert said["models"][0]["allowed"] is None
    assert "no scan watches" in markdown


def test_over_is_more_than_chance_makes_of_what_is_allowed() -> None:
    assert Raised("m", Counter(drift=10), 10, 2.0, 1.0, Budget()).over
    assert not Raised("m", Counter(drift=3), 3, 2.0, 1.0, Budget()).over
    assert not Raised("m", Counter(drift=10), 10, None, 0.0, Budget()).over


@pytest.mark.parametrize("count", [0, 1, 7, 100])
def test_the_interval_leaves_out_a_fortieth_on_each_side(count: int) -> None:
    low, high = poisson_interval(count)
    assert poisson.cdf(count, high) == pytest.approx(0.025)
    assert low == 0.0 if count == 0 else poisson.sf(count - 1, low) == pytest.approx(0.025)


def test_minimum_effects_are_found_that_hold_the_budget_where_a_level_moves_by_itself(tmp_path: Path) -> None:
    found = restless()
    report, text = calibrate(tmp_path, found, "scan")
    (model,) = report["models"]
    assert model["over"]
    settled = model["settled"]
    assert not settled["over"]
    assert settled["min_effect"].keys() <= {"location", "shape", "rate"}
    assert settled["min_effect"]["location"] > MinEffect().location
    quieter = config("scan")
    quieter["models"]["m"] = {"min_effect": settled["min_effect"]}
    monitor = Monitor(quieter)
    alerts = [*monitor.update(found), *monitor.close()]
    assert len(alerts) == settled["alerts"] < model["alerts"]
    (said,) = (line for line in text.splitlines() if "min_effect" in line)
    assert said.startswith("- m with `min_effect: {location: ")
    assert said.endswith("no more than chance makes of what is allowed")


def test_the_season_that_was_learned_is_said(tmp_path: Path) -> None:
    random, found = np.random.default_rng(4), list[Event]()
    for hour in range(20 * 24):
        for one in range(20):
            features = {
                "day": random.normal() + float(np.sin(2 * np.pi * hour / 24)),
                "shift": random.normal() + float(np.sin(2 * np.pi * hour / 31)),
                "none": random.normal(),
            }
            found.append({"model": "m", "ts": START + hour * 3_600_000 + one, "features": features})
    path, out = tmp_path / "monitor.yaml", tmp_path / "r.json"
    model = {"slice": "1h", "learn": "16d"}
    path.write_text(yaml.safe_dump({"predictions": {"topics": ["t"]}, "models": {"*": model}}))
    file = write(tmp_path / "f.jsonl", found)
    assert cli.main(["calibrate", str(file), "--config", str(path), "--json", str(out)]) == 0
    signals = orjson.loads(out.read_bytes())["signals"]
    assert {one["signal"]: one["season_hours"] for one in signals} == {"day": 24, "none": None, "shift": 31}


def test_where_the_budget_is_held_nothing_is_settled(report: tuple[dict[str, Any], str]) -> None:
    assert [model["settled"] for model in report[0]["models"]] == [None]
    assert "min_effect" not in report[1]


@pytest.mark.parametrize(
    ("score", "names"),
    [
        (("drift", "location", "rank"), ["location"]),
        (("drift", "location", "sd"), ["location"]),
        (("drift", "location", "share"), ["location", "share"]),
        (("drift", "spread", "rank"), ["shape"]),
        (("drift", "above_maximum", "share"), ["rate"]),
        (("drift", "share of 'a'", "share"), ["share"]),
        (("missing", "missing", "share"), ["rate"]),
    ],
)
def test_each_score_is_settled_by_what_it_is_held_against(
    score: tuple[str, str, str], names: list[str]
) -> None:
    check, name, unit = score
    told = Told("i", "m", "feature", "x", check, "page", 0, 0, 1, "", name, unit, -0.3, 0.1)
    assert fields_of(told) == names
    of = Raised("m", Counter({check: 4}), 4, 1.0, 1.0, Budget())
    now = MinEffect().model_dump()
    assert raised_min_effect(of, [told] * 4, now) == dict.fromkeys(names, 0.38)
    assert raised_min_effect(of, [told] * 4, now | {"location": 0.4}) == dict.fromkeys(
        [name for name in names if name != "location"], 0.38
    )
