"""The library: observe and decide in one object, for files, notebooks and tests.

    monitor = Monitor("monitor.yaml")
    for batch in read("predictions.parquet"):
        for alert in monitor.update(batch):
            print(alert.summary)
    monitor.close()

The same core as the Kafka workers run, through the same bytes.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import orjson

from stream_monitor.alerting.alert import Alert
from stream_monitor.codecs import codec_of
from stream_monitor.codecs.labels import JoinCodec
from stream_monitor.config import Config, load_config, parse_config
from stream_monitor.decide import Decider
from stream_monitor.events import (
    NO_TIMESTAMP,
    Batch,
    Flush,
    LabelBatch,
    Progress,
    Records,
    Source,
    Stage,
    Stream,
)
from stream_monitor.join.joins import Joins
from stream_monitor.join.store import MemoryStore, Position
from stream_monitor.observe import Observer
from stream_monitor.quality.cohorts import Cohorts
from stream_monitor.reference import References
from stream_monitor.times import TIME_MS_END
from stream_monitor.watermark import Clock, Observed, RowCounts


class Monitor:
    """``config``: a path, a mapping as in YAML, or a Config. ``sources``: the partitions that the input
    has, by default one a kind (predictions, and labels if they are configured); the watermark waits until
    each had an event. Partitions of predictions and labels with equal numbers hold equal ids.
    ``from_topics``: predictions are as they are on the topics, in ``predictions.format``; else they are JSON.

    Raises ConfigError and ReferenceFileError. Memory: that of the statistics, whatever the input's size, and
    with labels, of what is not older than their horizon.
    """

    def __init__(
        self,
        config: Config | Mapping[str, Any] | str | Path,
        sources: Sequence[Source] | None = None,
        *,
        from_topics: bool = False,
    ) -> None:
        self.config = _config(config, from_topics=from_topics)
        labels = self.config.labels
        topics = [self.config.predictions.topics[0], *([] if labels is None else labels.topics[:1])]
        self.sources = tuple(sources or (Source(topic, 0) for topic in topics))
        references = References(self.config)
        self._label_topics = frozenset(() if labels is None else labels.topics)
        self._predictions = tuple(one for one in self.sources if one.topic not in self._label_topics)
        self._labels = tuple(one for one in self.sources if one.topic in self._label_topics)
        lateness_ms = dict.fromkeys(
            (one.topic for one in self._predictions), self.config.predictions.lateness_ms
        )
        joined = sorted({one.topic for one in self.sources})
        self.decider = Decider(self.config, references, lateness_ms, joined)
        self.joined: Counter[str] = Counter()
        """What became of predictions and labels in the join, by name."""
        self._codec = codec_of(self.config)
        self._stages: list[_Stage] = [
            _Observing(self.decider, self._predictions, Observer(self.config, references))
        ]
        if labels is not None:
            self._join_codec = JoinCodec(self.config)
            joins = _joins(self.config, self.sources)
            self._stages.append(_Joining(self.decider, self.sources, joins))
            self.joined = joins.counters
        self.rows = 0
        self.label_rows = 0
        """Those of ``rows`` that are labels."""
        self.rejected: Counter[str] = Counter()
        """Rows that could not be attributed, by reason."""

    def update(self, events: Records | Iterable[Mapping[str, Any] | bytes]) -> list[Alert]:
        """Predictions (or, as Records, labels too) in the order of their source. Returns the alerts of the
        slices that closed."""
        records = events if isinstance(events, Records) else self._records(events, self._predictions[0])
        if not set(records.sources) <= set(self.sources):
            records.sources = (self._predictions[0],) * len(records.sources)
        return self._read(records)

    def label(self, labels: Iterable[Mapping[str, Any] | bytes]) -> list[Alert]:
        """Labels in the order of their source. Returns the alerts of the slices that closed."""
        return self._read(self._records(labels, self._labels[0]))

    def close(self) -> list[Alert]:
        """The end of the input: closes the last slices."""
        return self.decider.close()

    def end(self, source: Source) -> list[Alert]:
        """This source has no more records, and holds nobody back: returns what closes by that."""
        return [alert for stage in self._stages if source in stage.next for alert in stage.end(source)]

    def clock(self, source: Source) -> int | None:
        """The largest time that was read from it, in epoch ms."""
        return self._stages[-1].clock(source)

    def quality(self) -> dict[Stream, Cohorts]:
        """By stream, what labels have said of its predictions, by cohort, for as long as labels may come:
        that of closed slices, so all that was read once the monitor is closed.
        """
        return {stream: cohorts for stream, cohorts in self.decider.cohorts() if cohorts}

    def _records(self, events: Iterable[Mapping[str, Any] | bytes], source: Source) -> Records:
        values = [one if isinstance(one, bytes) else orjson.dumps(one) for one in events]
        first = self._stages[-1].next[source]
        return Records(
            (source,),
            np.zeros(len(values), np.int64),
            np.arange(first, first + len(values), dtype=np.int64),
            np.full(len(values), NO_TIMESTAMP, np.int64),
            values,
        )

    def _read(self, records: Records) -> list[Alert]:
        is_label = np.array([one.topic in self._label_topics for one in records.sources], np.bool_)
        of_labels = is_label[records.source]
        alerts: list[Alert] = []
        if not of_labels.all():
            predictions = records.take(np.flatnonzero(~of_labels))
            batch = self._codec.decode(predictions)
            self._count(batch)
            alerts += self._stages[0].read(predictions, [batch])
        if self.config.labels is not None:
            batches = self._join_codec.decode(records)
            for one in batches:
                if isinstance(one, LabelBatch):
                    self._count(one)
                    self.label_rows += len(one) + len(one.rejects)
            alerts += self._stages[1].read(records, batches)
        return alerts

    def _count(self, batch: Batch | LabelBatch) -> None:
        self.rows += len(batch) + len(batch.rejects)
        self.rejected.update(str(reject.reason) for reject in batch.rejects)


class _Core(Protocol):
    """What a worker of a stage holds between two commits."""

    clocks: dict[Source, Clock]

    def add(self, batch: Any, /) -> None: ...

    def flush(self) -> Observed: ...


class _Stage:
    """One stage of the input: what its worker would report, as soon as it was read."""

    stage: Stage

    def __init__(self, decider: Decider, sources: Sequence[Source], core: _Core) -> None:
        self.next = dict.fromkeys(sources, 0)
        self._decider = decider
        self._core = core
        self._partitions = Counter(source.topic for source in sources)

    def read(self, records: Records, batches: Sequence[Batch | LabelBatch]) -> list[Alert]:
        for batch in batches:
            self._core.add(batch)
        observed = self._core.flush()
        read = np.bincount(records.source, minlength=len(records.sources))
        counted: Counter[Source] = Counter()
        for source, count in zip(records.sources, read.tolist(), strict=True):
            counted[source] += count
        progress = []
        for source, count in counted.items():
            first, self.next[source] = self.next[source], self.next[source] + count
            progress.append(self._progress(source, first, observed.counts.get(source)))
        announced = sum(delta.rows for delta in observed.deltas)
        self._committed(progress)
        return self._decider.apply(
            Flush(observed.deltas, progress, len(observed.deltas), announced, self.stage)
        )

    def end(self, source: Source) -> list[Alert]:
        ended = replace(self._progress(source, self.next[source]), claim=TIME_MS_END, drained=True)
        self._committed([ended])
        return self._decider.apply(Flush([], [ended], 0, 0, self.stage))

    def clock(self, source: Source) -> int | None:
        clock = self._core.clocks.get(source)
        return None if clock is None else clock.known_event

    def _committed(self, progress: Sequence[Progress]) -> None:
        """What was flushed is decided."""

    def _progress(self, source: Source, first: int, counts: RowCounts | None = None) -> Progress:
        counts = counts or RowCounts()
        return Progress(
            source,
            topic_id="",
            partitions=self._partitions[source.topic],
            first=first,
            next=self.next[source],
            clock=self.clock(source),
            claim=None,
            drained=False,
            rows=counts.rows,
            rejected=counts.rejected,
            late=counts.late,
        )


class _Observing(_Stage):
    stage = "observe"


class _Joining(_Stage):
    stage = "join"

    def __init__(self, decider: Decider, sources: Sequence[Source], joins: Joins) -> None:
        super().__init__(decider, sources, joins)
        self._joins = joins

    def _committed(self, progress: Sequence[Progress]) -> None:
        self._joins.committed(
            {one.source: Position(one.topic_id, one.next, one.clock, one.claim) for one in progress}
        )


def _joins(config: Config, sources: Sequence[Source]) -> Joins:
    joins = Joins(config, sorted({source.topic for source in sources}))
    for partition in {source.partition for source in sources}:
        joins.open(partition, MemoryStore())
    return joins


def _config(config: Config | Mapping[str, Any] | str | Path, *, from_topics: bool) -> Config:
    """The configuration; what is only about topics on Kafka left out."""
    if not isinstance(config, Config):
        config = parse_config(config) if isinstance(config, Mapping) else load_config(config)
    if not from_topics:
        as_json = config.predictions.model_copy(update={"format": "json"})
        config = config.model_copy(update={"predictions": as_json})
    if config.labels is None:
        return config
    return config.model_copy(update={"labels": config.labels.model_copy(update={"repartition": "none"})})
