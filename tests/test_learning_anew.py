"""What was learned is forgotten on request only: by a time in the configuration, or by another file."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import orjson

from stream_monitor.alerting.alert import Alert
from stream_monitor.config import Config, parse_config
from stream_monitor.decide import Decider
from stream_monitor.events import Flush
from stream_monitor.reference import References
from stream_monitor.sources.profile import profile
from tests.core import Record, Schedule, comparable, flushes
from tests.inputs import START_MS

PHASE = 100
"""Seconds at one level."""
FROM = START_MS + PHASE * 1_000
SCHEDULE = Schedule(batch_max=60, flush_every=2, seed=3)
LOW, HIGH, LOWEST = 0.0, 3.0, -3.0


def config(**model: Any) -> Config:
    """Without ``lateness`` a slice closes with the first event after it."""
    model = {"learn": 1_000, "detectors": ["adwin"], "segments": ["channel"], **model}
    predictions = {"topics": ["t"], "lateness": "0s"}
    return parse_config({"predictions": predictions, "models": {"*": model}})


def log(*levels: float) -> list[Record]:
    """Each level for PHASE seconds, 20 events a second, in segments ``a`` and ``b``."""
    random, found = np.random.default_rng(1), list[Record]()
    for second in range(PHASE * len(levels)):
        for number, noise in enumerate(random.normal(size=20).tolist()):
            time = START_MS + 1_000 * second + 50 * number
            features = {"x": levels[second // PHASE] + noise, "channel": "ab"[number % 2]}
            event = {"model": "m", "ts": time, "features": features, "outputs": {"score": 0.5}}
            found.append((time, orjson.dumps(event)))
    return found


def flow(of: Config, *levels: float) -> list[Flush]:
    return flushes(of, [log(*levels)], SCHEDULE)


def decided(one: Decider, sent: list[Flush]) -> list[Alert]:
    return [alert for flush in sent for alert in one.apply(flush)]


def restarted(one: Decider, of: Config) -> Decider:
    again = Decider(of, References(of))
    data = one.snapshot("m")
    again.restore_ledger(data)
    again.restore("m", data)
    return again


def began(alerts: list[Alert]) -> set[int]:
    """The phases in which x changed."""
    return {(one.finding.found - START_MS) // 1_000 // PHASE for one in alerts if one.finding.signal == "x"}


def alerts_of(of: Config, *levels: float) -> list[Alert]:
    return decided(Decider(of, References(of)), flow(of, *levels))


def test_from_the_time_on_what_comes_is_normal_and_what_comes_then_is_compared_with_it() -> None:
    assert began(alerts_of(config(), LOW, HIGH, HIGH)) == {1}
    assert began(alerts_of(config(learn_from=FROM), LOW, HIGH, HIGH)) == set()
    back = alerts_of(config(learn_from=FROM), LOW, HIGH, LOW)
    assert began(back) == {2}
    assert {alert.stream.segment for alert in back} > {"", "channel=a"}


def test_before_the_time_nothing_changes() -> None:
    later = config(learn_from=FROM + 10 * PHASE * 1_000)
    assert comparable(alerts_of(later, LOW, HIGH)) == comparable(alerts_of(config(), LOW, HIGH)) != []


def test_a_restart_forgets_nothing_again() -> None:
    asked = config(learn_from=FROM)
    expected = comparable(alerts_of(asked, LOW, HIGH, LOW))
    for of in (asked, config(learn_from=FROM - 1_000), config()):
        one, found = Decider(asked, References(asked)), list[Alert]()
        for number, flush in enumerate(flow(asked, LOW, HIGH, LOW)):
            one = restarted(one, of) if number % 50 == 49 and began_after(one) else one
            found += one.apply(flush)
        assert comparable(found) == expected


def began_after(one: Decider) -> bool:
    """Whether the slice of FROM is closed."""
    return (one.watermark() or 0) > FROM


def test_it_can_be_asked_for_after_the_time() -> None:
    sent = flow(config(), LOW, HIGH, LOW)
    at = len(sent) // 2
    one = Decider(config(), References(config()))
    assert began(decided(one, sent[:at])) == {1}
    assert one.learning() == {}
    one = restarted(one, config(learn_from=FROM))
    decided(one, sent[at : at + 2])
    assert "x" in one.learning()["m"]
    assert began(decided(one, sent[at + 2 :])) == {2}


def of_file(path: Path, level: float) -> Config:
    lines = path.with_suffix(".jsonl")
    lines.write_bytes(b"\n".join(value for _, value in log(level)))
    profile(lines, config()).file.write(path)
    return config(reference=str(path))


def test_another_file_is_another_reference_and_the_same_file_is_none(tmp_path: Path) -> None:
    low, high = of_file(tmp_path / "low", LOW), of_file(tmp_path / "high", HIGH)
    levels = LOW, HIGH, LOWEST
    one, at = Decider(low, References(low)), len(flow(low, *levels)) * 3 // 10
    assert began(decided(one, flow(low, *levels)[:at])) == set()
    before = one.snapshot("m")
    of_same = restarted(one, of_file(tmp_path / "same", LOW))
    assert of_same.snapshot("m") == before
    assert began(decided(of_same, flow(low, *levels)[at:])) == {1, 2}
    of_other = restarted(one, high)
    assert began(decided(of_other, flow(high, *levels)[at:])) == {2}
