"""The direction of the architecture: a room imports only rooms above it, and the core needs no Kafka."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parents[1] / "stream_monitor"
ROOMS = [
    "errors",
    "times",
    "events",
    "config",
    "watermark",
    "state",
    "native",
    "summary",
    "codecs",
    "quality",
    "join",
    "observe",
    "reference",
    "detectors",
    "distances",
    "checks",
    "alerting",
    "decide",
    "monitor",
    "sources",
    "trials",
    "metrics",
    "runtime",
    "load",
    "demo",
    "cli",
]
CORE = ROOMS[: ROOMS.index("sources")]
"""The rooms whose answers depend on nothing but their arguments."""

OF_THE_SHELL = {"confluent_kafka", "time", "random", "secrets", "uuid", "socket", "threading", "asyncio"}


def modules() -> dict[str, Path]:
    """Every module of the package by its dotted name below it; the package's own face is ""."""
    names = {}
    for path in sorted(PACKAGE.rglob("*.py")):
        parts = path.relative_to(PACKAGE).with_suffix("").parts
        names[".".join(part for part in parts if part != "__init__")] = path
    return names


def imported(tree: ast.AST) -> Iterator[str]:
    """The dotted names that a module imports, anywhere in it, for types alone as well."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"line {node.lineno}: imports are absolute"
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def against_the_order(room: str, source: str) -> list[str]:
    """What the source of a module in ``room`` imports and must not."""
    above = {*ROOMS[: ROOMS.index(room) + 1], "__version__"}
    wrong = []
    for name in imported(ast.parse(source)):
        package, *below = name.split(".")
        if package == "stream_monitor" and below[:1] and below[0] not in above:
            wrong.append(below[0])
        if package in OF_THE_SHELL and room in CORE:
            wrong.append(package)
    return wrong


@pytest.mark.parametrize("module", [name for name in modules() if name])
def test_a_room_imports_only_rooms_above_it(module: str) -> None:
    room = module.partition(".")[0]
    assert room in ROOMS, f"{room} has no place in the order of rooms"
    assert against_the_order(room, modules()[module].read_text()) == []


@pytest.mark.parametrize(
    ("room", "source", "wrong"),
    [
        ("summary", "from stream_monitor.decide import Decider", ["decide"]),
        ("summary", "def f():\n    import stream_monitor.runtime.kafka", ["runtime"]),
        ("events", "if TYPE_CHECKING:\n    from stream_monitor import config", ["config"]),
        ("events", "from stream_monitor import Monitor", ["Monitor"]),
        ("decide", "from stream_monitor.summary.codes import BINS\nimport numpy", []),
        ("decide", "def f():\n    import time", ["time"]),
        ("observe", "from confluent_kafka.admin import AdminClient", ["confluent_kafka"]),
        ("runtime", "import time\nfrom confluent_kafka import Consumer", []),
        ("metrics", "from stream_monitor import __version__", []),
    ],
)
def test_the_judge_sees_what_goes_against_the_order(room: str, source: str, wrong: list[str]) -> None:
    assert against_the_order(room, source) == wrong


def test_the_core_is_importable_without_kafka() -> None:
    core = [name for name in modules() if not name or name.partition(".")[0] in CORE]
    script = (
        "import importlib, sys\n"
        "sys.modules['confluent_kafka'] = None\n"
        f"for name in {core!r}:\n"
        "    importlib.import_module('.'.join(['stream_monitor', *name.split('.')]).rstrip('.'))\n"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
