"""The command ``stream-monitor``.

Each subcommand is a module with ``add_arguments(parser)`` and ``main(args) -> exit code``. Only the one
that was asked for is imported: help is quick, and a replay needs no Kafka client.
"""

from __future__ import annotations

import importlib
import os
import sys
from argparse import ArgumentParser, RawDescriptionHelpFormatter
from collections.abc import Sequence
from typing import NamedTuple

from stream_monitor import __version__
from stream_monitor.errors import ConfigError, StreamMonitorError

PROGRAM = "stream-monitor"
REFUSED = 2
INTERRUPTED = 130


class Command(NamedTuple):
    module: str
    help: str


COMMANDS = {
    "check-config": Command("stream_monitor.runtime.check_config", "check a configuration and sum it up"),
    "topics": Command("stream_monitor.runtime.topics", "create the topics that the monitor writes"),
    "run": Command("stream_monitor.runtime.run", "run the workers on Kafka"),
    "alerts": Command("stream_monitor.runtime.tail", "show alerts as they come"),
    "load": Command("stream_monitor.load", "load a deployment with events, as many as it takes"),
    "profile": Command("stream_monitor.sources.profile", "make a reference from a file"),
    "replay": Command("stream_monitor.sources.replay", "run a file or a topic range through the same core"),
    "backtest": Command(
        "stream_monitor.trials.backtest", "hold configurations against a history with known incidents"
    ),
    "calibrate": Command(
        "stream_monitor.trials.calibrate", "say what a configuration costs and sees, by a healthy history"
    ),
    "demo": Command(
        "stream_monitor.demo", "watch injected drift being found; needs nothing but this package"
    ),
}


def main(argv: Sequence[str] | None = None) -> int:
    """Run a subcommand; returns the exit code: its own, 2 for an error that has a message, 130 for Ctrl-C."""
    argv = sys.argv[1:] if argv is None else argv
    if not argv or argv[0] not in COMMANDS:
        _overview().parse_args(argv)
    try:
        return _run(argv[0], argv[1:])
    except ConfigError as error:
        print(*(f"{PROGRAM}: {problem}" for problem in error.problems), sep="\n", file=sys.stderr)
        return REFUSED
    except StreamMonitorError as error:
        print(f"{PROGRAM}: {error}", file=sys.stderr)
        return REFUSED
    except KeyboardInterrupt:
        return INTERRUPTED
    except BrokenPipeError:
        # The reader of our output has gone (`... | head`); the interpreter must not flush into it again.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0


def _overview() -> ArgumentParser:
    """The parser of everything but a known subcommand: help, version, and what is wrong."""
    parser = ArgumentParser(PROGRAM, description="A drift monitor for machine-learning models, on Kafka.")
    parser.add_argument("--version", action="version", version=f"{PROGRAM} {__version__}")
    commands = parser.add_subparsers(metavar="COMMAND", required=True)
    for name, command in COMMANDS.items():
        commands.add_parser(name, help=command.help, add_help=False)
    return parser


def _run(name: str, argv: Sequence[str]) -> int:
    module = importlib.import_module(COMMANDS[name].module)
    parser = ArgumentParser(
        f"{PROGRAM} {name}", description=module.__doc__, formatter_class=RawDescriptionHelpFormatter
    )
    module.add_arguments(parser)
    code: int = module.main(parser.parse_args(argv))
    sys.stdout.flush()
    return code


if __name__ == "__main__":
    sys.exit(main())
