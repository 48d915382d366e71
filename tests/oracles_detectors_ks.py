"""A slow twin of the Kolmogorov-Smirnov test: one distribution, plain Python, every value looked at anew."""

from __future__ import annotations

from collections.abc import Sequence

from tests.oracles_detectors import Slice
from tests.oracles_detectors_scan import ScanTwin


class KsTwin:
    """Sees the values of a slice; for each edge a scan of the share of values up to it."""

    def __init__(self, edges: Sequence[float], *, run_length: float, learn: int) -> None:
        self.edges = edges
        self.scans = [ScanTwin(run_length=run_length * len(edges), learn=learn) for _ in edges]

    def update(self, values: Sequence[float]) -> list[tuple[int, int, int, float]]:
        """Of each edge that changed its number, the first slice of the window, its events and their share."""
        found = []
        for number, (edge, scan) in enumerate(zip(self.edges, self.scans, strict=True)):
            hits = [float(value <= edge) for value in values]
            mean = sum(hits) / len(hits) if hits else 0.0
            told = scan.update(Slice(len(hits), mean, sum((hit - mean) ** 2 for hit in hits)))
            if told is not None:
                found.append((number, *told))
        return found
