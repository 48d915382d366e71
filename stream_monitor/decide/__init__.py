"""Decide: deltas to slices to checks to alerts. Pure: no Kafka, no wall clock."""

from __future__ import annotations

from stream_monitor.decide.decider import KIND, VERSION, Decider

__all__ = ["KIND", "VERSION", "Decider"]
