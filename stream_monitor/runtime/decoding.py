"""From consumed messages to batches: what a live worker and one that reads again do alike."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

import numpy as np
from confluent_kafka import Message

from stream_monitor.config.section import Section
from stream_monitor.events import Batch, Int64s, LabelBatch, Records, Source
from stream_monitor.runtime.record import headers_of

Batches = Sequence[Batch | LabelBatch]


class Decoding:
    """``decode`` never raises for what is in the records. ``places`` are the places of all fields: keys and
    headers are looked at only where one is mapped to them.
    """

    def __init__(self, decode: Callable[[Records], Batches], places: Iterable[str]) -> None:
        places = set(places)
        self._decode = decode
        self._keys = "key" in places
        self._headers = any(place.startswith("header:") for place in places)

    def batches(
        self, messages: list[Message], sources: tuple[Source, ...], source: Int64s, offset: Int64s
    ) -> Batches:
        """``source[i]`` indexes ``sources``; no message holds an error."""
        records = Records(
            sources=sources,
            source=source,
            offset=offset,
            timestamp=np.array([one.timestamp()[1] for one in messages], np.int64),
            values=[one.value() for one in messages],
            keys=[one.key() for one in messages] if self._keys else None,
            headers=[headers_of(one) for one in messages] if self._headers else None,
        )
        return self._decode(records)


def mapped(fields: Section) -> list[str]:
    """The places that a section of fields is mapped to."""
    return [str(getattr(fields, name)) for name in type(fields).model_fields]
