"""``artiq-link find``: list the lab PCs of the local network that announce themselves."""

from __future__ import annotations

import argparse
import asyncio
import sys
from collections.abc import Sequence
from typing import Any, NamedTuple

from ..server.addresses import format_address
from ..server.announce import SERVICE, zeroconf_package
from ..text import shown
from .connection import print_json
from .exit_codes import NO_CONNECTION, SUCCESS
from .table_text import print_table
from .times import duration

HELP = "list the lab PCs of this network that announce themselves"

TIME = 3.0
"""Seconds in which a lab PC has answered twice, if it answers."""

ASKING_TIME = 1.0
"""Seconds that one gets to say more of itself, beyond that."""

MOST = 1000
"""Lab PCs that are listened to; more than this is somebody's joke."""


class Found(NamedTuple):
    """A lab PC that has announced itself."""

    name: str
    """Of its computer, with the port."""
    addresses: list[str]
    """``host:port``, for each at which it can be reached."""
    instruments: list[str]
    proof: str
    """What it asks for: certificate, token, or none."""
    version: str


def add_options(parser: argparse.ArgumentParser) -> None:
    """Give the action's parser its options."""
    parser.description = "List the lab PCs of this network whose servers run with --announce."
    parser.add_argument(
        "--time", type=duration, default=TIME, metavar="TIME", help="listen so long (default: 3s)"
    )
    parser.add_argument("--json", action="store_true", help="print JSON")


def run(options: argparse.Namespace) -> int:
    """Print a line for each; returns the exit code."""
    try:
        found = asyncio.run(find(options.time))
    except (ImportError, OSError, RuntimeError) as error:
        print(error, file=sys.stderr)
        return NO_CONNECTION
    if options.json:
        print_json([each._asdict() for each in found])
    elif found:
        _print(found)
    else:
        print("nobody answers: servers announce themselves with --announce", file=sys.stderr)
    return SUCCESS


async def find(seconds: float, interfaces: Sequence[str] | None = None) -> list[Found]:
    """Listen for so long, at these addresses of this computer; None: at all of them.

    Raises ImportError where zeroconf is missing, and OSError where there is no network.
    """
    zeroconf = zeroconf_package()
    asked: dict[str, asyncio.Task[Found | None]] = {}
    listener = zeroconf.asyncio.AsyncZeroconf(interfaces or zeroconf.InterfaceChoice.All)

    def note(zeroconf: Any, service_type: str, name: str, state_change: Any) -> None:
        if name not in asked and len(asked) < MOST:
            asked[name] = asyncio.ensure_future(_ask(listener, name, seconds + ASKING_TIME))

    try:
        browser = zeroconf.asyncio.AsyncServiceBrowser(listener.zeroconf, SERVICE, handlers=[note])
        await asyncio.sleep(seconds)
        found = await asyncio.gather(*asked.values())
        await browser.async_cancel()
    finally:
        await listener.async_close()
    return sorted(each for each in found if each is not None)


async def _ask(listener: Any, name: str, seconds: float) -> Found | None:
    info = zeroconf_package().asyncio.AsyncServiceInfo(SERVICE, name)
    if not await info.async_request(listener.zeroconf, seconds * 1000):
        return None
    return Found(
        name.removesuffix(f".{SERVICE}"),
        [format_address((address, info.port)) for address in info.parsed_scoped_addresses()],
        [each for each in _text(info, b"instruments").split(",") if each],
        _text(info, b"proof"),
        _text(info, b"version"),
    )


def _text(info: Any, key: bytes) -> str:
    """What goes with an announcement; anybody may have written it."""
    value: bytes = info.properties.get(key) or b""
    return value.decode(errors="backslashreplace")


def _print(found: Sequence[Found]) -> None:
    rows = (
        (f.name, " ".join(f.addresses), " ".join(f.instruments), f.proof, f.version) for f in found
    )
    headings = ("lab PC", "address", "instruments", "asks for", "version")
    print_table(headings, [list(map(shown, row)) for row in rows])
