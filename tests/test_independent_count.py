"""The second counter: what it shares with the package, and that it sees what is missing or doubled."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

from tests import independent_count
from tests.independent_count import Counted, models_of
from tests.test_laws_of_imports import imported


def test_it_imports_nothing_of_the_package() -> None:
    tree = ast.parse(Path(independent_count.__file__).read_text())
    assert {name.partition(".")[0] for name in imported(tree)}.isdisjoint({"stream_monitor", "tests"})
    command = "import sys, tests.independent_count; print(*sys.modules, sep='\\n')"
    done = subprocess.run([sys.executable, "-c", command], capture_output=True, check=True, text=True)
    assert not [name for name in done.stdout.splitlines() if name.partition(".")[0] == "stream_monitor"]


def test_rows_of_a_record() -> None:
    assert models_of(None) == []
    assert models_of(b"[]") == []
    assert models_of(b'{"model": "a"}') == ["a"]
    assert models_of(b'{"model": 7}') == ["7"]
    assert models_of(b'[{"model": "a"}, 1, {"model": "b"}, {"model": null}]') == ["a", "", "b", ""]
    assert models_of(b'{"model": "a"') == models_of(b"\xff") == models_of(b"[" * 100_000) == [""]
    assert models_of(b"[" + b"1," * 10_000 + b"1]") == [""]


def test_a_lost_row_and_a_doubled_one_are_told() -> None:
    counted = Counted()
    for model in ("a", "b", "c"):
        counted.produced[model] = 10
        counted.summarized[model] = 7
        counted.late[model] = 2
        counted.rejected[model] = 1
    assert counted.differences == {}
    counted.summarized["a"] -= 1
    counted.late["b"] += 2
    counted.summarized["never produced"] = 1
    assert counted.differences == {"a": 1, "b": -2, "never produced": -1}
