"""How a flush leaves a worker: all of its records and the offsets that they stand for, or nothing."""

from __future__ import annotations

import logging
import time
from collections import defaultdict
from collections.abc import Callable, Iterable
from concurrent.futures import Future
from typing import Any, NoReturn, Protocol

from confluent_kafka import Consumer, KafkaError, KafkaException, Producer, TopicPartition

from stream_monitor.metrics import Metrics
from stream_monitor.runtime import client_log, failpoints
from stream_monitor.runtime.messages import Outgoing
from stream_monitor.runtime.sending import Ended, in_background

log = logging.getLogger(__name__)

CALL_TIMEOUT_S = 10.0
STUCK_AFTER_S = 10.0
COMMIT_ATTEMPTS_MAX = 6
INIT_ATTEMPTS_MAX = 12


class AbortedError(Exception):
    """Nothing of this flush counts, as far as this process knows: go back to what is committed."""


class ProducerFencedError(AbortedError):
    """The broker let this producer go: its transaction outlived its time, or another process has its name."""


class Outbox(Protocol):
    """Where a worker puts its flushes, one at a time."""

    def send(self, messages: Iterable[Outgoing], offsets: list[TopicPartition], consumer: Consumer) -> None:
        """Write the records and commit the offsets. AbortedError: not done; the caller goes back."""

    def begin(
        self, messages: Iterable[Outgoing], offsets: list[TopicPartition], consumer: Consumer
    ) -> Future[Ended]:
        """``send``, while the caller goes on. Nothing else is asked of the outbox until that is done."""

    def renew(self) -> None:
        """A new producer in place of one that cannot go on."""

    def distrust(self) -> None:
        """The session was lost, so brokers were away: renew the producer before it is used again."""


class TransactionalOutbox:
    """Exactly once: records and offsets are one transaction.

    Begin, produce and commit stand together here, so a transaction is open no longer than they take.
    """

    def __init__(self, role: str, properties: dict[str, Any], metrics: Metrics) -> None:
        self._role = role
        self._properties = properties
        self._metrics = metrics
        self._is_doubtful = False
        self._producer = self._open()

    def _open(self) -> Producer:
        producer = Producer(self._properties, logger=client_log.log)
        for attempt in range(1, INIT_ATTEMPTS_MAX + 1):
            try:
                # Ends what a predecessor of this name left open, by commit or abort, as the broker decides.
                producer.init_transactions(CALL_TIMEOUT_S)
                break
            except KafkaException as error:
                if not error.args[0].retriable() or attempt == INIT_ATTEMPTS_MAX:
                    raise
        return producer

    def renew(self) -> None:
        self._producer = self._open()
        self._is_doubtful = False

    def distrust(self) -> None:
        # Its first transaction after an outage would be stuck, as told in `_within`.
        self._is_doubtful = True

    def send(self, messages: Iterable[Outgoing], offsets: list[TopicPartition], consumer: Consumer) -> None:
        self._send(messages, offsets, consumer.consumer_group_metadata())

    def begin(
        self, messages: Iterable[Outgoing], offsets: list[TopicPartition], consumer: Consumer
    ) -> Future[Ended]:
        # The consumer lets one thread in at a time: it is in use again, maybe waiting in a rebalance for
        # this very commit, before the other thread comes to ask.
        member = consumer.consumer_group_metadata()
        return in_background(lambda: self._send(messages, offsets, member))

    def _send(self, messages: Iterable[Outgoing], offsets: list[TopicPartition], member: object) -> Ended:
        if self._is_doubtful:
            self.renew()
        producer = self._producer
        try:
            producer.begin_transaction()
            with client_log.errors_as_they_are():
                sent = _produce_all(producer, messages)
                producer.flush(CALL_TIMEOUT_S)
            failpoints.hit(f"{self._role}.after_produce")
            _within(STUCK_AFTER_S, producer.send_offsets_to_transaction, offsets, member, CALL_TIMEOUT_S)
            failpoints.hit(f"{self._role}.before_commit")
            failpoints.hit_soon(f"{self._role}.in_commit")
            self._commit()
        except KafkaException as error:
            self._abort(error.args[0])
        except TimeoutError as error:
            log.warning("producer stuck, given up")
            self.renew()
            raise AbortedError(str(error)) from error
        _count(self._metrics, sent)
        failpoints.hit(f"{self._role}.after_commit")
        return time.monotonic()

    def _commit(self) -> None:
        for attempt in range(1, COMMIT_ATTEMPTS_MAX + 1):
            try:
                self._producer.commit_transaction(CALL_TIMEOUT_S)
            except KafkaException as error:
                if not error.args[0].retriable() or attempt == COMMIT_ATTEMPTS_MAX:
                    raise
            else:
                return

    def _abort(self, error: KafkaError) -> NoReturn:
        """Give the transaction up, with a new producer where this one cannot even do that. Always raises."""
        if error.fatal():
            if error.code() == KafkaError._FENCED:  # noqa: SLF001 (how confluent-kafka names its own codes)
                raise ProducerFencedError(error.str())
            self.renew()
            raise AbortedError(error.str())
        try:
            self._producer.abort_transaction(CALL_TIMEOUT_S)
        except KafkaException as second:
            log.warning("abort failed", extra={"error": second.args[0].str()})
            self.renew()
        raise AbortedError(error.str())


