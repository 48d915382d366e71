"""Check a configuration file: print what it comes to, or everything that is wrong with it."""

from __future__ import annotations

import sys
from argparse import ArgumentParser, Namespace
from collections.abc import Iterator

from stream_monitor.codecs import codec_of
from stream_monitor.config import Config, Detector, Labels, ModelConfig, Signal, load_config
from stream_monitor.config.schema import schema_text
from stream_monitor.config.values import duration_text
from stream_monitor.reference import References
from stream_monitor.runtime.kafka import check_properties

SECRET_WORDS = ("password", "secret", "sasl.jaas", "key.pem")


def add_arguments(parser: ArgumentParser) -> None:
    what = parser.add_mutually_exclusive_group(required=True)
    what.add_argument("config", nargs="?", metavar="CONFIG", help="the YAML file")
    what.add_argument("--schema", action="store_true", help="print the JSON Schema for editors instead")


def main(args: Namespace) -> int:
    if args.schema:
        sys.stdout.write(schema_text())
        return 0
    config = load_config(args.config)
    if config.kafka:
        check_properties(config)
    References(config)
    codec_of(config)
    sys.stdout.write("\n".join(digest(config)) + "\n")
    for warning in warnings(config):
        sys.stdout.write(f"warning: {warning}\n")
    return 0


def digest(config: Config) -> Iterator[str]:
    """The configuration with its defaults, a line for each subject; of ``kafka`` the names only."""
    predictions, fields = config.predictions, config.predictions.fields.model_dump()
    yield f"pipeline     {config.pipeline or '(no name)'}"
    yield f"kafka        {', '.join(sorted(config.kafka)) or '(nothing)'}"
    yield f"predictions  {', '.join(predictions.topics)}, from the {predictions.start}, {predictions.format}"
    yield f"  fields     {', '.join(f'{name}: {place}' for name, place in fields.items() if place)}"
    yield (
        f"  time       late after {duration_text(predictions.lateness_ms)}, "
        f"ahead of the Kafka timestamp by at most {duration_text(predictions.max_clock_skew_ms)}, "
        f"idle after {duration_text(predictions.idle_after_ms)}"
    )
    if config.labels is not None:
        yield from _of_labels(config.labels)
    for name, topic in (
        ("summaries", config.summaries),
        ("alerts", config.alerts),
        ("rejects", config.rejects),
    ):
        kept = (
            "kept as the broker says"
            if topic.retention_ms is None
            else f"kept {duration_text(topic.retention_ms)}"
        )
        yield f"{name:<12} {config.topic(name)}, partitions: {topic.partitions}, {kept}"
    yield f"state        {config.topic('state')}, partitions: {config.summaries.partitions}, compacted"
    yield "models"
    for name in sorted(config.models):
        yield from _of_model(name, config.model(name))
    if "*" not in config.models:
        accepted = predictions.unknown_models == "accept"
        yield from _of_model("(any other)", ModelConfig()) if accepted else ["  (any other)  rejected"]


def _of_labels(labels: Labels) -> Iterator[str]:
    fields = labels.fields.model_dump().items()
    yield f"labels       {', '.join(labels.topics)}, the {labels.policy} one counts"
    yield f"  fields     {', '.join(f'{name}: {place}' for name, place in fields if place)}"
    yield (
        f"  time       within {duration_text(labels.horizon_ms)}, "
        f"in slices of {duration_text(labels.slice_ms)}, cohorts of {duration_text(labels.cohort_ms)}"
    )
    sent = {"none": "", "labels": ", labels repartitioned", "both": ", both repartitioned"}
    yield f"  store      {labels.store}{sent[labels.repartition]}"


def _of_model(name: str, model: ModelConfig) -> Iterator[str]:
    learned = duration_text(model.learn.ms) if model.learn.ms is not None else f"{model.learn.events} events"
    reference = f"learned from {learned}" if model.reference is None else f"from {model.reference.name}"
    yield f"  {name}"
    yield f"    slice {duration_text(model.slice_ms)}, reference {reference}, severity {model.severity}"
    yield f"    detectors  {', '.join(map(_detector, model.detectors)) or '(none)'}"
    budget = f"{model.budget.false_alarms:g} by chance in {duration_text(model.budget.per_ms)}"
    yield f"    budget     {budget}"
    effects = model.min_effect.model_dump().items()
    yield f"    min_effect {', '.join(f'{effect} {least:g}' for effect, least in effects)}"
    if model.labels:
        yield f"    labels     {', '.join(f'{key}={value}' for key, value in model.labels.items())}"
    for output, one in sorted(model.quality.items()):
        yield f"    quality    {output}: {one.task}, margin {one.margin:g}"
    if model.segments:
        yield f"    segments   {', '.join(model.segments)}, at most {model.segments_max} values each"
    for kind, signals in (("feature", model.features), ("output", model.outputs)):
        for key, signal in signals.items():
            yield f"    {kind:<10} {key}: {_signal(signal)}"


def _detector(detector: Detector) -> str:
    params = ", ".join(f"{name}={value}" for name, value in detector.params.items())
    return (detector.river or detector.name) + (f"({params})" if params else "")


def _signal(signal: Signal) -> str:
    said: list[str] = [signal.type or "type told from the data"]
    if signal.range is not None:
        said.append(f"[{signal.range[0]:g}, {signal.range[1]:g}]")
    if signal.values is not None:
        said.append(f"{len(signal.values)} known values")
    if signal.center is not None:
        said.append(f"center {signal.center:g}")
    return ", ".join(said if signal.watch else [*said, "not watched"])


def warnings(config: Config) -> Iterator[str]:
    """What may be meant otherwise, though nothing is wrong with it."""
    if not config.names_brokers:
        yield "kafka.bootstrap.servers: not set, so this serves for replay and the library only"
    for name, value in sorted(config.kafka.items()):
        if isinstance(value, str) and any(word in name for word in SECRET_WORDS):
            yield f"kafka.{name}: in the file itself; {{env: NAME}} or {{file: PATH}} would keep it out"
    if config.labels is not None and not any(model.quality for model in config.models.values()):
        yield "labels: nothing is joined, since no entry of models has `quality`"
    if config.predictions.unknown_models == "reject" and "*" in config.models:
        yield 'predictions.unknown_models: rejects nothing, since the entry "*" names every model'
    for name in sorted(config.models):
        if not config.model(name).detectors:
            yield f"models.{name}.detectors: none, so nothing watches these models"
