"""To which partition a producer sends a key: the two defaults of the field, librdkafka's and Java's."""

from __future__ import annotations

import zlib
from collections.abc import Callable

_MASK = 0xFFFFFFFF
_MULTIPLIER = 0x5BD1E995
_SEED = 0x9747B28C


def murmur2(key: bytes) -> int:
    """Give the 32-bit hash by which Kafka's Java client places keys, as an unsigned number.

    Appleby's MurmurHash2 with Kafka's seed (org.apache.kafka.common.utils.Utils.murmur2).

    >>> murmur2(b"foobar") - 2**32
    -790332482
    """
    h = _SEED ^ len(key)
    whole = len(key) & ~3
    for at in range(0, whole, 4):
        k = int.from_bytes(key[at : at + 4], "little") * _MULTIPLIER & _MASK
        k = (k ^ k >> 24) * _MULTIPLIER & _MASK
        h = h * _MULTIPLIER & _MASK ^ k
    if rest := key[whole:]:
        h = (h ^ int.from_bytes(rest, "little")) * _MULTIPLIER & _MASK
    h = (h ^ h >> 13) * _MULTIPLIER & _MASK
    return h ^ h >> 15


def consistent_random(key: bytes | None, row: int, partitions: int) -> int:
    """Place a key as librdkafka does by default: CRC32; rows in turn where it would be random."""
    return zlib.crc32(key) % partitions if key else row % partitions


def murmur2_random(key: bytes | None, row: int, partitions: int) -> int:
    """Place a key as the Java client does by default; rows in turn where it would be random."""
    return row % partitions if key is None else (murmur2(key) & 0x7FFFFFFF) % partitions


BY_NAME: dict[str, Callable[[bytes | None, int, int], int]] = {
    "consistent_random": consistent_random,
    "murmur2_random": murmur2_random,
}
"""By the names that librdkafka's ``partitioner`` property has for them."""
