"""Contenders that want other versions than ours: each has a virtual environment of its own, made once."""

from __future__ import annotations

import hashlib
import json
import shutil
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from benchmarks.cores import WORKER_CORES, pinned
from benchmarks.runs import Run, timeout_s

ROOT = Path(__file__).parent.parent
CACHE = Path.home() / ".cache" / "stream-monitor"
INSTALL_TIMEOUT_S = 900.0


class EnvironmentUnavailableError(Exception):
    """It could not be made here; the message says why. The contender is left out, and the result says so."""


def requirements(name: str) -> Path:
    """All packages of the environment, pinned."""
    return Path(__file__).with_name(f"{name}-requirements.txt")


def interpreter(name: str) -> Path:
    """The Python of an environment, which is made if there is none of these requirements."""
    wanted = requirements(name).read_bytes() + sys.version.encode()
    folder = CACHE / f"{name}-{hashlib.sha256(wanted).hexdigest()[:12]}"
    python, made = folder / "bin" / "python", folder / "made"
    if not made.exists():
        shutil.rmtree(folder, ignore_errors=True)
        _call([sys.executable, "-m", "venv", str(folder)])
        install = ["-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--only-binary", ":all:"]
        _call([str(python), *install, "-r", str(requirements(name))])
        made.touch()
    return python


def found(name: str) -> tuple[Path | None, str]:
    """The interpreter, or why there is none here."""
    try:
        return interpreter(name), ""
    except EnvironmentUnavailableError as error:
        return None, f"left out: {error}"


def _call(command: list[str]) -> None:
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=INSTALL_TIMEOUT_S, check=False)
    except subprocess.TimeoutExpired:
        raise EnvironmentUnavailableError(f"expected to be set up in {INSTALL_TIMEOUT_S:g} s") from None
    if done.returncode != 0:
        raise EnvironmentUnavailableError(done.stderr.strip().splitlines()[-1][:300])


def run_in(python: Path, module: str, settings: Mapping[str, Any]) -> Run:
    """Run ``module`` with an interpreter, on the worker's core; it ends by writing a Run."""
    command = [str(python), "-m", module, json.dumps(settings)]
    limit_s = timeout_s(settings["events"])
    with pinned(WORKER_CORES):
        done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=limit_s, check=False)
    if done.returncode != 0:
        raise RuntimeError(f"{module}: expected to end with 0, got {done.returncode}:\n{done.stderr[-3000:]}")
    return Run(**json.loads(done.stdout.splitlines()[-1]))
