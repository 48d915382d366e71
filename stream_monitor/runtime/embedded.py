"""A broker inside of this process, for the demo: librdkafka's own mock cluster, on loopback.

It keeps 5 MB a partition, knows no topic ids and no compaction, and its transactions are not isolated
and store no offsets: workers on it run at least once, and nothing that it shows is a statement about
delivery or speed. Topics come into being, with PARTITIONS partitions, when they are first asked for.
"""

from __future__ import annotations

import logging
from types import TracebackType
from typing import Self

from confluent_kafka.admin import AdminClient

PARTITIONS = 4
"""Of every topic; librdkafka's default."""

START_TIMEOUT_S = 10.0

log = logging.getLogger(__name__)


class EmbeddedBroker:
    """Lives as long as the ``with`` block. ``bootstrap`` is its address."""

    def __init__(self) -> None:
        self._owner: AdminClient | None = AdminClient(
            {"test.mock.num.brokers": 1, "log_level": 3}, logger=log
        )
        brokers = self._owner.list_topics(timeout=START_TIMEOUT_S).brokers.values()
        self.bootstrap = ",".join(f"{broker.host}:{broker.port}" for broker in brokers)

    def create_topics(self, *names: str) -> None:
        """Topics exist once they were asked for by name."""
        assert self._owner is not None
        for name in names:
            self._owner.list_topics(name, timeout=START_TIMEOUT_S)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        # The cluster ends with the client that owns it.
        self._owner = None
