"""What gives the quality of a model its form: only measures of one form are ever added."""

from __future__ import annotations

import hashlib
import json
from typing import TYPE_CHECKING, Any

from stream_monitor.summary import shape

if TYPE_CHECKING:
    from stream_monitor.config import Labels, ModelConfig

FORM = 1
"""The version of bins, sums and rules: raised when equal pairs would give other measures."""


def shape_hash(model: ModelConfig, labels: Labels) -> str:
    """Of the settings by which pairs are made and measured; the margin only judges them, and is not one."""
    content: list[Any] = [
        [FORM, shape.FORM],
        [labels.horizon_ms, labels.policy, labels.slice_ms, labels.cohort_ms],
        [list(model.segments), model.segments_max],
    ]
    for name, one in sorted(model.quality.items()):
        limit = None if one.error_max is None else float(one.error_max)
        binary = [one.positive, float(one.threshold)]
        content.append([name, one.task, one.prediction or name, one.score, *binary])
        content.append([one.classes, one.label or name, limit])
    canonical = json.dumps(content, separators=(",", ":"))
    return hashlib.blake2b(canonical.encode(), digest_size=8).hexdigest()
