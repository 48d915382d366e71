"""Who runs where: the worker has the last core for itself, the broker and this harness have the others."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager

_ALL = sorted(os.sched_getaffinity(0))
WORKER_CORES = frozenset(_ALL[-1:])
BROKER_CORES = frozenset(_ALL[:-1] or _ALL)


@contextmanager
def pinned(cores: frozenset[int]) -> Iterator[None]:
    """Processes that this thread starts inside run on these cores only, with all their threads."""
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, cores)
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)


def said() -> str:
    """For the heading of a table."""
    broker = ", ".join(map(str, sorted(BROKER_CORES)))
    worker = ", ".join(map(str, sorted(WORKER_CORES)))
    return f"broker and harness on core {broker}, each contender (all of its processes) on core {worker}"
