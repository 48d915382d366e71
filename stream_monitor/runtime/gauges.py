"""What a share is shown as in the metrics."""

from __future__ import annotations

import time
from collections import Counter

from stream_monitor.metrics import Metrics
from stream_monitor.runtime.share import Share

VERDICTS = ("duplicate", "gap", "mismatch")
LISTS_INTERVAL_S = 10.0


class Gauges:
    """Moves the metrics by what a share's counters moved since it was last shown."""

    def __init__(self, metrics: Metrics) -> None:
        self._metrics = metrics
        self._shown: dict[int, Counter[str]] = {}
        self._listed_s: dict[int, float] = {}

    def show(self, share: Share) -> None:
        metrics, decider, label = self._metrics, share.decider, str(share.partition)
        metrics.open_slices.labels(label).set(decider.open_slices())
        watermark = decider.watermark()
        if watermark is not None:
            metrics.watermark_seconds.labels(label).set(watermark / 1000)
        if share.saved:
            oldest_s = min(saved.at_s for saved in share.saved.values())
            metrics.snapshot_age_seconds.labels(label).set(time.monotonic() - oldest_s)
        self._count(share)
        if time.monotonic() - self._listed_s.get(share.partition, -LISTS_INTERVAL_S) >= LISTS_INTERVAL_S:
            self._listed_s[share.partition] = time.monotonic()
            metrics.learning_signals.labels(label).set(sum(map(len, decider.learning().values())))
            metrics.unwatchable_signals.labels(label).set(sum(map(len, decider.unwatchable().values())))

    def restored(self, share: Share) -> None:
        """What the replay counted was counted before."""
        self._shown[share.partition] = share.decider.counters.copy()

    def _count(self, share: Share) -> None:
        counters = share.decider.counters
        new = counters - self._shown.get(share.partition, Counter())
        self._shown[share.partition] = counters.copy()
        metrics = self._metrics
        metrics.closed_slices.inc(new["slices_closed"])
        metrics.late_rows.labels("late").inc(new["rows_late"])
        metrics.late_rows.labels("idle").inc(new["rows_late_idle"])
        metrics.late_rows.labels("closed").inc(new["rows_after_close"])
        metrics.mismatched_shape_rows.inc(new["rows_of_other_shape"])
        for verdict in VERDICTS:
            metrics.ledger_verdicts.labels(verdict).inc(new[f"flushes_{verdict}"])

    def forget(self, partition: int) -> None:
        self._shown.pop(partition, None)
        self._metrics.forget_partition(partition)
