"""The store on disk: what a killed process leaves, what damage is told as, and what bounds its memory."""

from __future__ import annotations

import os
import resource
import shutil
import signal
import subprocess
import sys
import textwrap
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from stream_monitor.config import Config, parse_config
from stream_monitor.errors import StreamMonitorError
from stream_monitor.events import Source
from stream_monitor.join.entries import key_of
from stream_monitor.join.store import Position, StoreDamagedError, form_of
from stream_monitor.runtime.store import Memory, RocksStore, RocksStores, StoreInUseError

P, L = Source("p", 3), Source("l", 3)
MEMORY = Memory(4 * 2**20, 4 * 2**20)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "store"


def opened(path: Path, form: str = "form") -> RocksStore:
    return RocksStore(path, form, MEMORY)


@pytest.fixture
def store(path: Path) -> Iterator[RocksStore]:
    store = opened(path)
    yield store
    store.close()


def filled(path: Path, entries: int = 20_000) -> list[bytes]:
    """A store whose entries are in files, and their keys."""
    keys = [key_of(str(number)) for number in range(entries)]
    store = opened(path)
    store.write({1: {key: key * 2 for key in keys}}, {P: Position("id", entries, 5, None)})
    store.flush()
    store.close()
    return keys


def test_what_is_written_is_there_and_after_a_restart_too(path: Path) -> None:
    store = opened(path)
    one, other = key_of("one"), key_of("other")
    assert store.positions() == {}
    store.write(
        {7: {one: b"a", other: b"b"}}, {P: Position("id", 3, 10, None), L: Position("id", 1, None, 4)}
    )
    store.write({9: {one: b"c"}, 7: {one: b"d"}}, {P: Position("id", 5, 11, None)})
    expected = {one: {7: b"d", 9: b"c"}, other: {7: b"b"}}
    stands = {P: Position("id", 5, 11, None), L: Position("id", 1, None, 4)}
    keys = [one, other, key_of("none"), one]
    assert store.get(keys) == expected
    assert store.positions() == stands
    assert store.get([key_of("none")]) == store.get([]) == {}
    store.close()
    again = opened(path)
    assert again.get(keys) == expected
    assert again.positions() == stands
    again.close()


def test_dropped_buckets_are_gone_from_the_disk(path: Path) -> None:
    filled(path)
    store = opened(path)
    before = _size(path)
    store.write({2: {key_of("0"): b"kept"}}, {})
    assert store.drop_before(2) == 1
    assert store.get([key_of("0")]) == {key_of("0"): {2: b"kept"}}
    assert store.drop_before(2) == 0
    assert _size(path) < before / 2
    store.close()
    again = opened(path)
    assert again.get([key_of("0")]) == {key_of("0"): {2: b"kept"}}
    again.close()


def _size(path: Path) -> int:
    return sum(one.stat().st_size for one in path.glob("*.sst"))


WRITER = """
import sys
from pathlib import Path
from stream_monitor.events import Source
from stream_monitor.join.entries import key_of
from stream_monitor.join.store import Position
from stream_monitor.runtime.store import Memory, RocksStore

store = RocksStore(Path(sys.argv[1]), "form", Memory(2**20, 2**20))
for number in range(1_000_000):
    puts = {bucket: {key_of(f"{number}/{i}"): b"x" * 100 for i in range(50)} for bucket in (number // 40, 7)}
    store.write(puts, {Source("p", 3): Position("id", number + 1, number, None)})
    if number % 40 == 0:
        store.drop_before(number // 40 - 5)
    print(number + 1, flush=True)
"""


