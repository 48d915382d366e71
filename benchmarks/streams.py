"""Streams of numbers of many kinds, stationary or with a shift, many at once and as long as one likes.

A kind says what one event is; ``Streams`` draws many independent ones of it, in pieces. Noise does not depend
on the shift: it is moved, not drawn anew (but for counts, of which that cannot be said).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.fft import irfft, rfft
from scipy.signal import lfilter

from stream_monitor.events import Float64s

DAY = 28_800
"""Events in a day: a slice of 100 is five minutes."""
WEEK = 7 * DAY
HURST = 0.8
FRACTIONAL_PIECE = 1 << 21
CATEGORIES = 10
MIX = 1.0 / np.arange(1, CATEGORIES + 1) / (1.0 / np.arange(1, CATEGORIES + 1)).sum()
MISSING = 0.01


@dataclass(frozen=True, slots=True)
class Shift:
    """What happens from the onset on: to the location by ``size`` sd, to the spread by the factor
    1 + ``size``, or to shares by ``size``. It grows for ``ramp`` events, or is there at once.
    """

    what: str
    size: float
    ramp: int = 0

    @property
    def name(self) -> str:
        said = {"location": f"{self.size:g} sd", "spread": "spread x 2", "rate": "+5 points", "mix": "mix"}
        return said[self.what] + (", gradual" if self.ramp else "")

    @property
    def sds(self) -> float:
        """Its size in standard deviations of an event: of a rate that is MISSING, of the largest category."""
        rate = {"rate": MISSING, "mix": float(MIX[0])}.get(self.what)
        return self.size if rate is None else self.size / float(np.sqrt(rate * (1 - rate)))

    def strength(self, after: Float64s) -> Float64s:
        """0..size, this many events after the onset; negative: before."""
        grown = (after + 1.0) / self.ramp if self.ramp else (after >= 0) * 1.0
        return self.size * np.clip(grown, 0.0, 1.0)


NOTHING = Shift("location", 0.0)
SIZES = (0.1, 0.25, 0.5, 1.0, 2.0)


class Drawn:
    """What a piece is made of: ``random``, the number of each event, what is kept between pieces, the moved
    location (T,) in sd and factor of the spread (T,), and how far shares have moved (T,)."""

    def __init__(self, seed: list[int], streams: int) -> None:
        self.random = np.random.default_rng(seed)
        self.streams, self.position = streams, 0
        self.kept: dict[str, Any] = {}
        self.location, self.factor, self.share = np.zeros((3, 0))

    @property
    def time(self) -> Float64s:
        return self.position + np.arange(len(self.location), dtype=np.float64)

    def normal(self) -> Float64s:
        return self.random.standard_normal((self.streams, len(self.location)))

    def uniform(self) -> NDArray[np.float32]:
        return self.random.random((self.streams, len(self.location)), np.float32)

    def once(self, name: str, make: Callable[[], Any]) -> Any:
        """Drawn with the first piece and kept."""
        if name not in self.kept:
            self.kept[name] = make()
        return self.kept[name]

    def moved(self, noise: Float64s, sd: float = 1.0, mean: float = 0.0) -> Float64s:
        """``noise`` of that mean and standard deviation, wider and moved."""
        return (noise - mean) * self.factor + (mean + sd * self.location)


Draw = Callable[[Drawn], Float64s]


def _autoregressive(phi: float) -> Draw:
    def draw(of: Drawn) -> Float64s:
        return of.moved(_ar(of, phi))

    return draw


def _ar(of: Drawn, phi: float) -> Float64s:
    """Of variance 1, from its stationary distribution on."""
    state = of.once("ar", lambda: phi * of.random.standard_normal((of.streams, 1)))
    found, of.kept["ar"] = lfilter([np.sqrt(1 - phi * phi)], [1.0, -phi], of.normal(), axis=1, zi=state)
    return np.asarray(found, np.float64)


def _student(of: Drawn) -> Float64s:
    return of.moved(of.random.standard_t(3, (of.streams, len(of.location))), np.sqrt(3.0))


def _lognormal(of: Drawn) -> Float64s:
    return of.moved(np.exp(of.normal()), np.sqrt(np.e * (np.e - 1)), np.exp(0.5))


def _bernoulli(rate: float) -> Draw:
    def draw(of: Drawn) -> Float64s:
        moved = rate + np.sqrt(rate * (1 - rate)) * of.location + of.share
        return np.asarray(of.uniform() < moved, np.float64)

    return draw


def _counts(of: Drawn) -> Float64s:
    """Poisson around 5; of more than its own spread where rates vary by a gamma distribution."""
    mean, excess = 5.0 + np.sqrt(5.0) * of.location, of.factor**2 - 1.0
    shape = (of.streams, len(of.location))
    if (excess > 0).any():
        wide = np.maximum(excess, 1e-6)
        return of.random.poisson(of.random.gamma(mean / wide, wide, shape)).astype(np.float64)
    return of.random.poisson(mean, shape).astype(np.float64)


def _categories(of: Drawn) -> Float64s:
    """0..9 by Zipf's law. A share moves from the largest to the third."""
    uniform = of.uniform()
    found = np.searchsorted(np.cumsum(MIX)[:-1], uniform, side="right").astype(np.float64)
    found[uniform < of.share] = 2.0
    return found


