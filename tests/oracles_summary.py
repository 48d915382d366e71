"""A slow twin of observe in plain Python: one event at a time, one value at a time, no arrays."""

from __future__ import annotations

import hashlib
import math
import struct
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from stream_monitor.events import Batch, Column, Group, JsonType, SliceKey, Source, Stream
from stream_monitor.summary.codes import BINS
from stream_monitor.summary.shape import Kind, Shape
from stream_monitor.summary.summary import Count, Summary

LIVE = Stream("m", "1", "live")


@dataclass(frozen=True)
class Event:
    """One event. Values are as Python's json gives them; a name that is not there is absent."""

    source: Source
    offset: int
    time: int
    features: Mapping[str, Any] = field(default_factory=dict)
    outputs: Mapping[str, Any] = field(default_factory=dict)
    stream: Stream = LIVE


# Events to a batch


def batch_of(events: Sequence[Event]) -> Batch:
    """The batch that a codec would make of these events."""
    sources = tuple(dict.fromkeys(event.source for event in events))
    groups = []
    for stream in dict.fromkeys(event.stream for event in events):
        rows = [row for row, event in enumerate(events) if event.stream == stream]
        mine = [events[row] for row in rows]
        groups.append(
            Group(
                stream,
                np.array(rows, np.int64),
                _columns([event.features for event in mine]),
                _columns([event.outputs for event in mine]),
            )
        )
    return Batch(
        sources,
        np.array([sources.index(event.source) for event in events], np.int64),
        np.array([event.offset for event in events], np.int64),
        np.zeros(len(events), np.int64),
        np.array([event.time for event in events], np.int64),
        groups,
    )


_ABSENT = object()


def type_of(value: Any) -> JsonType:
    if isinstance(value, str):
        try:
            float(value)
        except ValueError:
            return JsonType.STRING
        return JsonType.NUMERIC_STRING
    for python, json in (
        (type(None), JsonType.NULL),
        (bool, JsonType.BOOL),
        ((int, float), JsonType.NUMBER),
        (list, JsonType.ARRAY),
        (dict, JsonType.OBJECT),
    ):
        if isinstance(value, python):
            return json
    return JsonType.ABSENT


def _columns(rows: Sequence[Mapping[str, Any]]) -> dict[str, Column]:
    names = dict.fromkeys(name for row in rows for name in row)
    return {name: column_of([row.get(name, _ABSENT) for row in rows]) for name in names}


def column_of(values: Sequence[Any]) -> Column:
    types = [type_of(value) for value in values]
    numeric = {JsonType.NUMBER, JsonType.NUMERIC_STRING}
    numbers = [
        float(value) if kind in numeric else math.nan for value, kind in zip(values, types, strict=True)
    ]
    texts = [_text(value) for value in values]
    return Column(
        types[0] if len(set(types)) == 1 else np.array(types, np.uint8),
        np.array(numbers) if numeric.intersection(types) else None,
        texts if any(text is not None for text in texts) else None,
    )


def _text(value: Any) -> str | None:
    if isinstance(value, bool):
        return "true" if value else "false"
    return value if isinstance(value, str) else None


# The twin


@dataclass
class PlainSignal:
    """What is known of one signal, in Python's own integers."""

    counts: Counter[str] = field(default_factory=Counter)
    fine: list[int] = field(default_factory=lambda: [0, 0])
    grid: list[int] = field(default_factory=lambda: [0, 0])
    ends: list[float] = field(default_factory=lambda: [math.inf, -math.inf])
    bins: Counter[int] = field(default_factory=Counter)
    texts: Counter[str] = field(default_factory=Counter)
    buckets: Counter[int] = field(default_factory=Counter)


@dataclass
class PlainSummary:
    rows: int = 0
    late: int = 0
    offsets: dict[Source, list[int]] = field(default_factory=dict)
    signals: dict[str, PlainSignal] = field(default_factory=dict)


def plain_observe(events: Iterable[Event], shape: Shape, lateness_ms: int) -> dict[SliceKey, PlainSummary]:
    """What observe should find, before anything is dropped for being too many."""
    found: dict[SliceKey, PlainSummary] = {}
    clocks: dict[Source, int] = {}
    for event in events:
        clock = clocks.get(event.source, event.time)
        clocks[event.source] = max(clock, event.time)
        late = event.time < clock - lateness_ms
        time = clocks[event.source] if late else event.time
        start = time - time % shape.slice_ms
        mine = found.setdefault(SliceKey(event.stream, start), PlainSummary())
        if late:
            mine.late += 1
            continue
        _add(mine, event, event.outputs, "outputs", shape)
        if event.stream.role == "live":
            key = SliceKey(Stream(event.stream.model), start)
            _add(found.setdefault(key, PlainSummary()), event, event.features, "features", shape)
    return found