class AtLeastOnceOutbox:
    """For the embedded broker of the demo, whose transactions store no offsets, and for the proof that the
    crash tests see duplicates. Records first, then offsets: a crash between the two repeats records.
    """

    def __init__(self, role: str, properties: dict[str, Any], metrics: Metrics) -> None:
        self._role = role
        self._metrics = metrics
        self._producer = Producer(properties, logger=client_log.log)

    def renew(self) -> None:
        """Nothing to do: such a producer is never fenced."""

    def distrust(self) -> None:
        """Nothing to do: it has no transactions."""

    def send(self, messages: Iterable[Outgoing], offsets: list[TopicPartition], consumer: Consumer) -> None:
        try:
            sent = _produce_all(self._producer, messages)
            if self._producer.flush(CALL_TIMEOUT_S):
                message_text = f"records not written within {CALL_TIMEOUT_S} s"
                raise AbortedError(message_text)
            failpoints.hit(f"{self._role}.after_produce")
            failpoints.hit(f"{self._role}.before_commit")
            failpoints.hit_soon(f"{self._role}.in_commit")
            consumer.commit(offsets=offsets, asynchronous=False)
        except KafkaException as error:
            raise AbortedError(error.args[0].str()) from error
        _count(self._metrics, sent)
        failpoints.hit(f"{self._role}.after_commit")

    def begin(
        self, messages: Iterable[Outgoing], offsets: list[TopicPartition], consumer: Consumer
    ) -> Future[Ended]:
        """The caller waits: only its own thread may use the consumer."""
        done: Future[Ended] = Future()
        try:
            self.send(messages, offsets, consumer)
        except AbortedError as error:
            done.set_exception(error)
        else:
            done.set_result(time.monotonic())
        return done


def _within(timeout_s: float, call: Callable[..., object], *arguments: object) -> None:
    """Make a call that may never return: librdkafka's send_offsets_to_transaction does not keep to its own
    timeout when the group's coordinator went away (its issues 5456 and 5511). TimeoutError: the call is
    left behind in its thread, with its producer.
    """
    try:
        in_background(lambda: call(*arguments)).result(timeout_s)
    except TimeoutError:
        message = f"offsets not sent within {timeout_s:g} s"
        raise TimeoutError(message) from None


Sent = dict[str, list[int]]
"""By topic, how many records and how many bytes of values."""


def _produce_all(producer: Producer, messages: Iterable[Outgoing]) -> Sent:
    sent: Sent = defaultdict(lambda: [0, 0])
    for message in messages:
        _produce(producer, message)
        numbers = sent[message.topic]
        numbers[0] += 1
        numbers[1] += len(message.value or b"")
    return sent


def _count(metrics: Metrics, sent: Sent) -> None:
    for topic, (records, size) in sent.items():
        metrics.produced_records.labels(topic).inc(records)
        metrics.produced_bytes.labels(topic).inc(size)


def _produce(producer: Producer, message: Outgoing) -> None:
    options: dict[str, Any] = {} if message.partition is None else {"partition": message.partition}
    while True:
        try:
            producer.produce(
                message.topic, message.value, message.key, headers=list(message.headers), **options
            )
        except BufferError:
            # The local queue is full: wait until some of it has left.
            producer.poll(0.1)
        else:
            return
