"""The options of programs that serve instruments, by ARTIQ's conventions for controllers."""

from __future__ import annotations

import argparse
import contextlib
import math
import re
from typing import Any

from ..exchanges.journal_file import MAX_AGE, MAX_SIZE
from ..link_client import DEFAULT_PORT
from ..wire import DIALECT_NAMES, check_dialects
from .log_output import init_logging

OLD_LOG_FILES = 9
"""Files of 10 MB that are kept beside the newest: 100 MB, which no lab PC misses."""

DAY, MIB = 86400.0, 1024 * 1024


def add_server_options(parser: argparse.ArgumentParser, port: int = DEFAULT_PORT) -> None:
    """Give `parser` the options of a server; `port` is the default one."""
    network = parser.add_argument_group("network")
    network.add_argument(
        "-p", "--port", type=int, default=port, help="0 is a free one (default: %(default)s)"
    )
    network.add_argument(
        "--bind",
        type=host_name,
        action="append",
        default=[],
        metavar="HOST",
        help="listen on this address too; '*' is all; repeatable",
    )
    network.add_argument(
        "--no-localhost-bind", action="store_true", help="do not listen on localhost by itself"
    )
    network.add_argument(
        "--announce",
        action="store_true",
        help="tell the local network that this server is there, for artiq-link find",
    )
    add_access_options(parser)
    wires = parser.add_argument_group("dialects")
    wires.add_argument(
        "--dialects",
        type=_dialects,
        default=DIALECT_NAMES,
        metavar="LIST",
        help=f"speak these only, of {','.join(sorted(DIALECT_NAMES))}",
    )
    wires.add_argument(
        "--telnet", action="store_true", help="EOT text: keep the connection open, for telnet"
    )
    wires.add_argument(
        "--quit-stops", action="store_true", help="WebSocket: 'quit' stops the server"
    )
    wires.add_argument(
        "--origin",
        type=_origin,
        action="append",
        default=[],
        metavar="URL",
        help="WebSocket: admit web pages of this origin; repeatable",
    )
    wires.add_argument(
        "--host-name",
        type=host_name,
        action="append",
        default=[],
        metavar="NAME",
        help="HTTP: a name of this computer under which it shows its pages; repeatable",
    )
    journal = parser.add_argument_group("journal")
    journal.add_argument(
        "--journal",
        default=True,
        type=_journal,
        metavar="PATH",
        help="keep what became of each exchange in this file, or in 'none' (default: one for the "
        "port, in the user's state directory)",
    )
    journal.add_argument(
        "--journal-sync",
        action="store_true",
        help="have it on the disk before each command: safe against power failures, and slow",
    )
    journal.add_argument(
        "--journal-days",
        type=_positive,
        default=MAX_AGE / DAY,
        metavar="N",
        help="forget what is older (default: %(default)g)",
    )
    journal.add_argument(
        "--journal-mib",
        type=_positive,
        default=MAX_SIZE / MIB,
        metavar="N",
        help="forget the oldest when the file has more MiB (default: %(default)g)",
    )
    journal.add_argument(
        "--restore",
        action="store_true",
        help="set the instruments to what they were set to last, when they are opened",
    )
    parser.add_argument("--simulation", action="store_true", help="no hardware: simulate it")
    parser.add_argument(
        "--debug", action="store_true", help="print each message received and sent"
    )
    output = parser.add_argument_group("log")
    output.add_argument(
        "-v", "--verbose", action="count", default=0, help="log more; twice for everything"
    )
    output.add_argument("-q", "--quiet", action="count", default=0, help="log less")
    output.add_argument(
        "--log-file",
        metavar="FILE",
        help="log to this file too, with times; at 10 MB it becomes FILE.1, and so on",
    )
    output.add_argument(
        "--log-backup-count",
        type=at_least_one,
        default=OLD_LOG_FILES,
        metavar="N",
        help="old log files to keep, at least 1 (default: %(default)s)",
    )


def add_access_options(parser: argparse.ArgumentParser) -> None:
    """Give `parser` the options that say who may connect from other computers."""
    access = parser.add_argument_group(
        "who may connect", "programs of this computer may; from others, where --bind listens:"
    )
    access.add_argument(
        "--ssl",
        nargs=3,
        metavar=("CERT", "KEY", "PEER"),
        help="who has a certificate that stands in the file PEER; CERT and KEY are this server's",
    )
    access.add_argument(
        "--token-file",
        metavar="FILE",
        help="who has a token; a line of FILE is NAME TOKEN ROLE, a role watch or control",
    )
    access.add_argument("--open", action="store_true", help="everyone: nothing is asked for")


def parse_server_options(description: str | None, port: int = DEFAULT_PORT) -> argparse.Namespace:
    """Parse the command line of a server program and set logging up.

    The result has ``host`` (a list of addresses), ``port``, ``debug``, ``simulation``, and in
    ``more`` the other keyword arguments for `start_server`.
    """
    summary = (description or "").strip().partition("\n")[0]
    parser = argparse.ArgumentParser(description=summary)
    add_server_options(parser, port)
    options = parser.parse_args()
    init_logging(options)
    options.more = listen_options(parser, options)
    for name in ("host", "port", "debug"):
        setattr(options, name, options.more.pop(name))
    return options


def listen_options(parser: argparse.ArgumentParser, options: argparse.Namespace) -> dict[str, Any]:
    """The keyword arguments for `start_server` that the options of `parser` ask for."""
    if options.no_localhost_bind and not options.bind:
        parser.error("--no-localhost-bind leaves nothing to listen on: give --bind")
    if options.open and (options.ssl or options.token_file):
        parser.error("--open asks for nothing, so it does not go with --ssl and --token-file")
    localhost = [] if options.no_localhost_bind else ["127.0.0.1", "::1"]
    return {
        "host": localhost + options.bind,
        "port": options.port,
        "debug": options.debug,
        "dialects": options.dialects,
        "telnet": options.telnet,
        "quit_stops": options.quit_stops,
        "origins": options.origin,
        "journal": options.journal,
        "journal_sync": options.journal_sync,
        "journal_age": options.journal_days * DAY,
        "journal_size": int(options.journal_mib * MIB),
        "host_names": options.host_name,
        "ssl": options.ssl,
        "token_file": options.token_file,
        "open_to_all": options.open,
        "restore": options.restore,
        "announce": options.announce,
    }


def host_name(text: str) -> str:
    """The value of an option for a host; refuses one with a port in it."""
    if re.fullmatch(r"(\[.*\]|[^:]*):\d+", text):
        raise argparse.ArgumentTypeError(f"{text!r} has a port: give that with --port")
    if "/" in text:
        raise argparse.ArgumentTypeError(f"{text!r} is no host: expected a name or an address")
    return text


def _origin(text: str) -> str:
    # Any other text would never be that of a page, and nobody would be told.
    if text != "null" and not re.fullmatch(r"[a-z][a-z0-9+.-]*://[^/?#\sA-Z]+", text):
        raise argparse.ArgumentTypeError(
            f"{text!r} is no origin as browsers write it, such as http://lab-pc:8080"
        )
    return text


def at_least_one(text: str) -> int:
    """The value of an option for how many; refuses what is no whole number from 1."""
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number from 1")
    return int(text)


def _journal(text: str) -> str | bool:
    return False if text == "none" else text


def _positive(text: str) -> float:
    with contextlib.suppress(ValueError):
        if 0 < float(text) < math.inf:
            return float(text)
    raise argparse.ArgumentTypeError(f"{text!r} is not a number above 0")


def _dialects(text: str) -> frozenset[str]:
    try:
        return check_dialects(text.replace(" ", "").split(","))
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from None
