"""What a model is compared with: a summary of a time when it was well, per subject.

A *subject* is what is watched together: the features of a model, or the outputs of one stream. A
reference comes from a file (``stream-monitor profile``) or is learned by decide from closed slices; it
is a Summary either way, and what kind each signal is.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from hashlib import blake2b
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from stream_monitor.errors import FormatError, ReferenceFileError
from stream_monitor.quality.cohorts import Cohorts
from stream_monitor.quality.measures import Measures
from stream_monitor.state import pack, unpack
from stream_monitor.summary.grid import Grid
from stream_monitor.summary.shape import Kind as SubjectKind
from stream_monitor.summary.shape import ReferenceShape
from stream_monitor.summary.summary import Count, Summary

if TYPE_CHECKING:
    from stream_monitor.config import Config, Signal

FILE_KIND = "stream-monitor-reference"
FILE_VERSION = 1
MOVEMENTS_VERSION = 1
"""Of the part of a file that not all have."""
SUBJECTS: tuple[SubjectKind, ...] = ("features", "outputs")


class Kind(StrEnum):
    """What a signal is compared as."""

    NUMBER = "number"
    CATEGORY = "category"


def kind_of(counts: Mapping[int, int], declared: Signal | None) -> Kind | None:
    """As declared; else by what most of its values are; None where none was ever seen.

    A numeric string counts for both: a signal whose texts are all numeric strings is a number.
    """
    if declared is not None and declared.type is not None:
        return Kind(declared.type)
    numbers = counts[Count.NUMBER] + counts[Count.NUMERIC_STRING]
    texts = counts[Count.STRING] + counts[Count.BOOL]
    if numbers + texts == 0:
        return None
    return Kind.NUMBER if numbers >= texts else Kind.CATEGORY


@dataclass(frozen=True, slots=True)
class Reference:
    """The reference of the signals named in ``kinds``, all of them in ``summary``.

    ``centers``: what was subtracted from the values of a signal, where the configuration asked for it.
    """

    summary: Summary
    kinds: dict[str, Kind]
    grids: dict[str, Grid] = field(default_factory=dict)
    centers: dict[str, float] = field(default_factory=dict)

    @classmethod
    def of(
        cls, summary: Summary, declared: Mapping[str, Signal], grids: Mapping[str, Grid] | None = None
    ) -> Reference:
        """The reference that a summary of healthy events makes. Signals without any value are left out."""
        kinds = {}
        for row, name in enumerate(summary.signals):
            kind = kind_of(summary.counts[row], declared.get(name))
            if kind is not None:
                kinds[name] = kind
        known = {name: grid for name, grid in (grids or {}).items() if name in kinds}
        return cls(summary.select(sorted(kinds)), kinds, known, _centers(kinds, declared))

    def fits(self, declared: Mapping[str, Signal]) -> bool:
        """Whether values are still centered as they were: codes of two centers cannot be compared."""
        return self.centers == _centers(self.kinds, declared)

    def snapshot(self) -> dict[str, Any]:
        return {
            "summary": self.summary.to_bytes(),
            "kinds": {name: str(kind) for name, kind in self.kinds.items()},
            "grids": {name: [grid.center, grid.unit] for name, grid in self.grids.items()},
            "centers": self.centers,
        }

    @classmethod
    def restore(cls, state: Mapping[str, Any]) -> Reference:
        return cls(
            Summary.from_bytes(state["summary"]),
            {name: Kind(kind) for name, kind in state["kinds"].items()},
            {name: Grid(*grid) for name, grid in state["grids"].items()},
            state["centers"],
        )


def _centers(names: Iterable[str], declared: Mapping[str, Signal]) -> dict[str, float]:
    fields = {name: declared[name] for name in names if name in declared}
    return {name: one.center for name, one in sorted(fields.items()) if one.center is not None}


class Movements(NamedTuple):
    """How signals move by themselves, and their season, learned from slices of so long: what watches of the
    references knew at the end of the history, by subject."""

    slice_ms: int
    watches: dict[SubjectKind, dict[str, Any]]


@dataclass(frozen=True, slots=True)
class ReferenceFile:
    """The references of one model's features and outputs, as ``stream-monitor profile`` writes them.

    Where the file had labels: ``pairs``, of the error signals, and ``quality``, measures by output. Where its
    season was asked for: ``movements``.
    """

    subjects: dict[SubjectKind, Reference]
    pairs: Reference | None = None
    quality: dict[str, Measures] = field(default_factory=dict)
    movements: Movements | None = None

    @property
    def shape(self) -> ReferenceShape:
        """What observe needs of it: grids, the category values to keep, and a hash of both."""
        grids = {(name, key): grid for name, ref in self.subjects.items() for key, grid in ref.grids.items()}
        values = {
            (name, key): frozenset(ref.summary.values.get(key, {}))
            for name, ref in self.subjects.items()
            for key, kind in ref.kinds.items()
            if kind is Kind.CATEGORY
        }
        said = repr((sorted(grids.items()), sorted((key, sorted(kept)) for key, kept in values.items())))
        return ReferenceShape(grids, values, blake2b(said.encode(), digest_size=8).hexdigest())

    def write(self, path: Path) -> None:
        state: dict[str, Any] = {name: reference.snapshot() for name, reference in self.subjects.items()}
        state["pairs"] = None if self.pairs is None else self.pairs.snapshot()
        state["quality"] = Cohorts.holding(self.quality).to_bytes()
        if self.movements is not None:
            state["movements"] = [MOVEMENTS_VERSION, *self.movements]
        path.write_bytes(pack(FILE_KIND, FILE_VERSION, state))

    @classmethod
    def read(cls, path: Path) -> ReferenceFile:
        """ReferenceFileError where the file is missing or damaged."""
        try:
            state = unpack(FILE_KIND, FILE_VERSION, path.read_bytes())
            subjects = {name: Reference.restore(state[name]) for name in SUBJECTS}
            pairs, quality = state.get("pairs"), state.get("quality")
            return cls(
                subjects,
                None if pairs is None else Reference.restore(pairs),
                {} if quality is None else dict(Cohorts.from_bytes(quality).total().measures),
                _movements(state.get("movements")),
            )
        except (OSError, FormatError, KeyError, TypeError, ValueError) as error:
            message = f"{path}: expected a reference written by `stream-monitor profile`, got {error}"
            raise ReferenceFileError(message) from error


def _movements(state: list[Any] | None) -> Movements | None:
    if state is None:
        return None
    version, slice_ms, watches = state
    if version != MOVEMENTS_VERSION:
        message = f"movements of version {version}, not {MOVEMENTS_VERSION}; profile the file again"
        raise FormatError(message)
    return Movements(slice_ms, watches)


class Basis(NamedTuple):
    """What is known of a model rests on this: the hash of its reference file, "" without one, and the time
    from which on what is normal is learned."""

    reference: str
    learn_from: int


class References:
    """The reference files that a configuration names, each read once. Models without one learn theirs."""

    def __init__(self, config: Config) -> None:
        self._config = config
        self._files: dict[Path, tuple[ReferenceFile, ReferenceShape, str]] = {}
        for path in _paths(config):
            file = ReferenceFile.read(path)
            self._files[path] = (file, file.shape, blake2b(path.read_bytes(), digest_size=8).hexdigest())
        for name in config.models:
            self._check(name)

    def _check(self, name: str) -> None:
        model, file = self._config.model(name), self.of(name)
        if file is None:
            return
        if file.movements is not None and file.movements.slice_ms != model.slice_ms:
            message = (
                f"models.{name}.slice: expected slices of {file.movements.slice_ms} ms, whose movement "
                f"{model.reference} holds, got {model.slice_ms} ms; profile the file again with this one"
            )
            raise ReferenceFileError(message)
        for subject, reference in file.subjects.items():
            declared = getattr(model, subject)
            if not reference.fits(declared):
                wanted = _centers(reference.kinds, declared)
                message = (
                    f"models.{name}.{subject}: expected each `center` as in {model.reference}, "
                    f"{reference.centers}, got {wanted}; profile the file again with this configuration"
                )
                raise ReferenceFileError(message)

    def of(self, model: str) -> ReferenceFile | None:
        path = self._config.model(model).reference
        return None if path is None else self._files[path][0]

    def shape(self, model: str) -> ReferenceShape | None:
        path = self._config.model(model).reference
        return None if path is None else self._files[path][1]

    def basis(self, model: str) -> Basis:
        """As it is configured."""
        config = self._config.model(model)
        return Basis("" if config.reference is None else self._files[config.reference][2], config.learn_from)


def _paths(config: Config) -> Iterable[Path]:
    return sorted({model.reference for model in config.models.values() if model.reference is not None})
