"""What a configuration told of a history that was healthy: every alert is false, and few are allowed."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.special import gammaincinv

from stream_monitor.config import Budget
from stream_monitor.detectors import Scan
from stream_monitor.monitor import Monitor
from stream_monitor.trials.verdict import PAGE, WEEK_MS, Told

LEVEL = 0.95


@dataclass(frozen=True, slots=True)
class Raised:
    """Of one model: alerts by check, how many of them are pages, and how many its scans were
    allowed in the ``weeks`` that they watched; None where no scan did. That follows from the ``budget``.
    """

    model: str
    checks: Counter[str]
    pages: int
    allowed: float | None
    weeks: float
    budget: Budget

    @property
    def alerts(self) -> int:
        return self.checks.total()

    @property
    def interval(self) -> tuple[float, float]:
        """Of the number of alerts in as long a time, LEVEL."""
        return poisson_interval(self.alerts)

    @property
    def over(self) -> bool:
        """Whether more were raised than chance makes of what is allowed."""
        return self.allowed is not None and self.interval[0] > self.allowed


def raised(monitor: Monitor, alerts: Sequence[Told]) -> list[Raised]:
    """By model, those too that told nothing."""
    checks: defaultdict[str, Counter[str]] = defaultdict(Counter)
    pages: Counter[str] = Counter()
    for alert in alerts:
        checks[alert.model][alert.check] += 1
        pages[alert.model] += alert.severity == PAGE
    allowed, weeks = dict[str, float](), dict[str, float]()
    for stream, subject in monitor.decider.subjects():
        for watch in subject.watches:
            for scan, _ in watch.detectors:
                if isinstance(scan, Scan) and scan.signals:
                    model = stream.model
                    often = float((scan.watched / scan.run_length).sum())
                    allowed[model] = allowed.get(model, 0.0) + often
                    slices = float((scan.watched / np.maximum(scan.busy, 1e-9)).max())
                    weeks[model] = max(weeks.get(model, 0.0), slices * subject.slice_ms / WEEK_MS)
    models = sorted({*monitor.decider.models(), *checks})
    return [
        Raised(
            model,
            checks[model],
            pages[model],
            allowed.get(model),
            weeks.get(model, 0.0),
            monitor.config.model(model).budget,
        )
        for model in models
    ]


def poisson_interval(count: int, level: float = LEVEL) -> tuple[float, float]:
    """Of the mean of a Poisson variable that was ``count``, exact (Garwood, Biometrika 28, 1936).

    >>> [round(one, 2) for one in poisson_interval(3)]
    [0.62, 8.77]
    """
    tail = (1.0 - level) / 2.0
    low = float(gammaincinv(count, tail)) if count else 0.0
    return low, float(gammaincinv(count + 1, 1.0 - tail))
