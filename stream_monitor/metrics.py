"""Every Prometheus metric of the package, declared in one place.

Label values are bounded: topics and partitions by the configuration, reasons and the like by closed sets
in code, model names by ``MODELS_MAX``.
"""

from __future__ import annotations

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, Info

from stream_monitor import __version__

MODELS_MAX = 1000
OTHER = "other"

_STREAM = ("model", "version", "role")
_SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30)
_RESTORE_SECONDS = (0.1, 0.5, 1, 5, 15, 60, 300, 900, 3600)


class PerModel:
    """A counter whose first label is a model: ``models_max`` of them by name, later ones all as "other"."""

    def __init__(self, counter: Counter, models_max: int = MODELS_MAX) -> None:
        self._counter = counter
        self._models_max = models_max
        self._models: set[str] = set()

    def labels(self, model: str, *others: str) -> Counter:
        if model not in self._models:
            if len(self._models) >= self._models_max:
                return self._counter.labels(OTHER, *others)
            self._models.add(model)
        return self._counter.labels(model, *others)


class Metrics:
    """The metrics of one worker process, registered with ``registry``. One instance a registry.

    A worker counts with, say, ``metrics.rejected_rows.labels(reason).inc()``. When it loses a partition it
    calls ``forget_source`` or ``forget_partition``: else two workers would report the lag of the same one.
    """

    def __init__(self, registry: CollectorRegistry) -> None:
        self._registry = registry
        self._declare_input()
        self._declare_join()
        self._declare_delivery()
        self._declare_decisions()
        self._declare_state()
        Info("stream_monitor_build", "The release that runs.", registry=registry).info(
            {"version": __version__}
        )

    def _declare_input(self) -> None:
        self.consumed_rows = self._counter("consumed_rows", "Rows read from a source topic.", "topic")
        self.rejected_rows = self._counter("rejected_rows", "Rows that could not be attributed.", "reason")
        self.late_rows = self._counter(
            "late_rows", "Rows left out of the statistics as late, by reason: late, idle, closed.", "reason"
        )
        self.skipped_tombstones = self._counter("skipped_tombstones", "Records without a value.", "topic")
        self.lag_records = self._gauge(
            "lag_records",
            "Records between the position and the end of a source partition.",
            "topic",
            "partition",
        )
        self.clock_lag_seconds = self._gauge(
            "clock_lag_seconds", "Wall time less the clock of a source partition.", "topic", "partition"
        )
        self.data_losses = self._counter(
            "data_losses", "Times that records were gone from a topic before they were read.", "topic"
        )
        self.stalled_partitions = self._counter(
            "stalled_partitions",
            "Times that a partition had more to read, brought nothing for 20 s, and was fetched from anew.",
            "topic",
        )
        self.paused_partitions = self._gauge(
            "paused_partitions", "Partitions not read now, by reason.", "reason"
        )

    def _declare_join(self) -> None:
        self.joined_rows = self._counter(
            "joined_rows", "Predictions and labels by what the join made of them.", "outcome"
        )
        self.store_seconds = self._histogram(
            "store_seconds", "Time to write the stores of the join after a commit.", _SECONDS
        )
        self.rebuilt_records = self._counter(
            "rebuilt_records", "Records read again to bring stores of the join up to date."
        )
        self.rebuild_seconds = self._histogram(
            "rebuild_seconds", "Time to bring the store of one partition up to date.", _RESTORE_SECONDS
        )
        self.rebuilding_partitions = self._gauge(
            "rebuilding_partitions", "Partitions whose store is being brought up to date."
        )

    def _declare_delivery(self) -> None:
        self.produced_records = self._counter("produced_records", "Records produced and committed.", "topic")
        self.produced_bytes = self._counter(
            "produced_bytes", "Bytes of their values, before compression.", "topic"
        )
        self.produced_deltas = self._counter("produced_deltas", "Summary deltas sent from observe to decide.")
        self.commit_seconds = self._histogram(
            "commit_seconds", "Time from the begin of a transaction to its commit.", _SECONDS, "role"
        )
        self.aborts = self._counter("aborts", "Transactions aborted.", "role")
        self.rebalances = self._counter(
            "rebalances", "Changes of the assignment: assigned, revoked, lost.", "role", "change"
        )

    def _declare_decisions(self) -> None:
        self.watermark_seconds = self._gauge(
            "watermark_seconds", "Event time (epoch) up to which slices are closed.", "partition"
        )
        self.open_slices = self._gauge("open_slices", "Slices that still take rows.", "partition")
        self.labels_watermark_seconds = self._gauge(
            "labels_watermark_seconds", "Event time (epoch) up to which labels are judged.", "partition"
        )
        self.open_label_slices = self._gauge(
            "open_label_slices", "Slices that still take pairs of predictions and labels.", "partition"
        )
        self.quality_measure = self._gauge(
            "quality_measure",
            "Measure of the predictions of the last day before labels_watermark_seconds.",
            *_STREAM,
            "output",
            "measure",
        )
        self.label_coverage_ratio = self._gauge(
            "label_coverage_ratio", "Share of those predictions that have a label.", *_STREAM
        )
        self.closed_slices = self._counter("closed_slices", "Slices closed and checked.")
        self.alerts = PerModel(self._counter("alerts", "Alerts published.", "model", "check", "severity"))
        self.suppressed_findings = PerModel(
            self._counter("suppressed_findings", "Findings below the minimum effect.", "model", "check")
        )
        self.learning_signals = self._gauge(
            "learning_signals", "Signals whose reference is still being learned.", "partition"
        )
        self.unwatchable_signals = self._gauge(
            "unwatchable_signals", "Signals that cannot be watched as configured.", "partition"
        )
        self.ledger_verdicts = self._counter(
            "ledger_verdicts", "Flushes that the ledger objects to: duplicate, gap, mismatch.", "verdict"
        )
        self.mismatched_shape_rows = self._counter(
            "mismatched_shape_rows", "Rows of deltas made under another configuration or reference."
        )

    def _declare_state(self) -> None:
        self.snapshot_bytes = self._counter("snapshot_bytes", "Bytes of state written.")
        self.snapshot_seconds = self._histogram("snapshot_seconds", "Time to make one snapshot.", _SECONDS)
        self.snapshot_age_seconds = self._gauge(
            "snapshot_age_seconds", "Age of the oldest snapshot that a restore would begin at.", "partition"
        )
        self.restore_seconds = self._histogram(
            "restore_seconds", "Time to restore one partition's state.", _RESTORE_SECONDS
        )
        self.restored_records = self._counter("restored_records", "Records read again to restore state.")

    def forget_source(self, topic: str, partition: int) -> None:
        """Drop what is said of a source partition that this worker no longer owns."""
        for gauge in (self.lag_records, self.clock_lag_seconds):
            gauge.remove(topic, partition)

    def forget_partition(self, partition: int) -> None:
        """Drop what is said of a summaries partition that this worker no longer owns."""
        for gauge in (
            self.watermark_seconds,
            self.open_slices,
            self.labels_watermark_seconds,
            self.open_label_slices,
            self.learning_signals,
            self.unwatchable_signals,
            self.snapshot_age_seconds,
        ):
            gauge.remove(partition)

    def forget_stream(self, model: str, version: str, role: str) -> None:
        """Drop what is said of the quality of a stream that this worker no longer decides about."""
        labels = {"model": model, "version": version, "role": role}
        self.quality_measure.remove_by_labels(labels)
        self.label_coverage_ratio.remove_by_labels(labels)

    def _counter(self, name: str, says: str, *labels: str) -> Counter:
        return Counter(f"stream_monitor_{name}", says, labels, registry=self._registry)

    def _gauge(self, name: str, says: str, *labels: str) -> Gauge:
        return Gauge(f"stream_monitor_{name}", says, labels, registry=self._registry)

    def _histogram(self, name: str, says: str, buckets: tuple[float, ...], *labels: str) -> Histogram:
        return Histogram(f"stream_monitor_{name}", says, labels, buckets=buckets, registry=self._registry)
