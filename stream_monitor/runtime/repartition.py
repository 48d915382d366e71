"""The worker that sends labels, or predictions and labels, to where their ids meet.

    poll -> decode -> copy -> produce copies, rejects -> commit

The join reads the copies in place of the topics that they were made of: partitions, order and clocks are then
those of the copies. It is a group and a process of its own, like the other roles, and exactly once like them.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterable
from typing import Final, cast

from confluent_kafka import KafkaException
from confluent_kafka.admin import AdminClient

from stream_monitor.codecs.labels import JoinCodec
from stream_monitor.config import Config, Labels
from stream_monitor.errors import StreamMonitorError
from stream_monitor.events import Progress
from stream_monitor.metrics import Metrics
from stream_monitor.runtime.copies import Copied, Copies
from stream_monitor.runtime.decoding import Decoding, mapped
from stream_monitor.runtime.health import Health
from stream_monitor.runtime.input_topics import Topics, check_there, labels_of
from stream_monitor.runtime.input_worker import InputWorker
from stream_monitor.runtime.inputs import Inputs
from stream_monitor.runtime.members import Member
from stream_monitor.runtime.messages import Outgoing
from stream_monitor.runtime.outbox import Outbox
from stream_monitor.runtime.placement import SAID, partitioner_of, sample_topics
from stream_monitor.runtime.task import Flushed, NoStores, Task
from stream_monitor.runtime.watch import Watch
from stream_monitor.sources.partitioners import BY_NAME

log = logging.getLogger(__name__)

ROLE: Final = "repartition"
ROWS_MAX = 100_000
"""Of which the copies stay in memory until the commit, about 1 kB each."""
ASK_AGAIN_S = 2.0
OWN_CHOICE = "murmur2_random"
"""Where both are copied, nothing has to be matched."""


def is_needed(config: Config) -> bool:
    return config.labels is not None and config.labels.repartition != "none"


class Repartitioner(InputWorker):
    """An input worker whose flushes are copies. ``find`` names the partitioner that places them."""

    def __init__(
        self,
        config: Config,
        copies: Copies,
        find: Callable[[], str | None],
        decoding: Decoding,
        inputs: Inputs,
        member: Member,
        outbox: Outbox,
        metrics: Metrics,
        health: Health,
    ) -> None:
        task = Task(ROLE, decoding, copies, NoStores(), ROWS_MAX)
        super().__init__(config, task, inputs, member, outbox, metrics, health)
        self._copies = copies
        self._find = find

    def run(self, stop: threading.Event) -> None:
        """See InputWorker. Waits until it is known how predictions are placed: a guess would be forever."""
        while (name := self._found()) is None and not stop.is_set():
            self._health.tick()
            self._health.ready(ready=False, why="waits for predictions, to place labels as they are")
            stop.wait(ASK_AGAIN_S)
        if name is None:
            self._member.close()
            return
        log.info("copies are placed", extra={"by": SAID[name]})
        self._copies.place_by(BY_NAME[name])
        super().run(stop)

    def _found(self) -> str | None:
        try:
            return self._find()
        except KafkaException as error:
            log.warning("placement of predictions not known", extra={"error": error.args[0].str()})
            return None

    def _outgoing(self, flushed: Flushed, _progress: list[Progress]) -> Iterable[Outgoing]:
        return cast("Copied", flushed).messages


def repartitioner(
    config: Config,
    admin: AdminClient,
    member: Member,
    outbox: Outbox,
    metrics: Metrics,
    health: Health,
    *,
    topic_ids: bool = True,
) -> Repartitioner:
    """StreamMonitorError where topics are missing, or those of copies have other numbers of partitions."""
    labels = labels_of(config)
    if labels.repartition == "none":
        message = "labels.repartition: expected labels or both for the role repartition, got none; not needed"
        raise StreamMonitorError(message)
    moves_both = labels.repartition == "both"
    named = Topics(config.predictions.topics, labels.topics)
    partitions = _partitions(config, admin, labels, named, topic_ids=topic_ids)
    # To this worker all are alike: none has to have as many partitions as another, and none may run ahead
    # of another, for that would move the clocks of what is copied of both.
    topics = Topics(named.all if moves_both else labels.topics)
    copies = Copies(config, partitions)
    # What it decodes is what users write, and not the copies.
    codec = JoinCodec(config.model_copy(update={"labels": labels.model_copy(update={"repartition": "none"})}))
    decoding = Decoding(codec.decode, ["key", *mapped(config.predictions.fields), *mapped(labels.fields)])
    watch = Watch(admin, topics.all, topic_ids=topic_ids)
    inputs = Inputs(config, topics, member, watch, copies.clocks, metrics)

    def find() -> str | None:
        if moves_both or partitions == 1:
            return OWN_CHOICE
        return partitioner_of(sample_topics(config, config.predictions.topics).values())

    return Repartitioner(config, copies, find, decoding, inputs, member, outbox, metrics, health)


def _partitions(config: Config, admin: AdminClient, labels: Labels, named: Topics, *, topic_ids: bool) -> int:
    """How many partitions copies are spread over."""
    copies = [
        config.topic("labels"),
        *([config.topic("predictions")] if labels.repartition == "both" else []),
    ]
    facts = Watch(admin, [*named.all, *copies], topic_ids=topic_ids).facts()
    if missing := facts.missing.intersection(copies):
        names = ", ".join(sorted(missing))
        message = f"{names}: expected this topic, got none; `stream-monitor topics create` makes it"
        raise StreamMonitorError(message)
    check_there(named, facts.missing)
    met = copies if labels.repartition == "both" else [*named.predictions, *copies]
    counts = {topic: facts.topics[topic].partitions for topic in met}
    if len(set(counts.values())) > 1:
        got = ", ".join(f"{topic}: {count}" for topic, count in counts.items())
        message = (
            f"labels.repartition: {labels.repartition}: expected equal numbers of partitions, got {got}; "
            "begin again under another name of `pipeline`"
        )
        raise StreamMonitorError(message)
    return counts[copies[0]]
