"""The stages of the pipeline in one process, each beside a loop of the same kind of work: its baseline.

What the gate compares. All read the same events of ``generator``, and none needs Kafka.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import chain, islice

import numpy as np
import orjson

from benchmarks.generator import Workload
from stream_monitor.codecs.json import JsonCodec
from stream_monitor.codecs.labels import JoinCodec
from stream_monitor.config import Config, parse_config
from stream_monitor.decide import Decider
from stream_monitor.events import Batch, Flush, Int64s, LabelBatch, Progress, Records, Source
from stream_monitor.join.joins import Joins
from stream_monitor.join.store import MemoryStore, Position
from stream_monitor.observe import Observer
from stream_monitor.reference import References

EVENTS = 5_000
BATCH_EVENTS = 250
SLICES = 25
LEARN_SLICES = 5
"""So most slices go through the detectors."""
KNOWN_SLICES, WATCHED_SLICES = 125, 45
"""Between two estimates of the noise: of 116 slices, and of 214."""
SLICE_EVENTS = 200
PREDICTIONS, LABELS = Source("predictions", 0), Source("labels", 0)


@dataclass(frozen=True, slots=True)
class Stage:
    """``work`` goes through the same each time it is called, and so does ``baseline``, in about that time."""

    name: str
    work: Callable[[], object]
    baseline_name: str
    baseline: Callable[[], object]

    def twice(self) -> Stage:
        """The same stage at double the cost."""

        def work() -> None:
            self.work()
            self.work()

        return Stage(self.name, work, self.baseline_name, self.baseline)


def config(*, labels: bool = False) -> Config:
    """As by default, but for lateness; ``labels`` are joined for the score of the one model that there is."""
    settings: dict[str, object] = {"predictions": {"topics": [PREDICTIONS.topic], "lateness": "1s"}}
    models: dict[str, object] = {"learn": SLICE_EVENTS * LEARN_SLICES}
    if labels:
        settings["labels"] = {"topics": [LABELS.topic]}
        models["quality"] = {"score": {"task": "binary", "score": "score"}}
    return parse_config({**settings, "models": {"*": models}})


def stages() -> list[Stage]:
    """Every stage with a baseline, and all that they need made. Takes about two seconds."""
    return [_decode(), _observe(), _decide(), _watch(), _join()]


def events(n: int, rate: int = 10_000) -> list[bytes]:
    chunks = Workload(n, rate=rate, change_at=1.0).chunks()
    return list(islice(chain.from_iterable(one.values for one in chunks), n))


def records(values: Sequence[bytes], first: int = 0, source: Source = PREDICTIONS) -> Records:
    """One after the other in a partition."""
    n = len(values)
    offset: Int64s = np.arange(first, first + n)
    times = np.array([orjson.loads(value)["ts"] for value in values], np.int64)
    return Records((source,), np.zeros(n, np.int64), offset, times, values)


# Stages


def _decode() -> Stage:
    """In small batches: of large ones the operating system's part, new pages, is large and uneven. Without
    the compiled kernel, which is not installed everywhere.
    """
    codec, values = JsonCodec(config(), native=False), events(EVENTS)
    batches = [records(values[at : at + BATCH_EVENTS], at) for at in range(0, EVENTS, BATCH_EVENTS)]

    def work() -> None:
        for one in batches:
            codec.decode(one)

    def loads() -> None:
        for value in values:
            orjson.loads(value)

    # Layouts are learned from what came first.
    work()
    return Stage("decode", work, "orjson.loads of each event", loads)


def _observe() -> Stage:
    """Without the compiled kernel, as decoding."""
    settings = config()
    batch, references = (
        JsonCodec(settings, native=False).decode(records(events(EVENTS, rate=1_000))),
        References(settings),
    )

    def work() -> None:
        observer = Observer(settings, references, native=False)
        observer.add(batch)
        observer.flush()

    keys = np.random.default_rng(1).integers(0, 2**30, 20 * EVENTS, np.int32)

    def sort() -> None:
        # Half of the stage is a sort: how fast that is, is a matter of the processor.
        np.sort(keys)
        _small_arrays(1_000)

    return Stage("observe", work, "numpy.sort of 20 columns, numpy on arrays of 100", sort)


def _decide() -> Stage:
    """Every flush closes the slice of the one before."""
    settings = config()
    references = References(settings)
    flushes = slice_flushes(settings, references)

    def work() -> None:
        decider = Decider(settings, references)
        for one in flushes:
            decider.apply(one)

    return Stage("decide", work, "numpy on arrays of 100", _small_arrays)


def _watch() -> Stage:
    """What detectors cost once they know the noise."""
    settings = config()
    references = References(settings)
    flushes = slice_flushes(settings, references, KNOWN_SLICES + WATCHED_SLICES)
    learned = Decider(settings, references)
    for one in flushes[:KNOWN_SLICES]:
        learned.apply(one)
    (model,) = learned.models()
    state = learned.snapshot(model)

    def work() -> None:
        decider = Decider(settings, references)
        decider.restore(model, state)
        decider.restore_ledger(state)
        for one in flushes[KNOWN_SLICES:]:
            decider.apply(one)

    return Stage("watch", work, "numpy on arrays of 100", lambda: _small_arrays(100_000))


def slice_flushes(settings: Config, references: References, slices: int = SLICES) -> list[Flush]:
    """What an observe worker sends of so many slices, a flush for each."""
    codec, observer = JsonCodec(settings, native=False), Observer(settings, references)
    values = events(slices * SLICE_EVENTS, rate=SLICE_EVENTS)
    found = []
    for first in range(0, len(values), SLICE_EVENTS):
        observer.add(codec.decode(records(values[first : first + SLICE_EVENTS], first)))
        observed, clock = observer.flush(), observer.clocks[PREDICTIONS].known_event
        after = first + SLICE_EVENTS
        progress = Progress(
            PREDICTIONS, "id", 1, first, after, clock, None, drained=True, rows=0, rejected=0, late=0
        )
        rows = sum(delta.rows for delta in observed.deltas)
        found.append(Flush(observed.deltas, [progress], len(observed.deltas), rows))
    return found


def _small_arrays(times: int = 20_000) -> None:
    values, step = np.linspace(0, 1, 100), np.full(100, 0.01)
    for _ in range(times):
        values = np.minimum(values + step, 1.0)


def _join() -> Stage:
    """Predictions, then a label for each; the baseline does so with a dictionary."""
    settings = config(labels=True)
    codec, values = JoinCodec(settings), events(EVENTS)
    predicted = [orjson.loads(value) for value in values]
    said = [
        orjson.dumps({"prediction_id": one["prediction_id"], "ts": one["ts"] + 1_000, "label": row % 2})
        for row, one in enumerate(predicted)
    ]
    batches: list[Batch | LabelBatch] = [
        *codec.decode(records(values)),
        *codec.decode(records(said, source=LABELS)),
    ]
    ids = [one["prediction_id"] for one in predicted]

    def work() -> None:
        joins = Joins(settings)
        joins.open(0, MemoryStore())
        for one in batches:
            joins.add(one)
        joins.flush()
        joins.committed({source: Position("id", EVENTS, None, None) for source in (PREDICTIONS, LABELS)})
        assert joins.counters["pairs"] == EVENTS

    def look_up() -> None:
        for _ in range(20):
            waiting: dict[str, tuple[str, int]] = {}
            for row, one in enumerate(ids):
                waiting[one] = one, row
            for one in ids:
                waiting.pop(one)

    return Stage("join", work, "a dictionary, 20 times", look_up)
