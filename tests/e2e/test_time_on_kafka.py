"""What DESIGN section 4 says of time, on a real Kafka with events of now: gaps, idle and empty partitions,
workers that die or come later.

The watermark is worked out a second time here, from what observe reports, and decide is held to it; rows are
counted by the counter that shares nothing with the package.
"""

from __future__ import annotations

import contextlib
import subprocess
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import msgspec
import pytest

from stream_monitor.events import Progress
from stream_monitor.runtime.decide_worker import DecideWorker
from stream_monitor.runtime.input_worker import InputWorker
from stream_monitor.runtime.messages import Report
from tests.e2e.pipelines import append_ms
from tests.independent_count import count, headers_of
from tests.kafka.broker import Cluster
from tests.kafka_apps import Pipeline, Running, event, kill, reports, wait_for

HOUR_MS = 3_600_000
IDLE_MS, SKEW_MS, LATENESS_MS = 1000, 200, 500
TIMES = {"max_clock_skew": "200ms", "lateness": "500ms"}
CLAIMS = {**TIMES, "idle_after": "1s"}
NO_CLAIMS = {**TIMES, "idle_after": "1d"}


def now_ms() -> int:
    return time.time_ns() // 1_000_000


def pipeline_of(
    cluster: Cluster, partitions: int, predictions: dict[str, Any], session_ms: int = 10_000
) -> Pipeline:
    properties = {
        "bootstrap.servers": cluster.bootstrap,
        "session.timeout.ms": session_ms,
        # Members hear of a rebalance this soon.
        "heartbeat.interval.ms": 200,
    }
    return Pipeline(
        cluster, partitions, predictions=predictions, summaries={"partitions": 1}, kafka=properties
    )


def watermark(told: Sequence[Progress], partitions: int) -> int | None:
    """The furthest that slices may be closed: the least clock of all source partitions, less lateness, once
    each has reported. One that never held an event is waited for until it claims, and then left out; where
    its first event is behind the others, what is closed stays closed."""
    furthest = None
    events: dict[int, int] = {}
    claims: dict[int, int] = {}
    for one in told:
        place = one.source.partition
        events[place] = max(events.get(place, 0), one.clock or 0)
        claims[place] = max(claims.get(place, 0), one.claim or 0)
        times = [max(events[place], claims[place]) for place in events if events[place]]
        waited_for = [place for place in events if not events[place] and not claims[place]]
        if len(events) == partitions and times and not waited_for:
            furthest = max(furthest or 0, min(times) - LATENESS_MS)
    return furthest


def of(partition: int, told: Sequence[Progress]) -> list[Progress]:
    return [one for one in told if one.source.partition == partition]


def last_claim(pipeline: Pipeline, partition: int) -> int:
    return max((one.claim or 0 for one in of(partition, reports(pipeline))), default=0)


