"""What the actions of a client share: where the server is, the link to it, and JSON printed."""

from __future__ import annotations

import argparse
from typing import Any

from .. import link_client
from ..server.options import host_name
from ..values import encode


def add_connection_options(parser: argparse.ArgumentParser) -> None:
    """Give `parser` the options of an action that talks to a server."""
    group = parser.add_argument_group("connection")
    group.add_argument(
        "--host",
        type=host_name,
        default=link_client.DEFAULT_HOST,
        help="the lab PC (default: %(default)s)",
    )
    group.add_argument(
        "--port", type=int, default=link_client.DEFAULT_PORT, help="default: %(default)s"
    )
    group.add_argument(
        "--timeout",
        type=float,
        default=link_client.DEFAULT_TIMEOUT,
        metavar="S",
        help="seconds (default: %(default)s)",
    )
    group.add_argument("--json", action="store_true", help="print JSON for other programs")


def link_to(options: argparse.Namespace) -> link_client.Link:
    """The link to the server that the options name; raises ValueError for what is none."""
    return link_client.Link(options.host, options.port, timeout=options.timeout)


def print_json(value: Any) -> None:
    """Print a value as the link writes it, arrays included."""
    print(encode(value, spaced=True).decode())
