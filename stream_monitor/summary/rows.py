"""Rows of one stream as columns: taken apart, and put together from several batches."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from stream_monitor.events import Column, Float64s, Int64s, JsonType, Source
from stream_monitor.summary.histogram import run_starts
from stream_monitor.summary.vocabulary import Texts

Columns = Mapping[str, Column]
Types = NDArray[np.uint8] | JsonType


@dataclass(frozen=True, slots=True)
class Rows:
    """Rows with the same signals. ``source`` (n,) holds numbers that whoever keeps the rows gave out.

    ``segments``: the features by whose values segments are told apart, also where no other is looked at.
    """

    time: Int64s
    source: Int64s
    offset: Int64s
    features: Columns
    outputs: Columns
    segments: Columns = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.time)

    @classmethod
    def joined(cls, parts: Sequence[Rows]) -> Rows:
        """All rows of all parts, whose signals are the same, one part after the other."""
        if len(parts) == 1:
            return parts[0]
        sizes = list(map(len, parts))
        return cls(
            np.concatenate([part.time for part in parts]),
            np.concatenate([part.source for part in parts]),
            np.concatenate([part.offset for part in parts]),
            _columns([part.features for part in parts], sizes),
            _columns([part.outputs for part in parts], sizes),
            _columns([part.segments for part in parts], sizes),
        )

    def offsets(
        self, block: Int64s, sizes: Int64s, sources: Sequence[Source]
    ) -> list[dict[Source, tuple[int, int]]]:
        """Per cell of a block, cell by cell there, the first and last offset of each source."""
        width = len(sources)
        keys = np.repeat(np.arange(len(sizes)) * width, sizes) + self.source[block]
        if (keys[1:] < keys[:-1]).any():
            order = np.argsort(keys, kind="stable")
            keys, block = keys[order], block[order]
        offset, starts = self.offset[block], run_starts(keys)
        firsts = np.minimum.reduceat(offset, starts).tolist()
        lasts = np.maximum.reduceat(offset, starts).tolist()
        found: list[dict[Source, tuple[int, int]]] = [{} for _ in sizes]
        for key, first, last in zip(keys[starts].tolist(), firsts, lasts, strict=True):
            cell, source = divmod(key, width)
            found[cell][sources[source]] = first, last
        return found


def taken(columns: Columns, index: Int64s) -> Columns:
    """The rows of all columns at an index."""
    return {
        name: Column(
            one.types if isinstance(one.types, JsonType) else one.types[index],
            None if one.numbers is None else one.numbers[index],
            None if one.texts is None else Texts.of(one.texts).take(index),
        )
        for name, one in columns.items()
    }


def _columns(parts: Sequence[Columns], sizes: Sequence[int]) -> Columns:
    return {name: _joined([part[name] for part in parts], sizes) for name in parts[0]}


def _joined(columns: Sequence[Column], sizes: Sequence[int]) -> Column:
    numbers: Float64s | None = None
    texts: Texts | None = None
    if any(one.numbers is not None for one in columns):
        parts = zip(columns, sizes, strict=True)
        numbers = np.concatenate([np.zeros(n) if one.numbers is None else one.numbers for one, n in parts])
    if any(one.texts is not None for one in columns):
        parts = zip(columns, sizes, strict=True)
        texts = Texts.joined([[""] * n if one.texts is None else one.texts for one, n in parts])
    return Column(_joined_types([one.types for one in columns], sizes), numbers, texts)


def _joined_types(types: Sequence[Types], sizes: Sequence[int]) -> Types:
    first = types[0]
    if isinstance(first, JsonType) and all(one is first for one in types):
        return first
    return np.concatenate([np.full(n, one, np.uint8) for one, n in zip(types, sizes, strict=True)])
