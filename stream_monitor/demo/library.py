"""The demo's scenario through the library: no broker, no waiting, any number of seeds."""

from __future__ import annotations

from collections.abc import Iterator

from stream_monitor.demo.outcome import Outcome, outcome
from stream_monitor.demo.scenario import Scenario
from stream_monitor.monitor import Monitor


def run(scenario: Scenario, *, detectors: bool = True) -> Outcome:
    """One scenario from its first event to its last slice."""
    monitor = Monitor(scenario.config(detectors=detectors))
    alerts = [alert for events in scenario.seconds_of_events() for alert in monitor.update(events)]
    alerts += monitor.close()
    return outcome(scenario, [alert.to_dict() for alert in alerts])


def run_seeds(seeds: range, *, seconds: int, drift: bool, detectors: bool) -> Iterator[Outcome]:
    """One outcome a seed."""
    for seed in seeds:
        yield run(Scenario(seed, seconds, drift=drift), detectors=detectors)
