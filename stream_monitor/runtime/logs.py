"""Structured logs on stderr: one event a line, as JSON, or for human eyes on a terminal.

A module logs ``log.info("partition stopped", extra={"topic": topic, "partition": partition})`` with the
logger of its name: the message is the event and names no values, ``extra`` holds its fields.
"""

from __future__ import annotations

import logging
import re
import sys
from collections.abc import Mapping
from datetime import UTC, datetime
from json import dumps
from typing import Any

HIDDEN = "***"

_SECRET = re.compile(r"password|passwd|secret|token|credential|jaas|key\.pem|\.key$|api.?key", re.IGNORECASE)
_OF_EVERY_RECORD = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime", "taskName"}


def setup(json: bool | None = None, level: int | str = logging.INFO) -> None:  # noqa: FBT001 - with a third state
    """Send the logs of the whole process to stderr, in place of what was set up before.

    ``json`` None: JSON unless stderr is a terminal.
    """
    handler = logging.StreamHandler(sys.stderr)
    if json is None:
        json = not sys.stderr.isatty()
    handler.setFormatter(JsonFormatter() if json else HumanFormatter())
    logging.basicConfig(handlers=[handler], level=level, force=True)


class JsonFormatter(logging.Formatter):
    """``{"ts": ..., "level": ..., "logger": ..., "event": ..., <fields>}`` in one line, ts in UTC."""

    def format(self, record: logging.LogRecord) -> str:
        line = {
            "ts": _time(record).isoformat(timespec="milliseconds").replace("+00:00", "Z"),
            "level": record.levelname.lower(),
            "logger": record.name,
            "event": record.getMessage(),
        }
        # The four above are never overwritten by a field of the same name.
        line = _fields(record) | line
        if record.exc_info:
            line["exception"] = self.formatException(record.exc_info)
        return dumps(line, default=str)


class HumanFormatter(logging.Formatter):
    """``12:00:01.250 WARNING stream_monitor.runtime.observe: partition stopped  topic=a partition=3``."""

    def format(self, record: logging.LogRecord) -> str:
        fields = " ".join(f"{name}={value}" for name, value in _fields(record).items())
        time = _time(record).strftime("%H:%M:%S.%f")[:-3]
        line = f"{time} {record.levelname:<7} {record.name}: {record.getMessage()}  {fields}".rstrip()
        if record.exc_info:
            line += "\n" + self.formatException(record.exc_info)
        return line


def _time(record: logging.LogRecord) -> datetime:
    return datetime.fromtimestamp(record.created, UTC)


def _fields(record: logging.LogRecord) -> dict[str, Any]:
    own = {name: value for name, value in vars(record).items() if name not in _OF_EVERY_RECORD}
    return _without_secrets(own)


def _without_secrets(fields: Mapping[Any, Any]) -> dict[str, Any]:
    """The fields, at any depth of mappings, with the values of those that are named like a secret hidden."""
    return {
        str(name): HIDDEN
        if _SECRET.search(str(name))
        else _without_secrets(value)
        if isinstance(value, Mapping)
        else value
        for name, value in fields.items()
    }
