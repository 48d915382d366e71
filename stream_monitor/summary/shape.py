"""What gives the summaries of a model their form: its configuration, and the grid of its reference.

Integers on two grids would add up to nonsense, so a delta names the hash of its shape, and only summaries
of one shape are merged.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

from stream_monitor.summary.categories import bounded

if TYPE_CHECKING:
    from stream_monitor.config import ModelConfig, Signal
    from stream_monitor.summary.grid import Grid

FORM = 1
"""The version of codes, bins, hashes and rules: raised when equal events would give another summary."""

Kind = Literal["features", "outputs"]
SignalKey = tuple[Kind, str]


@dataclass(frozen=True, slots=True)
class ReferenceShape:
    """What a reference file says about form: grids of numbers, and the category values always named."""

    grids: Mapping[SignalKey, Grid]
    values: Mapping[SignalKey, frozenset[str]]
    hash: str


@dataclass(frozen=True, slots=True)
class SignalShape:
    """One signal. With ``type`` None it is summarised both ways; one that is ``declared`` is named by the
    configuration or the reference."""

    type: Literal["number", "category"] | None = None
    range: tuple[float, float] | None = None
    values: frozenset[str] | None = None
    strict: bool = False
    center: float | None = None
    watch: bool = True
    grid: Grid | None = None
    kept: frozenset[str] = frozenset()
    declared: bool = False


@dataclass(frozen=True, slots=True)
class Shape:
    """The form of all summaries of one model. ``signals`` holds the declared ones; ``hash`` says all.

    ``segments``: the features by whose values summaries are kept, too, ``segments_max`` values of each.
    """

    hash: str
    slice_ms: int = field(compare=False)
    strict: bool = field(compare=False)
    max_signals: int = field(compare=False)
    signals: Mapping[SignalKey, SignalShape] = field(compare=False)
    segments: tuple[str, ...] = field(compare=False)
    segments_max: int = field(compare=False)

    @classmethod
    def of(cls, model: ModelConfig, reference: ReferenceShape | None = None) -> Shape:
        """Of a model's configuration and its reference file, if it has one."""
        declared: dict[SignalKey, Signal | None] = {}
        if reference is not None:
            declared.update(dict.fromkeys((*reference.grids, *reference.values)))
        declared.update({("features", name): one for name, one in model.features.items()})
        declared.update({("outputs", name): one for name, one in model.outputs.items()})
        signals = {key: _signal(key, declared[key], model, reference) for key in sorted(declared)}
        return cls(
            _hash(model, signals, reference),
            model.slice_ms,
            model.strict,
            model.max_signals,
            signals,
            tuple(dict.fromkeys(model.segments)),
            model.segments_max,
        )

    def signal(self, kind: Kind, name: str) -> SignalShape:
        """The shape of a signal, declared or not."""
        return self.signals.get((kind, name)) or SignalShape(strict=self.strict)


def _signal(
    key: SignalKey, declared: Signal | None, model: ModelConfig, reference: ReferenceShape | None
) -> SignalShape:
    grid = reference.grids.get(key) if reference else None
    kept = reference.values.get(key, frozenset()) if reference else frozenset()
    if declared is None:
        return SignalShape(strict=model.strict, grid=grid, kept=frozenset(map(bounded, kept)), declared=True)
    listed = declared.values
    return SignalShape(
        type=declared.type,
        range=declared.range,
        values=None if listed is None else frozenset(listed),
        strict=model.strict if declared.strict is None else declared.strict,
        center=declared.center,
        watch=declared.watch,
        grid=grid,
        kept=frozenset(map(bounded, (*kept, *(listed or ())))),
        declared=True,
    )


def _hash(
    model: ModelConfig, signals: Mapping[SignalKey, SignalShape], reference: ReferenceShape | None
) -> str:
    content: list[Any] = [
        FORM,
        model.slice_ms,
        model.strict,
        model.max_signals,
        reference.hash if reference else "",
    ]
    for key, one in signals.items():
        values = None if one.values is None else sorted(one.values)
        bounds = None if one.range is None else [float(bound) for bound in one.range]
        center = None if one.center is None else float(one.center)
        content.append([*key, one.type, bounds, values, one.strict, center, one.watch])
    if model.segments:
        content.append(["segments", sorted(set(model.segments)), model.segments_max])
    canonical = json.dumps(content, separators=(",", ":"))
    return hashlib.blake2b(canonical.encode(), digest_size=8).hexdigest()