def _add(summary: PlainSummary, event: Event, values: Mapping[str, Any], kind: Kind, shape: Shape) -> None:
    summary.rows += 1
    ends = summary.offsets.setdefault(event.source, [event.offset, event.offset])
    ends[0], ends[1] = min(ends[0], event.offset), max(ends[1], event.offset)
    for name, value in values.items():
        if shape.signal(kind, name).watch:
            _add_value(summary.signals.setdefault(name, PlainSignal()), value, kind, name, shape)


def _add_value(one: PlainSignal, value: Any, kind: Kind, name: str, shape: Shape) -> None:
    said, json = shape.signal(kind, name), type_of(value)
    one.counts[json.name] += 1
    is_text = json in {JsonType.STRING, JsonType.NUMERIC_STRING, JsonType.BOOL}
    is_number = json is JsonType.NUMBER or (json is JsonType.NUMERIC_STRING and not said.strict)
    expected = {
        "number": is_number,
        "category": is_text or json is JsonType.NUMBER,
        None: is_text or is_number,
    }
    if json is not JsonType.NULL and not expected[said.type]:
        one.counts["WRONG_TYPE"] += 1
    if said.type != "category" and is_number:
        _add_number(one, float(value), said)
    if said.type == "category" and json is JsonType.NUMBER:
        whole = math.isfinite(value) and value == math.floor(value)
        value, is_text = str(int(value)) if whole else repr(float(value)), True
    if said.type != "number" and is_text:
        text = _text(value) or ""
        if said.values is not None and text not in said.values:
            one.counts["OUT_OF_RANGE"] += 1
        raw = text.encode()
        kept = (
            text if len(text) <= 128 else text[:111] + "#" + hashlib.blake2b(raw, digest_size=8).hexdigest()
        )
        one.texts[kept] += 1
        one.buckets[hash64(kept) % 1024] += 1


def hash64(text: str) -> int:
    return int(hashlib.blake2b(text.encode(), digest_size=8).hexdigest(), 16)


def _add_number(one: PlainSignal, number: float, said: Any) -> None:
    if not math.isfinite(number):
        one.counts["NAN" if math.isnan(number) else "INF"] += 1
        return
    if said.range is not None and not said.range[0] <= number <= said.range[1]:
        one.counts["OUT_OF_RANGE"] += 1
    if said.grid is not None:
        quotient = (number - said.grid.center) / said.grid.unit
        steps = round(quotient) if math.isfinite(quotient) else int(math.copysign(1 << 60, quotient))
        one.counts["GRID_CLIPPED"] += abs(steps) > 524_287
        steps = max(-524_287, min(524_287, steps))
        one.grid[0] += steps
        one.grid[1] += steps**2
    single = float32(number - (said.center or 0.0))
    code = plain_code(single)
    one.fine[0] += code
    one.fine[1] += code**2
    one.bins[plain_bin(code)] += 1
    one.ends = [min(one.ends[0], single), max(one.ends[1], single)]


def float32(number: float) -> float:
    try:
        return float(struct.unpack("f", struct.pack("f", number))[0])
    except OverflowError:
        return math.copysign(math.inf, number)


def plain_code(single: float) -> int:
    """1 for the least magnitude, 4,096 more an octave, and one beyond the last for all from 2^63 on."""
    magnitude = abs(single)
    if magnitude == 0:
        return 0
    if magnitude >= 2.0**63:
        code = 93 * 4096 + 1
    elif magnitude < 2.0**-30:
        code = 1
    else:
        mantissa, exponent = math.frexp(magnitude)
        code = 1 + (exponent - 1 + 30) * 4096 + math.floor((2 * mantissa - 1) * 4096)
    return code if single > 0 else -code


def plain_bin(code: int) -> int:
    return 2977 + (math.ceil(code / 128) if code > 0 else math.floor(code / 128))


# A summary in the twin's form


def plain_of(summary: Summary) -> PlainSummary:
    plain = PlainSummary(
        summary.rows, summary.late, {source: list(ends) for source, ends in summary.offsets.items()}
    )
    keys, counts = summary.histogram
    buckets, totals = summary.hash_buckets
    for index, name in enumerate(summary.signals):
        row = summary.counts[index].tolist()
        one = PlainSignal(
            Counter({column.name: row[column] for column in list(Count)[: Count.FINE_SUM] if row[column]}),
            [row[Count.FINE_SUM], summary.fine_squares(index)],
            [row[Count.GRID_SUM], summary.grid_squares(index)],
            [float(summary.minimum[index]), float(summary.maximum[index])],
            Counter({int(k % BINS): int(n) for k, n in zip(keys, counts, strict=True) if k // BINS == index}),
            Counter(summary.values.get(name, {})),
            Counter(
                {int(k % 1024): int(n) for k, n in zip(buckets, totals, strict=True) if k // 1024 == index}
            ),
        )
        plain.signals[name] = one
    return plain
