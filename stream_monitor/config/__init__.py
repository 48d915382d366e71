"""The typed configuration: one YAML file, validated as a whole before anything starts."""

from __future__ import annotations

from stream_monitor.config.config import (
    Config,
    Fields,
    Http,
    LabelFields,
    Labels,
    Predictions,
    StateTopic,
    SummariesTopic,
    Topic,
)
from stream_monitor.config.detectors import Detector
from stream_monitor.config.loading import load_config, parse_config
from stream_monitor.config.model import Budget, Learn, MinEffect, ModelConfig, Signal
from stream_monitor.config.quality import Quality

__all__ = [
    "Budget",
    "Config",
    "Detector",
    "Fields",
    "Http",
    "LabelFields",
    "Labels",
    "Learn",
    "MinEffect",
    "ModelConfig",
    "Predictions",
    "Quality",
    "Signal",
    "StateTopic",
    "SummariesTopic",
    "Topic",
    "load_config",
    "parse_config",
]
