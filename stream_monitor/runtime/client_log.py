"""What librdkafka says of its connections, through `logging`, and so little of it that it can be read.

A client that is made with ``logger=log`` says here what it would print to stderr. It says it while its owner
polls it: one that nobody polls says nothing, and keeps all of it in memory.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from confluent_kafka import KafkaException

INTERVAL_S = 30.0


class Sparing(logging.Filter):
    """Lets one line of each facility (FAIL, SESSTMOUT, ...) pass in INTERVAL_S; it tells how many did not.

    A broker that is away is 20 refused connections a second and client. librdkafka calls each an error and
    tries again by itself: a warning here. What it gives up comes back as an error of a call. Memory: one
    entry a facility, of which librdkafka has a few dozen. ``now``: a clock in s that never goes back.
    """

    def __init__(self, now: Callable[[], float] = time.monotonic) -> None:
        super().__init__()
        self._now = now
        self._said: dict[str, tuple[float, int]] = {}

    def filter(self, record: logging.LogRecord) -> bool:
        """``record`` is of confluent-kafka's form: "%s [%s] %s" of facility, client and text."""
        # Below a warning they are about librdkafka's queues and threads, and not the user's business.
        if record.levelno < logging.WARNING or not log.isEnabledFor(logging.WARNING):
            return False
        facility, client, text = map(str, record.args or ("", "", record.msg))
        said_s, left_out = self._said.get(facility, (-INTERVAL_S, 0))
        now_s = self._now()
        if now_s - said_s < INTERVAL_S:
            self._said[facility] = (said_s, left_out + 1)
            return False
        self._said[facility] = (now_s, 0)
        record.msg, record.args = "kafka client", ()
        record.levelno, record.levelname = logging.WARNING, "WARNING"
        vars(record).update(facility=facility, client=client, said=text, left_out=left_out)
        return True


@contextmanager
def errors_as_they_are() -> Iterator[None]:
    """To poll a client in.

    confluent-kafka raises what is fatal while it is polled. If the same poll has a line to log after that, it
    makes the record with that exception set, of which Python makes a SystemError.
    """
    try:
        yield
    except SystemError as error:
        if isinstance(error.__cause__, KafkaException):
            raise error.__cause__ from None
        raise


log = logging.getLogger(__name__)
log.addFilter(Sparing())
