"""The sentence of an alert says what, where, since when and how much."""

from __future__ import annotations

from typing import Any

from stream_monitor.alerting.sentence import sentence
from stream_monitor.events import Finding, Level, Stream

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


def test_large_numbers_are_written_out() -> None:
    before, after = Level(9, 0, 1_234_567.8, 1820.4), Level(9, 0, 2e12, 9e4)
    said = sentence(Stream("m"), "features", finding(before=before, after=after))
    assert ": mean 1,234,568 -> 2e+12 (" in said
    assert "sd 1820 -> 90,000 since" in said


def test_a_stream_is_named_with_its_version_and_role() -> None:
    said = sentence(Stream("churn", "3", "shadow"), "outputs", finding(signal="score", effect=-0.3))
    assert said.startswith("churn version 3 (shadow): output score fell: mean ")


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
