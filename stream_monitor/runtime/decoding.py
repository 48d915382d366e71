"""From consumed messages to batches: what a live worker and one that reads again do alike."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

from confluent_kafka import Message

from stream_monitor.config.section import Section
from stream_monitor.events import Batch, Int64s, LabelBatch, Records, Source
from stream_monitor.runtime.consumed import Consumed
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

    def batches(self, consumed: Consumed, sources: tuple[Source, ...], source: Int64s) -> Batches:
        """``source[i]`` indexes ``sources``."""
        messages = consumed.messages
        records = Records(
            sources=sources,
            source=source,
            offset=consumed.offset,
            timestamp=consumed.timestamp,
            values=consumed.values,
            keys=list(map(Message.key, messages)) if self._keys else None,
            headers=list(map(headers_of, messages)) if self._headers else None,
        )
        return self._decode(records)


def mapped(fields: Section) -> list[str]:
    """The places that a section of fields is mapped to."""
    return [str(getattr(fields, name)) for name in type(fields).model_fields]
