"""A load from its first event to its last: when which chunk is due, and where it goes."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import count
from typing import NamedTuple

import numpy as np

from stream_monitor.config import Config
from stream_monitor.events import Int64s
from stream_monitor.load.events import CHUNK, Bools, Drifted, Events
from stream_monitor.load.sender import Sender

STEP_S = 0.02
"""At a given rate, what is due is sent this often."""

Tell = Callable[[int], None]
"""Is told how many events have been sent by now."""


@dataclass(frozen=True, slots=True)
class Pace:
    """``rate`` events/s, None for as many as go; until ``events`` or ``seconds``, where given.

    ``drift_s``: so long after the first event the population changes. ``delay_s``: from event to label.
    """

    rate: float | None = None
    events: int | None = None
    seconds: float | None = None
    drift_s: float | None = None
    delay_s: float = 0.0

    def drifted(self, begin_ms: int, times: Int64s) -> Drifted:
        """For events at ``times``, of any model."""
        after: Bools = np.zeros(len(times), np.bool_)
        if self.drift_s is not None:
            after = times >= begin_ms + self.drift_s * 1000
        return lambda _models: after


class _Part(NamedTuple):
    """Chunk ``number``: ``n`` events from the ``first`` of all on, ``passed_ms`` after the begin."""

    number: int
    first: int
    n: int
    passed_ms: int


class Load:
    """Sends the events of a pace, and their labels, to the topics of ``config``.

    Event times are the wall clock's: those at which events are due at the rate, or are made without one. So
    an event that is sent late, for the rate is more than goes, shows as lag. It ends with the last label,
    which is as long after the last event as labels take; ``seconds`` is until the last event. Memory: about
    200 bytes for each 512 events, or each 20 ms at a given rate, whose labels are yet to come.
    """

    def __init__(self, config: Config, events: Events, pace: Pace, sender: Sender) -> None:
        self._topics = config.predictions.topics
        self._label_topics = config.labels.topics if config.labels is not None else []
        self._events, self._pace, self._sender = events, pace, sender
        self._waiting: deque[_Part] = deque()
        self._begin_ms = 0
        self.sent = 0
        self.labels = 0
        self.seconds = 0.0

    def run(self, tell: Tell, *, labelled: bool = False) -> None:
        """Until the end of the pace; KeyboardInterrupt ends it at once. The sender is left to be closed."""
        self._begin_ms, begin_s = time.time_ns() // 1_000_000, time.monotonic()
        try:
            for part in self._due():
                times = self._times(part)
                drifted = self._pace.drifted(self._begin_ms, times)
                chunk = self._events.events(part.number, times, drifted)
                self._sender.send(self._topics[part.number % len(self._topics)], chunk)
                self.sent += part.n
                if labelled:
                    self._waiting.append(part)
                    self._send_labels()
                self.seconds = time.monotonic() - begin_s
                tell(self.sent)
            while self._waiting:
                time.sleep(STEP_S)
                self._send_labels()
        except KeyboardInterrupt:
            pass

    def _due(self) -> Iterator[_Part]:
        """Each chunk when it is due; the last one may be shorter."""
        pace, begin_s = self._pace, time.monotonic()
        rows = CHUNK if pace.rate is None else int(min(CHUNK, max(1, pace.rate * STEP_S)))
        for number in count():
            n = rows if pace.events is None else min(rows, pace.events - self.sent)
            if n <= 0:
                return
            passed_s = time.monotonic() - begin_s
            if pace.rate is not None:
                passed_s = (self.sent + n - 1) / pace.rate
            if pace.seconds is not None and passed_s >= pace.seconds:
                return
            time.sleep(max(0.0, begin_s + passed_s - time.monotonic()))
            yield _Part(number, self.sent, n, int(passed_s * 1000))

    def _times(self, part: _Part) -> Int64s:
        if self._pace.rate is None:
            return np.full(part.n, self._begin_ms + part.passed_ms)
        passed_ms = (part.first + np.arange(part.n)) * 1000 / self._pace.rate
        times: Int64s = self._begin_ms + passed_ms.astype(np.int64)
        return times

    def _send_labels(self) -> None:
        """Those that are due."""
        now_ms, delay_ms = time.time_ns() // 1_000_000, int(self._pace.delay_s * 1000)
        while self._waiting and self._begin_ms + self._waiting[0].passed_ms + delay_ms <= now_ms:
            part = self._waiting.popleft()
            times = self._times(part)
            drifted = self._pace.drifted(self._begin_ms, times)
            chunk = self._events.labels(part.number, times + delay_ms, drifted)
            self._sender.send(self._label_topics[part.number % len(self._label_topics)], chunk)
            self.labels += len(chunk.values)
