"""What is known of a history: when something was wrong, and where it showed. In a file:

incidents:
  - name: blizzard
    start: 2013-02-08T12:00:00Z
    end: 2013-02-10T00:00:00Z          # without it: to the end of the history
    model: arrival-delay               # without it: any
    signals: [dep_delay, "arr_delay*"] # without them: any; globs
"""

from __future__ import annotations

from fnmatch import fnmatchcase
from pathlib import Path
from typing import Annotated, Any

from pydantic import BeforeValidator, Field, ValidationError, ValidationInfo, field_validator

from stream_monitor.config.loading import read_yaml
from stream_monitor.config.problems import problems_of
from stream_monitor.config.section import Section, refuse
from stream_monitor.config.values import Time
from stream_monitor.errors import ConfigError

INCIDENTS_MAX = 10_000
ANY = "*"


def _names(value: object) -> object:
    return [value] if isinstance(value, str) else value


Name = Annotated[str, Field(min_length=1)]


class Incident(Section):
    """Something was wrong from ``start`` to ``end``, in epoch ms; None: to the end of the history."""

    name: Name
    start: Time
    end: Time | None = None
    model: Name = ANY
    signals: Annotated[list[Name], BeforeValidator(_names)] = Field(default=[ANY], min_length=1)

    @field_validator("end")
    @classmethod
    def _after_start(cls, end: int | None, info: ValidationInfo) -> int | None:
        if end is not None and end <= info.data.get("start", -1):
            refuse("a time after start", end)
        return end

    def shows_in(self, model: str, signal: str) -> bool:
        """Whether it may show in this signal of this model."""
        return _matches(self.model, model) and any(_matches(name, signal) for name in self.signals)


class _File(Section):
    incidents: list[Incident] = Field(max_length=INCIDENTS_MAX)


def load_incidents(path: Path) -> list[Incident]:
    """The incidents in a YAML or JSON file, in order of their start.

    The list may stand alone. Raises ConfigError with every problem, each "FILE: incidents[2].start: expected
    ..., got ...".
    """
    try:
        document, problems = read_yaml(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "not UTF-8"
        raise ConfigError([f"{path}: expected a readable YAML file, got: {reason}"]) from None
    except ConfigError as error:
        document, problems = None, error.problems
    else:
        listed = {"incidents": document} if isinstance(document, list) else document
        try:
            found = _File.model_validate(listed)
        except ValidationError as error:
            problems = [*problems, *problems_of(error, _File)]
    if problems:
        raise ConfigError([f"{path}: {problem}" for problem in problems])
    return sorted(found.incidents, key=lambda one: (one.start, one.name))


def _matches(pattern: str, name: Any) -> bool:
    # A name that holds brackets is no glob of itself.
    return pattern == name or fnmatchcase(name, pattern)
