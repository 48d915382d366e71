"""The load of the section ``latency``, in a process of its own: ``python -m benchmarks.flipping SETTINGS``.

The models drift and recover again and again, each at times of its own, so that alerts come all the time.
SETTINGS is JSON: ``config`` (a mapping), ``rate``, ``seconds``, ``rhythm``. Writes what it did as JSON.
"""

from __future__ import annotations

import json
import sys
import time
from dataclasses import dataclass
from functools import partial
from typing import Any

from benchmarks.mixes import names
from stream_monitor.config import parse_config
from stream_monitor.events import Int64s
from stream_monitor.load.events import Bools, Drifted, Events, Mix
from stream_monitor.load.population import Synthetic
from stream_monitor.load.run import Load, Pace
from stream_monitor.load.sender import Sender, properties


@dataclass(frozen=True, slots=True)
class Rhythm:
    """``models`` models learn for ``learn_s``, then are drifted and healthy in turns, ``period_s`` each time;
    each begins a little later than the one before."""

    models: int = 20
    learn_s: int = 10
    period_s: int = 8

    def drifted(self, passed_ms: Int64s, model: Int64s) -> Bools:
        """Of events so long after the first one."""
        length_ms = self.period_s * 1000
        flipping_ms = passed_ms - self.learn_s * 1000 - model * (2 * length_ms // self.models)
        drifted: Bools = (flipping_ms >= 0) & (flipping_ms // length_ms % 2 == 0)
        return drifted


@dataclass(frozen=True, slots=True)
class Flipping(Pace):
    """A pace whose models have a rhythm."""

    rhythm: Rhythm = Rhythm()

    def drifted(self, begin_ms: int, times: Int64s) -> Drifted:
        return partial(self.rhythm.drifted, times - begin_ms)


def run(config: dict[str, Any], rate: float, seconds: float, rhythm: dict[str, int]) -> dict[str, float]:
    """``behind_s``: how much later than due the last event was sent. Much, and the load was the limit."""
    settings, flips = parse_config(config), Rhythm(**rhythm)
    events = Events(Mix(1, names(flips.models)), Synthetic(), settings)
    sender = Sender(properties(settings))
    load = Load(settings, events, Flipping(rate=rate, seconds=seconds, rhythm=flips), sender)
    begin_s = time.monotonic()
    load.run(lambda _sent: None)
    behind_s = time.monotonic() - begin_s - load.sent / rate
    sender.close()
    return {"sent": load.sent, "failed": sender.failed, "behind_s": max(0.0, behind_s)}


if __name__ == "__main__":
    print(json.dumps(run(**json.loads(sys.argv[1]))))
