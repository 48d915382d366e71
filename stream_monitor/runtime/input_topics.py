"""The topics that a worker reads, and what has to be so before labels can be joined with predictions."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from collections.abc import Set as AbstractSet
from typing import Any, NamedTuple

from confluent_kafka.admin import AdminClient, ConfigResource, ResourceType

from stream_monitor.config import Config, Labels
from stream_monitor.config.values import duration_text
from stream_monitor.errors import StreamMonitorError
from stream_monitor.runtime.watch import TopicFacts

log = logging.getLogger(__name__)

CALL_TIMEOUT_S = 10.0


class Topics(NamedTuple):
    """What a worker reads. Where it reads labels, equal partition numbers of all topics belong together, and
    no topic may get another number of partitions: ids would move."""

    predictions: Sequence[str]
    labels: Sequence[str] = ()

    @property
    def all(self) -> list[str]:
        return [*self.predictions, *self.labels]

    def check_count(self, topic: str, before: int | None, now: int) -> None:
        """StreamMonitorError where ids have moved: what waits for them lies in other partitions."""
        if self.labels and before is not None and before != now:
            message = (
                f"{topic}: expected {before} partitions, as when its ids were first joined, got {now}: that "
                "number places the ids, and labels would miss their predictions; the worker stops. Copy the "
                f"topic to one of {before} partitions, or begin again under another name of `pipeline`"
            )
            raise StreamMonitorError(message)


def labels_of(config: Config) -> Labels:
    """The labels section. StreamMonitorError without one."""
    if config.labels is None:
        message = "labels: expected this section for the role join, got none; add it, or run the other roles"
        raise StreamMonitorError(message)
    return config.labels


def check_there(topics: Topics, missing: AbstractSet[str]) -> None:
    """StreamMonitorError where a topic does not exist."""
    if missing:
        section = "labels" if missing.isdisjoint(topics.predictions) else "predictions"
        message = f"{section}.topics: expected topics that exist, got {', '.join(sorted(missing))}"
        raise StreamMonitorError(message)


def check_counts(topics: Topics, facts: Mapping[str, TopicFacts]) -> None:
    """StreamMonitorError unless all topics have the same number of partitions."""
    counts = {topic: facts[topic].partitions for topic in topics.all}
    if len(set(counts.values())) > 1:
        got = ", ".join(f"{topic}: {count}" for topic, count in counts.items())
        message = (
            f"labels.topics: expected as many partitions as those of predictions, got {got}: a prediction "
            "and its label would not meet. Make the topics anew with equal numbers, or set "
            "labels.repartition: `labels` sends labels to where their predictions are, `both` sends both"
        )
        raise StreamMonitorError(message)


def check_retention(admin: AdminClient, topics: Topics, horizon_ms: int) -> None:
    """StreamMonitorError where a topic forgets before the horizon ends: its part of the store could not be
    made again. Topics that are compacted only keep what is needed.
    """
    resources = [ConfigResource(ResourceType.TOPIC, topic) for topic in topics.all]
    problems = []
    for resource, future in admin.describe_configs(resources, request_timeout=CALL_TIMEOUT_S).items():
        settings: dict[str, Any] = future.result(CALL_TIMEOUT_S)
        if "delete" not in settings["cleanup.policy"].value:
            continue
        kept_ms = int(settings["retention.ms"].value)
        if 0 <= kept_ms < horizon_ms:
            problems.append(
                f"{resource.name}: expected retention.ms of at least labels.horizon, which is "
                f"{duration_text(horizon_ms)} ({horizon_ms}), got {duration_text(kept_ms)} ({kept_ms}): a "
                "lost store could not be made again; raise the retention, or lower the horizon"
            )
        elif 0 <= kept_ms < 2 * horizon_ms:
            log.warning(
                "retention below two horizons of labels: a store made again may take repeated labels for new",
                extra={"topic": resource.name, "retention": duration_text(kept_ms)},
            )
        if int(settings["retention.bytes"].value) >= 0:
            log.warning(
                "retention by size may end before the horizon of labels does",
                extra={"topic": resource.name, "bytes": int(settings["retention.bytes"].value)},
            )
    if problems:
        raise StreamMonitorError("\n".join(problems))
