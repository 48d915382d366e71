"""The settings of a model: what its signals should look like, and which detectors watch them."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import (
    BeforeValidator,
    Field,
    PlainSerializer,
    PlainValidator,
    ValidationInfo,
    WithJsonSchema,
    field_validator,
    model_validator,
)

from stream_monitor.config.detectors import Detector, DetectorItem
from stream_monitor.config.quality import Quality
from stream_monitor.config.section import Section, refuse
from stream_monitor.config.values import (
    DAY_MS,
    DURATION,
    Day,
    PositiveDuration,
    Range,
    SegmentField,
    SliceLength,
    Time,
    TimeZone,
    duration_ms,
    duration_text,
    lasting,
)

SIGNALS_MAX = 4_096
HOLIDAYS_MAX = 1_000
SEGMENTS_MAX = 8
"""Each costs the statistics of a model once more."""


@dataclass(frozen=True)
class Learn:
    """How long a reference is learned where no file gives one: a time or a number of events."""

    ms: int | None = None
    events: int | None = None

    def text(self) -> str | int:
        """As the configuration writes it."""
        return duration_text(self.ms) if self.ms is not None else self.events or 0


def _learn(value: object) -> Learn:
    if isinstance(value, str):
        return Learn(ms=duration_ms(value, least_ms=1))
    if type(value) is not int or value < 1:
        refuse('a duration such as "1d" or a number of events', value)
    return Learn(events=value)


def _file(value: object, info: ValidationInfo) -> Path | None:
    if not isinstance(value, str) or not value:
        refuse("the path of a file", value)
    base: Path = (info.context or {}).get("base", Path())
    return base / value


_LEARN_SCHEMA = {"anyOf": [{"type": "string", "pattern": DURATION}, {"type": "integer", "minimum": 1}]}
LearnItem = Annotated[
    Learn,
    PlainValidator(_learn),
    PlainSerializer(Learn.text, when_used="always"),
    WithJsonSchema(_LEARN_SCHEMA),
]
File = Annotated[Path, BeforeValidator(_file), WithJsonSchema({"type": "string", "minLength": 1})]


class Signal(Section):
    """What is expected of a feature or output. ``type`` follows from ``range``, ``center`` or ``values``."""

    type: Literal["number", "category"] | None = Field(
        default=None, description="Without it, told from the data."
    )
    range: Range | None = Field(default=None, description="[min, max]; numbers outside are counted.")
    values: list[str] | None = Field(default=None, min_length=1, description="The categories that are known.")
    strict: bool | None = Field(
        default=None, description="Numeric strings are no numbers. Default: the model's."
    )
    center: float | None = Field(
        default=None, allow_inf_nan=False, description="Subtracted before statistics."
    )
    watch: bool = Field(default=True, description="Whether detectors watch it.")

    @model_validator(mode="before")
    @classmethod
    def _infer_type(cls, signal: Any) -> Any:
        if not isinstance(signal, dict) or signal.get("type") is not None:
            return signal
        if signal.get("range") is not None or signal.get("center") is not None:
            return {**signal, "type": "number"}
        return {**signal, "type": "category"} if signal.get("values") is not None else signal

    @field_validator("range", "center")
    @classmethod
    def _of_a_number(cls, value: Any, info: ValidationInfo) -> Any:
        if value is not None and info.data.get("type") == "category":
            refuse("nothing here, since the type is category", value)
        return value

    @field_validator("values")
    @classmethod
    def _of_a_category(cls, values: list[str] | None, info: ValidationInfo) -> list[str] | None:
        if values is not None and info.data.get("type") == "number":
            refuse("nothing here, since the type is number", values)
        if values is not None and len(set(values)) < len(values):
            refuse("distinct values", values)
        return values

    def adds_to(self, general: Self) -> bool:
        """A number does not inherit from a category, nor the other way round."""
        return general.type is None or self.type is None or general.type == self.type


class MinEffect(Section):
    """The smallest effects worth a finding, however significant."""

    location: float = Field(
        default=0.1,
        ge=0,
        description="Shift of the mean of 2 rank - 1 (0.1: 0.18 standard deviations of a normal signal); "
        "in standard deviations where values are too alike to be ranked.",
    )
    shape: float = Field(default=0.1, ge=0, description="Shift of a shape score: spread, skew, tails.")
    share: float = Field(default=0.05, ge=0, le=1, description="Change of a category's share.")
    rate: float = Field(
        default=0.02, ge=0, le=1, description="Change of a rate (missing, wrong type, out of range)."
    )
    memory: float = Field(
        default=0.15,
        ge=0,
        description="Change of how far neighbouring slices resemble each other, from none to all 1 "
        "(0.15: of a correlation from 0 to .29); 2: none is told.",
    )
    variation: float = Field(
        default=0.7,
        ge=0,
        description="Change of how far neighbouring slices differ: natural logarithm of the factor of their "
        "squared differences (0.7: they differ 1.4 times as much).",
    )


class Budget(Section):
    """What detectors that keep a budget may raise by chance, all of a model's together."""

    false_alarms: float = Field(default=1.0, gt=0, le=1_000, description="So many by chance, at the most.")
    per_ms: PositiveDuration = lasting("7d", "per", "In this time of healthy events.")

    def slices_between(self, slice_ms: int) -> float:
        """Slices from one false alarm of the model to the next."""
        return max(1.0, self.per_ms / slice_ms / self.false_alarms)


