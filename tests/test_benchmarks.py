"""The benchmarks read what they say they do, all of it, and their figures follow from the runs.

No test here looks at how long anything took.
"""

from __future__ import annotations

import io
import json
import platform
import subprocess
import sys
from collections import Counter
from pathlib import Path
from typing import Any
from xml.etree import ElementTree as ET

import numpy as np
import orjson
import pytest
from rich.console import Console

from benchmarks import bars, compare, results
from benchmarks.contenders import NAIVE_EVENTS_MAX
from benchmarks.cores import BROKER_CORES, WORKER_CORES, pinned
from benchmarks.generator import DRIFTING, JITTER_MS, SIZE_MAX, SIZE_MIN, START_MS, Workload
from benchmarks.labels import DELAY_MS, Labels
from benchmarks.runs import Run
from benchmarks.throughput import DEFAULTS, Topics, one_round
from tests.kafka.broker import Cluster

EVENTS = 20_000


@pytest.fixture(scope="module")
def workload() -> Workload:
    return Workload(EVENTS, seed=7, rate=200)


@pytest.fixture(scope="module")
def values(workload: Workload) -> list[bytes]:
    return [value for chunk in workload.chunks() for value in chunk.values]


@pytest.fixture(scope="module")
def events(values: list[bytes]) -> list[dict[str, Any]]:
    return [orjson.loads(value) for value in values]


def test_events_are_distinct_and_of_the_stated_size(
    values: list[bytes], events: list[dict[str, Any]]
) -> None:
    assert len(values) == len({event["prediction_id"] for event in events}) == EVENTS
    assert len({tuple(event["features"].items()) for event in events}) == EVENTS
    assert min(map(len, values)) >= SIZE_MIN
    assert max(map(len, values)) <= SIZE_MAX


def test_events_have_twenty_features_of_which_some_are_missing(events: list[dict[str, Any]]) -> None:
    seen = Counter(len(event["features"]) for event in events)
    assert set(seen) == {20, 19}
    assert 0.01 < seen[19] / EVENTS < 0.03
    assert 0.02 < sum(event["features"]["income"] is None for event in events) / EVENTS < 0.04
    assert all(set(event["outputs"]) == {"score", "class"} for event in events)


def test_the_seed_decides_everything(workload: Workload, values: list[bytes]) -> None:
    again = [value for chunk in Workload(EVENTS, seed=7, rate=200).chunks() for value in chunk.values]
    assert again == values
    other = next(Workload(EVENTS, seed=8, rate=200).chunks())
    assert not set(other.values) & set(values)
    assert workload.change_ms == START_MS + 60_000


def test_event_time_advances_at_the_stated_rate(workload: Workload, events: list[dict[str, Any]]) -> None:
    times = np.array([event["ts"] for event in events])
    due = START_MS + np.arange(EVENTS) * 1000 // 200
    assert ((times >= due) & (times < due + JITTER_MS)).all()
    chunked = [time for chunk in workload.chunks() for time in chunk.times]
    assert chunked == times.tolist()


def test_only_the_stated_signals_change_and_only_at_the_stated_time(
    workload: Workload, events: list[dict[str, Any]]
) -> None:
    """A change by more than six standard errors: nothing else has one, nor have these before."""
    moved = {name for name in _signals(events) if abs(_step(events, name, workload.change_ms)) > 6}
    assert moved == DRIFTING
    calm = [event for event in events if event["ts"] < workload.change_ms]
    middle = (START_MS + workload.change_ms) // 2
    assert not {name for name in _signals(events) if abs(_step(calm, name, middle)) > 6}


def _signals(events: list[dict[str, Any]]) -> dict[str, Any]:
    return {**events[0]["features"], **events[0]["outputs"]}


def _step(events: list[dict[str, Any]], name: str, at: int) -> float:
    """t statistic; of a category the indicator of its most frequent value."""
    values = [{**event["features"], **event["outputs"]}.get(name) for event in events]
    if any(isinstance(value, str) for value in values):
        common = Counter(values).most_common(1)[0][0]
        values = [float(value == common) for value in values]
    numbers = np.array([np.nan if value is None else value for value in values], float)
    later = np.array([event["ts"] >= at for event in events])
    before, after = (part[~np.isnan(part)] for part in (numbers[~later], numbers[later]))
    error = np.sqrt(before.var() / len(before) + after.var() / len(after))
    return float((after.mean() - before.mean()) / error)


def test_contenders_run_where_they_are_said_to() -> None:
    with pinned(WORKER_CORES):
        assert _cores_of_a_child() == sorted(WORKER_CORES)
    assert _cores_of_a_child() == sorted(WORKER_CORES | BROKER_CORES)


