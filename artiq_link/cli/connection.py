"""What the actions of a client share: where the server is, what it is asked, and JSON printed."""

from __future__ import annotations

import argparse
import os
from typing import Any

from .. import link_client
from ..server.addresses import LAST_PORT
from ..server.options import host_name
from ..values import encode
from .credentials import add_credential_options, credentials_of

HOST_VARIABLE, PORT_VARIABLE = "ARTIQ_LINK_HOST", "ARTIQ_LINK_PORT"
"""Environment variables that name the server where the options do not."""


def add_connection_options(parser: argparse.ArgumentParser) -> None:
    """Give `parser` the options of an action that talks to a server."""
    group = parser.add_argument_group("connection")
    add_address_options(group, link_client.DEFAULT_HOST, str(link_client.DEFAULT_PORT))
    group.add_argument(
        "--timeout",
        type=float,
        default=link_client.DEFAULT_TIMEOUT,
        metavar="S",
        help="seconds (default: %(default)s)",
    )
    add_credential_options(group)
    group.add_argument("--json", action="store_true", help="print JSON for other programs")


def add_address_options(
    parser: argparse.ArgumentParser | argparse._ArgumentGroup, host: str, port: str
) -> None:
    """Give `parser` the options that say where the server is; `host` and `port` without them."""
    parser.add_argument(
        "--host", type=host_name, help=f"the lab PC (default: ${HOST_VARIABLE}, or {host})"
    )
    parser.add_argument("--port", type=int, help=f"(default: ${PORT_VARIABLE}, or {port})")


def host_of(options: argparse.Namespace) -> str | None:
    """The host that the options or else the environment name; ValueError for what is none."""
    if options.host is not None:
        return str(options.host)
    text = os.environ.get(HOST_VARIABLE, "")
    try:
        return host_name(text) if text else None
    except argparse.ArgumentTypeError as error:
        raise ValueError(f"the environment variable {HOST_VARIABLE}: {error}") from None


def port_of(options: argparse.Namespace) -> int | None:
    """The port that the options or else the environment name; ValueError for what is none."""
    if options.port is not None:
        return int(options.port)
    text = os.environ.get(PORT_VARIABLE, "")
    if text and not (text.isdecimal() and len(text) < 6 and 1 <= int(text) <= LAST_PORT):
        raise ValueError(
            f"the environment variable {PORT_VARIABLE}: {text!r:.60} is not a port from 1 to "
            f"{LAST_PORT}"
        )
    return int(text) if text else None


def link_to(options: argparse.Namespace) -> link_client.Link:
    """The link to the server that is named; raises ValueError for what is none."""
    host, port = host_of(options), port_of(options)
    shown = credentials_of(options)
    return link_client.Link(
        link_client.DEFAULT_HOST if host is None else host,
        link_client.DEFAULT_PORT if port is None else port,
        timeout=options.timeout,
        link=shown.link,
        ssl=shown.ssl,
    )


def ask_link(
    link: link_client.Link, command_id: str, *members: str, **parameters: Any
) -> dict[str, Any]:
    """The result of one of the link's own commands, an object with these members.

    Raises the `LinkError` of that exchange, and `NoReply` where it is something else, because a
    program that is no link server may answer anything with success.
    """
    result = link.call(command_id, **parameters)
    if not isinstance(result, dict) or not result.keys() >= set(members):
        server = link_client.Peer(link.host, link.port)
        raise link_client.NoReply(
            f"what {server} answered to {command_id} is not what a link server answers; check "
            "that host and port are those of one"
        )
    return result


def print_json(value: Any) -> None:
    """Print a value as the link writes it, arrays included."""
    print(encode(value, spaced=True).decode())
