"""Counts of text values: some by name, all in 1,024 fixed buckets of their hash.

By name are kept the values of the reference (always) and, of the others, the NAMED_MAX with the smallest
hashes. Both rules ignore order, so counts by name are exact and merge exactly: a value that is among the
smallest hashes of a union is among the smallest of every part. (Bottom-k sampling, Cohen and Kaplan 2007.)
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from typing import TypeVar

K = TypeVar("K")
V = TypeVar("V")

NAMED_MAX = 1_024
BUCKETS = 1_024
"""A text is counted in the bucket text_hash % BUCKETS."""
TEXT_MAX = 128
"""Characters of a text that is kept; longer ones end in "#" and their hash."""

_HASH_BYTES = 8
_UNTRIMMED_MAX = 8 * NAMED_MAX


def bounded(text: str, length_max: int = TEXT_MAX) -> str:
    """The text as it is kept: ``length_max`` characters at most; lone surrogates are escaped."""
    if len(text) <= length_max and text.isascii():
        return text
    raw = text.encode("utf-8", "backslashreplace")
    kept = raw.decode()
    if len(kept) <= length_max:
        return kept
    digest = hashlib.blake2b(raw, digest_size=_HASH_BYTES).hexdigest()
    return f"{kept[: length_max - len(digest) - 1]}#{digest}"


@lru_cache(maxsize=1 << 16)
def text_hash(text: str) -> int:
    """64 bits of BLAKE2b, the same everywhere, of a bounded text (the cache holds up to 32 MB of them)."""
    return int.from_bytes(hashlib.blake2b(text.encode(), digest_size=_HASH_BYTES).digest(), "big")


def number_text(number: float) -> str:
    """The text that a number counts as in a category: 3.0 is "3", as 3 is."""
    return str(int(number)) if number.is_integer() else repr(number)


@dataclass(slots=True)
class Named:
    """Counts by name of one signal: ``kept`` values of the reference, and others, by smallest hash.

    While it is filled it may hold up to _UNTRIMMED_MAX others.
    """

    kept: dict[str, int] = field(default_factory=dict)
    _others: dict[str, int] = field(default_factory=dict)

    @classmethod
    def of(cls, counts: Mapping[str, int], reference: frozenset[str]) -> Named:
        """Of counts by bounded text."""
        kept = {text: counts[text] for text in reference.intersection(counts)} if reference else {}
        others = {text: n for text, n in counts.items() if text not in kept} if kept else dict(counts)
        named = cls(kept, others)
        named._trim(_UNTRIMMED_MAX)
        return named

    @property
    def others(self) -> dict[str, int]:
        """The NAMED_MAX with the smallest hashes, equal hashes by text."""
        self._trim(NAMED_MAX)
        return self._others

    @property
    def counts(self) -> dict[str, int]:
        """Of all that are kept by name."""
        return self.kept | self.others

    def merge(self, other: Named) -> None:
        add_counts(self.kept, other.kept.items())
        add_counts(self._others, other._others.items())
        self._trim(_UNTRIMMED_MAX)

    def copy(self) -> Named:
        return Named(self.kept.copy(), self._others.copy())

    @property
    def memory_bytes(self) -> int:
        """About so many are held: those of two dictionaries, and of their entries."""
        return 300 + 100 * (len(self.kept) + len(self._others))

    def halves(self) -> tuple[Named, Named]:
        """Two that merge to this one."""
        (kept, more_kept), (others, more_others) = halves_of(self.kept), halves_of(self.others)
        return Named(kept, others), Named(more_kept, more_others)

    def _trim(self, most: int) -> None:
        if len(self._others) > most:
            ranked = sorted(zip(map(text_hash, self._others), self._others, strict=True))
            self._others = {text: self._others[text] for _, text in ranked[:NAMED_MAX]}


def add_counts(counts: dict[str, int], more: Iterable[tuple[str, int]]) -> None:
    """Add pairs of text and count to ``counts``."""
    for text, count in more:
        counts[text] = counts.get(text, 0) + count


def halves_of(mapping: dict[K, V]) -> tuple[dict[K, V], dict[K, V]]:
    """Two mappings with half of the entries each; the second is never the longer."""
    items = list(mapping.items())
    middle = (len(items) + 1) // 2
    return dict(items[:middle]), dict(items[middle:])
