"""Series with the change points that people see in them, as river's package has them.

Seven of those of van den Burg and Williams, An Evaluation of Change Point Detection Algorithms, 2020. river
has three of them longer than they were shown to annotators, who count in what was shown: every tenth price of
oil from the first of 2000 on, every third day of Apple's from the second on, bitcoin until 19 June 2019.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import numpy as np
from river.drift import datasets

from stream_monitor.events import Float64s


@dataclass(frozen=True, slots=True)
class Series:
    """``values`` (T, D), of mean 0 and variance 1 in each dimension, as that benchmark has them; by annotator
    where a change begins."""

    name: str
    values: Float64s
    annotations: tuple[frozenset[int], ...]


Observed = list[tuple[Any, Any]]
"""The time of each observation, as a mapping, and one value or several by name."""

_BITCOIN_SHOWN = datetime(2019, 6, 19, tzinfo=UTC).date()


def _values(observed: Observed) -> list[Any]:
    return [list(y.values()) if isinstance(y, Mapping) else y for _, y in observed]


def _apple(observed: Observed) -> list[Any]:
    return [[y["Close"], y["Volume"]] for _, y in observed[1::3]]


def _bitcoin(observed: Observed) -> list[Any]:
    return [y for x, y in observed if x["date"].date() <= _BITCOIN_SHOWN]


def _oil(observed: Observed) -> list[Any]:
    return [y for x, y in observed[::10] if x["day"].year >= 2000]


_SHOWN: dict[str, tuple[str, Callable[[Observed], list[Any]]]] = {
    "jfk_passengers": ("AirlinePassengers", _values),
    "apple": ("Apple", _apple),
    "bitcoin": ("Bitcoin", _bitcoin),
    "brent_spot": ("BrentSpotPrice", _oil),
    "occupancy": ("Occupancy", _values),
    "run_log": ("RunLog", _values),
    "uk_coal_employ": ("UKCoalEmploy", _values),
}
"""By the name that the benchmark gives them: river's name, and what people were shown of it."""


def annotated() -> tuple[Series, ...]:
    """All seven, from the package: 105 to 774 observations of 1 to 4 dimensions."""
    return tuple(_series(name, getattr(datasets, of)(), shown) for name, (of, shown) in _SHOWN.items())


def _series(name: str, dataset: Any, shown: Callable[[Observed], list[Any]]) -> Series:
    values = np.array(shown(list(dataset)), np.float64)
    table = values.reshape(len(values), -1)
    annotations = tuple(frozenset(one) for one in dataset.annotations.values())
    return Series(name, (table - table.mean(axis=0)) / table.std(axis=0), annotations)
