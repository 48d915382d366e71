"""Workers that are killed again and again, by plan, while data flows.

Each life of a worker but the last ends by SIGKILL: at a named fail point, which the process comes by and
sends it to itself, or from outside at any moment. The next life has the same name.
"""

from __future__ import annotations

import random
import signal
import subprocess
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from stream_monitor.runtime.failpoints import VARIABLE
from tests.kafka_apps import Pipeline, kill

POINTS = {
    "observe": ("after_produce", "before_commit", "in_commit", "after_commit"),
    "join": (
        *("after_produce", "before_commit", "in_commit", "after_commit"),
        *("before_store", "after_store", "in_rebuild"),
    ),
    "decide": ("after_produce", "before_commit", "in_commit", "after_commit", "in_snapshot", "in_restore"),
}
AT_ONCE = {"in_restore", "in_rebuild"}
"""What a life has to read again may be one record."""

PASSES_MAX = 4
ANY_MOMENT_S = 3.0
START_TIMEOUT_S = 60.0
PATIENCE_S = 15.0
ATTEMPTS_MAX = 6


@dataclass(frozen=True)
class Kill:
    """At the ``passes``-th pass of ``point``; without one, ``after_s`` after the worker says it starts."""

    point: str | None = None
    passes: int = 1
    after_s: float = 0.0


def plan(role: str, each: int, anywhere: int, seed: int) -> list[Kill]:
    """``each`` kills at every fail point of the role and ``anywhere`` at any moment, in a mixed order."""
    choose = random.Random(f"{role} {seed}")
    aimed = [
        Kill(f"{role}.{point}", 1 if point in AT_ONCE else choose.randint(1, PASSES_MAX))
        for point in POINTS[role]
        for _ in range(each)
    ]
    kills = [*aimed, *(Kill(after_s=choose.uniform(0, ANY_MOMENT_S)) for _ in range(anywhere))]
    return choose.sample(kills, len(kills))


class Victim:
    """One worker through all of its lives. ``died`` holds the kills that happened, as planned."""

    def __init__(
        self, pipeline: Pipeline, folder: Path, role: str, kills: Sequence[Kill], **environment: str
    ) -> None:
        self._pipeline = pipeline
        # The configuration is written with every life: not while the other role reads it.
        self._folder = folder / role
        self._folder.mkdir(parents=True)
        self._role = role
        self._kills = kills
        self._environment = environment
        self._log = self._folder / f"{role}-a.log"
        self._process: subprocess.Popen[bytes] | None = None
        self._ended = False
        self._lock = threading.Lock()
        self.died: list[Kill] = []

    @property
    def survived(self) -> float:
        """The share of its lives that have begun."""
        return (len(self.died) + 1) / (len(self._kills) + 1)

    def suffer(self) -> subprocess.Popen[bytes]:
        """Go through the plan; returns the process of the last life, which goes on."""
        for one in self._kills:
            self._die_at_point(one) if one.point else self._die_at_any_moment(one.after_s)
            self.died.append(one)
        return self._live()

    def end(self) -> None:
        """Whatever still runs; there is no further life. From any thread."""
        with self._lock:
            self._ended = True
            if self._process is not None and self._process.poll() is None:
                kill(self._process)

    def _live(self, failpoints: str = "") -> subprocess.Popen[bytes]:
        environment = {**self._environment, VARIABLE: failpoints}
        with self._lock:
            assert not self._ended
            self._process = self._pipeline.process(self._folder, self._role, **environment)
            return self._process

    def _die_at_point(self, one: Kill) -> None:
        for _ in range(ATTEMPTS_MAX):
            process = self._live(f"{one.point}:{one.passes}")
            try:
                # Nobody else sends it: the process knows of no other fail point.
                assert process.wait(PATIENCE_S) == -signal.SIGKILL, self._said(process)
            except subprocess.TimeoutExpired:
                # It may be that there was nothing to restore: then it lives until another moment.
                kill(process)
            else:
                return
        raise AssertionError(f"{self._role} did not come by {one} in {ATTEMPTS_MAX} lives")

    def _die_at_any_moment(self, after_s: float) -> None:
        before = self._log.stat().st_size if self._log.exists() else 0
        process = self._live()
        end_s = time.monotonic() + START_TIMEOUT_S
        while b"worker starts" not in self._log.read_bytes()[before:]:
            assert process.poll() is None, self._said(process)
            assert time.monotonic() < end_s, self._said(process)
            time.sleep(0.02)
        time.sleep(after_s)
        assert process.poll() is None, self._said(process)
        kill(process)
        assert process.returncode == -signal.SIGKILL

    def _said(self, process: subprocess.Popen[bytes]) -> str:
        return f"{self._role} ended with {process.poll()}: {self._log.read_text()[-3000:]}"
