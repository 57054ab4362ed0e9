"""How a make of device is told from others: an ask that changes nothing, and what it answers."""

from __future__ import annotations

import re
from collections.abc import Iterable
from contextlib import closing
from dataclasses import dataclass

from ..errors import InstrumentError
from . import transport_to
from .base import Readable, Transport
from .protocol import Protocol


@dataclass(frozen=True, kw_only=True)
class Identity:
    """How one make is recognised."""

    name: str
    """The make, as in a sentence: ``Novatech 409B``."""
    protocol: Protocol
    ask: bytes
    """What it is asked; it must change nothing, whatever the device does at the time."""
    answer: re.Pattern[bytes]
    """What is found in its answer, and in no other make's."""
    usb: frozenset[tuple[int, int]] = frozenset()
    """Vendor's and product's USB numbers that its ports have, and no others, such as
    ``{(0x1234, 0x0001)}``.

    Without being told to, only such ports are asked, and those of `usb_text`: what is asked may
    mean something else to any other device.
    """
    shared_usb: frozenset[tuple[int, int]] = frozenset()
    """USB numbers that its ports have, and others have too: those of a chip that is in adapters
    for anything, such as FTDI's, or in devices for anything, such as a Pico. Such a port is not
    asked, but it is told what it may be."""
    usb_text: str | None = None
    """What stands in the name that its ports give of their maker or of themselves, and in no
    other make's."""

    def has_port(self, usb: tuple[int | None, int | None], texts: Iterable[str | None]) -> bool:
        """Whether a port with these USB numbers and names is one of this make, and no other's."""
        named = self.usb_text is not None and any(
            self.usb_text in text for text in texts if text is not None
        )
        return named or usb in self.usb

    def check(self, transport: Transport) -> str:
        """Ask, and return the answer.

        Raises `InstrumentError` where there is none, or another device's.
        """
        answer = transport.query(self.ask)
        if not self.answer.search(answer):
            raise InstrumentError(
                f"{transport.name} is no {self.name}: it answered '{Readable(answer)}' to "
                f"'{Readable(self.ask)}'"
            )
        return str(Readable(answer))

    def check_at(self, device: str) -> str:
        """Do as `check` for a device that nobody has open, and close it again.

        Raises `WrongDevice`, too.
        """
        with closing(transport_to(device, self.protocol)) as transport:
            transport.open()
            return self.check(transport)
