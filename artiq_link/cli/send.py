"""``artiq-link send``: send one command and print what is answered."""

from __future__ import annotations

import argparse
from typing import Any

from .. import link_client
from ..instrument.typed_text import read_unknown
from .connection import add_connection_options, link_to, print_json
from .exit_codes import SERVER_FAILED, SUCCESS

HELP = "send one command and print the reply"


def add_options(parser: argparse.ArgumentParser) -> None:
    """Give the action's parser its options."""
    parser.epilog = "example: artiq-link send set_frequency channel=0 frequency=80e6"
    parser.add_argument("command_id", help="command, or instrument.command")
    parser.add_argument(
        "parameters",
        nargs="*",
        default=[],  # without it, argparse says that one is required
        metavar="NAME=VALUE",
        type=parameter,
        help="a parameter; VALUE is JSON (or True, False, None), or text where it is not; "
        "a text that looks like a number is quoted: comment='\"5\"'",
    )
    add_connection_options(parser)
    parser.set_defaults(parser=parser)


def run(options: argparse.Namespace) -> int:
    """Send the command; print its result, a line for each member, or with ``--json`` the reply."""
    names = ["command_id", *(name for name, _ in options.parameters)]
    for name in names:
        if names.count(name) > 1:
            options.parser.error(f"{name} is given twice")
    request = {"command_id": options.command_id, **dict(options.parameters)}
    if options.json:
        reply = link_to(options).send(request)
        print_json(reply)
        return SUCCESS if reply["status"] == "success" else SERVER_FAILED
    result = link_client.exchange(request, options.host, options.port, options.timeout)
    if isinstance(result, dict):
        for name, value in result.items():
            print(f"{name}: {_text(value)}")
    elif result is not None:
        print(_text(result))
    return SUCCESS


def parameter(text: str) -> tuple[str, Any]:
    """The name and value of ``NAME=VALUE``; raises ArgumentTypeError for what is none."""
    name, equals, value = text.partition("=")
    if not name or not equals:
        raise argparse.ArgumentTypeError(f"{text!r} is not NAME=VALUE")
    read = read_unknown(value)
    if name == "link" and not isinstance(read, dict):
        raise argparse.ArgumentTypeError(f"{text!r}: the link's own members are a JSON object")
    return name, read


def _text(value: Any) -> str:
    if isinstance(value, (dict, list)):
        from rich.pretty import pretty_repr

        return pretty_repr(value)  # on several lines where it is long
    return str(value)
