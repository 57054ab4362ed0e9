"""``artiq-link devices``: list the serial ports, and what is known to answer on them."""

from __future__ import annotations

import argparse
import sys
from typing import Any, NamedTuple

from ..drivers import DRIVERS
from ..errors import InstrumentError
from ..text import shown
from ..transports.identity import Identity
from ..transports.serial import serial_ports
from .connection import print_json
from .exit_codes import NO_CONNECTION, SUCCESS
from .table_text import print_table

HELP = "list the serial ports, and what answers on them"

NOT_ASKED = "not asked"


class Found(NamedTuple):
    """A serial port that there is."""

    device: str
    """What ``--device`` takes."""
    usb: str
    """The serial number of its USB adapter, which ``serial:usb=NUMBER`` takes; may be empty."""
    description: str
    """What the adapter says of itself."""
    driver: str | None
    """The driver of what is attached to it, as far as it was recognised."""
    answer: str
    """What the device answered, or why there is no answer."""


def add_options(parser: argparse.ArgumentParser) -> None:
    """Give the action's parser its options."""
    parser.description = (
        "List the serial ports. One whose USB adapter is a known device's own is asked what it "
        "is; nothing is sent to any other, and none of them is opened. What may be a known "
        "device, and may be another, is asked with --ask and --driver."
    )
    parser.epilog = "example: artiq-link devices --ask tcp:192.168.0.5:7802 --driver NAME"
    parser.add_argument(
        "--ask", metavar="DEVICE", help="ask this device, whatever it is, instead; with --driver"
    )
    parser.add_argument(
        "--driver", choices=sorted(_identities()), help="whose question --ask puts to it"
    )
    parser.add_argument("--json", action="store_true", help="print JSON")
    parser.set_defaults(parser=parser)


def run(options: argparse.Namespace) -> int:
    """Print a line for each port, or for what was asked; returns the exit code."""
    if (options.ask is None) != (options.driver is None):
        options.parser.error("--ask goes with --driver, whose question is harmless to that device")
    try:
        if options.ask is None:
            found = [_looked_at(port) for port in serial_ports()]
        else:
            identity = _identities()[options.driver]
            answer = identity.check_at(options.ask)
            found = [Found(options.ask, "", identity.name, options.driver, answer)]
    except InstrumentError as error:
        print(error, file=sys.stderr)
        return NO_CONNECTION
    if options.json:
        print_json([each._asdict() for each in found])
    elif found:
        print_table(
            ("device", "usb", "adapter", "driver", "answer"),
            [(f.device, f.usb, f.description, f.driver or "", f.answer) for f in found],
        )
    else:
        print("there is no serial port")
    return SUCCESS


def _identities() -> dict[str, Identity]:
    return {name: entry.identity for name, entry in DRIVERS.items() if entry.identity is not None}


def _looked_at(port: Any) -> Found:
    """What there is to say of a port; `port` is pyserial's `ListPortInfo`."""
    device = f"serial:{port.device}"
    identities, usb = _identities(), (port.vid, port.pid)
    texts = (port.manufacturer, port.product, port.description)
    known = {name: each for name, each in identities.items() if each.has_port(usb, texts)}
    possible = [name for name, each in identities.items() if usb in each.shared_usb]
    driver, answer = None, NOT_ASKED
    if len(known) == 1:
        ((name, identity),) = known.items()
        try:
            driver, answer = name, identity.check_at(device)
        except InstrumentError as error:
            driver, answer = None, str(error)
    elif known:
        # The question of one might mean something else to the other.
        answer = f"{NOT_ASKED}: it may be of {' or '.join(known)}"
    elif possible:
        others = "or of another device with its USB numbers"
        answer = f"{NOT_ASKED}: it may be of {', '.join(possible)}, {others}"
    description = "" if port.description == "n/a" else shown(port.description)
    return Found(device, shown(port.serial_number or ""), description, driver, answer)
