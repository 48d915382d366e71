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
from typing import Any

import numpy as np
import orjson

from stream_monitor.alerting.alert import Alert
from stream_monitor.codecs.json import JsonCodec
from stream_monitor.codecs.times import TIME_MS_END
from stream_monitor.config import Config, load_config, parse_config
from stream_monitor.decide import Decider
from stream_monitor.events import NO_TIMESTAMP, Flush, Progress, Records, Source
from stream_monitor.observe import Observer
from stream_monitor.reference import References
from stream_monitor.watermark import RowCounts


class Monitor:
    """``config``: a path, a mapping as in YAML, or a Config. ``sources``: the partitions that the input
    has, one by default; the watermark waits until each had an event.

    Raises ConfigError and ReferenceFileError. Memory: that of the statistics, whatever the input's size.
    """

    def __init__(
        self, config: Config | Mapping[str, Any] | str | Path, sources: Sequence[Source] | None = None
    ) -> None:
        self.config = _config(config)
        self.sources = tuple(sources or (Source(self.config.predictions.topics[0], 0),))
        references = References(self.config)
        self._codec = JsonCodec(self.config)
        self._observer = Observer(self.config, references)
        self._partitions = Counter(source.topic for source in self.sources)
        lateness_ms = self.config.predictions.lateness_ms
        self.decider = Decider(self.config, references, dict.fromkeys(self._partitions, lateness_ms))
        self._next = dict.fromkeys(self.sources, 0)
        self.rows = 0
        self.rejected: Counter[str] = Counter()
        """Rows that could not be attributed, by reason."""

    def update(self, events: Records | Iterable[Mapping[str, Any] | bytes]) -> list[Alert]:
        """Events in the order of their source. Returns the alerts of the slices that closed."""
        records = events if isinstance(events, Records) else self._records(events)
        if not set(records.sources) <= set(self.sources):
            records.sources = (self.sources[0],) * len(records.sources)
        batch = self._codec.decode(records)
        self.rows += len(batch) + len(batch.rejects)
        self.rejected.update(str(reject.reason) for reject in batch.rejects)
        self._observer.add(batch)
        return self._decide(records)

    def close(self) -> list[Alert]:
        """The end of the input: closes the last slices."""
        return self.decider.close()

    def end(self, source: Source) -> list[Alert]:
        """This source has no more records, and holds nobody back: returns what closes by that."""
        ended = replace(self._progress(source, self._next[source]), claim=TIME_MS_END, drained=True)
        return self.decider.apply(Flush([], [ended], 0, 0))

    def _progress(
        self, source: Source, first: int, clock: int | None = None, counts: RowCounts | None = None
    ) -> Progress:
        counts = counts or RowCounts()
        return Progress(
            source,
            topic_id="",
            partitions=self._partitions[source.topic],
            first=first,
            next=self._next[source],
            clock=clock,
            claim=None,
            drained=False,
            rows=counts.rows,
            rejected=counts.rejected,
            late=counts.late,
        )

    def _records(self, events: Iterable[Mapping[str, Any] | bytes]) -> Records:
        values = [one if isinstance(one, bytes) else orjson.dumps(one) for one in events]
        first = self._next[self.sources[0]]
        return Records(
            (self.sources[0],),
            np.zeros(len(values), np.int64),
            np.arange(first, first + len(values), dtype=np.int64),
            np.full(len(values), NO_TIMESTAMP, np.int64),
            values,
        )

    def _decide(self, records: Records) -> list[Alert]:
        observed = self._observer.flush()
        read = np.bincount(records.source, minlength=len(records.sources))
        counted: Counter[Source] = Counter()
        for source, count in zip(records.sources, read.tolist(), strict=True):
            counted[source] += count
        progress = []
        for source, count in counted.items():
            first, self._next[source] = self._next[source], self._next[source] + count
            clock = self._observer.clocks.get(source)
            event = None if clock is None else clock.known_event
            progress.append(self._progress(source, first, event, observed.counts.get(source)))
        announced = sum(delta.rows for delta in observed.deltas)
        return self.decider.apply(Flush(observed.deltas, progress, len(observed.deltas), announced))


def _config(config: Config | Mapping[str, Any] | str | Path) -> Config:
    if isinstance(config, Config):
        return config
    return parse_config(config) if isinstance(config, Mapping) else load_config(config)
