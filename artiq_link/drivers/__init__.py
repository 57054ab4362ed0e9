"""Drivers: the code that talks to one make of hardware each, and the one list of them."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from importlib import import_module
from typing import Any, NamedTuple, cast

from ..dds.driver import Driver
from ..transports import Protocol
from ..transports.endings import Line, Silence
from ..transports.identity import Identity


class DriverOption(NamedTuple):
    """One more thing that a driver is told on the command line, by its class's argument."""

    help: str
    """What it is, such as ``"the generator's make"``."""
    convert: Callable[[str], Any] = str
    """Makes the argument of its text, or raises ValueError."""
    required: bool = False


class DriverEntry(NamedTuple):
    """One make of DDS, as ``--driver`` chooses it. Its module is imported when it is built."""

    module: str
    """The driver's module in this folder."""
    name: str
    """The driver's class. It is made without opening the hardware."""
    device: str | None = None
    """What ``--device`` is, such as ``"the serial port"``, and the class's first argument.

    None where there is no hardware, and the class takes none.
    """
    identity: Identity | None = None
    """How ``artiq-link devices`` recognises its hardware; None where it cannot."""
    example: str = ""
    """A device string of it."""
    options: Mapping[str, DriverOption] = {}
    """Its other options, by the names of the class's arguments."""

    def build(self, device: str | None = None, **options: Any) -> Driver:
        """Make the driver, of what is attached at `device`.

        Raises ValueError, with a sentence, where there can be no such device.
        """
        made = getattr(import_module(f"{__name__}.{self.module}"), self.name)
        where = [] if self.device is None else [device]
        return cast(Driver, made(*where, **options))


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
    "scpi": DriverEntry(
        "scpi",
        "ScpiDriver",
        device="the generator",
        example="tcp:192.168.0.5 or serial:COM3?baud=9600",
        options={
            "profile": DriverOption("the generator's make, such as keysight_33500", required=True),
        },
    ),
    "windfreak_synthhd": DriverEntry(
        "windfreak_synthhd",
        "WindfreakDriver",
        device="its serial port",
        identity=Identity(
            name="SynthHD",
            protocol=Protocol(),
            ask=b"+",
            answer=re.compile(rb"\bSynthHD"),
            # As a SynthUSB2 is named, which is asked the same; the SynthHD's is unconfirmed.
            usb_text="Windfreak",
        ),
        example="serial:/dev/ttyACM0",
        options={
            "spacing": DriverOption(
                "the channel spacing in Hz that is set with frequencies", float
            )
        },
    ),
    "dds_sweeper": DriverEntry(
        "dds_sweeper.driver",
        "DdsSweeperDriver",
        device="its USB port",
        identity=Identity(
            name="dds-sweeper",
            protocol=Protocol(baud=115200),
            ask=b"board\n",
            answer=re.compile(rb"\Apico\d*\s*\Z"),
            # Any Pico's with a serial port (the firmware's USB descriptors, for both Picos).
            shared_usb=frozenset({(0x2E8A, 0x000A)}),
        ),
        example="serial:/dev/ttyACM0",
    ),
    "moglabs_xrf": DriverEntry(
        "moglabs_xrf",
        "MoglabsXrfDriver",
        device="its address, or its USB port",
        # What USB numbers it has nobody has told yet.
        identity=Identity(
            name="MOGLabs XRF",
            protocol=Protocol(ending=Line(b"\r\n"), port=7802, baud=115200),
            ask=b"FREQ,1\r\n",
            answer=re.compile(rb"\bMHz *\(0x[0-9a-f]{1,8}\)", re.IGNORECASE),
        ),
        example="tcp:192.168.0.7",
    ),
    "novatech_409b": DriverEntry(
        "novatech_409b",
        "Novatech409bDriver",
        device="its serial port",
        identity=Identity(
            name="Novatech 409B",
            # Five lines, or six where it echoes.
            protocol=Protocol(ending=Silence(0.1, b"\n"), baud=19200),
            ask=b"QUE\r\n",
            answer=re.compile(
                rb"([0-9A-F]{8}( [0-9A-F]{4}){3}( [0-9A-F]{8}){2} [0-9A-F]{6}\s+){4}"
            ),
            # FTDI's, as in most adapters for RS-232.
            shared_usb=frozenset({(0x0403, 0x6001)}),
        ),
        example="serial:/dev/ttyUSB0",
    ),
}
"""The makes of DDS, by the names that ``--driver`` has for them."""
