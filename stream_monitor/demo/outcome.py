"""What was injected against what was found."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from stream_monitor.demo.scenario import INJECTED, Scenario

TOLERANCE_MS = 3000
"""How far the change time that an alert names may be from the true one."""


@dataclass(frozen=True, slots=True)
class Found:
    """One alert in the demo's terms."""

    signal: tuple[str, str]
    check: str
    since_ms: int
    at_ms: int
    summary: str

    @classmethod
    def of(cls, alert: Mapping[str, Any]) -> Found:
        """Of an alert in its published form."""
        return cls(
            (alert["signal"]["kind"], alert["signal"]["name"]),
            alert["check"],
            _epoch_ms(alert["since"]["at"]),
            _epoch_ms(alert["time"]),
            alert["summary"],
        )


@dataclass(frozen=True, slots=True)
class Outcome:
    """``exact``: each injected change was found once, at its time, and nothing else was."""

    scenario: Scenario
    found: list[Found]

    @property
    def exact(self) -> bool:
        expected = sorted(INJECTED) if self.scenario.drift else []
        return sorted(one.signal for one in self.found) == expected and all(map(self.is_right, self.found))

    def is_right(self, one: Found) -> bool:
        """An injected change, of the right kind, at the right time."""
        return (
            self.scenario.drift
            and one.signal in INJECTED
            and one.check == "drift"
            and abs(one.since_ms - self.scenario.change_ms) <= TOLERANCE_MS
        )

    @property
    def missed(self) -> list[tuple[str, str]]:
        if not self.scenario.drift:
            return []
        return sorted(set(INJECTED) - {one.signal for one in self.found if self.is_right(one)})

    @property
    def false(self) -> list[Found]:
        return [one for one in self.found if not self.is_right(one)]

    def to_dict(self) -> dict[str, Any]:
        """For scripts: what was injected and found, with times and delays in ms."""
        return {
            "seed": self.scenario.seed,
            "exact": self.exact,
            "change_ms": self.scenario.change_ms if self.scenario.drift else None,
            "injected": [{"kind": kind, "name": name} for kind, name in INJECTED]
            if self.scenario.drift
            else [],
            "found": [
                {
                    "kind": one.signal[0],
                    "name": one.signal[1],
                    "check": one.check,
                    "since_ms": one.since_ms,
                    "at_ms": one.at_ms,
                    "right": self.is_right(one),
                    "summary": one.summary,
                }
                for one in self.found
            ],
        }


def outcome(scenario: Scenario, alerts: Iterable[Mapping[str, Any]]) -> Outcome:
    """Of alerts in their published form."""
    return Outcome(scenario, [Found.of(alert) for alert in alerts])


def _epoch_ms(text: str) -> int:
    return round(datetime.fromisoformat(text).timestamp() * 1000)
