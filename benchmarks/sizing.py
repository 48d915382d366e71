"""What a load takes: a formula of few terms, each a number of something times what one of it costs.

docs/capacity.md says it in words; ``capacity`` fits the coefficients, and measures how far it is off.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

BATCH_EVENTS = 1_000
"""What a worker reads at once."""
UTILIZATION = 0.6
"""How busy a core is planned to be: the rest is for catching up, and for a worker that is away."""
PARTITION_MB_S = 5
"""Of input to a partition, at the most: so that it can be read again some times as fast as it grows."""
DAY_S = 86_400

Terms = dict[str, float]
Coefficients = Mapping[str, float]
"""By "KIND_TERM", in microseconds, bytes or bytes a slot."""


@dataclass(frozen=True, slots=True)
class Load:
    """``signals`` of each model (features and outputs), ``fields`` of segments with ``segments`` values each.

    ``pieces``: into how many deltas a second of one subject falls; slices and commits of a second that are
    not aligned make two. ``polls``: batches that a worker reads in a second at the least. ``shares``: the
    partitions of the summaries topic. ``labeled``: the share of events that get a label, ``delay_s`` later at
    the most.
    """

    rate: float
    signals: int = 22
    models: int = 1
    fields: int = 0
    segments: int = 0
    slice_s: float = 1.0
    pieces: float = 2.0
    polls: float = 10.0
    workers: int = 1
    partitions: int = 8
    shares: int = 1
    event_bytes: int = 550
    labeled: float = 0.0
    delay_s: float = 0.0

    @property
    def subjects(self) -> float:
        """What is watched together: features and outputs of each model, and of each of its segments."""
        return 2 * self.models * (1 + self.fields * self.segments)

    @property
    def slots(self) -> float:
        """Signals that are watched, those of segments among them."""
        return self.signals * self.subjects / 2


def cost(kind: str, terms: Terms, coefficients: Coefficients) -> float:
    """In the unit of the coefficients of this kind."""
    return sum(coefficients[f"{kind}_{name}"] * number for name, number in terms.items())


def delta_cells(load: Load) -> list[tuple[float, float]]:
    """Signals of deltas a second, with the rows of each: those of all events, and those of segments."""
    rows = load.rate / load.models / load.workers / load.pieces
    signals = load.workers * load.models * load.signals * load.pieces
    cells = [(signals * _filled(rows), rows)]
    if load.fields:
        rows /= load.segments
        cells.append((signals * load.fields * load.segments * _filled(rows), rows))
    return cells


def _filled(rows: float) -> float:
    """How likely there is a row where so many are to be expected."""
    return -math.expm1(-rows)


def delta_terms(load: Load) -> Terms:
    """Of the bytes to the summaries topic in a second, before compression. Those of a signal grow with the
    bins of its histogram that any of its rows fall into. ``report``: a source partition in a progress record.
    """
    return {
        "signal_log2": sum(number * math.log2(1 + rows) for number, rows in delta_cells(load)),
        "report": load.partitions * load.shares,
    }


def observe_terms(load: Load) -> Terms:
    """Of the CPU of all observe workers together. ``again``: a signal of an event for each field of segments;
    ``group``: a model that a batch holds; a worker that has little to do reads small batches."""
    batches = max(load.rate / BATCH_EVENTS, load.workers * load.polls)
    present = load.models * _filled(load.rate / batches / load.models)
    return {
        "value": load.rate * load.signals,
        "again": load.rate * load.signals * load.fields,
        "group": batches * present,
        "delta_signal": sum(number for number, _ in delta_cells(load)),
        "batch": batches,
    }


def decide_terms(load: Load, delta_bytes: float) -> Terms:
    """Of the CPU of all decide workers together. ``report``: a source partition in the ledger when a flush
    comes, for each asks all of them how far the watermark is."""
    return {
        "delta_kb": delta_bytes / 1e3,
        "subject": load.subjects / load.slice_s,
        "slot": load.slots / load.slice_s,
        "report": load.workers * load.partitions * load.shares,
    }


def memory_terms(load: Load, slices: float) -> Terms:
    """Of what decide holds: windows grow with the logarithm of the slices seen. ``source``: in a ledger."""
    return {
        "slot": load.slots,
        "slot_log2": load.slots * math.log2(slices),
        "source": load.partitions * load.shares,
    }


def fitted(kind: str, terms: Sequence[Terms], measured: Sequence[float]) -> dict[str, float]:
    """The coefficients with the least squares of relative errors, none of them below 0."""
    names = list(terms[0])
    while True:
        rows = np.array([[one[name] for name in names] for one in terms], np.float64)
        scaled = rows / np.array(measured, np.float64)[:, None]
        unit = np.abs(scaled).max(axis=0)
        found, *_ = np.linalg.lstsq(scaled / unit, np.ones(len(measured)), rcond=None)
        if (found >= 0).all():
            known = dict(zip(names, (found / unit).tolist(), strict=True))
            return {f"{kind}_{name}": known.get(name, 0.0) for name in terms[0]}
        names.pop(int(found.argmin()))


@dataclass(frozen=True, slots=True)
class Need:
    """Cores are those kept busy; workers are planned at UTILIZATION. Memory and store are of all workers.

    ``ledger_cores`` is what each share of decide spends on progress records alone: it grows with workers
    times partitions, and more shares do not help. Above UTILIZATION one pipeline cannot take the load.
    """

    observe_cores: float
    observe_workers: int
    partitions: int
    decide_cores: float
    shares: int
    ledger_cores: float
    join_cores: float
    summaries_mb_s: float
    input_mb_s: float
    decide_gib: float
    store_gib: float


def need(load: Load, coefficients: Coefficients, slices: float = DAY_S) -> Need:
    """What the load takes. Its ``workers``, ``partitions`` (at least) and ``shares`` are found here.
    ``slices``: how many were seen."""
    input_mb_s = load.rate * load.event_bytes / 1e6
    for _ in range(100):
        delta_bytes = cost("delta", delta_terms(load), coefficients)
        observe = cost("observe", observe_terms(load), coefficients) / 1e6
        observe += load.rate * coefficients["transport_us"] / 1e6
        decide = cost("decide", decide_terms(load, delta_bytes), coefficients) / 1e6
        ledger = load.workers * load.partitions * coefficients["decide_report"] / 1e6
        left, room = decide - ledger * load.shares, UTILIZATION - ledger
        workers = max(1, math.ceil(observe / UTILIZATION))
        partitions = max(load.partitions, 2 * workers, math.ceil(input_mb_s / PARTITION_MB_S))
        shares = min(load.models, math.ceil(left / room)) if room > 0 else load.models
        if (workers, partitions, shares) == (load.workers, load.partitions, load.shares):
            break
        load = replace(load, workers=workers, partitions=partitions, shares=shares)
    rows = load.rate * (1 + load.labeled) if load.labeled else 0.0
    return Need(
        observe,
        load.workers,
        load.partitions,
        decide,
        load.shares,
        ledger,
        rows * (coefficients["join_row_us"] + coefficients["consume_us"]) / 1e6,
        delta_bytes / 1e6,
        input_mb_s,
        cost("memory", memory_terms(load, slices), coefficients) / 2**30,
        load.rate * load.delay_s * coefficients["store_bytes"] / 2**30 if load.labeled else 0.0,
    )
