"""Drivers: the code that talks to one make of hardware each, and the one list of them."""

from __future__ import annotations

from importlib import import_module
from typing import NamedTuple, cast

from ..dds.driver import Driver
from ..transports.identity import Identity


class DriverEntry(NamedTuple):
    """One make of DDS, as ``--driver`` chooses it. Its module is imported when it is built."""

    module: str
    """The driver's module in this folder."""
    name: str
    """The driver's class. It is made without opening the hardware."""
    device: str | None = None
    """What ``--device`` is, such as ``"the serial port"``, and the class's one argument.

    None where there is no hardware, and the class takes none.
    """
    identity: Identity | None = None
    """How ``artiq-link devices`` recognises its hardware; None where it cannot."""
    example: str = ""
    """A device string of it."""

    def build(self, device: str | None = None) -> Driver:
        """Make the driver, of what is attached at `device`.

        Raises ValueError, with a sentence, for what cannot be such a device.
        """
        made = getattr(import_module(f"{__name__}.{self.module}"), self.name)
        return cast(Driver, made() if self.device is None else made(device))


SIMULATED = "simulated"

DRIVERS = {
    SIMULATED: DriverEntry("simulated", "SimulatedDriver"),
    "ad9910": DriverEntry(
        "ad9910.driver",
        "Ad9910Driver",
        device="the chip's SPI port with its pins",
        example="spi:/dev/spidev0.0?io_update=24&reset=25&drctl=26",
    ),
    "ad9959": DriverEntry(
        "ad9959.driver",
        "Ad9959Driver",
        device="the chip's SPI port with its pins",
        example="spi:/dev/spidev0.0?io_update=24&reset=25&refclk=25e6&multiplier=20",
    ),
    "flexdds_ng": DriverEntry(
        "flexdds_ng",
        "FlexDdsNgDriver",
        device="a slot's TCP port, 26000 and its number",
        example="tcp:192.168.0.45:26002",
    ),
}
"""The makes of DDS, by the names that ``--driver`` has for them."""
