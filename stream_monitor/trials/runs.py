"""A history through the monitor, once for each configuration: side by side where there are cores for it."""

from __future__ import annotations

import multiprocessing
import os
import signal
from argparse import Namespace
from collections.abc import Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

from stream_monitor.config import load_config
from stream_monitor.errors import InputError
from stream_monitor.events import Source
from stream_monitor.monitor import Monitor
from stream_monitor.sources.replay import check_input, monitored
from stream_monitor.trials.verdict import History, Told


@dataclass(frozen=True, slots=True)
class Run:
    """What one configuration told. ``signals``: (model, name) of all that it watched or learned."""

    history: History
    alerts: Sequence[Told]
    signals: frozenset[tuple[str, str]]


def runs(configs: Sequence[Path], args: Namespace, processes: int) -> list[Run]:
    """One a configuration, in their order: the same for any number of processes.

    ``args`` name the input (see ``replay.add_input``). Raises what a run raises.
    """
    if min(processes, len(configs)) <= 1:
        return [run(path, args) for path in configs]
    # A process that was forked would share the threads of a Kafka client, and not their locks.
    spawn = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(min(processes, len(configs)), spawn, _quietly) as pool:
        return list(pool.map(run, configs, [args] * len(configs)))


def cores() -> int:
    """How many this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def run(path: Path, args: Namespace) -> Run:
    """Raises ConfigError, ReferenceFileError, and InputError where the input cannot be read or is empty."""
    monitor, alerts = replayed(path, args)
    return Run(history_of(monitor), alerts, _signals(monitor))


def replayed(
    path: Path, args: Namespace, min_effects: Mapping[str, Mapping[str, float]] | None = None
) -> tuple[Monitor, list[Told]]:
    """The monitor of a configuration at the end of the input, and what it told; ``min_effects``: of models
    that are to have others than configured."""
    config = load_config(path)
    for model, effects in (min_effects or {}).items():
        config = config.with_model(model, {"min_effect": effects})
    check_input(args, config)
    alerts = list[Told]()
    with ExitStack() as stack:
        monitor, steps = monitored(config, args, stack)
        for some in steps:
            # That an earlier alert no longer holds is no alert.
            alerts += [Told.of(one, monitor.config) for one in some if not one.finding.retracted]
        return monitor, alerts


def history_of(monitor: Monitor) -> History:
    """What a monitor has read. InputError where that is no event."""
    first = monitor.decider.first()
    clocks = [monitor.clock(source) for source in monitor.sources if _of_predictions(monitor, source)]
    last = max((clock for clock in clocks if clock is not None), default=None)
    if first is None or last is None:
        raise InputError("expected events in the history, got none that could be attributed to a model")
    return History(first, last, monitor.rows - monitor.label_rows)


def _of_predictions(monitor: Monitor, source: Source) -> bool:
    return source.topic in monitor.config.predictions.topics


def _signals(monitor: Monitor) -> frozenset[tuple[str, str]]:
    subjects = monitor.decider.subjects()
    return frozenset((stream.model, name) for stream, subject in subjects for name in subject.names)


def _quietly() -> None:
    """Let Ctrl-C end a child without a traceback: the parent says what there is to say."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)
