"""Device strings of SPI ports, and what is said where there is none."""

from __future__ import annotations

import importlib.util
import re

import pytest

from artiq_link.errors import InstrumentError
from artiq_link.transports.device_string import WrongDevice
from artiq_link.transports.spi import FtdiSpi, LinuxSpi, spi_to

PINS = ("io_update", "reset", "drctl")


def test_a_port_of_linux():
    spi, numbers = spi_to(
        "spi:/dev/spidev0.1?io_update=24&drctl=GPIO5&refclk=25e6&speed=1e6&gpio=/dev/gpiochip4",
        PINS,
        ("refclk", "multiplier"),
    )
    assert isinstance(spi, LinuxSpi)
    assert spi.name == "spi:/dev/spidev0.1"
    assert spi.pins == {"io_update", "drctl"}
    assert numbers == {"refclk": 25e6}


def test_an_ftdi_adapter():
    spi, numbers = spi_to("ftdi://ftdi:232h:AB12/1?io_update=4&reset=15", PINS)
    assert isinstance(spi, FtdiSpi)
    assert spi.name == "ftdi://ftdi:232h:AB12/1"
    assert spi.pins == {"io_update", "reset"}
    assert numbers == {}


@pytest.mark.parametrize(
    ("device", "sentence"),
    [
        (
            "/dev/spidev0.0",
            "'/dev/spidev0.0' is no device: write such as "
            "spi:/dev/spidev0.0?io_update=24&reset=25 or ftdi://ftdi:232h/1?io_update=4&reset=5",
        ),
        (
            "spi:/dev/spidev0.0",
            "spi:/dev/spidev0.0 does not say where the chip's pin IO_UPDATE is: write such as "
            "spi:/dev/spidev0.0?io_update=24&reset=25",
        ),
        (
            "spi:/dev/spidev0.0?io_updat=24",
            "spi: has no option 'io_updat'; did you mean 'io_update'?",
        ),
        ("spi:/dev/spidev0.0?io_update=", "spi:/dev/spidev0.0: io_update has no line"),
        (
            "spi:/dev/spidev0.0?io_update=4&reset=4",
            "spi:/dev/spidev0.0: two pins are on the same line",
        ),
        (
            "spi:/dev/spidev0.0?io_update=4&speed=fast",
            "spi:/dev/spidev0.0: speed=fast is no number",
        ),
        ("spi:/dev/spidev0.0?io_update=4&speed=nan", "spi:/dev/spidev0.0: speed=nan is no number"),
        (
            "spi:/dev/spidev0.0?io_update=4&speed=1e9",
            "spi:/dev/spidev0.0: speed=1e9 is outside 1000 to 5e7 Hz",
        ),
        (
            "ftdi://ftdi:232h/1?io_update=3",
            "ftdi://ftdi:232h/1: io_update=3 is no free bit of the adapter, 4 to 15",
        ),
        (
            "ftdi://ftdi:232h/1?io_update=4&gpio=/dev/gpiochip0",
            "ftdi: has no option 'gpio'; there are io_update, reset, drctl, speed",
        ),
    ],
)
def test_what_is_no_port(device, sentence):
    with pytest.raises(WrongDevice, match=f"^{re.escape(sentence)}$"):
        spi_to(device, PINS)


@pytest.mark.parametrize(
    ("device", "library"),
    [
        ("spi:/dev/spidev_none?io_update=24", "spidev"),
        ("ftdi://ftdi:232h:NONE/1?io_update=4", "pyftdi"),
    ],
)
def test_a_port_that_is_not_there(device, library):
    """By the library's words where it is installed, and else by the name of its extra."""
    spi, _ = spi_to(device, PINS)
    if importlib.util.find_spec(library) is None:
        sentence = (
            f"SPI ports need {library}: install it with 'python -m pip install {library}', or "
            "artiq-link with its extra 'spi'"
        )
    else:
        sentence = f"{spi.name}: "
    for use in (spi.open, lambda: spi.transfer(b"\x00"), spi.io_update):
        with pytest.raises(InstrumentError, match=f"^{re.escape(sentence)}"):
            use()
    spi.close()
