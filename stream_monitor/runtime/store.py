"""The stores of a join on disk: RocksDB, one directory a partition number, one column family a bucket.

    STORE/PIPELINE-or-default/PARTITION/

The write-ahead log is not synced: a process that is killed loses nothing, a machine that loses its power the
last seconds, and never a part of a write. Such a store is behind, and the source topics hold what it lacks.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import msgspec
from rocksdict import (
    BlockBasedOptions,
    Cache,
    ChecksumType,
    ColumnFamily,
    DbClosedError,
    DBCompressionType,
    Options,
    Rdict,
    ReadOptions,
    WriteBatch,
    WriteBufferManager,
)

from stream_monitor.config import Config
from stream_monitor.errors import StreamMonitorError
from stream_monitor.events import Source
from stream_monitor.join.store import Found, Key, Position, Puts, StoreDamagedError, form_of

CACHE_BYTES = 192 * 2**20
"""Of blocks, indices and filters, of all stores of a process together."""
WRITE_BUFFER_BYTES = 128 * 2**20
"""Of what is not in files yet, of all stores of a process together; a write above it waits for files."""
BUCKET_BUFFER_BYTES = 16 * 2**20
"""Its filter and first arena are there while it is empty: 0.4 MB, of some five buckets a partition."""
WAL_BYTES_MAX = 128 * 2**20
"""Of one store; beyond it what the oldest part of the log is needed for goes to files."""
BLOCK_BYTES = 4 * 2**10
"""With 8 kB a look-up took half as long again."""
FILTER_BITS = 12
BUFFER_FILTER_SHARE = 0.02
"""Of a bucket's buffer, for a filter before it. Most look-ups find nothing: 0.3 us in place of 3."""
ARENA_BYTES = 64 * 2**10
OPEN_FILES_MAX = 512

_FORM, _POSITIONS = b"form", b"positions"
_DAMAGE = ("Corruption", "Invalid argument", "No such file or directory")

_decoder = msgspec.msgpack.Decoder(list[tuple[str, int, str, int, int | None, int | None]])


class StoreInUseError(StreamMonitorError):
    """Another process, or this one, has the store open."""


class Memory:
    """What all stores of a process share, so that their number is in no bound: CACHE_BYTES and
    WRITE_BUFFER_BYTES in all, and 1 MB a store and bucket."""

    def __init__(self, cache_bytes: int = CACHE_BYTES, write_buffer_bytes: int = WRITE_BUFFER_BYTES) -> None:
        self.cache = Cache(cache_bytes)
        self.write_buffers = WriteBufferManager(write_buffer_bytes, allow_stall=False)


