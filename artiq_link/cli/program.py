"""The program ``artiq-link``: its actions, and what becomes of their errors."""

from __future__ import annotations

import argparse
import io
import os
import sys
from collections.abc import Mapping, Sequence
from typing import Protocol

from .. import link_client
from ..server.log_output import init_logging
from ..version import __version__
from . import (
    calibrate,
    certificate,
    describe,
    devices,
    find,
    gui,
    history,
    lease,
    new,
    panel,
    ping,
    send,
    serve,
    service,
    status,
    stop,
)
from .completion import complete, is_completing
from .credentials import advice_to
from .exit_codes import INTERRUPTED, NO_CONNECTION, PIPE_CLOSED, SERVER_FAILED


class Action(Protocol):
    """What the module of an action has."""

    HELP: str

    def add_options(self, parser: argparse.ArgumentParser) -> None:
        """Give the action's parser its options."""

    def run(self, options: argparse.Namespace) -> int:
        """Act; returns the exit code."""


ACTIONS: Mapping[str, Action] = {
    "serve": serve,
    "service": service,
    "new": new,
    "send": send,
    "describe": describe,
    "status": status,
    "stop": stop,
    "ping": ping,
    "history": history,
    "lease": lease,
    "find": find,
    "devices": devices,
    "panel": panel,
    "gui": gui,
    "certificate": certificate,
    "calibrate": calibrate,
}
"""The modules of the actions, by their names, in the order in which the help lists them."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one ``artiq-link`` action; returns its exit code."""
    # What the terminal or a pipe has no sign for is printed as its number.
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")
    try:
        try:
            return _run(arguments)
        finally:
            print(end="", flush=True)
    except BrokenPipeError:  # whoever read, such as head, has seen enough
        # Python writes what is left when it ends, and would complain once more.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return PIPE_CLOSED


def _run(arguments: Sequence[str] | None) -> int:
    """Run one action; what went wrong becomes a sentence and an exit code."""
    options = _options(arguments)
    init_logging(options)
    try:
        return int(options.run(options))
    except link_client.ServerFailed as error:
        print(error, file=sys.stderr)
        if advice := advice_to(options, error):
            print(advice, file=sys.stderr)
        return SERVER_FAILED
    # ValueError: what cannot be sent at all, such as NaN, a port 0 or a negative timeout.
    except (link_client.LinkError, ValueError) as error:
        print(error, file=sys.stderr)
        return NO_CONNECTION
    except KeyboardInterrupt:
        return INTERRUPTED


def _options(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = _parser()
    if is_completing():
        complete(parser)
    options, rest = parser.parse_known_args(arguments)
    # argparse takes parameters only where they stand together; options may come between.
    if rest and not any(text.startswith("-") for text in rest) and "parameters" in options:
        try:
            options.parameters = [*options.parameters, *map(send.parameter, rest)]
        except argparse.ArgumentTypeError as error:
            options.parser.error(f"argument NAME=VALUE: {error}")
    elif rest:
        getattr(options, "parser", parser).error(f"unrecognized arguments: {' '.join(rest)}")
    return options


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="artiq-link", description="The link between experiments and a lab PC's instruments."
    )
    parser.add_argument("--version", action="version", version=f"%(prog)s {__version__}")
    # The log of an action that has no options for it.
    parser.set_defaults(verbose=0, quiet=0, log_file=None)
    actions = parser.add_subparsers(metavar="COMMAND", required=True)
    for name, action in ACTIONS.items():
        action_parser = actions.add_parser(name, help=action.HELP)
        action.add_options(action_parser)
        action_parser.set_defaults(run=action.run)
    return parser
