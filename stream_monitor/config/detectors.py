"""How a detector is named in the configuration, and which parameters it takes."""

from __future__ import annotations

import difflib
import importlib
import inspect
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import (
    AfterValidator,
    Field,
    PlainSerializer,
    ValidationInfo,
    field_validator,
    model_validator,
)

from stream_monitor.config.section import Section, complain, refuse
from stream_monitor.config.values import Scalar

DetectorName = Literal["adwin", "page_hinkley", "scan", "cusum", "ewma", "eprocess", "ks", "river"]
OURS: tuple[DetectorName, ...] = ("adwin", "page_hinkley", "scan", "cusum", "ewma", "eprocess", "ks")
RIVER_MODULES = ("drift", "drift.binary")


@dataclass(frozen=True)
class Detector:
    """A detector to run. ``params`` holds what was set; for the rest the detector's defaults apply."""

    name: DetectorName
    river: str | None = None
    params: dict[str, Any] = field(default_factory=dict)

    def entry(self) -> dict[str, Any]:
        """As the configuration writes it."""
        return {"river": self.river, "params": self.params} if self.river else {self.name: self.params}


class Adwin(Section):
    """Parameters of ADWIN (Bifet and Gavalda 2007)."""

    delta: float | None = Field(
        default=None, gt=0, lt=1, description="Confidence: smaller raises fewer alarms."
    )


class PageHinkley(Section):
    """Parameters of the Page-Hinkley test."""

    delta: float | None = Field(default=None, ge=0, description="The change per event that is tolerated.")
    threshold: float | None = Field(default=None, gt=0, description="Larger raises fewer alarms, later.")
    min_instances: int | None = Field(default=None, ge=1, description="Events before the first detection.")


class Scan(Section):
    """Parameters of the scan, which learns the noise of every score, and its season."""

    run_length: float | None = Field(
        default=None,
        ge=1,
        description="Slices between false changes of a subject's scores together, in the place of `budget`.",
    )


class Cusum(Scan):
    """Parameters of the CUSUM chart (Page 1954)."""

    shift: float | None = Field(
        default=None, gt=0, description="To be found fastest, in long-run standard deviations of a slice."
    )


class Ewma(Scan):
    """Parameters of the EWMA chart (Roberts 1959)."""

    window: float | None = Field(default=None, ge=1, description="Slices whose mean has the same variance.")


class EProcess(Scan):
    """Parameters of the e-process (Shin, Ramdas and Rinaldo 2024)."""


class Ks(Scan):
    """Parameters of the Kolmogorov-Smirnov test, which watches the distribution of every number."""


class Entry(Section):
    """One item of ``detectors`` in its long form; a name alone stands for a detector with its defaults."""

    adwin: Adwin | None = None
    page_hinkley: PageHinkley | None = None
    scan: Scan | None = None
    cusum: Cusum | None = None
    ewma: Ewma | None = None
    eprocess: EProcess | None = None
    ks: Ks | None = None
    river: str | None = Field(default=None, description="A drift detector of river, for example drift.KSWIN.")
    params: dict[str, Scalar] = Field(default_factory=dict, description="Its parameters.")

    @model_validator(mode="before")
    @classmethod
    def _from_name(cls, entry: Any) -> Any:
        if entry in OURS:
            return {entry: {}}
        if not isinstance(entry, dict):
            what = f"{', '.join(OURS)}, {{adwin: {{delta: ...}}}} or {{river: drift.NAME, params: {{...}}}}"
            refuse(what, entry)
        return {key: {} if value is None else value for key, value in entry.items()}

    @field_validator("river")
    @classmethod
    def _known_to_river(cls, name: str) -> str:
        river_detector(name)
        return name

    @field_validator("params")
    @classmethod
    def _accepted_by_river(cls, params: dict[str, Scalar], info: ValidationInfo) -> dict[str, Scalar]:
        name = info.data.get("river")
        if name is None:
            return params
        detector = river_detector(name)
        accepted = [parameter for parameter in inspect.signature(detector).parameters if parameter != "self"]
        for parameter in params.keys() - set(accepted):
            refuse(f"parameters among {', '.join(accepted)}", parameter)
        try:
            detector(**params)
        except (TypeError, ValueError) as error:
            problem = f"expected parameters that river's {name} accepts, got: {error}"
        else:
            return params
        return complain(problem)

    @model_validator(mode="after")
    def _names_one(self) -> Entry:
        names = [name for name in (*OURS, "river") if getattr(self, name) is not None]
        if len(names) != 1:
            refuse(f"one of {', '.join(OURS)} and river", names)
        if self.params and self.river is None:
            refuse("params beside river only", sorted(self.params))
        return self

    @classmethod
    def __get_pydantic_json_schema__(cls, core_schema: Any, handler: Any) -> dict[str, Any]:
        return {"anyOf": [{"enum": list(OURS)}, handler(core_schema)]}

    def detector(self) -> Detector:
        if self.river is not None:
            return Detector("river", self.river, self.params)
        [name] = [name for name in OURS if getattr(self, name) is not None]
        params: Section = getattr(self, name)
        return Detector(name, params=params.model_dump(exclude_none=True))


if TYPE_CHECKING:
    DetectorItem = Detector
else:
    DetectorItem = Annotated[
        Entry, AfterValidator(Entry.detector), PlainSerializer(Detector.entry, when_used="always")
    ]


def river_detector(name: str) -> type[Any]:
    """The class of a detector by its name within river. Imports river, which takes a second."""
    known = {
        f"{path}.{key}": value
        for path in RIVER_MODULES
        for key, value in vars(importlib.import_module(f"river.{path}")).items()
        if inspect.isclass(value) and hasattr(value, "drift_detected")
    }
    if name not in known:
        near = difflib.get_close_matches(name, known, n=1)
        hint = f" (did you mean {near[0]}?)" if near else ""
        refuse(f"one of river's {', '.join(sorted(known))}{hint}", name)
    return known[name]
