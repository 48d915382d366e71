"""The sections of models, scaling and latency do what they say, at tiny sizes.

No test here looks at how long anything took.
"""

from __future__ import annotations

import io
import json
from pathlib import Path

import numpy as np
import orjson
import pytest
from rich.console import Console

from benchmarks import environments, latency, loading, models, scaling, statistics
from benchmarks.flipping import Rhythm
from benchmarks.generator import START_MS, Workload
from benchmarks.mixes import Mixed, names
from benchmarks.runs import Run
from benchmarks.stages_of_alerts import Latency
from stream_monitor.load.events import Mix
from tests.kafka.broker import Broker, Cluster


def test_a_mixed_workload_has_its_events_at_its_rate_and_drifts_where_it_says() -> None:
    workload = Mixed(2_000, Mix(1, names(3)), rate=100)
    chunks = list(workload.chunks())
    events = [orjson.loads(value) for chunk in chunks for value in chunk.values]
    assert len({event["prediction_id"] for event in events}) == 2_000
    assert [event["ts"] for event in events] == [START_MS + one * 10 for one in range(2_000)]
    assert {event["model"] for event in events} == {"load-0", "load-1", "load-2"}
    scores = np.array([event["outputs"]["score"] for event in events])
    assert scores[1_200:].mean() - scores[:1_200].mean() > 0.05
    assert abs(scores[:600].mean() - scores[600:1_200].mean()) < 0.05


def test_models_flip_one_after_the_other_and_none_while_it_learns() -> None:
    rhythm, passed_ms = Rhythm(models=4, learn_s=10, period_s=8), np.arange(0, 60_000, 1_000)
    drifted = [rhythm.drifted(passed_ms, np.full(60, model)).nonzero()[0].tolist() for model in range(4)]
    assert drifted[0] == [*range(10, 18), *range(26, 34), *range(42, 50), *range(58, 60)]
    assert [seconds[0] for seconds in drifted] == [10, 14, 18, 22]


def test_a_case_is_measured_with_its_models_features_and_segments(tmp_path: Path) -> None:
    case = models.Case(models.BASE, models=2, features=8, categories=2, segments=3, partitions=2)
    path = models.run(4_000, 1, tmp_path, Console(file=io.StringIO()), [case])
    saved = json.loads(path.read_text())
    ((run,),) = saved["rounds"]
    assert (run["contender"], run["events"]) == (models.BASE, 4_000)
    assert saved["figures"]["base_ratio"] == 1
    assert case.settings(case.workload(4_000)) == {
        "learn": "6s",
        "segments": ["category_6"],
        "max_signals": 256,
        "slice": "1s",
    }


def test_of_a_workload_with_late_events_every_so_many_th_is_a_minute_old() -> None:
    chunks = list(Mixed(1_000, Mix(1, names(1)), rate=100, late=4).chunks())
    times = [orjson.loads(value)["ts"] for chunk in chunks for value in chunk.values]
    expected = [START_MS + one * 10 - 60_000 * (one % 4 == 3) for one in range(1_000)]
    assert times == expected


def test_two_workers_read_all_events(own_broker: Broker, tmp_path: Path) -> None:
    run = scaling.read_by(2, own_broker, scaling.pid_of(own_broker), Workload(4_000), tmp_path)
    assert (run.contender, run.events) == ("observe_2", 4_000)
    assert all(rate > 0 for rate in run.more["each_events_per_s"])


def test_a_rate_is_that_between_commits_without_the_part_of_an_interval_at_the_end() -> None:
    steps = scaling.Steps([(0, 0)])
    for at_s, committed in [(0.5, 0), (1, 50), (1.5, 50), (2, 150), (3, 250), (4, 350), (5, 360)]:
        steps.add(at_s, committed)
    assert steps.rate == 100


def test_the_rate_of_a_worker_that_was_done_at_once_is_from_its_begin_on() -> None:
    steps = scaling.Steps([(1, 0)])
    steps.add(3, 500)
    assert steps.rate == 250


def test_scaling_is_by_the_cores_that_the_broker_left_to_the_workers() -> None:
    found = {
        "observe_1": [Run("observe_1", 1_000, 10.0, 10.0, 1.0, {"broker_cpu_s": 1.0, "whole_s": 10.0})],
        "observe_2": [Run("observe_2", 1_000, 6.25, 10.5, 1.0, {"broker_cpu_s": 2.5, "whole_s": 6.25})],
    }
    figures = scaling.figures_of(found)
    assert figures["scaling_2_wall"] == pytest.approx(1.6)
    assert figures["scaling_2"] == pytest.approx(2.0)
    assert figures["scaling_2_cpu"] == pytest.approx(2 * 10 / 10.5)