class RocksStore:
    """The store in a directory, made where there is none.

    ``form`` says of what form its entries are. Raises StoreDamagedError where it has another one, lacks a
    part, or where what is read is not what was written; StoreInUseError; StreamMonitorError where the disk
    is full, or may not be written.
    """

    def __init__(self, path: Path, form: str, memory: Memory) -> None:
        self._path = path
        self._options = _options(memory)
        self._families: dict[int, tuple[Rdict, ColumnFamily]] = {}
        path.mkdir(parents=True, exist_ok=True)
        with self._translated():
            self._db = self._open()
        try:
            self._check_form(form)
        except BaseException:
            self.close()
            raise

    def _open(self) -> Rdict:
        names = []
        if any(self._path.iterdir()):
            names = Rdict.list_cf(str(self._path), self._options)
        db = Rdict(str(self._path), self._options, dict.fromkeys(names, self._options) or None)
        db.set_read_options(_verifying())
        for name in names:
            if name != "default":
                self._take(db, int(name))
        return db

    def _take(self, db: Rdict, bucket: int) -> ColumnFamily:
        family = db.get_column_family(str(bucket))
        family.set_read_options(_verifying())
        handle = db.get_column_family_handle(str(bucket))
        self._families[bucket] = family, handle
        return handle

    def _check_form(self, form: str) -> None:
        with self._translated():
            found = self._db.get(_FORM)
            if found is None and not self._families:
                self._db[_FORM] = form.encode()
                return
        if found != form.encode():
            message = (
                f"store {self._path}: expected the form {form}, got {found!r}: the configuration changed"
            )
            raise StoreDamagedError(message)

    def get(self, keys: Sequence[Key]) -> Found:
        """Cost: 1 us a key and bucket where it is not, some 5 us where it is."""
        found: Found = {}
        wanted: list[Any] = list(dict.fromkeys(keys))
        if not wanted:
            return found
        for bucket, (family, _) in self._families.items():
            with self._translated():
                entries = family.get(wanted) or []
            if entries.count(None) < len(wanted):
                pairs = zip(wanted, entries, strict=True)
                here = {key: {bucket: entry} for key, entry in pairs if entry is not None}
                for key in found.keys() & here.keys():
                    here[key] |= found[key]
                found |= here
        return found

    def write(self, puts: Puts, positions: Mapping[Source, Position]) -> None:
        """Cost: 1 us an entry, and what RocksDB does behind."""
        stands = self.positions() | dict(positions)
        with self._translated():
            batch = WriteBatch(raw_mode=True)
            for bucket, entries in puts.items():
                handle = self._handle(bucket)
                for key, entry in entries.items():
                    batch.put(key, entry, handle)
            batch.put(_POSITIONS, msgspec.msgpack.encode([(*one, *at) for one, at in sorted(stands.items())]))
            self._db.write(batch)

    def _handle(self, bucket: int) -> ColumnFamily:
        if bucket in self._families:
            return self._families[bucket][1]
        self._db.create_column_family(str(bucket), self._options)
        return self._take(self._db, bucket)

    def positions(self) -> dict[Source, Position]:
        with self._translated():
            data = self._db.get(_POSITIONS)
        if data is None:
            return {}
        try:
            stored = _decoder.decode(data)
        except (msgspec.DecodeError, ValueError) as error:
            raise StoreDamagedError(
                f"store {self._path}: expected positions ({error}); to be rebuilt"
            ) from error
        return {Source(one[0], one[1]): Position(*one[2:]) for one in stored}

    def drop_before(self, bucket: int) -> int:
        gone = [one for one in self._families if one < bucket]
        for one in gone:
            family, _ = self._families.pop(one)
            with self._translated():
                family.close()
                self._db.drop_column_family(str(one))
        return len(gone)

    def flush(self) -> None:
        """Bring to files what is in the log alone."""
        with self._translated():
            for family, _ in self._families.values():
                family.flush()

    def close(self) -> None:
        """Where it could not be written, that was said before, and its lock stays with the process."""
        for one in (*(family for family, _ in self._families.values()), self._db):
            with suppress(Exception):
                one.close()
        self._families.clear()

    @contextmanager
    def _translated(self) -> Iterator[None]:
        """What RocksDB says as what it means here. Its errors have no types."""
        try:
            yield
        except DbClosedError:
            raise
        except Exception as error:
            if type(error) is not Exception:
                raise
            raise self._meant(str(error)) from error

    def _meant(self, text: str) -> StreamMonitorError:
        if "lock" in text.lower() and "LOCK" in text:
            return StoreInUseError(f"store {self._path}: expected it to be closed, got: {text}")
        if any(one in text for one in _DAMAGE):
            return StoreDamagedError(f"store {self._path}: damaged: {text}; to be rebuilt")
        return StreamMonitorError(f"store {self._path}: expected to read and write it, got: {text}")


class RocksStores:
    """The stores of the partitions that a worker has. Its memory: that of ``Memory``."""

    def __init__(self, config: Config, memory: Memory | None = None) -> None:
        assert config.labels is not None
        self._root = config.labels.store / (config.pipeline or "default")
        self._form = form_of(config)
        self._memory = memory or Memory()

    def open(self, partition: int) -> RocksStore:
        """The store as it was left, or an empty one."""
        return RocksStore(self._root / str(partition), self._form, self._memory)

    def remove(self, partition: int) -> None:
        """Delete it, whatever state it is in. It is not open."""
        path = self._root / str(partition)
        if path.exists():
            shutil.rmtree(path)


def _verifying() -> ReadOptions:
    options = ReadOptions()
    options.set_verify_checksums(True)
    return options


def _options(memory: Memory) -> Options:
    table = BlockBasedOptions()
    table.set_block_cache(memory.cache)
    table.set_block_size(BLOCK_BYTES)
    table.set_bloom_filter(FILTER_BITS, block_based=False)
    table.set_cache_index_and_filter_blocks(True)
    table.set_pin_l0_filter_and_index_blocks_in_cache(True)
    table.set_format_version(5)
    table.set_checksum_type(ChecksumType.xxh3())
    options = Options(raw_mode=True)
    options.create_if_missing(create_if_missing=True)
    options.set_block_based_table_factory(table)
    options.set_write_buffer_manager(memory.write_buffers)
    options.set_write_buffer_size(BUCKET_BUFFER_BYTES)
    options.set_arena_block_size(ARENA_BYTES)
    options.set_memtable_prefix_bloom_ratio(BUFFER_FILTER_SHARE)
    options.set_memtable_whole_key_filtering(True)
    options.set_max_total_wal_size(WAL_BYTES_MAX)
    options.set_max_open_files(OPEN_FILES_MAX)
    options.set_compression_type(DBCompressionType.lz4())
    options.set_max_background_jobs(2)
    options.set_keep_log_file_num(2)
    options.set_max_log_file_size(2**20)
    return options