@pytest.mark.parametrize("writes", [3, 90, 400])
def test_a_killed_writer_leaves_whole_writes_and_all_of_them(path: Path, writes: int) -> None:
    script = [sys.executable, "-c", textwrap.dedent(WRITER), str(path)]
    with subprocess.Popen(script, stdout=subprocess.PIPE, text=True) as writer:
        assert writer.stdout is not None
        said = 0
        for line in writer.stdout:
            said = int(line)
            if said >= writes:
                os.kill(writer.pid, signal.SIGKILL)
                break
        said = max([said, *map(int, writer.stdout.read().split())])
    store = opened(path)
    stands = store.positions()[P].next
    assert stands in {said, said + 1}, "what was said to be written is there"
    for number in (stands - 1, stands):
        keys = [key_of(f"{number}/{i}") for i in range(50)]
        there = [set(entries) for entries in store.get(keys).values()]
        assert there == ([{7, number // 40}] * 50 if number < stands else [])
    store.close()


def _sst(path: Path) -> Path:
    return max(path.glob("*.sst"), key=lambda one: one.stat().st_size)


def test_flipped_bytes_are_told_as_damage_and_never_as_entries(path: Path) -> None:
    keys = filled(path)
    raw = bytearray(_sst(path).read_bytes())
    for place in range(1_000, len(raw) // 2, 4_000):
        raw[place] ^= 0xFF
    _sst(path).write_bytes(raw)
    with pytest.raises(StoreDamagedError, match=r"store .*: damaged: Corruption.*; to be rebuilt"):
        opened(path).get(keys)


@pytest.mark.parametrize("name", ["CURRENT", "MANIFEST-*", "*.sst"])
def test_a_missing_file_is_damage(path: Path, name: str) -> None:
    keys = filled(path)
    for one in path.glob(name):
        one.unlink()
    with pytest.raises(StoreDamagedError, match="to be rebuilt"):
        opened(path).get(keys)


def test_a_truncated_file_is_damage(path: Path) -> None:
    keys = filled(path)
    with _sst(path).open("r+b") as file:
        file.truncate(5_000)
    with pytest.raises(StoreDamagedError, match="to be rebuilt"):
        opened(path).get(keys)


def test_a_store_of_another_form_is_not_read(path: Path) -> None:
    filled(path)
    with pytest.raises(
        StoreDamagedError, match=r"expected the form other, got .*form.*configuration changed"
    ):
        opened(path, "other")
    opened(path).close()


def test_a_store_that_is_open_elsewhere_is_not_damaged(store: RocksStore, path: Path) -> None:
    with pytest.raises(StoreInUseError, match="expected it to be closed"):
        opened(path)


@contextmanager
def disk_that_is_full(path: Path, free_bytes: int) -> Iterator[None]:
    """The log of the store may grow by so much, as where a quota is used up."""
    log = max(path.glob("*.log"), key=lambda one: one.stat().st_mtime_ns)
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    ignored = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (log.stat().st_size + free_bytes, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
        signal.signal(signal.SIGXFSZ, ignored)


def test_a_disk_that_is_full_is_no_damage_and_takes_a_write_whole_or_not_at_all(path: Path) -> None:
    store = opened(path)
    keys = [key_of(str(number)) for number in range(2_000)]
    store.write({5: dict.fromkeys(keys, b"first")}, {P: Position("id", 1, 1, None)})
    with disk_that_is_full(path, 20_000), pytest.raises(StreamMonitorError, match="File too large") as caught:
        store.write({5: dict.fromkeys(keys, b"second" * 20)}, {P: Position("id", 2, 2, None)})
    assert not isinstance(caught.value, StoreDamagedError)
    store.close()
    again = opened(Path(shutil.copytree(path, path.with_name("copy"))))
    assert again.positions() == {P: Position("id", 1, 1, None)}
    assert again.get(keys) == {key: {5: b"first"} for key in keys}
    again.close()


def config(store: Path, quality: Mapping[str, Any], **labels: Any) -> Config:
    return parse_config(
        {
            "kafka": {"bootstrap.servers": "localhost:9092"},
            "predictions": {"topics": ["p"]},
            "labels": {"topics": ["l"], "store": str(store), **labels},
            "models": {"m": {"quality": {"score": quality}}},
        }
    )


def test_stores_are_directories_by_pipeline_and_partition(tmp_path: Path) -> None:
    default = config(tmp_path, {"task": "regression"})
    stores = RocksStores(default, MEMORY)
    stores.open(3).close()
    assert (tmp_path / "default" / "3" / "CURRENT").exists()
    stores.remove(3)
    stores.remove(3)
    assert not (tmp_path / "default" / "3").exists()
    named = default.model_copy(update={"pipeline": "team"})
    RocksStores(named, MEMORY).open(0).close()
    assert (tmp_path / "team" / "0" / "CURRENT").exists()


def test_what_changes_entries_changes_the_form_and_nothing_else_does(tmp_path: Path) -> None:
    same = [
        config(tmp_path, {"task": "regression"}),
        config(tmp_path, {"task": "regression", "margin": 0.5, "error_max": 3}, policy="first"),
    ]
    others = [
        config(tmp_path, {"task": "regression", "prediction": "other"}),
        config(tmp_path, {"task": "binary", "score": "s"}),
        config(tmp_path, {"task": "regression"}, horizon="20d"),
    ]
    assert len(set(map(form_of, same))) == 1
    assert len(set(map(form_of, same + others))) == 4


MEASURED = """
import sys
from pathlib import Path
from stream_monitor.events import Source
from stream_monitor.join.entries import key_of
from stream_monitor.join.store import Position
from stream_monitor.runtime.store import Memory, RocksStore

memory = Memory(8 * 2**20, 8 * 2**20)
stores = [RocksStore(Path(sys.argv[1]) / str(number), "form", memory) for number in range(10)]

def rss_mib():
    status = Path("/proc/self/status").read_text()
    return int(status.partition("VmRSS:")[2].split()[0]) // 1024

began = rss_mib()
for turn in range(60):
    for number, store in enumerate(stores):
        puts = {bucket: {key_of(f"{turn}/{i}"): b"x" * 60 for i in range(600)} for bucket in range(5)}
        store.write(puts, {Source("p", number): Position("id", turn, turn, None)})
print(rss_mib() - began)
"""


def test_many_stores_share_their_memory(tmp_path: Path) -> None:
    """Fifty buckets of 1.8 million entries, 250 MB in buffers without a bound; these have 16 MiB."""
    script = [sys.executable, "-c", textwrap.dedent(MEASURED), str(tmp_path)]
    done = subprocess.run(script, capture_output=True, text=True, check=True)
    assert int(done.stdout) < 160
