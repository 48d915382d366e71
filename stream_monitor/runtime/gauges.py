"""What a share is shown as in the metrics."""

from __future__ import annotations

import time
from collections import Counter

from prometheus_client import Gauge

from stream_monitor.events import Stage, Stream
from stream_monitor.metrics import Metrics
from stream_monitor.quality.cohorts import Cohorts
from stream_monitor.runtime.share import Share

VERDICTS = ("duplicate", "gap", "mismatch")
LISTS_INTERVAL_S = 10.0
DAY_MS = 86_400_000
STREAMS_MAX = 1_000
"""Further streams have no gauges of quality."""
ROLES = ("live", "shadow")
MEASURES = {
    *("mae", "rmse", "mean_error", "mape", "above", "r2"),
    *("accuracy", "precision", "recall", "f1", "f1_macro", "log_loss", "brier", "ece", "roc_auc"),
}


class Gauges:
    """Moves the metrics by what a share's counters moved since it was last shown."""

    def __init__(self, metrics: Metrics) -> None:
        self._metrics = metrics
        self._shown: dict[int, Counter[str]] = {}
        self._listed_s: dict[int, float] = {}
        self._streams: dict[int, set[Stream]] = {}

    def show(self, share: Share) -> None:
        metrics, decider, label = self._metrics, share.decider, str(share.partition)
        metrics.open_slices.labels(label).set(decider.open_slices())
        metrics.open_label_slices.labels(label).set(decider.open_slices("join"))
        gauges: dict[Stage, Gauge] = {
            "observe": metrics.watermark_seconds,
            "join": metrics.labels_watermark_seconds,
        }
        for stage, gauge in gauges.items():
            watermark = decider.watermark(stage)
            if watermark is not None:
                gauge.labels(label).set(watermark / 1000)
        if share.saved:
            oldest_s = min(saved.at_s for saved in share.saved.values())
            metrics.snapshot_age_seconds.labels(label).set(time.monotonic() - oldest_s)
        self._count(share)
        if time.monotonic() - self._listed_s.get(share.partition, -LISTS_INTERVAL_S) >= LISTS_INTERVAL_S:
            self._listed_s[share.partition] = time.monotonic()
            metrics.learning_signals.labels(label).set(sum(map(len, decider.learning().values())))
            metrics.unwatchable_signals.labels(label).set(sum(map(len, decider.unwatchable().values())))
            self._show_quality(share)

    def _show_quality(self, share: Share) -> None:
        """Of the last day, per stream; segments are told in alerts."""
        end, shown = share.decider.watermark("join"), self._streams.setdefault(share.partition, set())
        for stream, cohorts in share.decider.cohorts():
            known = stream in shown or sum(map(len, self._streams.values())) < STREAMS_MAX
            if end is None or stream.segment or stream.role not in ROLES or not known:
                continue
            shown.add(stream)
            names = stream.model, stream.version, stream.role
            day = Cohorts({start: one for start, one in cohorts.items() if start >= end - DAY_MS}).total()
            if day.predictions:
                self._metrics.label_coverage_ratio.labels(*names).set(day.labeled / day.predictions)
            for output, measures in day.measures.items():
                figures = measures.figures()
                for name in MEASURES & figures.keys():
                    value = figures[name].value
                    if value is not None:
                        self._metrics.quality_measure.labels(*names, output, name).set(value)

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
        for stream in self._streams.pop(partition, set()):
            names = stream.model, stream.version, stream.role
            self._metrics.forget_stream(*names)
        self._metrics.forget_partition(partition)
