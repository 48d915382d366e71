"""A finding as on-call people and tools read it: one sentence, and the numbers behind it.

The wire form is JSON (``schemas/alert.v1alpha.json``) with CloudEvents 1.0 attributes as Kafka headers.
Ids and times come from the data, and floats are rounded to nine digits: the same events give the same
bytes on every machine.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from hashlib import blake2b
from typing import Any

import orjson

from stream_monitor.alerting.sentence import sentence
from stream_monitor.events import Finding, Level, Shape, Source, Stream
from stream_monitor.summary.segments import MISSING, field_and_value

SCHEMA = "v1alpha"
TYPE = f"stream_monitor.alert.{SCHEMA}"
DIGITS = 9
_ROLES = ("live", "shadow")


@dataclass(frozen=True, slots=True)
class Alert:
    """What is published. ``offsets`` are the input records of the slice that showed the change."""

    stream: Stream
    subject: str
    finding: Finding
    severity: str
    pipeline: str = ""
    labels: Mapping[str, str] = field(default_factory=dict)
    offsets: Mapping[Source, tuple[int, int]] = field(default_factory=dict)
    suspect: bool = False

    @property
    def model(self) -> str:
        return self.stream.model

    @property
    def check(self) -> str:
        return self.finding.check

    @property
    def time(self) -> int:
        """Event time, in ms: the end of the slice that showed it."""
        return self.finding.found

    @property
    def id(self) -> str:
        """A hash of (pipeline, stream, signal, check, change slice): the same change has the same id."""
        *stream, segment = self.stream
        said = [
            self.pipeline,
            *stream,
            self.subject,
            self.finding.signal,
            self.check,
            self.finding.since,
            *filter(None, [segment]),
        ]
        return blake2b(orjson.dumps(said), digest_size=16).hexdigest()

    @property
    def since(self) -> datetime:
        return _moment(self.finding.since)

    @property
    def summary(self) -> str:
        return sentence(self.stream, self.subject, self.finding)

    def key(self) -> bytes:
        return self.id.encode()

    def to_dict(self) -> dict[str, Any]:
        """The alert in the form of the schema, floats rounded."""
        finding = self.finding
        body = {
            "schema": SCHEMA,
            "id": self.id,
            "time": _rfc3339(finding.found),
            "summary": self.summary,
            "status": "retracted" if finding.retracted else "firing",
            "severity": self.severity,
            "pipeline": self.pipeline,
            "model": self.stream.model,
            "version": self.stream.version or None,
            "role": self.stream.role if self.stream.role in _ROLES else None,
            "segment": _segment(self.stream.segment),
            "signal": {"kind": self.subject.removesuffix("s"), "name": finding.signal},
            "check": finding.check,
            "since": {
                "at": _rfc3339(finding.since),
                "earliest": _rfc3339(finding.earliest),
                "latest": _rfc3339(finding.latest),
            },
            "shape": None if finding.shape is None else _shape(finding.shape),
            "predicted": None if finding.predicted is None else _interval(*finding.predicted),
            "basis": None if finding.basis is None else finding.basis._asdict(),
            "before": _level(finding.before),
            "after": _level(finding.after),
            "effect": {
                "score": finding.score,
                "unit": finding.unit,
                "value": finding.effect,
                "minimum": finding.dead,
            },
            "evidence": {
                "detector": finding.detector,
                "statistic": finding.statistic,
                "threshold": finding.threshold,
                "also": [
                    {"score": one.score, "before": one.before, "after": one.after}
                    for one in finding.contributors
                ],
            },
            "offsets": [
                {"topic": source.topic, "partition": source.partition, "first": first, "last": last}
                for source, (first, last) in sorted(self.offsets.items())
            ],
            "suspect": self.suspect,
            "labels": dict(sorted(self.labels.items())),
        }
        rounded: dict[str, Any] = _rounded(body)
        return rounded

    def to_json(self) -> bytes:
        return orjson.dumps(self.to_dict())

    def headers(self) -> list[tuple[str, bytes]]:
        """CloudEvents attributes (Kafka protocol binding, binary mode)."""
        attributes = {
            "ce_specversion": "1.0",
            "ce_type": TYPE,
            "ce_source": f"/stream-monitor/{self.pipeline}",
            "ce_subject": "/".join(filter(None, [*self.stream, self.subject, self.finding.signal])),
            "ce_id": self.id,
            "ce_time": _rfc3339(self.time),
            "ce_dataschema": f"urn:stream-monitor:alert:{SCHEMA}",
            "content-type": "application/json",
        }
        return [(name, value.encode()) for name, value in attributes.items()]


def _moment(time_ms: int) -> datetime:
    return datetime.fromtimestamp(time_ms / 1000, UTC)


def _rfc3339(time_ms: int) -> str:
    return _moment(time_ms).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _interval(earliest: int, latest: int) -> dict[str, str]:
    return {"earliest": _rfc3339(earliest), "latest": _rfc3339(latest)}


def _shape(shape: Shape) -> dict[str, str | None]:
    until, ended = (None if at is None else _rfc3339(at) for at in (shape.until, shape.ended))
    return {"kind": shape.kind, "until": until, "ended": ended}


def _segment(name: str) -> dict[str, str | None] | None:
    if not name:
        return None
    field, value = field_and_value(name)
    return {"field": field, "value": None if value == MISSING else value}


def _level(level: Level) -> dict[str, Any]:
    return {"events": level.n, "score": level.score, "mean": level.mean, "sd": level.sd}


def _rounded(value: Any) -> Any:
    """Floats at nine significant digits: the last bits of a vector unit do not show. No NaN leaves."""
    if isinstance(value, float):
        return float(f"{value:.{DIGITS}g}") if math.isfinite(value) else None
    if isinstance(value, dict):
        return {key: _rounded(one) for key, one in value.items()}
    if isinstance(value, list):
        return [_rounded(one) for one in value]
    return value
