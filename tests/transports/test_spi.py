"""Device strings of SPI ports, and what is said where there is none."""

from __future__ import annotations

import importlib.util
import re
import sys
from dataclasses import dataclass
from enum import Enum
from types import SimpleNamespace

import pytest

from artiq_link.dds.types import Tone, Update
from artiq_link.drivers.ad9910.driver import Ad9910Driver
from artiq_link.errors import HardwareLost, InstrumentError
from artiq_link.transports.device_string import WrongDevice
from artiq_link.transports.spi import FtdiSpi, LinuxSpi, spi_to
from tests.drivers.fake_ad9910 import FakeAD9910

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


# Ports that are there: the libraries' classes need hardware, so these stand for them. They have
# what is used of spidev, gpiod and pyftdi, and lead to a chip.


class Board:
    """A chip on a port of Linux; lines have the levels that they were left at."""

    def __init__(self):
        self.chip = FakeAD9910("io_update", "drctl")
        self.levels = {24: Value.ACTIVE, "GPIO5": Value.ACTIVE}
        self.driven = {}
        self.broken = False
        self.opened = 0

    def modules(self):
        board = self

        class SpiDev:
            def open_path(self, path):
                if path != "/dev/spidev0.1":
                    raise FileNotFoundError(2, "No such file or directory")
                board.opened += 1

            def xfer2(self, data):
                if board.broken:
                    raise OSError(108, "Cannot send after transport endpoint shutdown")
                return list(board.chip.transfer(bytes(data)))

            def close(self):
                pass

        class Lines:
            def get_value(self, line):
                return board.levels[line]

            def reconfigure_lines(self, config):
                for line, settings in config.items():
                    assert settings.direction is Direction.OUTPUT
                    self.set_value(line, settings.output_value)
                    board.driven[line] = settings.output_value

            def set_value(self, line, value):
                rises = board.levels[line] is Value.INACTIVE and value is Value.ACTIVE
                board.levels[line] = value
                if line == 24 and rises:
                    board.chip.pulse("io_update")

            def release(self):
                pass

        def request_lines(path, consumer, config):
            assert path == "/dev/gpiochip0"
            assert all(settings.direction is Direction.AS_IS for settings in config.values())
            return Lines()

        gpiod = SimpleNamespace(
            line=SimpleNamespace(Value=Value, Direction=Direction),
            LineSettings=LineSettings,
            request_lines=request_lines,
        )
        return {"spidev": SimpleNamespace(SpiDev=SpiDev), "gpiod": gpiod}


Value = Enum("Value", ["INACTIVE", "ACTIVE"])
Direction = Enum("Direction", ["AS_IS", "OUTPUT"])


@dataclass
class LineSettings:
    direction: Direction = Direction.AS_IS
    output_value: Value = Value.INACTIVE


@pytest.fixture
def board(monkeypatch):
    board = Board()
    for name, module in board.modules().items():
        monkeypatch.setitem(sys.modules, name, module)
    return board


def test_opening_a_port_moves_no_level_and_brings_pulsed_pins_to_rest(board):
    """A level goes on as it was found; IO_UPDATE acts by its rising edge, and falls."""
    spi, _ = spi_to("spi:/dev/spidev0.1?io_update=24&drctl=GPIO5", PINS)
    spi.open()
    assert board.driven == {24: Value.INACTIVE, "GPIO5": Value.ACTIVE}
    assert spi.level("drctl")
    assert board.chip.updates == 0
    spi.io_update()
    assert board.chip.updates == 1
    spi.set_level("drctl", False)
    assert not spi.level("drctl")
    spi.close()


def test_a_port_that_fails_is_opened_again_by_the_next_use(board):
    spi, _ = spi_to("spi:/dev/spidev0.1?io_update=24&drctl=GPIO5", PINS)
    spi.transfer(b"\x80")
    board.broken = True
    sentence = r"^spi:/dev/spidev0\.1: Cannot send after transport endpoint shutdown$"
    with pytest.raises(InstrumentError, match=sentence):
        spi.transfer(b"\x00")
    board.broken = False
    assert spi.transfer(bytes(5))
    assert board.opened == 2


def test_a_port_that_does_not_exist_is_told_by_the_system_s_words(board):
    spi, _ = spi_to("spi:/dev/spidev9.9?io_update=24", PINS)
    with pytest.raises(HardwareLost, match=r"^spi:/dev/spidev9\.9: No such file or directory$"):
        spi.open()


def test_a_driver_over_a_port_of_linux(board):
    driver = Ad9910Driver("spi:/dev/spidev0.1?io_update=24&drctl=GPIO5")
    driver.open()
    driver.update({0: Update(Tone(80e6, 0.25, 0.5), ("frequency", "phase", "amplitude"))})
    assert board.chip.output() == (0x147AE148, 0x4000, 0x2000)
    driver.close()


class Adapter:
    """A chip on an FTDI adapter, whose pins are inputs until they are outputs."""

    def __init__(self):
        self.chip = FakeAD9910("io_update", "drctl")
        self.outside = 0x30
        """Levels at which pins are held from outside while they are inputs."""
        self.out = None
        self.direction = 0
        self.frozen = False

    def modules(self):
        adapter = self

        class Gpio:
            def set_direction(self, pins, direction):
                self.mask, self.outputs = pins, pins & direction

            def read(self):
                return adapter.outside & self.mask & ~self.outputs

            def write(self, value):
                if value & ~self.outputs:
                    raise OSError("No such GPIO pins")
                before = adapter.outside if adapter.out is None else adapter.out
                adapter.out = value
                if value & ~before & 0x10:
                    adapter.chip.pulse("io_update")

        class Port:
            def exchange(self, data, length, duplex):
                assert duplex
                assert length == len(data)
                return adapter.chip.transfer(data)

        class SpiController:
            def configure(self, url):
                if url != "ftdi://ftdi:232h/1":
                    raise UsbToolsError("No USB device matches URL")

            def get_gpio(self):
                return Gpio()

            def get_port(self, cs, freq, mode):
                assert (cs, freq, mode) == (0, 1e6, 0)
                return Port()

            def close(self, freeze=False):
                adapter.frozen = freeze

        class UsbToolsError(Exception):
            pass

        return {
            "pyftdi": SimpleNamespace(),
            "pyftdi.spi": SimpleNamespace(SpiController=SpiController),
            "pyftdi.usbtools": SimpleNamespace(UsbToolsError=UsbToolsError),
        }


@pytest.fixture
def adapter(monkeypatch):
    adapter = Adapter()
    for name, module in adapter.modules().items():
        monkeypatch.setitem(sys.modules, name, module)
    return adapter


def test_a_driver_over_an_ftdi_adapter(adapter):
    driver = Ad9910Driver("ftdi://ftdi:232h/1?io_update=4&drctl=5&speed=1e6")
    driver.open()
    assert adapter.out == 0x20
    assert adapter.chip.updates == 0
    driver.update({0: Update(Tone(80e6, 0.25, 0.5), ("frequency", "phase", "amplitude"))})
    assert adapter.chip.output() == (0x147AE148, 0x4000, 0x2000)
    assert adapter.out == 0x20
    driver.close()
    assert adapter.frozen


def test_an_adapter_that_is_not_there(adapter):
    spi, _ = spi_to("ftdi://ftdi:232h:NONE/1?io_update=4", PINS)
    sentence = r"^ftdi://ftdi:232h:NONE/1: No USB device matches URL$"
    with pytest.raises(InstrumentError, match=sentence):
        spi.open()
