"""What a file with labels says of a model's quality: the hold-out that live quality is compared with."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from stream_monitor.codecs.fields import Place, at_path
from stream_monitor.codecs.json import JsonCodec
from stream_monitor.codecs.parse import parse_all
from stream_monitor.config import Config
from stream_monitor.events import Stream
from stream_monitor.join.cells import Cells, summaries_of
from stream_monitor.observe import LIVE
from stream_monitor.quality.cohorts import Cohorts, cohorts_of
from stream_monitor.quality.measures import Measures
from stream_monitor.quality.signals import signals_of
from stream_monitor.quality.values import Inputs, Labels, inputs_of, label_of
from stream_monitor.reference import Reference
from stream_monitor.sources.files import read
from stream_monitor.summary.shape import Shape
from stream_monitor.summary.summary import Summary


def holdout(path: Path, config: Config, model: str) -> tuple[Reference | None, dict[str, Measures]]:
    """The reference of the error signals, and the measures by output, of the live rows that have a label.

    The label is where ``labels.fields.value`` says, in the row of its prediction. Nothing where the
    configuration has no labels or no quality for the model. Equal for any order of the rows.
    """
    if config.labels is None or not config.model(model).quality:
        return None, {}
    quality = config.model(model).quality
    shape = Shape("holdout", config.labels.slice_ms, False, len(quality) * 8, {}, (), 0)  # noqa: FBT003
    summary, cohorts = Summary.empty(), Cohorts()
    for inputs, labels in _pairs(path, config, model):
        at_zero, plus = np.zeros(len(inputs), np.int64), np.ones(len(inputs), np.int64)
        cohorts.merge(cohorts_of(quality, at_zero, inputs, labels, plus))
        cells = Cells.of(Stream(model), at_zero, [()] * len(inputs), 0)
        for one in summaries_of(signals_of(quality, inputs, labels), cells, shape).values():
            summary.merge(one)
    measures = dict(cohorts.total().measures)
    return (Reference.of(summary, {}), measures) if measures else (None, {})


def _pairs(path: Path, config: Config, model: str) -> Iterator[tuple[list[Inputs], list[Labels]]]:
    assert config.labels is not None
    codec, quality = JsonCodec(config), config.model(model).quality
    where = Place.parse(config.labels.fields.value).path or ()
    for records in read(path, config.predictions.fields):
        batch = codec.decode(records)
        values: dict[int, Any] = dict(
            zip(records.offset.tolist(), at_path(parse_all(records.values), where), strict=True)
        )
        for group in batch.groups:
            if group.stream.model != model or group.stream.role != LIVE:
                continue
            found = [values[row] for row in batch.offset[group.rows].tolist()]
            known = [at for at, value in enumerate(found) if value is not None]
            inputs = inputs_of(group, quality)
            if known:
                yield [inputs[at] for at in known], [label_of(found[at], quality) for at in known]
