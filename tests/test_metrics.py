"""Metrics: their names are a contract with dashboards, and their number is bounded."""

from __future__ import annotations

import re

import pytest
from prometheus_client import CollectorRegistry, Gauge, generate_latest

from stream_monitor import __version__
from stream_monitor.metrics import MODELS_MAX, Metrics

UNITS = re.compile(
    r"_(records|rows|bytes|seconds|partitions|slices|signals|deltas|alerts|findings|tombstones"
    r"|aborts|rebalances|verdicts|losses|info|ratio|measure)$"
)


@pytest.fixture
def registry() -> CollectorRegistry:
    return CollectorRegistry()


@pytest.fixture
def metrics(registry: CollectorRegistry) -> Metrics:
    return Metrics(registry)


def test_every_name_has_the_prefix_and_ends_in_what_it_counts(
    registry: CollectorRegistry, metrics: Metrics
) -> None:
    names = [family.name + "_info" * (family.type == "info") for family in registry.collect()]
    assert len(names) > 20
    assert [name for name in names if not name.startswith("stream_monitor_")] == []
    assert [name for name in names if not UNITS.search(name)] == []


def test_everything_declared_is_exposed(registry: CollectorRegistry, metrics: Metrics) -> None:
    declared = [name for name in vars(metrics) if not name.startswith("_")]
    exposed = {family.name.removeprefix("stream_monitor_") for family in registry.collect()}
    assert set(declared) | {"build"} == exposed


def test_two_workers_in_one_process_count_apart() -> None:
    one, other = CollectorRegistry(), CollectorRegistry()
    Metrics(one).rejected_rows.labels("not_json").inc(3)
    Metrics(other)
    asked = ("stream_monitor_rejected_rows_total", {"reason": "not_json"})
    assert one.get_sample_value(*asked) == 3
    assert other.get_sample_value(*asked) is None


def test_the_number_of_model_labels_is_bounded_and_no_count_is_lost(
    registry: CollectorRegistry, metrics: Metrics
) -> None:
    for _ in range(2):
        for number in range(MODELS_MAX + 500):
            metrics.alerts.labels(f"model-{number}", "drift", "page").inc()
    samples = [
        sample
        for family in registry.collect()
        for sample in family.samples
        if sample.name == "stream_monitor_alerts_total"
    ]
    assert len(samples) == MODELS_MAX + 1
    by_model = {sample.labels["model"]: sample.value for sample in samples}
    assert by_model["other"] == 1000
    assert by_model["model-0"] == by_model[f"model-{MODELS_MAX - 1}"] == 2


def test_a_partition_that_is_given_up_is_no_longer_reported(
    registry: CollectorRegistry, metrics: Metrics
) -> None:
    gauges = [gauge for gauge in vars(metrics).values() if isinstance(gauge, Gauge)]
    of_partitions = [gauge for gauge in gauges if "partition" in gauge._labelnames]
    assert len(of_partitions) >= 5
    for partition in (0, 1):
        for gauge in of_partitions:
            gauge.labels(**dict.fromkeys(gauge._labelnames, "predictions") | {"partition": partition}).set(1)
    metrics.forget_source("predictions", 1)
    metrics.forget_source("never-owned", 7)
    metrics.forget_partition(1)
    text = generate_latest(registry).decode()
    assert 'partition="1"' not in text
    assert text.count('partition="0"') == len(of_partitions)


def test_the_release_is_told(registry: CollectorRegistry, metrics: Metrics) -> None:
    assert registry.get_sample_value("stream_monitor_build_info", {"version": __version__}) == 1