class ModelConfig(Section):
    """The settings of one model, or of all models that a glob names."""

    slice_ms: SliceLength = lasting("1s", "slice", "Length of a slice of event time; divides a day.")
    learn: LearnItem = Field(
        default=Learn(ms=DAY_MS),
        description="What a reference is learned from without a file: a time or a number of events; up to a "
        "thirtieth more, so that models that begin together do not end together.",
        json_schema_extra={"default": "1d"},
    )
    learn_from: Time = Field(
        default=0,
        description="What was learned before this time is forgotten, and learned anew from here on.",
    )
    timezone: TimeZone | None = Field(
        default=None, description="Whose hours and days seasons go by; without it those of UTC."
    )
    holidays: list[Day] = Field(
        default_factory=list,
        max_length=HOLIDAYS_MAX,
        description="Days there that are judged by the season as the nearest Sunday is.",
    )
    reference: File | None = Field(default=None, description="A file that `stream-monitor profile` wrote.")
    labels: dict[str, str] = Field(default_factory=dict, description="Reach the alerts: team, runbook.")
    strict: bool = Field(default=False, description="Numeric strings do not count as numbers.")
    max_signals: int = Field(
        default=256, ge=1, le=SIGNALS_MAX, description="Bound on undeclared features, and on outputs."
    )
    features: dict[str, Signal] = Field(default_factory=dict)
    outputs: dict[str, Signal] = Field(default_factory=dict)
    quality: dict[str, Quality] = Field(
        default_factory=dict, description="What labels say of the model, by output."
    )
    segments: list[SegmentField] = Field(
        default_factory=list,
        max_length=SEGMENTS_MAX,
        description="Features by whose values everything is kept apart, too.",
    )
    segments_max: int = Field(default=20, ge=1, le=1_000, description="Bound on the values of each.")
    detectors: list[DetectorItem] = Field(
        default=[Detector("scan")],
        description="The scan keeps the budget; adwin and page_hinkley know none. [] for none.",
        json_schema_extra={"default": ["scan"]},
    )
    budget: Budget = Field(
        default=Budget(),
        description="Detectors that keep one take their thresholds from it.",
        json_schema_extra={"default": {"false_alarms": 1, "per": "7d"}},
    )
    min_effect: MinEffect = MinEffect()
    severity: Literal["page", "ticket"] = Field(default="page", description="Of this model's alerts.")

    @field_validator("segments")
    @classmethod
    def _segments_distinct(cls, segments: list[str]) -> list[str]:
        if len(set(segments)) < len(segments):
            refuse("distinct names", segments)
        return segments