def _cores_of_a_child() -> Any:
    code = "import os; print(sorted(os.sched_getaffinity(0)))"
    done = subprocess.run([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True, check=True)
    return json.loads(done.stdout)


def test_the_peak_of_memory_is_that_of_the_contender_and_not_of_who_started_it() -> None:
    ballast = bytearray(300 * 2**20)
    code = "from benchmarks.runs import Mark; print(Mark.now().until_now('some', 1).rss_mib)"
    done = subprocess.run([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True, check=True)
    assert 1 < float(done.stdout) < len(ballast) / 2**20


def _run(contender: str, events: int, wall_s: float, cpu_s: float, **more: Any) -> Run:
    return Run(contender, events, wall_s, cpu_s, 100.0, more)


def test_figures_are_medians_over_rounds_and_ratios_of_medians() -> None:
    of_pipeline = {"observe_cpu_s": 3.0, "decide_cpu_s": 1.0, "alerts": ["a", "b"]}
    runs = [
        *(_run("pipeline", 1000, wall_s, 4.0, **of_pipeline) for wall_s in (5.0, 4.0, 10.0)),
        *(_run("limit", 1000, wall_s, 2.0) for wall_s in (2.0, 2.5, 1.0)),
        *(_run("naive", 50, 5.0, 5.0) for _ in range(3)),
        _run("quixstreams", 50, 10.0, 10.0),
        _run("pipeline_labels", 1000, 8.0, 8.0),
        _run("pipeline_40k", 1000, 2.5, 4.0),
        _run("limit_labels", 1000, 4.0, 4.0),
    ]
    figures = results.throughput_figures(runs)
    assert figures["events_per_s"] == 200
    assert figures["events_per_s_spread"] == 0.75
    assert figures["ratio_limit"] == 0.4
    assert figures["ratio_naive"] == 20
    assert figures["ratio_limit_labels"] == 0.5
    assert figures["ratio_limit_40k"] == 0.8
    assert figures["ratio_cpu_limit_40k"] == 0.5
    assert figures["ratio_quixstreams"] == 40
    assert figures["cpu_us"] == 4000
    assert figures["observe_cpu_us"] == 3000
    assert figures["decide_cpu_us"] == 1000
    assert figures["ratio_cpu_limit"] == 0.5
    assert figures["alerts"] == 2
    assert figures["limit_events_per_s"] == 500


def test_results_have_the_form_of_every_section_and_do_not_tell_where_they_are_from(tmp_path: Path) -> None:
    path = results.save("some", {"speed": 2.0}, {"rounds": 1}, [[_run("limit", 1, 1.0, 1.0)]], tmp_path)
    text = path.read_text()
    saved = json.loads(text)
    assert path == tmp_path / "some.json"
    assert saved["section"] == "some"
    assert saved["figures"] == {"speed": 2.0}
    assert saved["rounds"][0][0]["contender"] == "limit"
    assert saved["machine"]["cores"] >= 1
    assert {"python", "librdkafka", "kafka", "stream-monitor"} <= set(saved["versions"])
    for secret in (platform.node(), str(Path.home()), str(Path.cwd())):
        assert f'"{secret}' not in text


def test_labels_are_one_for_each_event_with_its_key(workload: Workload, events: list[dict[str, Any]]) -> None:
    chunks = list(Labels(workload).chunks())
    labels = [orjson.loads(value) for chunk in chunks for value in chunk.values]
    ids = [one["prediction_id"] for one in events]
    assert [one["prediction_id"] for one in labels] == ids
    assert [key.decode() for chunk in chunks for key in chunk.keys] == ids
    assert {one["label"] for one in labels} == {"0", "1"}
    assert all(label["ts"] - event["ts"] == DELAY_MS for label, event in zip(labels, events, strict=True))


def test_figures_of_other_sections_are_told_with_those_of_throughput(tmp_path: Path) -> None:
    results.gather(tmp_path)
    assert list(tmp_path.iterdir()) == []
    results.save("models", {"rss_mib": 200.0, "other": 1.0}, {}, [], tmp_path)
    path = results.save("throughput", {"ratio_limit": 1.0}, {}, [], tmp_path)
    results.gather(tmp_path)
    assert json.loads(path.read_text())["figures"] == {"ratio_limit": 1.0, "rss_mib": 200.0}


def test_a_comparison_names_ratios_and_what_else_differs() -> None:
    console = Console(record=True, width=120, file=io.StringIO())
    now = {"section": "some", "machine": {"cores": 2}, "versions": {}, "settings": {}}
    compare.show({**now, "figures": {"speed": 2.0}}, {**now, "figures": {"speed": 3.0}}, console)
    other = {**now, "machine": {"cores": 4}}
    compare.show({**other, "figures": {"old": 2.0}}, {**now, "figures": {"new": 1.0}}, console)
    text = console.export_text()
    assert "1.500" in text
    assert "machine.cores: 4 then, 2 now" in text


def test_the_picture_has_a_bar_a_contender_as_long_as_its_median() -> None:
    drawn = [bars.Bar("slow", [50.0, 40.0, 60.0]), bars.Bar("fast", [100.0], ours=True)]
    svg = bars.picture("Speed", "a < b", drawn)
    found = ET.fromstring(svg).iter("{http://www.w3.org/2000/svg}rect")
    widths = {one.get("fill"): float(one.get("width", 0)) for one in found}
    assert widths[bars.COLOR] == pytest.approx(widths[bars.OURS] / 2)
    assert svg.index("fast") < svg.index("slow")


def test_every_contender_reads_all_events_and_the_pipeline_alerts_the_injected_changes(
    kafka: Cluster, workload: Workload, tmp_path: Path
) -> None:
    topics = Topics.filled(kafka, workload)
    runs = {run.contender: run for run in one_round(kafka, topics, EVENTS, DEFAULTS, tmp_path)}
    assert set(runs) == {"c_limit", "limit", "limit_labels", "core", "pipeline", "pipeline_labels", "naive"}
    assert {name: run.events for name, run in runs.items()} == {
        **dict.fromkeys(runs, EVENTS),
        "naive": min(EVENTS, NAIVE_EVENTS_MAX),
    }
    assert runs["naive"].more["signals"] == 17
    for name in ("pipeline", "pipeline_labels"):
        alerted = set(runs[name].more["alerts"])
        assert {"amount", "channel", "score"} <= alerted
        assert runs[name].wall_s > 0
    assert set(runs["pipeline"].more["alerts"]) <= DRIFTING
    # How much is not asked: so few events may be joined before the harness sees that the worker is ready.
    assert {"join_cpu_s", "join_rss_mib"} <= set(runs["pipeline_labels"].more)