def test_latencies_add_up_from_the_end_of_a_slice_to_its_alert(kafka: Cluster, tmp_path: Path) -> None:
    """At least one alert a model; no stage but ``decide`` can be negative, and that by clocks in ms alone."""
    rhythm = Rhythm(models=3, learn_s=4, period_s=5)
    measured = latency.measure(kafka, 1_500, 14, tmp_path, rhythm)
    assert measured.load["failed"] == 0
    assert measured.load["sent"] == pytest.approx(21_000, rel=0.01)
    assert measured.alerts >= rhythm.models
    stages = measured.stages
    assert set(stages) == {"consume", "close", "decide", "commit", "total"}
    assert all(of["p50"] <= of["p99"] <= of["p99.9"] for of in stages.values())
    assert all(of["p50"] > -0.01 for of in stages.values())


def test_capacity_is_where_observe_has_what_decide_leaves_of_a_core() -> None:
    run = Run("pipeline", 100_000, 9.0, 3.0, 100.0, {"observe_cpu_s": 0.5, "decide_cpu_s": 2.0})
    assert latency.full_at(run, seconds=10) == pytest.approx(160_000)
    with pytest.raises(RuntimeError, match="expected decide to keep up"):
        latency.full_at(run, seconds=2)


def test_percentiles_are_of_each_stage() -> None:
    stages = latency.stages_of([Latency(0.1, 0.2, 0.3, 0.4), Latency(0.3, 0.2, 0.1, 0.0)])
    assert stages["consume"]["p50"] == pytest.approx(0.2)
    assert stages["total"]["p50"] == pytest.approx(0.8)
    with pytest.raises(RuntimeError, match="expected alerts, got none"):
        latency.stages_of([])


def test_figures_of_cases_are_medians_against_the_base() -> None:
    more = {"observe_cpu_s": 2.0, "decide_cpu_s": 1.0, "observe_rss_mib": 90.0, "decide_rss_mib": 70.0}
    found = {
        "base": [Run("base", 1_000, wall_s, 3.0, 160.0, more) for wall_s in (1.0, 2.0, 9.0)],
        "memory": [Run("memory", 1_000, 4.0, 3.0, 160.0, more)],
    }
    figures = models.figures_of(found)
    assert figures["base_events_per_s"] == 500
    assert figures["memory_ratio"] == 0.5
    assert figures["memory_observe_cpu_us"] == 2000
    assert figures["rss_mib"] == 90


def test_statistics_are_of_all_rows_and_a_contender_that_cannot_be_had_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def unavailable(name: str) -> Path:
        raise environments.EnvironmentUnavailableError(f"no {name} here")

    monkeypatch.setattr(environments, "interpreter", unavailable)
    path = statistics.run(12_000, 1, tmp_path, Console(file=io.StringIO()))
    saved = json.loads(path.read_text())
    (runs,) = saved["rounds"]
    assert [(run["contender"], run["events"]) for run in runs] == [("summaries", 12_000), ("river", 12_000)]
    assert runs[1]["more"]["signals"] == 2 * 22
    assert saved["settings"]["whylogs"] == "left out: no whylogs here"
    assert set(saved["figures"]) == {"summaries_rows_per_s", "river_rows_per_s", "ratio_river"}


def test_an_environment_that_cannot_be_made_says_why(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    wanted = tmp_path / "none-requirements.txt"
    wanted.write_text("not a requirement at all\n")
    monkeypatch.setattr(environments, "CACHE", tmp_path / "cache")
    monkeypatch.setattr(environments, "requirements", lambda _name: wanted)
    python, why_not = environments.found("none")
    assert python is None
    assert why_not.startswith("left out: ")
    assert len(why_not) > len("left out: ")


@pytest.mark.parametrize("mix", ["plain", "labels_half"])
def test_a_load_is_measured_by_what_it_sent(kafka: Cluster, tmp_path: Path, mix: str) -> None:
    run = loading.send(kafka, mix, 3_000, tmp_path)
    assert run.events == 3_000
    assert run.cpu_s > 0
