"""What a figure depends on beside the code: the machine and the versions. No names of hosts, no paths."""

from __future__ import annotations

import os
import platform
from importlib.metadata import version
from pathlib import Path
from xml.etree import ElementTree as ET

from confluent_kafka import libversion

from benchmarks import cores
from stream_monitor import __version__, native
from tests.kafka.broker import POM

PACKAGES = ("confluent-kafka", "msgspec", "numpy", "orjson", "river")


def machine() -> dict[str, str | int | float]:
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    return {
        "processor": _processor(),
        "cores": len(os.sched_getaffinity(0)),
        "memory_gib": round(memory / 2**30, 1),
        "system": f"{platform.system()} {platform.machine()}",
        "placement": cores.said(),
    }


def _processor() -> str:
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return platform.processor() or "unknown"


def versions() -> dict[str, str]:
    packages = {name: version(name) for name in PACKAGES}
    return {
        "python": platform.python_version(),
        "stream-monitor": __version__,
        "kernel": native.said(),
        **packages,
        "librdkafka": libversion()[0],
        "kafka": _kafka_version(),
    }


def _kafka_version() -> str:
    namespaces = {"m": "http://maven.apache.org/POM/4.0.0"}
    found = ET.parse(POM).findtext(".//m:dependency[m:artifactId='kafka_2.13']/m:version", None, namespaces)
    assert found is not None
    return found
