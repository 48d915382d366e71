"""The bytes of cohorts: equal for ever, bounded, in parts where need be, and never a crash when damaged."""

from __future__ import annotations

import math
import random
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest

from stream_monitor.errors import FormatError
from stream_monitor.quality import classes, regression, wire
from stream_monitor.quality.cohorts import Cohort, Cohorts, predictions_of
from stream_monitor.quality.exact import BITS_MAX, to_bytes
from stream_monitor.quality.measures import Measures, Task, size_of, totals_of
from stream_monitor.quality.tally import Net
from stream_monitor.summary.categories import TEXT_MAX
from stream_monitor.summary.counts import ROWS_MAX
from tests.oracles_quality import EVERY, HOUR_MS, Pair, cohorts_of_pairs

GOLDEN = Path(__file__).parent / "golden" / "cohorts-1.bin"


def pairs() -> list[Pair]:
    """Of every kind that quality tells apart; what the golden file was made of."""
    numbers = [1.0, 2.5, -3e-40, 1e300, 0.1, None, 0.0]
    texts = ["yes", "no", "a", "b", "c", "\U0001f600", None]
    scores = [0.0, 0.1, 1e-12, 0.5, 0.999, 1.0, None]
    found = []
    for row in range(60):
        score, text = scores[row % 7], texts[row % 5]
        by_name = None if score is None else {"a": score, f"c{row % 11}": 1 - score}
        in_order = None if score is None else (score, 0.5, 0.25)
        inputs = (numbers[row % 7], (text, score), (texts[row * 3 % 7], by_name), (text, in_order))
        labels = (numbers[row * 2 % 7], texts[row % 2], texts[row * 2 % 7], texts[row * 4 % 7])
        found.append(Pair((row % 3 - 1) * HOUR_MS, inputs, labels, -1 if row % 10 == 9 else 1))
    return found


def cohorts() -> Cohorts:
    return cohorts_of_pairs(pairs(), EVERY) + predictions_of(np.array([0, 0, HOUR_MS, 5 * HOUR_MS]))


def test_bytes_of_version_1_are_written_and_read_as_ever() -> None:
    golden = GOLDEN.read_bytes()
    assert cohorts().to_bytes() == golden
    assert Cohorts.from_bytes(golden) == cohorts()


def test_a_later_version_is_told_from_damage() -> None:
    data = bytearray(cohorts().to_bytes())
    data[3] = 2
    with pytest.raises(FormatError, match="expected version 1, got 2"):
        Cohorts.from_bytes(bytes(data))
    for other in (b"", b"SMQ", b"SMS\x01\x90"):
        with pytest.raises(FormatError, match="expected bytes that begin with"):
            Cohorts.from_bytes(other)


def test_damaged_bytes_are_refused_or_read_as_cohorts_that_work() -> None:
    rng, data = random.Random(7), cohorts().to_bytes()
    refused = 0
    for _ in range(1_000):
        damaged = bytearray(data)
        for _ in range(rng.randint(1, 3)):
            at = rng.randrange(3, len(damaged))
            match rng.randrange(3):
                case 0:
                    damaged[at] = rng.randrange(256)
                case 1:
                    del damaged[at : at + rng.randint(1, 9)]
                case _:
                    damaged[at:at] = rng.randbytes(rng.randint(1, 9))
        try:
            read = Cohorts.from_bytes(bytes(damaged))
        except FormatError:
            refused += 1
            continue
        assert Cohorts.from_bytes(read.to_bytes()) == read
        for measures in read.total().measures.values():
            measures.figures()
    assert refused > 500


def measures_form(**changes: Any) -> bytes:
    """One cohort with the measures of one regression, changed."""
    form = wire.MeasuresForm("y", "regression", False, [], [b""] * len(regression.Total), [5, 2], [1, -1])
    changed = msgspec.structs.replace(form, **changes)
    return wire.encode(wire.Form([wire.CohortForm(0, 1, 1, 0, [changed])]))


DAMAGE: dict[str, dict[str, Any]] = {
    "number of totals": {"totals": [b""]},
    "classes not ascending": {"task": "multiclass", "totals": [b""] * classes.TOTALS, "classes": ["b", "a"]},
    "classes of another task": {"classes": ["a"]},
    "differ in length": {"counts": [1]},
    "keys out of order": {"gaps": [5, 0]},
    "keys out of": {"gaps": [5, regression.SIZE]},
    "a count of zero": {"counts": [1, 0]},
    "no exact sum": {"totals": [b"\0\1\2"] * len(regression.Total)},
    "counts out of bounds": {"totals": [to_bytes(ROWS_MAX + 1)] * len(regression.Total)},
    "int": {"counts": [1, ROWS_MAX + 1]},
    "Invalid enum": {"task": "clustering"},
    "length": {"classes": ["x" * (TEXT_MAX + 1)]},
}


