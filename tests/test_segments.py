"""Segments: what is kept apart is exact, what is not is together, and no order or cut shows in either."""

from __future__ import annotations

import hashlib
import math
import random
from collections import Counter, defaultdict
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from hypothesis import Phase, given, settings
from hypothesis import strategies as st

from stream_monitor import observe as observe_module
from stream_monitor.config import Config, parse_config
from stream_monitor.events import SliceKey, Source, Stream
from stream_monitor.observe import Backlog, Observer, Summaries, observe
from stream_monitor.reference import References
from stream_monitor.sources.profile import profile
from stream_monitor.summary.segments import (
    OTHER,
    bound_segments,
    crowded_out,
    field_and_value,
    segment,
    segments_of,
    values_of,
)
from stream_monitor.summary.shape import Shape
from stream_monitor.summary.summary import Summary
from stream_monitor.summary.vocabulary import Texts
from stream_monitor.watermark import Clock, judge
from tests import inputs
from tests.core import Schedule, comparable, flushes, run
from tests.oracles_summary import Event, batch_of, hash64

LAW = settings(
    max_examples=60,
    derandomize=True,
    phases=(Phase.explicit, Phase.generate, Phase.shrink),
)
SOURCES = [Source("p", partition) for partition in range(3)]
STREAMS = [Stream("m", "1", "live"), Stream("m", "2", "live"), Stream("m", "1", "shadow")]
FIELDS = ["country", "plan"]
LATENESS_MS, MOST = 2_000, 3


def config(**model: Any) -> Config:
    return parse_config(
        {
            "predictions": {"topics": ["p"], "lateness": "2s"},
            "models": {"m": {"segments": FIELDS, "segments_max": MOST, **model}},
        }
    )


CONFIG = config()
SHAPE = Shape.of(CONFIG.model("m"))
WHOLE = Shape.of(config(segments=[]).model("m"))
TEXTS = ["DE", "FR", "ES", "IT", "PT", "", "*other*", "other", "7", "x" * 64, "x" * 65, "x" * 66, "ä€😀"]
NUMBERS = [7, 7.0, 0.25, -0.0, 1e300, math.nan, math.inf]
VALUES = st.sampled_from([*TEXTS, *NUMBERS, True, False, None, [1], {"a": 1}])


@st.composite
def events(draw: st.DrawFn) -> list[Event]:
    """Events of three partitions, in offset order each; times wander, some are late."""
    offsets = dict.fromkeys(SOURCES, 0)
    made = []
    for _ in range(draw(st.integers(0, 30))):
        source = draw(st.sampled_from(SOURCES))
        offsets[source] += 1
        features = draw(st.dictionaries(st.sampled_from([*FIELDS, "age"]), VALUES))
        outputs = {"score": draw(st.integers(0, 9))}
        stream = draw(st.sampled_from(STREAMS))
        made.append(Event(source, offsets[source], draw(st.integers(0, 5_000)), features, outputs, stream))
    return made


# The twin


def plain_value(features: Mapping[str, Any], field: str) -> str:
    value = features.get(field)
    if value is None:
        return ""
    if isinstance(value, list | dict):
        return "*array*" if isinstance(value, list) else "*object*"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int | float):
        whole = math.isfinite(value) and value == math.floor(value)
        value = str(int(value)) if whole else repr(float(value))
    text = f"*{value}" if value[:1] == "*" else value or "*empty*"
    raw = text.encode()
    return text if len(text) <= 64 else text[:47] + "#" + hashlib.blake2b(raw, digest_size=8).hexdigest()


def on_time(made: list[Event]) -> list[Event]:
    clocks: dict[Source, int] = {}
    kept = []
    for event in made:
        clock = clocks.get(event.source, event.time)
        clocks[event.source] = max(clock, event.time)
        if event.time >= clock - LATENESS_MS:
            kept.append(event)
    return kept


