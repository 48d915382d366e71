"""How labels are compared with what a model said, output by output."""

from __future__ import annotations

from typing import Annotated, Any, Literal, Self

from pydantic import Field, ValidationInfo, field_validator

from stream_monitor.config.section import Section, refuse
from stream_monitor.config.values import ClassName

CLASSES_MAX = 64

OutputName = Annotated[str, Field(min_length=1)]


class Quality(Section):
    """How one output is compared with its label.

    ``prediction`` names the output that holds the predicted value or class (default: the key of this
    section), ``score`` the one that holds the probability of ``positive`` (binary), or whose elements
    ``SCORE.CLASS`` hold that of each class.
    """

    task: Literal["regression", "binary", "multiclass"]
    prediction: OutputName | None = Field(
        default=None, description="The output that is compared. Default: the key."
    )
    score: OutputName | None = Field(default=None, description="The output with the probability of a class.")
    positive: ClassName = Field(default="1", description="The positive class of a binary task.")
    threshold: float = Field(
        default=0.5, ge=0, le=1, description="Of the score, where there is no predicted class."
    )
    classes: list[ClassName] | None = Field(
        default=None, min_length=2, max_length=CLASSES_MAX, description="Default: those that are seen."
    )
    label: OutputName | None = Field(
        default=None, description="Its member of labels that are objects. Default: the key."
    )
    error_max: float | None = Field(
        default=None, gt=0, allow_inf_nan=False, description="Errors above it are counted."
    )
    margin: float = Field(
        default=0.1,
        ge=0,
        allow_inf_nan=False,
        description="How much worse than the reference, as a share of it, is an alert.",
    )

    @field_validator("score", "classes")
    @classmethod
    def _of_classes(cls, value: Any, info: ValidationInfo) -> Any:
        return _only_for(("binary", "multiclass"), value, info)

    @field_validator("positive", "threshold")
    @classmethod
    def _of_two_classes(cls, value: Any, info: ValidationInfo) -> Any:
        return _only_for(("binary",), value, info)

    @field_validator("error_max")
    @classmethod
    def _of_a_number(cls, value: Any, info: ValidationInfo) -> Any:
        return _only_for(("regression",), value, info)

    @field_validator("score")
    @classmethod
    def _beside_the_class(cls, score: str | None, info: ValidationInfo) -> str | None:
        if score is not None and score == info.data.get("prediction"):
            refuse("another output than prediction, which holds the class", score)
        return score

    @field_validator("classes")
    @classmethod
    def _told_apart(cls, classes: list[str] | None, info: ValidationInfo) -> list[str] | None:
        if classes is None:
            return None
        if len(set(classes)) < len(classes):
            refuse("distinct classes", classes)
        positive = info.data.get("positive", classes[0])
        if info.data.get("task") == "binary" and (len(classes) > 2 or positive not in classes):
            refuse(f"two classes, {positive} and another, since the task is binary", classes)
        return classes

    def adds_to(self, general: Self) -> bool:
        """What is said of one task says nothing of another."""
        return general.task == self.task


def _only_for(tasks: tuple[str, ...], value: Any, info: ValidationInfo) -> Any:
    task = info.data.get("task")
    if value is not None and task is not None and task not in tasks:
        refuse(f"nothing here, since the task is {task}", value)
    return value
