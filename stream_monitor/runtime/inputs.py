"""The input partitions of a worker: where each begins, what it claims, when it waits or stops."""

from __future__ import annotations

import logging
import time
from collections.abc import Iterable, Mapping
from typing import Protocol

from confluent_kafka import TopicPartition

from stream_monitor.config import Config
from stream_monitor.errors import FormatError, StreamMonitorError
from stream_monitor.events import Progress, Source
from stream_monitor.metrics import Metrics
from stream_monitor.runtime.input_topics import Topics, check_there
from stream_monitor.runtime.members import Member
from stream_monitor.runtime.positions import (
    Owned,
    ahead,
    decode_metadata,
    decode_partitions,
    encode_metadata,
)
from stream_monitor.runtime.watch import Answer, TopicFacts, Watch
from stream_monitor.watermark import NEVER, Clock

log = logging.getLogger(__name__)

CALL_TIMEOUT_S = 10.0


class Counts(Protocol):
    """What became of the rows of one source partition in one flush."""

    rows: int
    rejected: int
    late: int


class Inputs:
    """``clocks`` is that of who takes the batches: a clock comes and goes there with its partition."""

    def __init__(
        self,
        config: Config,
        topics: Topics,
        member: Member,
        watch: Watch,
        clocks: dict[Source, Clock],
        metrics: Metrics,
    ) -> None:
        self._config = config.predictions
        self.topics = topics
        self._member = member
        self._watch = watch
        self._clocks = clocks
        self._metrics = metrics
        self._topics: dict[str, TopicFacts] = {}
        self._ids: dict[str, str] = {}
        self._problems: dict[Source, str] = {}
        self.owned: dict[Source, Owned] = {}
        self.sources: tuple[Source, ...] = ()
        """Those that are read: a partition that waits is not among them."""

    def start(self) -> None:
        """Learn the topics. StreamMonitorError where one does not exist."""
        facts = self._watch.facts()
        check_there(self.topics, facts.missing)
        self._learn_topics(facts.topics)

    @property
    def problem(self) -> str | None:
        """Why a partition is halted, if one is."""
        return next(iter(self._problems.values()), None)

    @property
    def at_end(self) -> bool:
        """Whether all is read that there was to read a moment ago."""
        return all(self.owned[source].at_end for source in self.sources)

    def assigned(self, partitions: list[TopicPartition]) -> None:
        """Go on in these where their last owner committed, once no transaction of it is open."""
        self._learn_topics(self._watch.facts().topics)
        for committed in self._member.committed(partitions):
            self._locate(committed)
        self._relist()
        placed = [self.owned[Source(one.topic, one.partition)] for one in partitions]
        self._member.place([TopicPartition(*one.source, one.next) for one in placed])
        self._pause([one for one in placed if one.waits])

    def _locate(self, committed: TopicPartition) -> Owned:
        """Where to go on in a partition: its committed offset, and what is written there."""
        source = Source(committed.topic, committed.partition)
        topic_id = self._topics[source.topic].id
        # Kafka forgets the offsets of a topic that is deleted; this worker remembers which one it was.
        committed_id = self._ids[source.topic]
        offset, clock, problem = committed.offset, Clock(), None
        if offset < 0:
            low, high = self._bounds(source)
            offset = low if self._config.start == "earliest" else high
        elif committed.metadata:
            try:
                committed_id, clock = decode_metadata(committed.metadata)
                partitions = decode_partitions(committed.metadata)
                self.topics.check_count(source.topic, partitions, self._topics[source.topic].partitions)
            except FormatError as error:
                problem = str(error)
        is_new = committed.offset < 0
        owned = Owned(source, topic_id, offset, offset, clock, time.monotonic(), is_new=is_new)
        self.owned[source] = owned
        self._clocks[source] = clock
        if committed_id != topic_id:
            problem = _made_anew(committed_id, topic_id)
        self._problems.pop(source, None)
        if problem is not None:
            self._halt(owned, problem)
        return owned

    def forget(self, partitions: Iterable[TopicPartition]) -> None:
        """These belong to others now, or to nobody. What halted one is said until it is well again."""
        for partition in partitions:
            source = Source(partition.topic, partition.partition)
            if self.owned.pop(source, None) is not None:
                del self._clocks[source]
                self._metrics.forget_source(*source)
        self._relist()

    def forget_all(self) -> None:
        self.forget([TopicPartition(*source) for source in self.owned])

    def rewind(self) -> None:
        """Go back to what is committed in every partition, with the clock that it had there."""
        reading = [TopicPartition(*one.source) for one in self.owned.values() if not one.halted]
        self._move([self._locate(committed) for committed in self._member.committed(reading)])
        self._relist()

    def _move(self, owned: list[Owned]) -> None:
        if owned:
            places = {one: TopicPartition(*one.source, one.next) for one in self.owned.values()}
            paused = {place for one, place in places.items() if one.waits or one.paused}
            self._member.move([places[one] for one in owned], list(places.values()), paused)

    def hold(self, sources: Iterable[Source]) -> None:
        """Neither read nor report these until they are released."""
        held = [self.owned[source] for source in sources]
        for one in held:
            one.held = True
        self._pause(held)
        self._relist()

    def release(self, sources: Iterable[Source]) -> None:
        """Go on in these where they are committed."""
        held = [self.owned[source] for source in sources]
        for one in held:
            one.held = one.paused = False
            one.active_s = time.monotonic()
        self._move(held)
        self._relist()

    def _relist(self) -> None:
        self.sources = tuple(source for source, owned in sorted(self.owned.items()) if not owned.waits)

    def _bounds(self, source: Source) -> tuple[int, int]:
        bounds: tuple[int, int] | None = self._member.consumer.get_watermark_offsets(
            TopicPartition(*source), timeout=CALL_TIMEOUT_S
        )
        if bounds is None:
            name = f"{source.topic}/{source.partition}"
            message = f"{name}: expected its offsets, got none in {CALL_TIMEOUT_S:g} s"
            raise StreamMonitorError(message)
        return bounds

    # What is lost, or is not what it was

    def lose(self, source: Source) -> None:
        """The record that comes next is gone. Named, and gone on from the first that is there.

        The ledger of decide sees the gap between the reports. Where the topic ends before what was read
        already, new records would be taken for old ones: the partition is halted.
        """
        owned = self.owned[source]
        self._learn_topics(self._watch.facts().topics)
        topic_id = self._topics[source.topic].id
        low, high = self._bounds(source)
        self._metrics.data_losses.labels(source.topic).inc()
        if owned.topic_id == topic_id and owned.next < low:
            lost = {"source": source, "expected": owned.next, "begin": low}
            log.error("records are gone before they were read", extra=lost)
            owned.first = owned.next = low
            self._move([owned])
        else:
            ended = f"expected offset {owned.next}, got an end at {high}: records were lost"
            self._halt(owned, ended if owned.topic_id == topic_id else _made_anew(owned.topic_id, topic_id))
            self._pause([owned])
            self._relist()

    def _halt(self, owned: Owned, problem: str) -> None:
        source = owned.source
        owned.halted = True
        self._problems[source] = f"{source.topic}/{source.partition}: {problem}; not read until someone looks"
        self._metrics.data_losses.labels(source.topic).inc()
        log.error("partition halted", extra={"source": source, "problem": problem})

    def _pause(self, owned: Iterable[Owned]) -> None:
        partitions = [TopicPartition(*one.source) for one in owned]
        if partitions:
            self._member.consumer.pause(partitions)

    # What the brokers tell, about once a second

    def look_around(self) -> bool:
        """Ask, or take in what was answered. True: a partition was halted; what was read of it must go."""
        answer = self._watch.take()
        if answer is None:
            self._watch.ask(self.sources)
            return False
        self._learn_topics(answer.topics)
        changed = [
            self.owned[source]
            for source in self.sources
            if self._topics[source.topic].id != self.owned[source].topic_id
        ]
        for owned in changed:
            self._halt(owned, _made_anew(owned.topic_id, self._topics[owned.source.topic].id))
        self._pause(changed)
        self._relist()
        for source in self.sources:
            self._learn_end(self.owned[source], answer)
        asked = [self.owned[source] for source in self.sources if source in answer.ends]
        self._wake([one for one in asked if one.has_stalled(answer.asked_s)])
        return bool(changed)

    def _learn_end(self, owned: Owned, answer: Answer) -> None:
        end = answer.ends.get(owned.source)
        if end is None:
            return
        owned.learn_end(end)
        if owned.drained and answer.asked_s - owned.active_s >= self._config.idle_after_ms / 1000:
            # Nothing came for so long before the brokers were asked, and nothing was there then.
            owned.claim(answer.asked_ms - self._config.idle_after_ms - self._config.max_clock_skew_ms)
        labels = (owned.source.topic, str(owned.source.partition))
        self._metrics.lag_records.labels(*labels).set(max(0, end - owned.next))
        if owned.clock.time != NEVER:
            self._metrics.clock_lag_seconds.labels(*labels).set((answer.asked_ms - owned.clock.time) / 1000)

    def _wake(self, stalled: list[Owned]) -> None:
        """Read these from where they are, as if they had just been assigned: a client may stop to fetch a
        partition without a word. A transaction that its writer left open looks the same, and is not hurt.
        """
        for one in stalled:
            self._metrics.stalled_partitions.labels(one.source.topic).inc()
            place = {"source": one.source, "next": one.next, "end": one.end}
            extra = {**place, "seconds": round(one.stall.seconds)}
            log.warning("nothing comes from a partition that has more", extra=extra)
        self._move(stalled)

    def _learn_topics(self, topics: Mapping[str, TopicFacts]) -> None:
        for topic, facts in topics.items():
            known = self._topics.get(topic)
            if known is not None and known.id == facts.id and known.partitions != facts.partitions:
                self.topics.check_count(topic, known.partitions, facts.partitions)
                counts = {"topic": topic, "before": known.partitions, "now": facts.partitions}
                log.warning("topic has another number of partitions", extra=counts)
            self._topics[topic] = facts
            self._ids.setdefault(topic, facts.id)

    def align(self) -> None:
        """Let those wait that are too far ahead in event time, and those go on that are not any more.

        Labels are what they are: days behind their predictions, and ahead of none.
        """
        aligned = [one for one in self.owned.values() if one.source.topic in self.topics.predictions]
        waiting = ahead(aligned, self._config.ahead_max_ms)
        stop = [one for one in aligned if one.source in waiting and not one.paused]
        go = [one for one in aligned if one.source not in waiting and one.paused and not one.waits]
        self._pause(stop)
        if go:
            self._member.consumer.resume([TopicPartition(*one.source) for one in go])
        for one in (*stop, *go):
            one.paused = not one.paused
        owned = self.owned.values()
        self._metrics.paused_partitions.labels("ahead").set(len(waiting))
        self._metrics.paused_partitions.labels("halted").set(sum(one.halted for one in owned))
        self._metrics.paused_partitions.labels("held").set(sum(one.held for one in owned))

    # What goes out

    def news(self) -> list[Owned]:
        """The partitions that have something to report."""
        return [self.owned[source] for source in self.sources if self.owned[source].has_news]

    def progress(self, news: Iterable[Owned], counts: Mapping[Source, Counts]) -> list[Progress]:
        reports = []
        for one in news:
            found = counts.get(one.source)
            numbers = (found.rows, found.rejected, found.late) if found is not None else (0, 0, 0)
            reports.append(one.report(self._topics[one.source.topic].partitions, *numbers))
        return reports

    def offsets(self, news: Iterable[Owned]) -> list[TopicPartition]:
        return [TopicPartition(*one.source, one.next, self._metadata(one)) for one in news]

    def _metadata(self, one: Owned) -> str:
        count = self._topics[one.source.topic].partitions if self.topics.labels else None
        return encode_metadata(one.topic_id, one.clock, count)


def _made_anew(before: str, now: str) -> str:
    return f"expected topic id {before}, got {now}: deleted and created again"
