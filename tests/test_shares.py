"""The false alarms of a signal are divided among its scores without rest."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from stream_monitor.checks import ALL
from stream_monitor.checks.base import Score, Unit
from stream_monitor.checks.shares import shares
from stream_monitor.config import parse_config
from stream_monitor.reference import Reference
from tests.test_checks import summary

NAMES = ("location", "spread", "rate", "share of 'a'")
SCORES = st.builds(
    Score,
    st.sampled_from(["drift", "missing", "unseen"]),
    st.sampled_from("xyz"),
    st.sampled_from(NAMES),
    st.just(Unit.RANK),
    st.just(0.0),
)


@given(st.lists(SCORES, unique=True))
def test_those_of_a_signal_add_up_to_one_whatever_others_there_are(scores: list[Score]) -> None:
    found = shares(scores)
    assert (found > 0).all()
    for signal in {score.signal for score in scores}:
        mine = [at for at, score in enumerate(scores) if score.signal == signal]
        assert np.isclose(found[mine].sum(), 1.0)
        assert np.allclose(found[mine], shares([scores[at] for at in mine]))


def test_a_shift_gets_as_much_as_all_other_drift_and_drift_most() -> None:
    rows = [{"x": 1.5 * at, "c": "abc"[at % 3]} for at in range(200)]
    model = parse_config({"predictions": {"topics": ["p"]}}).model("m")
    reference = Reference.of(summary(rows), model.features)
    scores = [one for check in ALL for one in check(reference, model.min_effect, model.features).scores]
    found = dict(zip(((one.signal, one.check, one.name) for one in scores), shares(scores), strict=True))
    numeric = [part for (signal, check, _), part in found.items() if (signal, check) == ("x", "drift")]
    assert found["x", "drift", "location"] == max(numeric)
    assert np.isclose(max(numeric), sum(numeric) / 2)
    assert 0.7 < sum(numeric) < 0.9
    assert found["c", "drift", "share of 'a'"] == found["c", "drift", "share of 'c'"]
    assert found["x", "missing", "rate"] == found["c", "missing", "rate"] * 21 / 20
