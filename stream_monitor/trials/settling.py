"""Minimum effects that hold the budget on a healthy history, where noise alone is not all that moves.

A signal whose level differs from day to day by itself is told more often than the scan's thresholds allow
for. What is left to set is how far it may go. Alerts of such a history are peaks over the minimum effect;
beyond it their number is taken to fall as an exponential does (Pickands, Ann. Statist. 3, 1975, without
the shape that so few peaks would not tell), and the minimum effect is set where as many are left as are
allowed. Then the history is run again, to see.
"""

from __future__ import annotations

import math
from argparse import Namespace
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from stream_monitor.checks import movement
from stream_monitor.checks.base import Unit
from stream_monitor.checks.numeric import BEYOND
from stream_monitor.config import load_config
from stream_monitor.trials.healthy import Raised, raised
from stream_monitor.trials.runs import replayed
from stream_monitor.trials.verdict import Told

ROUNDS = 3
"""So often a history is run again at the most."""
MOST = {movement.MEMORY: 2.0, movement.VARIATION: 10.0}
"""1 for all others."""
OF_EVENTS = frozenset({"feature", "output"})
"""What labels say has minimum effects of its own."""


@dataclass(frozen=True, slots=True)
class Settled:
    """What a model tells of the same history with these minimum effects; only those that were changed."""

    min_effect: dict[str, float]
    raised: Raised


def settled(
    config: Path, args: Namespace, models: Sequence[Raised], alerts: Sequence[Told]
) -> dict[str, Settled]:
    """By name, the models that told more than they are allowed."""
    before, effects = load_config(config), dict[str, dict[str, float]]()
    for _ in range(ROUNDS):
        more = False
        for one in models:
            known = effects.get(one.model, {})
            now = before.model(one.model).min_effect.model_dump() | known
            if one.over and (found := raised_min_effect(one, alerts, now)):
                effects[one.model], more = known | found, True
        if not more:
            break
        monitor, alerts = replayed(config, args, effects)
        models = raised(monitor, alerts)
    return {one.model: Settled(effects[one.model], one) for one in models if one.model in effects}


def raised_min_effect(of: Raised, alerts: Sequence[Told], now: Mapping[str, float]) -> dict[str, float]:
    """Of one model: what is to be raised, and to what; ``now``: what it is."""
    peaks: defaultdict[str, list[Told]] = defaultdict(list)
    for told in alerts:
        if told.model == of.model and told.kind in OF_EVENTS:
            for name in fields_of(told):
                peaks[name].append(told)
    fall = math.log(max(of.alerts / max(of.allowed or 0.0, 0.5), 1.0))
    found = {name: _beyond(several, fall, MOST.get(name, 1.0)) for name, several in sorted(peaks.items())}
    return {name: value for name, value in found.items() if value > now[name]}


def _beyond(peaks: Sequence[Told], fall: float, most: float) -> float:
    """Rounded up to two digits."""
    dead = max(one.dead for one in peaks)
    excess = sum(max(abs(one.effect) - dead, 0.0) for one in peaks) / len(peaks)
    return min(math.ceil(100.0 * (dead + fall * excess)) / 100.0, most)


def fields_of(told: Told) -> list[str]:
    """Of MinEffect, those that its score is held against."""
    if told.check == movement.NAME:
        return [told.score]
    if told.unit == Unit.SHARE and told.score == "location":
        return ["location", "share"]
    if told.score == "location":
        return ["location"]
    if told.unit == Unit.RANK:
        return ["shape"]
    is_rate = told.check not in {"drift", "distribution"} or told.score in BEYOND
    return ["rate" if is_rate else "share"]
