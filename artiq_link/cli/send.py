"""``artiq-link send``: send a command, or the requests from standard input, and print replies."""

from __future__ import annotations

import argparse
import json
import re
import sys
from typing import Any

from .. import link_client
from ..instrument.typed_text import read_parameter, read_undeclared, read_unknown
from ..text import json_kind
from .completion import complete_command, complete_parameter
from .connection import add_connection_options, link_to, print_json
from .declared import Declared, declared_by
from .exit_codes import SERVER_FAILED, SUCCESS
from .result_text import result_text

HELP = "send one command and print the reply"

LINK = "link"
"""The name of the one parameter that no command has: the link's own members."""

STANDARD_INPUT = "-"
"""In a command's place."""

_NOT_BLANK = re.compile(r"\S")


def add_options(parser: argparse.ArgumentParser) -> None:
    """Give the action's parser its options."""
    parser.epilog = "example: artiq-link send set_frequency channel=0 frequency=80MHz"
    command = parser.add_argument(
        "command_id",
        help="command, or instrument.command; - for requests in JSON from standard input, one "
        "after the other until one fails",
    )
    parameters = parser.add_argument(
        "parameters",
        nargs="*",
        default=[],  # without it, argparse says that one is required
        metavar="NAME=VALUE",
        type=parameter,
        help="a parameter; VALUE is as the command declares it: a number, also with its unit "
        "(80MHz), on or off, a text, JSON. Where it declares nothing, VALUE is JSON, or text "
        "where it is not, and a text that looks like a number is quoted: comment='\"5\"'",
    )
    command.completer = complete_command  # type: ignore[attr-defined]
    parameters.completer = complete_parameter  # type: ignore[attr-defined]
    add_connection_options(parser)
    parser.set_defaults(parser=parser)


def run(options: argparse.Namespace) -> int:
    """Send what is asked for; print results in lines, or with ``--json`` the whole replies.

    ``--timeout`` is for all of one command, and for each of the requests from standard input.
    """
    if options.command_id == STANDARD_INPUT:
        if options.parameters:
            options.parser.error("requests from standard input have their parameters in them")
        return _send_all(options, read_requests(sys.stdin.buffer.read()))
    names = ["command_id", *(name for name, _ in options.parameters)]
    for name in names:
        if names.count(name) > 1:
            options.parser.error(f"{name} is given twice")
    deadline = link_client.Deadline(options.timeout)
    link = link_to(options)
    declared = None
    if options.parameters or not options.json:
        declared = declared_by(link, options.command_id)
        link.timeout = max(round(deadline.left(), 3), 0.001)
    request = read_request(options.command_id, options.parameters, declared)
    return _send(link, request, None if options.json else declared)


def parameter(text: str) -> tuple[str, str]:
    """The name and text of ``NAME=VALUE``; raises ArgumentTypeError for what is none."""
    name, equals, value = text.partition("=")
    if not name or not equals:
        raise argparse.ArgumentTypeError(f"{text!r} is not NAME=VALUE")
    if name == LINK and not isinstance(read_unknown(value), dict):
        raise argparse.ArgumentTypeError(f"{text!r}: the link's own members are a JSON object")
    return name, value


def read_request(
    command_id: str, parameters: list[tuple[str, str]], declared: Declared | None
) -> dict[str, Any]:
    """The request that was typed; raises ValueError that says how to type a parameter.

    What the server refuses anyway, such as a parameter that there is not, is left to it.
    """
    request: dict[str, Any] = {"command_id": command_id}
    for name, text in parameters:
        try:
            if declared and name in declared.parameters:
                kind = declared.parameters[name]
                request[name] = read_parameter(text, kind["schema"], kind.get("unit", ""))
            elif declared and declared.unknown and name != LINK:
                request[name] = read_undeclared(text)
            else:
                request[name] = read_unknown(text)
        except ValueError as error:
            # First the likelier reason: with the right command the text may be right as well.
            unknown = f"{declared.unknown}\n" if declared and declared.unknown else ""
            raise ValueError(f"{unknown}{name}: {error}") from None
    return request


def read_requests(data: bytes) -> list[dict[str, Any]]:
    """JSON objects, one after the other, with white space between them or not.

    Raises ValueError where one is not whole, so that none of them need be sent.
    """
    try:
        text = data.decode("utf-8-sig")  # PowerShell puts a byte order mark before what it pipes
    except UnicodeDecodeError as error:
        raise ValueError(f"standard input: not UTF-8 (byte {error.start})") from None
    decoder = json.JSONDecoder(parse_constant=_refuse_constant)
    requests: list[dict[str, Any]] = []
    end = 0
    while start := _NOT_BLANK.search(text, end):
        try:
            request, end = decoder.raw_decode(text, start.start())
        except RecursionError:
            raise ValueError("standard input: nested too deep") from None
        except ValueError as error:
            raise ValueError(f"standard input: not JSON: {error}") from None
        if not isinstance(request, dict):
            raise ValueError(f"standard input: expected JSON objects, got {json_kind(request)}")
        requests.append(request)
    if not requests:
        raise ValueError("standard input: there is no request in it")
    return requests


def _refuse_constant(name: str) -> None:
    raise ValueError(f"it has no {name}")


def _send_all(options: argparse.Namespace, requests: list[dict[str, Any]]) -> int:
    with link_to(options) as link:
        for request in requests:
            command_id = str(request.get("command_id"))
            code = _send(link, request, None if options.json else declared_by(link, command_id))
            if code != SUCCESS:
                return code
    return SUCCESS


def _send(link: link_client.Link, request: dict[str, Any], declared: Declared | None) -> int:
    """Send one request and print its reply: for people as it is declared, without that as JSON.

    Raises `ServerFailed` where people are told a failure.
    """
    reply = link.send(request)
    if declared is None:
        print_json(reply)
        return SUCCESS if reply["status"] == "success" else SERVER_FAILED
    if reply["status"] == "fail":
        raise link_client.ServerFailed(
            reply.get("code", "fail"), reply.get("error", "the server gave no reason")
        )
    if reply.get("result") is not None:
        print(result_text(reply["result"], declared.result))
    return SUCCESS