def plain_segments(made: list[Event]) -> dict[SliceKey, bytes]:
    """Of every segment, the summary of its own events as if there were no others."""
    found = {}
    of: defaultdict[tuple[Stream, int, str], list[Event]] = defaultdict(list)
    for event in on_time(made):
        streams = [event.stream] + [Stream("m")] * (event.stream.role == "live")
        for stream in streams:
            for field in FIELDS:
                of[stream, event.time // 1_000 * 1_000, field].append(event)
    for (stream, start, field), mine in of.items():
        values = {plain_value(event.features, field) for event in mine}
        kept = sorted(values, key=lambda value: (hash64(value), value))[:MOST]
        parts: defaultdict[str, list[Event]] = defaultdict(list)
        for event in mine:
            value = plain_value(event.features, field)
            parts[value if value in kept else "*other*"].append(event)
        for value, part in parts.items():
            alone = observe(batch_of(part), lambda _: WHOLE, {}, 10**9)[SliceKey(stream, start)]
            found[SliceKey(stream._replace(segment=f"{field}={value}"), start)] = alone.to_bytes()
    return found


def as_bytes(summaries: Mapping[SliceKey, Summary]) -> dict[SliceKey, bytes]:
    return {key: summary.to_bytes() for key, summary in summaries.items()}


# Observe


@LAW
@given(events())
def test_a_segment_is_summarised_as_if_its_events_were_all(made: list[Event]) -> None:
    found = as_bytes(observe(batch_of(made), lambda _: SHAPE, {}, LATENESS_MS))
    whole = as_bytes(observe(batch_of(made), lambda _: WHOLE, {}, LATENESS_MS))
    assert found == whole | plain_segments(made)


@LAW
@given(events(), st.randoms(use_true_random=False))
def test_any_cut_and_any_order_of_partitions_give_equal_segments(
    made: list[Event], rng: random.Random
) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(observe_module, "ROWS_MAX", 4)
        patch.setattr(observe_module, "SUMMARIES_MAX", 4)
        parts = []
        for source in rng.sample(SOURCES, len(SOURCES)):
            mine = [event for event in made if event.source == source]
            clocks: dict[Source, Clock] = {}
            while mine:
                size = rng.randint(1, len(mine))
                parts.append(observe(batch_of(mine[:size]), lambda _: SHAPE, clocks, LATENESS_MS))
                mine = mine[size:]
    total = Summaries()
    for part in rng.sample(parts, len(parts)):
        total.merge(part)
        if rng.random() < 0.5:
            total = total.bounded(lambda _: MOST)
    whole = observe(batch_of(made), lambda _: SHAPE, {}, LATENESS_MS)
    assert as_bytes(total.bounded(lambda _: MOST)) == as_bytes(whole)


def test_workers_in_any_number_and_order_send_the_same_segments() -> None:
    settings = inputs.config(models={"*": {"segments": ["channel", "user", "gappy"], "segments_max": 4}})
    logs = inputs.messy(events=3_000, seconds=20)
    seen = [
        summed(parse_config(settings), logs, schedule)
        for schedule in (
            Schedule(workers=1, batch_max=700, flush_every=2, seed=1),
            Schedule(workers=4, batch_max=5_000, flush_every=1, seed=2),
            Schedule(workers=3, batch_max=40, flush_every=9, seed=3),
        )
    ]
    assert as_bytes(seen[0]) == as_bytes(seen[1]) == as_bytes(seen[2])
    segments = {key.stream.segment for key in seen[0]}
    assert segments >= {"channel=web", "user=*other*", "gappy=*other*"}


def summed(config: Config, logs: list[list[tuple[int, bytes]]], schedule: Schedule) -> Summaries:
    """What decide holds of all that was sent; every row of it is announced once."""
    total, announced = Summaries(), 0
    for flush in flushes(config, logs, schedule):
        announced += sum(delta.rows for delta in flush.deltas)
        for delta in flush.deltas:
            total.add(delta.key, Summary.from_bytes(delta.data))
    assert announced == sum(map(len, logs))
    return total.bounded(lambda model: config.model(model).segments_max)


def test_alerts_on_segments_are_the_same_for_any_workers() -> None:
    settings = inputs.config(
        models={
            "*": {
                "learn": 500,
                "segments": ["channel", "country", "user"],
                "segments_max": 2,
                "detectors": ["adwin", "page_hinkley", "scan"],
            }
        }
    )
    logs = inputs.messy(events=4_000, seconds=30)
    alerts = [
        comparable(run(parse_config(settings), logs, schedule))
        for schedule in (Schedule(batch_max=5_000, seed=1), Schedule(workers=3, batch_max=40, seed=2))
    ]
    assert alerts[0] == alerts[1]
    told = {(one["segment"]["field"], one["segment"]["value"]) for one in alerts[0] if one["segment"]}
    assert told & {("channel", value) for value in ("web", "app", "shop")}
    # What the other values have in common is not judged: who is among them changes.
    assert OTHER not in {value for _, value in told}


def test_every_row_counts_once_and_a_late_one_in_no_segment() -> None:
    observer = Observer(CONFIG, References(CONFIG))
    times = [9_500, 9_600, 3_000]
    observer.add(batch_of([Event(SOURCES[0], at, time, {"plan": "a"}) for at, time in enumerate(times)]))
    flushed = observer.flush()
    assert sum(delta.rows for delta in flushed.deltas) == flushed.counts[SOURCES[0]].rows == 3
    read = {delta.key.stream: Summary.from_bytes(delta.data) for delta in flushed.deltas}
    live = Stream("m", "1", "live")
    assert (read[live].rows, read[live].late) == (2, 1)
    segments = [one for stream, one in read.items() if stream.segment]
    assert {(one.rows, one.late) for one in segments} == {(2, 0)}
    assert len(segments) == 4


def test_a_field_of_ever_new_values_makes_no_more_summaries_than_are_kept(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(observe_module, "ROWS_MAX", 50)
    monkeypatch.setattr(observe_module, "SUMMARIES_MAX", 10)
    shape = Shape.of(config(segments=["id"]).model("m"))
    backlog, kept = Backlog(lambda _: shape), 2 * (1 + MOST + 1)
    for at in range(0, 2_000, 20):
        batch = batch_of([Event(SOURCES[0], one, 0, {"id": str(one)}) for one in range(at, at + 20)])
        backlog.add(batch, judge(batch, {}, LATENESS_MS))
        assert len(backlog._summaries) <= 3 * kept
    held = {stream.segment: one.rows for (stream, _), one in backlog.drain().items()}
    ids = sorted(map(str, range(2_000)), key=hash64)[:MOST]
    assert held == {"": 2_000, "id=*other*": 2_000 - MOST, **{f"id={one}": 1 for one in ids}}


def test_the_reference_of_a_model_is_of_all_its_events(tmp_path: Path) -> None:
    file = tmp_path / "events.jsonl"
    file.write_bytes(b"\n".join(value for log in inputs.messy(events=500) for _, value in log))
    parted = inputs.config(models={"*": {"segments": ["channel"]}})
    whole = inputs.config(models={"*": {}})
    made = [profile(file, parse_config(one), "alpha").file for one in (parted, whole)]
    for one, name in zip(made, ("parted", "whole"), strict=True):
        one.write(tmp_path / name)
    assert (tmp_path / "parted").read_bytes() == (tmp_path / "whole").read_bytes()


def test_other_bounds_are_another_shape_but_only_where_there_are_segments() -> None:
    assert len({Shape.of(config(segments_max=most).model("m")).hash for most in (3, 4)}) == 2
    assert len({Shape.of(config(segments=[], segments_max=n).model("m")).hash for n in (3, 4)}) == 1


# The bound


PARTS: st.SearchStrategy[list[dict[Stream, Counter[str]]]] = st.lists(
    st.dictionaries(
        st.builds(
            Stream,
            st.sampled_from(["m", "n"]),
            st.sampled_from(["", "1"]),
            st.just("live"),
            st.sampled_from(["", *(f"{field}={one}" for field in "ab" for one in range(8))]),
        ),
        st.builds(Counter, st.fixed_dictionaries({"rows": st.integers(1, 9)})),
    ),
    max_size=6,
)
MAX_OF = {"m": 2, "n": 5}.__getitem__


@LAW
@given(PARTS, st.randoms(use_true_random=False))
def test_bounding_parts_in_any_order_equals_bounding_the_whole(
    parts: list[dict[Stream, Counter[str]]], rng: random.Random
) -> None:
    whole: dict[Stream, Counter[str]] = {}
    for part in parts:
        whole = merged(whole, part)
    expected = bound_segments(whole, MAX_OF)
    left = [bound_segments(part, MAX_OF) if rng.random() < 0.7 else part for part in parts]
    while len(left) > 1:
        one = merged(left.pop(rng.randrange(len(left))), left.pop(rng.randrange(len(left))))
        left.append(bound_segments(one, MAX_OF) if rng.random() < 0.7 else one)
    assert bound_segments(left[0] if left else {}, MAX_OF) == expected
    for stream, count in expected.items():
        if not stream.segment.endswith(OTHER):
            assert count == whole[stream]
    for field in "ab":
        of = Counter(
            one[:3] for one in expected if one.segment.startswith(field) and OTHER not in one.segment
        )
        assert all(n <= MAX_OF(model) for (model, *_), n in of.items())
        assert rows_of(expected, field) == rows_of(whole, field)


@LAW
@given(PARTS)
def test_segments_followed_from_slice_to_slice_are_bounded_in_all(
    slices: list[dict[Stream, Counter[str]]],
) -> None:
    followed: set[Stream] = set()
    seen: set[Stream] = set()
    for streams in slices:
        bounded = bound_segments(streams, MAX_OF, followed)
        followed |= bounded.keys()
        followed -= crowded_out(followed, MAX_OF).keys()
        seen |= streams.keys()
        assert {one for one in followed if not one.segment.endswith(OTHER)} == seen - crowded_out(
            seen, MAX_OF
        ).keys()
        for stream, count in bounded.items():
            assert stream in followed
            assert stream.segment.endswith(OTHER) or count == streams[stream]
        for field in "ab":
            assert rows_of(bounded, field) == rows_of(streams, field)


def merged(one: dict[Stream, Counter[str]], other: dict[Stream, Counter[str]]) -> dict[Stream, Counter[str]]:
    return {key: one.get(key, Counter()) + other.get(key, Counter()) for key in {**one, **other}}


def rows_of(streams: dict[Stream, Counter[str]], field: str) -> Counter[tuple[str, ...]]:
    total: Counter[tuple[str, ...]] = Counter()
    for stream, count in streams.items():
        if stream.segment.startswith(field):
            total[stream[:3]] += count["rows"]
    return total


def test_what_is_bounded_is_left_as_it_was() -> None:
    made = [Event(SOURCES[0], at, 0, {"plan": str(at)}) for at in range(8)]
    unbounded = config(segments_max=100)
    streams = {
        stream: one
        for (stream, _), one in observe(
            batch_of(made), lambda _: Shape.of(unbounded.model("m")), {}, LATENESS_MS
        ).items()
    }
    before = {stream: one.to_bytes() for stream, one in streams.items()}
    bounded = bound_segments(streams, lambda _: 2)
    assert len(bounded) < len(streams)
    assert {stream: one.to_bytes() for stream, one in streams.items()} == before


# Names


@LAW
@given(st.lists(VALUES, min_size=1), st.text("ab.% ", max_size=3))
def test_rows_are_told_their_segments(values: list[Any], field: str) -> None:
    features = [{} if value is None else {field: value, "x": 1} for value in values]
    group = batch_of([Event(SOURCES[0], at, 0, one) for at, one in enumerate(features)]).groups[0]
    said = segments_of(group, [field, "x"])
    assert [field_and_value(one) for one, _ in said] == [(field, plain_value(one, field)) for one in features]
    assert [two for _, two in said] == ["x=1" if one else "x=" for one in features]
    assert segments_of(group, []) == [()] * len(values)


@LAW
@given(st.lists(st.sampled_from(["DE", "", "7", "*", "é" * 70]), min_size=1))
def test_coded_texts_are_told_like_others(texts: list[str]) -> None:
    column = batch_of([Event(SOURCES[0], 0, 0, {"f": one}) for one in texts]).groups[0].features["f"]
    plain = list(values_of(column, len(texts)))
    column.texts = Texts.of(texts)
    assert list(values_of(column, len(texts))) == plain


def test_no_value_passes_for_what_is_not_kept_apart_or_missing() -> None:
    values: list[Any] = [None, "", "*other*", "**other*", "*empty*", "*array*", [], {}, "x" * 70, "x" * 71]
    events = [Event(SOURCES[0], at, 0, {"f": one}) for at, one in enumerate(values)]
    found = segments_of(batch_of(events).groups[0], ["f"])
    assert len(set(found)) == len(values)
    assert (segment("f", OTHER),) not in found
    assert max(len(one) for (one,) in found) <= len("f=") + 64