def _seasonal(phi: float | None, *, week: bool = False) -> Draw:
    """Days of amplitude 1 that begin at any hour; of the week also slower ones, and its days differ."""

    def draw(of: Drawn) -> Float64s:
        phase = of.once("phase", lambda: of.random.random((of.streams, 1)))
        noise = of.normal() if phi is None else _ar(of, phi)
        day: Float64s = np.sin(2 * np.pi * (of.time / DAY + phase))
        if week:
            of_week = np.cos(2 * np.pi * (of.time / WEEK + phase))
            day = day * (1.0 + 0.4 * of_week) + 0.5 * of_week
        found: Float64s = of.moved(noise) + day
        return found

    return draw


def _fractional(of: Drawn) -> Float64s:
    """Gaussian noise of long memory, exactly (Davies and Harte 1987), in pieces without memory of another."""
    queue = of.kept.get("queue", np.zeros((of.streams, 0)))
    while queue.shape[1] < len(of.location):
        queue = np.concatenate((queue, _fractional_piece(of)), axis=1)
    now, of.kept["queue"] = np.split(queue, [len(of.location)], axis=1)
    return of.moved(now)


def _fractional_piece(of: Drawn) -> Float64s:
    n, h = FRACTIONAL_PIECE, 2 * HURST
    k = np.arange(n + 1, dtype=np.float64)
    covariance = 0.5 * (np.abs(k + 1) ** h - 2 * k**h + np.abs(k - 1) ** h)
    power = np.maximum(rfft(np.concatenate((covariance, covariance[-2:0:-1]))).real, 0.0)
    rows = []
    for _ in range(of.streams):
        waves = of.random.standard_normal(n + 1) + 1j * of.random.standard_normal(n + 1)
        waves[[0, n]] = waves[[0, n]].real * np.sqrt(2.0)
        rows.append(irfft(waves * np.sqrt(power * n), 2 * n)[:n].astype(np.float32))
    return np.array(rows)


def _level_a_day(of: Drawn) -> Float64s:
    """Every day another level, by .3 of what a slice of 100 events varies."""
    days = (of.time // DAY).astype(np.int64)
    levels = of.kept.setdefault("levels", np.zeros((of.streams, 0)))
    missing = int(days[-1]) + 1 - levels.shape[1]
    if missing > 0:
        more = 0.03 * of.random.standard_normal((of.streams, missing))
        of.kept["levels"] = levels = np.concatenate((levels, more), axis=1)
    return of.moved(of.normal()) + np.asarray(levels[:, days], np.float64)


@dataclass(frozen=True, slots=True)
class Kind:
    """``scored`` as number, rate or category. ``shifts``: that make sense of it. ``promised``: its memory is
    short. ``season``: its period in events.
    """

    name: str
    draw: Draw
    scored: str = "number"
    shifts: tuple[str, ...] = ("location", "spread")
    promised: bool = True
    season: int = 0

    @property
    def binary(self) -> bool:
        """Its events are 0 and 1."""
        return self.scored == "rate" or self.name.startswith("bernoulli")


KINDS = (
    Kind("normal", lambda of: of.moved(of.normal())),
    Kind("student t 3", _student),
    Kind("lognormal", _lognormal),
    Kind("bernoulli .01", _bernoulli(0.01), shifts=("location",)),
    Kind("bernoulli .1", _bernoulli(0.1), shifts=("location",)),
    Kind("counts", _counts),
    Kind("ar .5", _autoregressive(0.5)),
    Kind("ar .9", _autoregressive(0.9)),
    Kind("ar .99", _autoregressive(0.99)),
    Kind("missing .01", _bernoulli(MISSING), "rate", ("rate",)),
    Kind("categories", _categories, "category", ("mix",)),
    Kind("daily season", _seasonal(None), season=DAY),
    Kind("season + ar .9", _seasonal(0.9), season=DAY),
    Kind("weekly season", _seasonal(None, week=True), season=WEEK),
    Kind("fractional .8", _fractional, promised=False),
    Kind("level a day", _level_a_day, promised=False),
)
BY_NAME = {kind.name: kind for kind in KINDS}


def shifts_of(kind: Kind, ramps: tuple[int, ...]) -> list[Shift]:
    sizes = {"location": SIZES, "spread": (1.0,), "rate": (0.05,), "mix": (0.05,)}
    return [Shift(what, size, ramp) for ramp in ramps for what in kind.shifts for size in sizes[what]]


class Streams:
    """``streams`` independent streams of a kind, drawn piece by piece from a seed. Copy it to go on twice."""

    def __init__(self, kind: Kind, seed: int, streams: int) -> None:
        self.kind, self.number = kind, streams
        number = [one.name for one in KINDS].index(kind.name)
        self._drawn = Drawn([seed, number], streams)

    @property
    def position(self) -> int:
        """Events drawn."""
        return self._drawn.position

    def take(self, events: int, shift: Shift = NOTHING, onset: int = 0) -> Float64s:
        """The next values (streams, events)."""
        drawn = self._drawn
        strength = shift.strength(drawn.position - onset + np.arange(events, dtype=np.float64))
        nothing = np.zeros(events)
        drawn.location = strength if shift.what == "location" else nothing
        drawn.factor = 1.0 + (strength if shift.what == "spread" else nothing)
        drawn.share = strength if shift.what in {"rate", "mix"} else nothing
        values = self.kind.draw(drawn)
        drawn.position += events
        return values
