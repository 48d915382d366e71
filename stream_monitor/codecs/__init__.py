"""Wire formats: from bytes to columns and rejects. One of predictions is a file, and a line in FORMATS."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from stream_monitor.codecs.json import JsonCodec
from stream_monitor.codecs.wanted import Wanted
from stream_monitor.config import Config
from stream_monitor.errors import ConfigError
from stream_monitor.events import Batch, Records


class Codec(Protocol):
    """Decodes predictions. Each record is judged alone; nothing is raised for what it holds."""

    def decode(self, records: Records) -> Batch: ...


@dataclass(frozen=True, slots=True)
class Format:
    """``make`` makes a codec for a configuration, of all signals or of those wanted.

    ``records_max``: so many records make a batch, enough to make little of what it costs by itself, and few
    enough for its columns to stay in the processor's cache.
    """

    make: Callable[[Config, Wanted | None], Codec]
    records_max: int


def _arrow(config: Config, wanted: Wanted | None) -> Codec:
    try:
        from stream_monitor.codecs.arrow import ArrowCodec  # noqa: PLC0415 (an extra)
    except ImportError as error:
        problem = 'predictions.format: arrow needs pyarrow; pip install "stream-monitor[arrow]"'
        raise ConfigError([problem]) from error
    return ArrowCodec(config, wanted)


FORMATS = {"json": Format(JsonCodec, 4_000), "arrow": Format(_arrow, 32)}


def codec_of(config: Config, wanted: Wanted | None = None) -> Codec:
    """The codec of the predictions on the topics. ConfigError where its extra is not installed."""
    return FORMATS[config.predictions.format].make(config, wanted)


def records_max(config: Config) -> int:
    """How many records of the topics make a batch."""
    return FORMATS[config.predictions.format].records_max
