"""The configuration as a whole: where events come from and where results go."""

from __future__ import annotations

import fnmatch
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal, Self

from pydantic import Field, PrivateAttr, ValidationInfo, field_validator, model_validator

from stream_monitor.config.model import ModelConfig
from stream_monitor.config.secrets import KafkaProperties, Properties
from stream_monitor.config.section import Section, merged, refuse, shown
from stream_monitor.config.values import (
    Duration,
    Folder,
    Interval,
    PathMapping,
    PipelineName,
    PositiveDuration,
    RoleMapping,
    SliceLength,
    TimeMapping,
    TopicName,
    ValueMapping,
    duration_text,
    lasting,
)

MODELS_CACHED_MAX = 4_096
PARTITIONS_MAX = 1_000
BROKERS = frozenset({"bootstrap.servers", "metadata.broker.list"})
INTERNAL_TOPICS = ("summaries", "alerts", "rejects", "state", "labels", "predictions")


class Fields(Section):
    """Where an event keeps what: a JSON path, "key", "header:NAME", "topic" or a constant "=text"."""

    id: ValueMapping | None = Field(default="$.prediction_id", description="Needed to join labels.")
    model: ValueMapping = "$.model"
    version: ValueMapping | None = "$.model_version"
    role: RoleMapping | None = Field(default="$.role", description="live or shadow; live where missing.")
    time: TimeMapping = Field(
        default="$.ts", description='Epoch ms or RFC 3339; "kafka": the record\'s timestamp.'
    )
    features: PathMapping | None = "$.features"
    outputs: PathMapping | None = "$.outputs"


def _distinct(topics: list[str]) -> list[str]:
    if len(set(topics)) < len(topics):
        refuse("distinct topics", topics)
    return topics


class Predictions(Section):
    """The topics that hold predictions, and how their events are read."""

    topics: list[TopicName] = Field(min_length=1)
    format: Literal["json", "arrow"] = Field(
        default="json", description="Of a record's value: JSON, or a table in Arrow IPC with a row an event."
    )
    fields: Fields = Fields()
    lateness_ms: Duration = lasting(
        "10s", "lateness", "How far an event may be behind its partition's clock."
    )
    max_clock_skew_ms: Duration = lasting(
        "60s", "max_clock_skew", "How far an event may be ahead of its Kafka timestamp."
    )
    idle_after_ms: PositiveDuration = lasting(
        "30s", "idle_after", "Silence after which a drained partition is idle."
    )
    ahead_max_ms: PositiveDuration = lasting(
        "10m", "ahead_max", "How far a partition may run ahead of the slowest."
    )
    start: Literal["earliest", "latest"] = Field(default="earliest", description="Where a new group begins.")
    unknown_models: Literal["accept", "reject"] = Field(
        default="accept", description="Whether models that no entry of `models` names are rejected."
    )

    _topics_distinct = field_validator("topics")(_distinct)


class LabelFields(Section):
    """Where a label keeps what: a JSON path, "key", "header:NAME", "topic" or a constant "=text"."""

    id: ValueMapping = "$.prediction_id"
    model: ValueMapping | None = Field(
        default="$.model", description="Where missing, a label joins the predictions of every model."
    )
    time: TimeMapping = Field(
        default="$.ts", description='Epoch ms or RFC 3339; "kafka": the record\'s timestamp.'
    )
    value: PathMapping = "$.label"


class Labels(Section):
    """The topics that hold labels, and how they are joined with predictions."""

    topics: list[TopicName] = Field(min_length=1)
    fields: LabelFields = LabelFields()
    horizon_ms: PositiveDuration = lasting(
        "30d", "horizon", "How far the clocks of a prediction and its label may be apart."
    )
    policy: Literal["first", "last"] = Field(
        default="last", description="Which label counts where several come for one prediction."
    )
    slice_ms: SliceLength = lasting(
        "1m", "slice", "Length of the slices in which labels arrive; divides a day."
    )
    cohort_ms: SliceLength = lasting(
        "1h", "cohort", "Length of a cohort of predictions, by their time; divides a day."
    )
    store: Folder = Field(
        default=Path("stream-monitor-store"),
        description="Where the join keeps its data; relative to the working directory.",
        json_schema_extra={"default": "stream-monitor-store"},
    )
    repartition: Literal["none", "labels", "both"] = Field(
        default="none", description="What is sent through internal topics so that ids meet."
    )

    _topics_distinct = field_validator("topics")(_distinct)

    @model_validator(mode="after")
    def _lengths_fit(self) -> Labels:
        cohort, slice_length = duration_text(self.cohort_ms), duration_text(self.slice_ms)
        if self.cohort_ms % self.slice_ms:
            refuse(f"a cohort that is a multiple of the slice, {slice_length}", cohort)
        if self.horizon_ms < self.cohort_ms:
            refuse(f"a horizon of at least the cohort, {cohort}", duration_text(self.horizon_ms))
        return self


ReplicationFactor = Field(default=None, ge=1, le=1_000, description="Without it, the broker's default.")


class Topic(Section):
    """How a topic that this pipeline writes is created."""

    partitions: int = Field(default=1, ge=1, le=PARTITIONS_MAX)
    replication_factor: int | None = ReplicationFactor
    retention_ms: PositiveDuration | None = Field(
        default=None, alias="retention", description="Without it, the broker's default."
    )


class SummariesTopic(Topic):
    """How the internal topic of summaries is created. Its partitions bound the number of decide workers."""

    partitions: int = Field(default=4, ge=1, le=PARTITIONS_MAX)
    retention_ms: PositiveDuration | None = lasting("1d", "retention", "How long they are kept.")


