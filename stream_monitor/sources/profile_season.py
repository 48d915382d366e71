"""What a history says of how signals move, beside what they are: their noise, and their season.

A reference is of all events at once; this is of slices in order of time. So the file is read once more, and
its slices go to the very watch that live ones go to, which learns from them against the finished reference.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from stream_monitor.checks.period import Period
from stream_monitor.checks.watch import Watch
from stream_monitor.codecs.json import JsonCodec
from stream_monitor.config import Config, Learn
from stream_monitor.detectors import Seasonal
from stream_monitor.events import Source
from stream_monitor.observe import LIVE, observe
from stream_monitor.reference import SUBJECTS, Movements, ReferenceFile
from stream_monitor.sources.files import read
from stream_monitor.summary.shape import Kind, Shape
from stream_monitor.summary.summary import Summary
from stream_monitor.watermark import Clock

AS_LONG_AS_THERE_IS = Learn(ms=1 << 52)
Slice = dict[Kind, Summary]


class Learned(NamedTuple):
    """``movements`` of each subject, from so many ``slices``; ``late`` rows, out of order, are in none.
    ``seasons``: in hours, of the signals that have one."""

    movements: Movements
    slices: int
    late: int
    seasons: dict[str, int]


def learned(path: Path, config: Config, model: str, file: ReferenceFile) -> Learned:
    """Of the live events of one model, in order of time as far as its ``lateness`` asks for.

    Memory: that of the slices which are open, and of what is learned, whatever the length of the file.
    """
    settings = config.model(model).model_copy(update={"segments": [], "learn": AS_LONG_AS_THERE_IS})
    shape = Shape.of(settings, file.shape)
    watches: dict[Kind, Watch] = {}
    slices, late, end = 0, 0, 0
    for start, of in _slices(path, config, model, shape):
        slices += 1
        late += sum(summary.late for summary in of.values())
        for subject, summary in of.items():
            reference, declared = file.subjects[subject], getattr(settings, subject)
            if subject not in watches:
                period = Period(start, 0)
                watches[subject] = Watch(reference, settings, declared, start, period, whole=True, moves=True)
            if summary.rows and watches[subject].learning:
                watches[subject].close(start, summary)
        end = start + settings.slice_ms
    seasons: dict[str, int] = {}
    for watch in watches.values():
        watch.settle(end)
        seasons |= _seasons(watch)
    states = {subject: watch.snapshot() for subject, watch in watches.items()}
    return Learned(Movements(settings.slice_ms, states), slices, late, seasons)


def _slices(path: Path, config: Config, model: str, shape: Shape) -> Iterator[tuple[int, Slice]]:
    """In order of time, each when no event can come to it any more."""
    codec, clocks = JsonCodec(config), dict[Source, Clock]()
    lateness_ms, slice_ms = config.predictions.lateness_ms, config.model(model).slice_ms
    waiting: defaultdict[int, Slice] = defaultdict(lambda: {one: Summary.empty() for one in SUBJECTS})
    for records in read(path, config.predictions.fields):
        batch = codec.decode(records)
        batch.groups = [one for one in batch.groups if one.stream.model == model and one.stream.role == LIVE]
        for (stream, start), summary in observe(batch, lambda _: shape, clocks, lateness_ms).items():
            waiting[start]["features" if stream.of_features else "outputs"].merge(summary)
        closed = min((clock.event for clock in clocks.values()), default=0) - lateness_ms
        for start in sorted(start for start in waiting if start + slice_ms <= closed):
            yield start, waiting.pop(start)
    for start in sorted(waiting):
        yield start, waiting.pop(start)


def _seasons(watch: Watch) -> dict[str, int]:
    return {
        score.signal: int(period)
        for detector, scores in watch.detectors
        if isinstance(detector, Seasonal)
        for score, period in zip(scores, detector.season.period.tolist(), strict=True)
        if period and score.check == "drift"
    }
