"""Cohorts against a reference: what is told of a run of bad ones, and when it is forgotten."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pytest

from stream_monitor.checks.quality import LABELS_MIN, QualityBook
from stream_monitor.config import Learn, Quality
from stream_monitor.events import Finding
from stream_monitor.quality.cohorts import Cohorts, cohorts_of, predictions_of
from stream_monitor.quality.measures import Measures

HOUR_MS = 3_600_000
QUALITY = {"eta": Quality(task="regression")}


def pairs(cohort: int, error: float, n: int = 400, sign: int = 1, output: str = "eta") -> Cohorts:
    """Predictions of one hour with their labels; errors of this size, half of them below."""
    starts = np.full(n, cohort * HOUR_MS)
    inputs = [(error * (-1) ** i,) for i in range(n)]
    quality = {output: QUALITY["eta"]}
    changed = cohorts_of(quality, starts, inputs, [(0.0,)] * n, np.full(n, sign, np.int64))
    return changed + predictions_of(starts) if sign > 0 else changed


def book(kept_hours: int = 1_000, learn: int | None = None) -> QualityBook:
    reference = {} if learn else pairs(0, 1.0).total().measures
    return QualityBook(QUALITY, HOUR_MS, kept_hours * HOUR_MS, Learn(events=learn or 1), reference)


def with_price(learn: int, reference: Mapping[str, Measures], eta: Quality = QUALITY["eta"]) -> QualityBook:
    """A book that knows of another output."""
    quality = {"eta": eta, "price": QUALITY["eta"]}
    return QualityBook(quality, HOUR_MS, 1_000 * HOUR_MS, Learn(events=learn), reference)


def close(one: QualityBook, hour: int, changed: Cohorts) -> list[Finding]:
    return one.close((hour + 1) * HOUR_MS, changed)


def test_a_run_of_bad_cohorts_is_told_once_and_a_new_one_again() -> None:
    one = book()
    assert close(one, 0, pairs(0, 1.0)) == []
    (finding,) = close(one, 1, pairs(1, 2.0))
    assert (finding.since, finding.score, finding.effect) == (HOUR_MS, "mae", 1.0)
    assert finding.basis == (400, 400)
    assert close(one, 2, pairs(2, 2.0)) == []
    assert close(one, 3, pairs(3, 1.0)) == []
    assert [found.since for found in close(one, 4, pairs(4, 2.0))] == [4 * HOUR_MS]


def test_what_labels_amend_is_taken_back_and_nothing_else() -> None:
    one = book()
    (told,) = close(one, 1, pairs(1, 2.0))
    assert close(one, 2, pairs(2, 1.0)) == []
    (back,) = close(one, 3, pairs(1, 2.0, sign=-1) + pairs(1, 1.0))
    assert back.retracted
    assert (back.since, back.check, back.signal) == (told.since, told.check, told.signal)
    assert close(one, 4, pairs(4, 1.0)) == []


def test_a_run_that_outlasts_its_first_cohort_is_not_told_anew() -> None:
    one = book(kept_hours=5)
    assert len(close(one, 0, pairs(0, 2.0))) == 1
    for hour in range(1, 30):
        assert close(one, hour, pairs(hour, 2.0)) == []
        assert len(one.cohorts) <= 7
    assert close(one, 30, pairs(30, 1.0)) == []
    assert len(close(one, 31, pairs(31, 2.0))) == 1


def test_a_cohort_is_judged_once_it_has_labels_enough() -> None:
    one = book()
    assert close(one, 1, pairs(1, 2.0, LABELS_MIN - 1)) == []
    assert len(close(one, 2, pairs(1, 2.0, 1))) == 1


def test_what_a_reference_is_learned_from_is_not_judged_by_it() -> None:
    one = book(learn=1_200)
    # Their mean is 2, so two of them are far off it.
    for hour, error in enumerate((1.0, 3.0, 2.0)):
        assert not one.reference
        assert close(one, hour, pairs(hour, error)) == []
    assert one.reference
    assert close(one, 3, pairs(1, 3.0, 100)) == []
    assert len(close(one, 4, pairs(4, 3.0))) == 1


@pytest.mark.parametrize("learn", [None, 4_000])
def test_a_restored_book_goes_on_as_it_would(learn: int | None) -> None:
    one = book(kept_hours=5, learn=learn)
    for hour in range(40):
        again = book(kept_hours=5, learn=learn)
        again.restore(one.snapshot())
        error = 2.0 if hour % 7 > 3 else 1.0
        changed = pairs(hour, error) + (pairs(hour - 1, 2.0, sign=-1) if hour % 14 == 5 else Cohorts())
        assert close(again, hour, changed) == close(one, hour, changed)
        assert again.snapshot() == one.snapshot()


def test_an_output_that_is_measured_from_now_on_is_learned_and_judged_beside_the_others() -> None:
    before = book(learn=500)
    assert close(before, 0, pairs(0, 1.0) + pairs(1, 1.0)) == []
    assert before.reference
    one = with_price(500, {})
    one.restore(before.snapshot())
    assert [found.signal for found in close(one, 2, pairs(2, 2.0) + pairs(2, 5.0, output="price"))] == ["eta"]
    assert close(one, 3, pairs(3, 1.0) + pairs(3, 5.0, output="price")) == []
    assert close(one, 4, pairs(4, 1.0) + pairs(4, 5.0, output="price")) == []
    assert [found.signal for found in close(one, 5, pairs(5, 1.0) + pairs(5, 9.0, output="price"))] == [
        "price"
    ]


def test_an_output_that_a_file_says_nothing_of_is_learned() -> None:
    one = with_price(500, pairs(0, 1.0).total().measures)
    assert [found.signal for found in close(one, 1, pairs(1, 2.0) + pairs(1, 5.0, 600, output="price"))] == [
        "eta"
    ]
    assert [found.signal for found in close(one, 2, pairs(2, 1.0) + pairs(2, 9.0, output="price"))] == [
        "price"
    ]


def test_labels_that_were_taken_back_are_not_learned_from() -> None:
    one = book(learn=500)
    close(one, 0, pairs(0, 1.0))
    close(one, 1, pairs(0, 1.0, sign=-1))
    assert close(one, 2, pairs(2, 9.0)) == []
    assert not one.reference
    again = book(learn=500)
    again.restore(one.snapshot())
    for either in (one, again):
        assert close(either, 3, pairs(3, 9.0)) == []
        assert either.reference == pairs(0, 9.0, 800).total().measures


def test_an_output_that_is_measured_otherwise_is_learned_anew_and_no_other() -> None:
    one = with_price(1, (pairs(0, 1.0) + pairs(0, 5.0, output="price")).total().measures)
    assert len(close(one, 1, pairs(1, 2.0) + pairs(1, 9.0, output="price"))) == 2
    again = with_price(1, {}, Quality(task="binary", positive="1"))
    again.restore(one.snapshot())
    assert set(again.reference) == {"price"}
    assert close(again, 2, pairs(2, 5.0, output="price")) == []
    (back,) = close(again, 3, pairs(1, 9.0, sign=-1, output="price") + pairs(1, 5.0, output="price"))
    assert (back.signal, back.retracted) == ("price", True)


def test_an_output_that_is_measured_otherwise_is_learned_anew() -> None:
    one = book()
    assert len(close(one, 1, pairs(1, 2.0))) == 1
    binary = {"eta": Quality(task="binary", positive="1")}
    again = QualityBook(binary, HOUR_MS, 1_000 * HOUR_MS, Learn(events=500), {})
    again.restore(one.snapshot())
    assert not again.reference
    starts = np.full(600, HOUR_MS)
    for hour, said in ((2, "1"), (3, "1"), (4, "0")):
        come = cohorts_of(
            binary, hour * starts, [(("1", None),)] * 600, [(said,)] * 600, np.ones(600, np.int64)
        )
        assert len(close(again, hour, come)) == (said == "0")


def test_what_was_forgotten_is_learned_from_later_cohorts_and_earlier_ones_are_not_judged() -> None:
    one = book(learn=500)
    assert close(one, 0, pairs(0, 1.0) + pairs(1, 1.0)) == []
    assert len(close(one, 2, pairs(2, 2.0))) == 1
    one.forget({}, 4 * HOUR_MS)
    # Labels of before, which come later.
    assert close(one, 3, pairs(3, 9.0)) == []
    assert close(one, 4, pairs(4, 2.0)) == []
    assert close(one, 5, pairs(5, 2.0)) == []
    assert one.reference
    again = book(learn=500)
    again.restore(one.snapshot())
    for either in (one, again):
        assert close(either, 6, pairs(2, 2.0) + pairs(6, 2.0)) == []
        assert [found.since for found in close(either, 7, pairs(7, 4.0))] == [7 * HOUR_MS]
