"""The sentence of an alert says what, where, since when and how much."""

from __future__ import annotations

import json
from importlib.resources import files
from typing import Any

import jsonschema
import pytest

from stream_monitor.alerting.alert import Alert
from stream_monitor.alerting.sentence import sentence
from stream_monitor.events import Finding, Level, Shape, Source, Stream
from stream_monitor.summary.segments import OTHER, segment, segments_of
from tests.oracles_summary import Event, batch_of

T = 1_767_607_205_000  # 2026-01-05 10:00:05 UTC


def finding(**changed: Any) -> Finding:
    values: dict[str, Any] = {
        "check": "drift",
        "signal": "age",
        "score": "location",
        "unit": "rank",
        "since": T,
        "earliest": T,
        "latest": T,
        "found": T + 5000,
        "before": Level(20_000, 0.0, 41.2, 12.0),
        "after": Level(900, 0.3, 47.9, 11.5),
        "effect": 0.3,
        "dead": 0.1,
        "detector": "adwin",
        "statistic": 3.0,
        "threshold": 1.0,
    }
    return Finding(**{**values, **changed})


def test_a_shift_names_both_means_in_the_signals_own_unit() -> None:
    said = sentence(Stream("churn"), "features", finding(earliest=T - 2000, latest=T + 1000))
    assert said == (
        "churn: feature age rose: mean 41.2 -> 47.9 (+0.56 sd), sd 12 -> 11.5 "
        "since 2026-01-05 10:00:05 UTC (between 10:00:03 and 10:00:06)"
    )


def test_one_of_two_values_has_a_mean_too() -> None:
    before, after = Level(9, 0.04, 0.04, 0.196), Level(9, 0.1, 0.1, 0.3)
    said = sentence(Stream("m"), "labels", finding(unit="share", before=before, after=after))
    assert said.startswith("m: label age rose: mean 0.04 -> 0.1 (+0.31 sd), sd 0.196 -> 0.3 since")


def test_large_numbers_are_written_out() -> None:
    before, after = Level(9, 0, 1_234_567.8, 1820.4), Level(9, 0, 2e12, 9e4)
    said = sentence(Stream("m"), "features", finding(before=before, after=after))
    assert ": mean 1,234,568 -> 2e+12 (" in said
    assert "sd 1820 -> 90,000 since" in said


def test_a_stream_is_named_with_its_version_and_role() -> None:
    said = sentence(Stream("churn", "3", "shadow"), "outputs", finding(signal="score", effect=-0.3))
    assert said.startswith("churn version 3 (shadow): output score fell: mean ")


def test_a_segment_is_named_after_its_stream() -> None:
    country = Stream("churn", "3", "shadow", "country=DE")
    said = sentence(country, "outputs", finding(signal="score"))
    assert said.startswith("churn version 3 (shadow), country = DE: output score rose: mean ")


@pytest.mark.parametrize(
    ("value", "said"),
    [
        (None, "churn, country missing: feature age rose"),
        ("", "churn, country = *empty*: feature age rose"),
        (3.0, "churn, country = 3: feature age rose"),
        ("*other*", "churn, country = **other*: feature age rose"),
    ],
)
def test_a_value_that_is_no_plain_text_is_told_from_one(value: Any, said: str) -> None:
    group = batch_of([Event(Source("p", 0), 0, 0, {"country": value})]).groups[0]
    [(name,)] = segments_of(group, ["country"])
    assert sentence(Stream("churn", segment=name), "features", finding()).startswith(said)


def test_the_values_that_are_not_kept_apart_are_told_as_others() -> None:
    others = Stream("churn", segment=segment("country", OTHER))
    said = sentence(others, "features", finding())
    assert said.startswith("churn, other values of country: feature age rose")


def test_an_alert_names_its_segment_and_one_of_all_events_keeps_its_id() -> None:
    schema = json.loads(files("stream_monitor").joinpath("schemas/alert.v1alpha.json").read_text())
    stream = Stream("churn", "3", "live")
    whole = Alert(stream, "outputs", finding(), "page", "p")
    part = Alert(stream._replace(segment=segment("country", "A=B")), "outputs", finding(), "page", "p")
    for alert, said in ((whole, None), (part, {"field": "country", "value": "A=B"})):
        jsonschema.Draft202012Validator(schema).validate(alert.to_dict())
        assert alert.to_dict()["segment"] == said
    assert whole.id == "ebffed32fd7ee77d569d5aee5e8231a2"
    assert part.id != whole.id
    assert dict(part.headers())["ce_subject"] == b"churn/3/live/country=A=B/outputs/age"


@pytest.mark.parametrize(
    ("shape", "said"),
    [
        (None, "sd 12 -> 11.5 since 2026-01-05 10:00:05 UTC"),
        (Shape("sudden"), "sd 12 -> 11.5 since 2026-01-05 10:00:05 UTC"),
        (Shape("undecided", ended=T + 60_000), "10:00:05 UTC; back since 2026-01-05 10:01:05"),
        (Shape("gradual"), "sd 12 -> 11.5, gradually since 2026-01-05 10:00:05 UTC"),
        (
            Shape("gradual", until=T + 60_000),
            "gradually since 2026-01-05 10:00:05 UTC until 2026-01-05 10:01:05",
        ),
    ],
)
def test_what_went_gradually_is_said_to_have(shape: Shape | None, said: str) -> None:
    assert sentence(Stream("churn"), "features", finding(shape=shape)).endswith(said)
    schema = json.loads(files("stream_monitor").joinpath("schemas/alert.v1alpha.json").read_text())
    alert = Alert(Stream("churn"), "features", finding(shape=shape), "page").to_dict()
    jsonschema.Draft202012Validator(schema).validate(alert)
    if shape is not None:
        until = None if shape.until is None else "2026-01-05T10:01:05.000Z"
        ended = None if shape.ended is None else "2026-01-05T10:01:05.000Z"
        assert alert["shape"] == {"kind": shape.kind, "until": until, "ended": ended}


def test_a_distribution_is_told_by_the_share_that_moved_most() -> None:
    moved: dict[str, Any] = {"before": Level(9, 0.25), "after": Level(9, 0.41)}
    found = finding(check="distribution", score="share up to 40.5", unit="share", **moved)
    said = sentence(Stream("churn"), "features", found)
    assert said.startswith("churn: feature age has 41 % of its values up to 40.5 (was 25 %) since 2026-01-05")
    schema = json.loads(files("stream_monitor").joinpath("schemas/alert.v1alpha.json").read_text())
    alert = Alert(Stream("churn"), "features", found, "page").to_dict()
    jsonschema.Draft202012Validator(schema).validate(alert)


def test_a_rate_is_told_in_percent() -> None:
    said = sentence(
        Stream("churn"),
        "features",
        finding(check="missing", score="rate", unit="share", before=Level(9, 0.001), after=Level(9, 0.123)),
    )
    assert (
        said == "churn: feature age is missing in 12.3 % of events (was 0.1 %) since 2026-01-05 10:00:05 UTC"
    )


def test_a_category_is_named_with_both_shares() -> None:
    said = sentence(
        Stream("churn"),
        "features",
        finding(
            signal="channel", score="share of 'web'", unit="share", before=Level(9, 0.45), after=Level(9, 0.2)
        ),
    )
    assert "feature channel changed: share of 'web' 45 % -> 20 % since" in said


def test_a_long_interval_is_told_with_dates() -> None:
    said = sentence(Stream("churn"), "features", finding(earliest=T - 86_400_000))
    assert "(between 2026-01-04 10:00:05 and 2026-01-05 10:00:05)" in said