class StateTopic(Section):
    """How the internal topic of state is created; it has as many partitions as the one of summaries."""

    replication_factor: int | None = ReplicationFactor


class Http(Section):
    """Where a worker serves /metrics, /healthz and /readyz."""

    host: str = Field(default="127.0.0.1", min_length=1)
    port: int = Field(default=9108, ge=0, le=65_535, description="0: any free port.")


class Config(Section):
    """The configuration of a pipeline. Made by ``load_config`` and ``parse_config``."""

    pipeline: PipelineName = Field(
        default="", description="Prefix of groups, transactional ids and internal topics."
    )
    kafka: KafkaProperties = Field(
        default_factory=Properties, exclude=True, description="Properties for librdkafka."
    )
    predictions: Predictions
    labels: Labels | None = None
    summaries: SummariesTopic = SummariesTopic()
    alerts: Topic = Topic()
    rejects: Topic = Topic()
    state: StateTopic = StateTopic()
    commit_interval_ms: Interval = lasting("1s", "commit_interval", "Time between two commits of a worker.")
    snapshot_interval_ms: Interval = lasting(
        "1m", "snapshot_interval", "Age at which a changed state is saved."
    )
    http: Http = Http()
    models: dict[str, ModelConfig] = Field(
        default_factory=dict, description="By name or glob (*, ?, [a-z]), merged from general to special."
    )
    _by_name: dict[str, ModelConfig] = PrivateAttr(default_factory=dict)

    @field_validator("predictions")
    @classmethod
    def _not_own_output(cls, predictions: Predictions, info: ValidationInfo) -> Predictions:
        _not_own(predictions.topics, info)
        return predictions

    @field_validator("labels")
    @classmethod
    def _labels_can_join(cls, labels: Labels | None, info: ValidationInfo) -> Labels | None:
        predictions: Predictions | None = info.data.get("predictions")
        if labels is not None:
            _not_own(labels.topics, info)
        if labels is None or predictions is None:
            return labels
        if predictions.fields.id is None:
            refuse("predictions.fields.id to be mapped, since labels are joined by it", None)
        if shared := sorted(set(labels.topics) & set(predictions.topics)):
            refuse("other topics than those of predictions", shared)
        return labels

    @field_validator("models")
    @classmethod
    def _quality_has_labels(
        cls, models: dict[str, ModelConfig], info: ValidationInfo
    ) -> dict[str, ModelConfig]:
        if "labels" in info.data and info.data["labels"] is None:
            for name in (name for name, model in models.items() if model.quality):
                refuse(f"labels to be configured, since the entry {shown(name)} has quality", None)
        return models

    def topic(self, name: str) -> str:
        """The full name of an internal topic: one of INTERNAL_TOPICS."""
        assert name in INTERNAL_TOPICS, name
        return f"{_prefix(self.pipeline)}drift.{name}"

    def joined(self, kind: Literal["predictions", "labels"]) -> list[str]:
        """The topics from which the join reads them: internal ones where they are repartitioned."""
        assert self.labels is not None
        if self.labels.repartition == "both" or (self.labels.repartition, kind) == ("labels", "labels"):
            return [self.topic(kind)]
        return self.labels.topics if kind == "labels" else self.predictions.topics

    @property
    def tracks(self) -> int:
        """On which a model is judged apart: its events, and what labels say."""
        return 1 if self.labels is None else 2

    def group(self, role: str) -> str:
        """The consumer group of a role: observe, join or decide."""
        return f"{_prefix(self.pipeline)}stream-monitor.{role}"

    @property
    def names_brokers(self) -> bool:
        """Whether `kafka` says where brokers are. Without, a configuration is for files and the library."""
        return not BROKERS.isdisjoint(self.kafka)

    def kafka_properties(self) -> dict[str, Any]:
        """The properties for librdkafka with all secrets resolved. Raises ConfigError."""
        return Properties(self.kafka).resolved()

    def knows(self, name: str) -> bool:
        """Whether events of a model of this name are accepted."""
        return self.predictions.unknown_models == "accept" or any(_names(glob, name) for glob in self.models)

    def model(self, name: str) -> ModelConfig:
        """The settings of a model: the defaults, then every entry that names it, general to special.

        An entry equal to the name is the most special; among globs, the one with more literal
        characters, then the lexically greater. Cached for up to MODELS_CACHED_MAX names.
        """
        known = self._by_name.get(name)
        if known is None:
            if len(self._by_name) >= MODELS_CACHED_MAX:
                self._by_name.clear()
            known = ModelConfig()
            matching = (glob for glob in self.models if _names(glob, name))
            for glob in sorted(matching, key=lambda glob: _specificity(glob, name)):
                known = merged(known, self.models[glob])
            self._by_name[name] = known
        return known

    def with_model(self, name: str, settings: Mapping[str, Any]) -> Self:
        """The same, but for these settings of one model, as in YAML."""
        entry = ModelConfig.model_validate(settings)
        before = self.models.get(name)
        models = {**self.models, name: entry if before is None else merged(before, entry)}
        return type(self).model_construct(**{**dict(self), "models": models})


def _prefix(pipeline: str) -> str:
    return f"{pipeline}." if pipeline else ""


def _not_own(topics: list[str], info: ValidationInfo) -> None:
    prefix = _prefix(info.data.get("pipeline", ""))
    for own in (f"{prefix}drift.{name}" for name in INTERNAL_TOPICS):
        if own in topics:
            refuse("topics that this pipeline does not write", own)


def _names(glob: str, name: str) -> bool:
    return glob == name or fnmatch.fnmatchcase(name, glob)


def _specificity(glob: str, name: str) -> tuple[bool, int, str]:
    return glob == name, len(re.sub(r"\[.+?\]|[*?]", "", glob)), glob
