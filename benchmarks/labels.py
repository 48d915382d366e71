"""Labels of a workload: one for each of its events, a minute later, true as often as one in five."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from benchmarks.generator import MODEL, Chunk, Workload

QUALITY: dict[str, Any] = {"fraud": {"task": "binary", "score": "score", "positive": "1"}}
DELAY_MS = 60_000
SHARE = 0.2


@dataclass(frozen=True, slots=True)
class Labels:
    """As many as ``workload`` has events, in their order and with their keys."""

    workload: Workload

    @property
    def events(self) -> int:
        return self.workload.events

    def chunks(self) -> Iterator[Chunk]:
        random = np.random.default_rng(self.workload.seed)
        model = MODEL.encode()
        for chunk in self.workload.chunks():
            times = [time + DELAY_MS for time in chunk.times]
            values = [
                b'{"prediction_id":"%b","model":"%b","ts":%d,"label":"%d"}' % (key, model, time, said)
                for key, time, said in zip(
                    chunk.keys, times, (random.random(len(times)) < SHARE).tolist(), strict=True
                )
            ]
            yield Chunk(chunk.keys, values, times)
