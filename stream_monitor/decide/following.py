"""Which streams are followed from slice to slice: all, and of segments a bounded number."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TypeVar

from stream_monitor.events import Stream
from stream_monitor.summary.segments import (
    OTHER,
    MaxOf,
    Mergeable,
    bound_segments,
    crowded_out,
    field_and_value,
)

M = TypeVar("M", bound=Mergeable)


def follow(
    streams: Mapping[Stream, M], known: Iterable[Stream], max_of: MaxOf
) -> tuple[list[tuple[Stream, M]], list[Stream]]:
    """The streams of a closed slice that are judged, in order; and those of ``known`` to be forgotten.

    Of each field the values with the smallest hashes of all slices so far. What the others have in
    common is not judged: who is among them changes as values come.
    """
    known = set(known)
    bounded = bound_segments(streams, max_of, known)
    gone = known & crowded_out({*known, *bounded}, max_of).keys()
    kept = [(stream, one) for stream, one in bounded.items() if not _is_rest(stream)]
    return sorted(kept, key=lambda item: item[0]), sorted(gone)


def _is_rest(stream: Stream) -> bool:
    return field_and_value(stream.segment)[1] == OTHER
