"""What can be known of deploy/ without a container engine: files, commands, ports and versions agree."""

from __future__ import annotations

import importlib
import re
import shlex
from argparse import ArgumentParser
from pathlib import Path
from typing import Any
from xml.etree import ElementTree as ET

import pytest
import yaml

from stream_monitor.cli import COMMANDS
from stream_monitor.config import load_config, parse_config
from stream_monitor.runtime.workers import roles_of

ROOT = Path(__file__).parents[1]
DEPLOY = ROOT / "deploy"
COMPOSE = yaml.safe_load((DEPLOY / "compose.yaml").read_text())
SERVICES: dict[str, dict[str, Any]] = COMPOSE["services"]
OURS = [name for name, service in SERVICES.items() if "build" in service]
KAFKA = SERVICES["kafka"]
MONITOR = (DEPLOY / "monitor.yaml").read_text()
CONFIG = load_config(DEPLOY / "monitor.yaml")
LABELED = parse_config(yaml.safe_load(re.sub(r"(?m)^#: ", "", MONITOR)))
"""As it is with the profile labels: without the marks."""


def dockerfile() -> list[list[str]]:
    """The instructions, each split into words."""
    text = re.sub(r"(?m)^#.*\n", "", (DEPLOY / "Dockerfile").read_text()).replace("\\\n", " ")
    return [shlex.split(line) for line in text.splitlines() if line]


def test_the_dockerfile_copies_what_is_there_and_its_context_lets_through() -> None:
    ignored = (DEPLOY / "Dockerfile.dockerignore").read_text().splitlines()
    copies = [line[1:-1] for line in dockerfile() if line[0] == "COPY" and "--from" not in line[1]]
    sources = [source for copy in copies for source in copy]
    assert {"pyproject.toml", "constraints.txt", "stream_monitor"} <= set(sources)
    for source in sources:
        assert (ROOT / source).exists()
        assert f"!{source}" in ignored
    assert "*" in ignored


def test_the_image_does_not_run_as_root() -> None:
    (user,) = (words[1] for words in dockerfile() if words[0] == "USER")
    assert 0 not in map(int, user.split(":"))


@pytest.mark.parametrize("name", OURS)
def test_a_service_builds_from_the_dockerfile_and_mounts_the_configuration(name: str) -> None:
    service = SERVICES[name]
    context = (DEPLOY / service["build"]["context"]).resolve()
    assert context == ROOT
    assert (context / service["build"]["dockerfile"]).is_file()
    source, target, mode = service["volumes"][0].split(":")
    assert (DEPLOY / source).is_file()
    assert target in service["command"]
    assert mode == "ro"


@pytest.mark.parametrize("name", OURS)
def test_a_service_runs_a_command_that_exists_with_arguments_that_it_takes(name: str) -> None:
    subcommand, *arguments = SERVICES[name]["command"]
    parser = ArgumentParser()
    importlib.import_module(COMMANDS[subcommand].module).add_arguments(parser)
    parser.parse_args(arguments)


def test_there_is_a_worker_of_each_role_with_a_name_of_its_own() -> None:
    for config, profiles in ((CONFIG, set()), (LABELED, {"labels"})):
        running = [one for one in SERVICES.values() if profiles.issuperset(one.get("profiles", ()))]
        commands = [one["command"] for one in running if "run" in one.get("command", ())]
        roles = {word for command in commands for word in command if word.startswith("--role=")}
        names = {word for command in commands for word in command if word.startswith("--name=")}
        assert roles == {f"--role={role}" for role in roles_of(config)}
        assert len(names) == len(commands)


def test_the_store_of_the_join_is_a_volume_that_the_user_of_the_image_owns() -> None:
    _, volume = SERVICES["join"]["volumes"]
    name, target = volume.split(":")
    assert name in COMPOSE["volumes"]
    (folder,) = (words[1] for words in dockerfile() if words[0] == "WORKDIR" and words[1] != "/src")
    (user,) = (words[1] for words in dockerfile() if words[0] == "USER")
    owner, group = user.split(":")
    made = ["RUN", "install", "--directory", f"--owner={owner}", f"--group={group}", target]
    assert made in dockerfile()
    assert LABELED.labels is not None
    assert (Path(folder) / LABELED.labels.store).is_relative_to(target)


def test_dependencies_exist_and_are_waited_for() -> None:
    for service in SERVICES.values():
        for name, wait in service.get("depends_on", {}).items():
            one_shot = "healthcheck" not in SERVICES[name]
            expected = "service_completed_successfully" if one_shot else "service_healthy"
            assert wait["condition"] == expected
            # A service is there whenever one that waits for it is.
            assert set(SERVICES[name].get("profiles", ())) <= set(service.get("profiles", ()))


def test_the_configuration_is_valid_and_agrees_with_the_services() -> None:
    advertised = KAFKA["environment"]["KAFKA_ADVERTISED_LISTENERS"]
    assert f"INSIDE://{CONFIG.kafka_properties()['bootstrap.servers']}" in advertised
    assert LABELED.labels is not None
    partitions = set()
    for name, topics in (("predictions", CONFIG.predictions.topics), ("labels", LABELED.labels.topics)):
        command = SERVICES[name]["command"]
        assert [f"--topic={topic}" for topic in topics] == [
            word for word in command if word.startswith("--topic=")
        ]
        partitions |= {word for word in command if word.startswith("--partitions=")}
    assert len(partitions) == 1
    for name in ("observe", "decide", "join"):
        (published,) = SERVICES[name]["ports"]
        assert published.endswith(f":{CONFIG.http.port}")
        assert f"127.0.0.1:{CONFIG.http.port}/healthz" in SERVICES[name]["healthcheck"]["test"][-1]


def test_nothing_is_published_beyond_loopback() -> None:
    published = [port for service in SERVICES.values() for port in service.get("ports", [])]
    assert published
    assert all(port.startswith("127.0.0.1:") for port in published)
    assert len({port.rsplit(":", 1)[0] for port in published}) == len(published)


def test_the_broker_is_of_the_version_that_the_tests_run() -> None:
    pom = ET.parse(ROOT / "tests/kafka/pom.xml")
    path = ".//m:dependency[m:artifactId='kafka_2.13']/m:version"
    version = pom.findtext(path, None, {"m": "http://maven.apache.org/POM/4.0.0"})
    assert {s["image"] for s in SERVICES.values() if "build" not in s} == {f"apache/kafka:{version}"}
