"""The exceptions a caller can meet. Each message says where, what was expected, what was got, and
what happens next."""

from __future__ import annotations


class StreamMonitorError(Exception):
    """Base of everything that this package raises on purpose."""


class ConfigError(StreamMonitorError):
    """The configuration cannot be used. ``problems`` holds every one of them, each with its field."""

    def __init__(self, problems: list[str]) -> None:
        self.problems = problems
        super().__init__("\n".join(problems))


class FormatError(StreamMonitorError):
    """Bytes are not of a format that this version reads. Newer bytes pause the reader; none are dropped."""


class ReferenceFileError(StreamMonitorError):
    """A reference file is missing, damaged or does not fit the configuration."""


class InputError(StreamMonitorError):
    """A file or a topic range that was asked for cannot be read."""


class DataLossError(StreamMonitorError):
    """Data that is needed is gone from Kafka: retention, or a topic deleted and created again."""


class TopicChangedError(DataLossError):
    """A topic is not the one that the stored offsets belong to: its id or its partition count changed."""