@pytest.mark.parametrize("problem", DAMAGE)
def test_each_damage_is_named(problem: str) -> None:
    with pytest.raises(FormatError, match=problem):
        Cohorts.from_bytes(measures_form(**DAMAGE[problem]))


def test_cohorts_and_outputs_are_in_order() -> None:
    one = wire.CohortForm(0, 1, 0, 0, [])
    with pytest.raises(FormatError, match="cohorts not ascending"):
        Cohorts.from_bytes(wire.encode(wire.Form([one, one])))
    (y,) = wire.decode(measures_form()).cohorts[0].measures
    with pytest.raises(FormatError, match="outputs not ascending"):
        Cohorts.from_bytes(wire.encode(wire.Form([wire.CohortForm(0, 1, 0, 0, [y, y])])))


def test_a_claim_of_endless_content_takes_no_memory() -> None:
    for claim in (b"\x91\xdd\xff\xff\xff\xff", b"\x91\x91\x95\0\0\0\0\xdd\xff\xff\xff\xff"):
        with pytest.raises(FormatError, match="truncated"):
            Cohorts.from_bytes(b"SMQ\x01" + claim)


def largest(task: Task, keys: int) -> Measures:
    """The longest measures with so many keys there can be: every number at its bound."""
    names = [f"{n:02}" + "\U0001f600" * (TEXT_MAX - 2) for n in range(classes.CLASSES_MAX)]
    counts = (ROWS_MAX,) * (regression.COUNTS if task == "regression" else classes.COUNTS)
    totals = (*counts, *[(1 << BITS_MAX) - 1] * (totals_of(task) - len(counts)))
    spread = np.linspace(0, size_of(task) - 1, keys).astype(np.int64)
    of_task = tuple(names) if task == "multiclass" else ()
    return Measures(task, task == "multiclass", of_task, totals, Net(spread, np.full(keys, -ROWS_MAX)))


@pytest.mark.parametrize(
    ("task", "keys"), [("regression", 5_000), ("binary", 3_000), ("multiclass", 400_000)]
)
def test_no_measures_are_longer_than_their_bound(task: Task, keys: int) -> None:
    cohort = Cohort(-ROWS_MAX, -ROWS_MAX, -ROWS_MAX, {"y" * wire.NAME_BYTES_MAX: largest(task, keys)})
    whole = Cohorts({-(1 << 60): cohort})
    data = whole.to_bytes()
    bound = wire.bytes_max(task, keys)
    assert len(data) <= bound
    assert len(data) > 0.2 * bound
    assert Cohorts.from_bytes(data) == whole
    assert wire.bytes_max(task, 1) < wire.PART_BYTES_MIN


@pytest.mark.parametrize(("task", "keys"), [("regression", 10), ("binary", 3_000), ("multiclass", 9_000)])
def test_figures_of_any_bytes_that_can_be_read_are_numbers_or_none(task: Task, keys: int) -> None:
    one = largest(task, keys)
    for sign in (1, -1):
        counts = np.full(keys, sign * ROWS_MAX)
        totals = (1, *(sign * total for total in one.totals[1:]))
        figures = Measures(task, one.named, one.classes, totals, Net(one.net.keys, counts)).figures()
        assert not any(math.isnan(figure.value or 0.0) for figure in figures.values())


@pytest.mark.parametrize("max_bytes", [wire.PART_BYTES_MIN, 900_000])
def test_parts_are_short_enough_and_add_up(max_bytes: int) -> None:
    measures = {
        "a": largest("binary", 3_000),
        "b": largest("multiclass", 200_000),
        "c": largest("regression", 0),
    }
    whole = Cohorts({start: Cohort(7, 6, 5, dict(measures)) for start in (0, HOUR_MS)})
    parts = whole.split(max_bytes)
    assert all(data == part.to_bytes() and len(data) <= max_bytes for part, data in parts)
    total = Cohorts()
    for part, data in random.Random(1).sample(parts, len(parts)):
        assert part == Cohorts.from_bytes(data)
        total.merge(part)
    assert total == whole


def test_short_cohorts_are_one_part() -> None:
    assert cohorts().split() == [(cohorts(), cohorts().to_bytes())]
    assert Cohorts().split() == [(Cohorts(), Cohorts().to_bytes())]


def test_a_usual_cohort_takes_about_two_thousand_bytes() -> None:
    rng = np.random.default_rng(1)
    scores = rng.beta(2, 5, 1_000)
    labels = rng.random(1_000) < scores
    of_cohort = [
        Pair(0, ((None, score),), ("yes" if label else "no",))
        for score, label in zip(scores.tolist(), labels.tolist(), strict=True)
    ]
    assert len(cohorts_of_pairs(of_cohort, {"churn": EVERY["churn"]}).to_bytes()) < 2_000
