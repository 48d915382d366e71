"""The contender ``quixstreams``, in an environment of its own: ``python -m benchmarks.quix SETTINGS``.

A StreamingDataFrame over the same topic that hands each event to what ``naive`` runs, in a plain function:
its state is lost with the process, in favour of this contender, as is that it commits at least once. SETTINGS
is JSON: ``bootstrap``, ``topic``, ``group``, ``events``, ``properties`` (librdkafka's), and ``job``: without
it, events are only parsed. The clock starts with the first event. Writes a Run.
"""

from __future__ import annotations

import json
import sys
from typing import Any

from quixstreams import Application  # type: ignore[import-not-found]  # not in our environment

from benchmarks.per_event import PerEvent
from benchmarks.runs import Mark, Run, print_run

COMMIT_INTERVAL_S = 1.0


def quixstreams(
    *, bootstrap: str, topic: str, group: str, events: int, properties: dict[str, Any], job: bool
) -> Run:
    watch = PerEvent()
    marks: list[Mark] = []

    def begin(_event: dict[str, Any]) -> None:
        if not marks:
            marks.append(Mark.now())

    app = Application(
        broker_address=bootstrap,
        consumer_group=group,
        auto_offset_reset="earliest",
        commit_interval=COMMIT_INTERVAL_S,
        consumer_extra_config=properties,
        loglevel="ERROR",
        auto_create_topics=False,
    )
    frame = app.dataframe(app.topic(topic, value_deserializer="json")).update(begin)
    if job:
        frame.update(watch.update)
    app.run(count=events, timeout=60.0)
    name = "quixstreams" if job else "quixstreams_parse"
    return marks[0].until_now(name, events, signals=watch.signals, detections=watch.detections)


if __name__ == "__main__":
    print_run(quixstreams(**json.loads(sys.argv[1])))
