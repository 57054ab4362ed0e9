"""Transports: lines to devices, and how one asks over them. Here is the one list of kinds.

Instruments and drivers import the names of `__all__` from here.
"""

from __future__ import annotations

from importlib import import_module
from typing import Any, NamedTuple

from .base import Transport
from .device_string import WrongDevice, parse_device
from .endings import Block, Ending, Exactly, Length, Line, Lines, LinesUntil, Silence
from .protocol import Protocol

__all__ = [
    "Block",
    "Ending",
    "Exactly",
    "Length",
    "Line",
    "Lines",
    "LinesUntil",
    "Protocol",
    "Silence",
    "Transport",
    "WrongDevice",
    "transport_to",
]


class Kind(NamedTuple):
    """A kind of line, as device strings begin with its name. Its module is imported when used."""

    module: str
    """The kind's module in this folder."""
    name: str
    """The kind's class. It is made of a `DeviceString` and a `Protocol`, and opens nothing."""
    example: str
    """A device string of this kind."""

    def load(self) -> Any:
        """The class."""
        return getattr(import_module(f"{__name__}.{self.module}"), self.name)


KINDS = {
    "serial": Kind("serial", "SerialTransport", "serial:/dev/ttyUSB0?baud=19200"),
    "tcp": Kind("tcp", "TcpTransport", "tcp:192.168.0.5:5025"),
    "visa": Kind("visa", "VisaTransport", "visa:TCPIP::192.168.0.5::INSTR"),
}
"""The kinds of lines, by the names that device strings begin with."""


def transport_to(device: str, protocol: Protocol) -> Transport:
    """The transport to the device that a string such as ``serial:COM3?baud=19200`` names.

    Nothing is opened yet: the first use does it, or `Transport.open`. Raises `WrongDevice` where
    there can be no such device.
    """
    parsed = parse_device(device, {name: kind.example for name, kind in KINDS.items()})
    made: Transport = KINDS[parsed.kind].load()(parsed, protocol)
    return made