class Watched:
    """A pipeline and its decide worker: what was produced, and what decide made of it."""

    def __init__(self, pipeline: Pipeline, partitions: int, decide: Running) -> None:
        self.pipeline = pipeline
        self.decide = decide
        self._partitions = partitions
        self.produced = 0
        self.slices: set[int] = set()

    def produce(self, *times_ms: int, partition: int) -> None:
        self.pipeline.produce(*[event(0, ts=time_ms) for time_ms in times_ms], partition=partition)
        self.produced += len(times_ms)
        self.slices.update(time_ms // 1000 for time_ms in times_ms)

    @property
    def watermark(self) -> int | None:
        """Decide's own. It is never ahead of what was reported to it by then."""
        value = self.decide.metric("watermark_seconds", partition="0")
        shown = round(value * 1000) or None
        assert (shown or 0) <= (self.told or 0)
        return shown

    @property
    def told(self) -> int | None:
        """The watermark that follows from all that is reported now."""
        return watermark(reports(self.pipeline), self._partitions)

    def wait_for_clocks(self, times_ms: int) -> None:
        """Every partition that was produced to has reported its last event."""
        wait_for(
            lambda: sum(one.rows for one in reports(self.pipeline)) == self.produced, f"{self.produced} rows"
        )
        assert max(one.clock or 0 for one in reports(self.pipeline)) == times_ms

    def wait_for_decide(self) -> None:
        """Decide has committed all that is reported now."""
        last = self.pipeline.read("summaries")[-1].offset() or 0
        worker = self.decide.worker
        assert isinstance(worker, DecideWorker)
        wait_for(lambda: worker._shares and worker._shares[0].committed > last, "decide to read all of it")

    def wait_until(self, time_ms: int, what: str) -> None:
        """The watermark has come to ``time_ms``."""
        wait_for(lambda: (self.watermark or 0) >= time_ms, what)

    def check(self) -> None:
        """Once observe has ended: decide stands where the reports say, and nothing was dropped."""
        wait_for(lambda: self.watermark == self.told, "decide to come to the watermark that was reported")
        told = self.told or 0
        closed = {second for second in self.slices if (second + 1) * 1000 <= told}
        assert self.decide.metric("closed_slices_total") == len(closed)
        for reason in ("late", "idle", "closed"):
            assert self.decide.metric("late_rows_total", reason=reason) == 0
        pipeline = self.pipeline
        counted = count(
            pipeline.cluster.bootstrap,
            [pipeline.input],
            pipeline.topic("summaries"),
            pipeline.topic("rejects"),
        )
        assert counted.differences == {}
        assert counted.summarized == {"m": self.produced}
        assert (counted.late.total(), counted.rejected.total()) == (0, 0)
        check_claims(pipeline)


def check_claims(pipeline: Pipeline) -> None:
    """A claim is of the past by ``idle_after`` and ``max_clock_skew``, and only of what is drained."""
    for message in pipeline.read("summaries"):
        if headers_of(message)["kind"] == b"progress":
            for one in msgspec.msgpack.decode(message.value() or b"", type=Report).progress:
                assert (one.claim or 0) <= append_ms(message) - IDLE_MS - SKEW_MS


@contextlib.contextmanager
def watched(pipeline: Pipeline, partitions: int) -> Iterator[Watched]:
    with pipeline.running("decide") as decide:
        one = Watched(pipeline, partitions, decide)
        yield one
        one.check()
    assert decide.error is None


def test_a_partition_without_events_holds_the_watermark_as_long_as_it_claims_nothing(kafka: Cluster) -> None:
    with watched(pipeline_of(kafka, 2, NO_CLAIMS), 2) as run, run.pipeline.running("observe"):
        begin = now_ms() - HOUR_MS
        for partition in (0, 1):
            run.produce(begin, partition=partition)
        end = begin + HOUR_MS
        run.produce(*range(begin, end, 20_000), end, partition=0)
        run.wait_for_clocks(end)
        wait_for(lambda: run.watermark == begin - LATENESS_MS, "the watermark of the silent one")
        assert of(1, reports(run.pipeline))[-1].claim is None
        run.produce(end, partition=1)
        run.wait_until(end - LATENESS_MS, "the watermark to go on with it")


def test_a_partition_without_events_for_an_hour_claims_the_time_and_loses_nothing_when_it_is_back(
    kafka: Cluster,
) -> None:
    with watched(pipeline_of(kafka, 2, CLAIMS), 2) as run, run.pipeline.running("observe"):
        begin = now_ms() - HOUR_MS
        for partition in (0, 1):
            run.produce(begin, partition=partition)
        end = now_ms()
        run.produce(*range(begin, end, 20_000), end, partition=0)
        run.wait_until(end - LATENESS_MS, "the claims to carry the watermark over the hour")
        assert max(one.clock or 0 for one in of(1, reports(run.pipeline))) == begin
        for partition in (0, 1):
            run.produce(now_ms(), partition=partition)
        run.wait_until(now_ms(), "the watermark to pass what came after the hour")


@pytest.mark.parametrize("predictions", [CLAIMS, NO_CLAIMS], ids=["idle", "not idle"])
def test_an_hour_without_events_in_all_partitions(kafka: Cluster, predictions: dict[str, Any]) -> None:
    with watched(pipeline_of(kafka, 2, predictions), 2) as run, run.pipeline.running("observe"):
        begin = now_ms() - HOUR_MS
        for partition in (0, 1):
            run.produce(begin, begin + 500, partition=partition)
        run.wait_for_clocks(begin + 500)
        if predictions is CLAIMS:
            # What was the last slice for an hour is closed before anything follows it.
            run.wait_until(begin + HOUR_MS, "the claims to pass the hour")
        end = now_ms()
        for partition in (0, 1):
            run.produce(end - 100, end, partition=partition)
        run.wait_until(end - LATENESS_MS, "the watermark to go on behind the gap")


@pytest.mark.parametrize("predictions", [CLAIMS, NO_CLAIMS], ids=["idle", "not idle"])
def test_a_partition_that_never_had_an_event_is_waited_for_until_it_claims(
    kafka: Cluster, predictions: dict[str, Any]
) -> None:
    with watched(pipeline_of(kafka, 3, predictions), 3) as run, run.pipeline.running("observe"):
        begin = now_ms()
        for partition in (0, 1):
            run.produce(begin - 100, begin, partition=partition)
        run.wait_for_clocks(begin)
        if predictions is CLAIMS:
            run.wait_until(begin - LATENESS_MS, "the watermark of the two others")
        else:
            run.wait_for_decide()
            assert run.watermark is None
        assert {one.clock for one in of(2, reports(run.pipeline))} == {None}
        # Its first event, live, is nobody's late one.
        first = now_ms()
        for partition in (0, 1, 2):
            run.produce(first, partition=partition)
        run.wait_until(first - LATENESS_MS, "the watermark of all three")


@pytest.mark.parametrize("back", ["itself", "another"])
def test_a_worker_that_dies_over_idle_partitions_stops_the_watermark_until_they_have_an_owner(
    kafka: Cluster, tmp_path: Path, back: str
) -> None:
    pipeline = pipeline_of(kafka, 2, CLAIMS, session_ms=30_000 if back == "itself" else 6_000)
    with watched(pipeline, 2) as run:
        mortal = pipeline.process(tmp_path, "observe", "mortal")
        try:
            wait_for(lambda: len(pipeline.committed("observe", pipeline.input)) == 2, "an owner of both")
            with pipeline.running("observe", "other") as other:
                [kept] = wait_for(lambda: len(owned(other)) == 1 and owned(other), "its share")
                lost = 1 - kept
                begin = now_ms()
                for partition in (0, 1):
                    run.produce(begin, partition=partition)
                run.wait_until(begin + 500, "the claims of both to carry the watermark on")
                stood = kill_between_claims(mortal, pipeline, lost)
                # Nobody reads these now, and yet they are not to be late.
                run.produce(*(now_ms() + i for i in range(10)), partition=lost)
                wait_for(lambda: last_claim(pipeline, kept) >= stood + 3000, "claims of the one that lives")
                if back == "itself":
                    assert (owned(other), last_claim(pipeline, lost)) == ([kept], stood)
                    wait_for(lambda: run.watermark == stood - LATENESS_MS, "the watermark to stand there")
                    mortal = pipeline.process(tmp_path, "observe", "mortal")
                run.wait_until(now_ms(), "the watermark to go on")
                assert claimed_without(lost, stood, reports(pipeline)) > stood + 1000
                for partition in (0, 1):
                    run.produce(now_ms(), partition=partition)
                run.wait_until(now_ms(), "the watermark to pass the last events")
                if back == "itself":
                    mortal.terminate()
                    assert mortal.wait(30) == 0
        finally:
            mortal.kill()
            mortal.wait()


def owned(observe: Running) -> list[int]:
    assert isinstance(observe.worker, InputWorker)
    return [source.partition for source in observe.worker._inputs.sources]


def kill_between_claims(process: subprocess.Popen[bytes], pipeline: Pipeline, partition: int) -> int:
    """Kill the owner of an idle partition when no transaction of it is open: right after a claim, of which
    it makes one a second. Returns its last one, which on a busy machine is a later one than was seen."""
    before = last_claim(pipeline, partition)
    wait_for(lambda: last_claim(pipeline, partition) > before, "a new claim")
    kill(process)
    return last_claim(pipeline, partition)


def claimed_without(lost: int, stood: int, told: Sequence[Progress]) -> int:
    """The last claim of another partition that was told after the lost one's last, and before it moved on."""
    claims = [0]
    last: Progress | None = None
    for one in told:
        if one.source.partition != lost:
            claims += [one.claim or 0] if last is not None else []
        elif last is not None and one.next != last.next:
            break
        elif one.claim == stood:
            last = one
    return max(claims)


def test_a_second_worker_that_comes_later_changes_nothing_but_who_reads(kafka: Cluster) -> None:
    pipeline = pipeline_of(kafka, 4, CLAIMS)

    def produce(run: Watched) -> int:
        """Live events in three partitions; the fourth is idle."""
        time_ms = now_ms()
        for partition in range(3):
            run.produce(time_ms, partition=partition)
        return time_ms

    with watched(pipeline, 4) as run, pipeline.running("observe", "first"):
        begin = produce(run)
        # Longer than a partition has to be silent before it claims.
        while (run.watermark or 0) < begin + IDLE_MS:
            time_ms = produce(run)
        with pipeline.running("observe", "second") as second:
            while len(owned(second)) < 2:
                time_ms = produce(run)
            joined = now_ms()
            while (run.watermark or 0) < joined + IDLE_MS:
                time_ms = produce(run)
            run.wait_until(time_ms, "the watermark to pass the last events")
    assert len({headers_of(one)["flush"].split(b"/")[0] for one in pipeline.read("summaries")}) == 2
