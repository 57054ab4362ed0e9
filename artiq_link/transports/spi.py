"""SPI: a chip behind a select line of a serial port, and the pins that lead to it beside.

``spi:/dev/spidev0.0?io_update=24&reset=25`` is a port of Linux with lines of its GPIO, named or
numbered; ``ftdi://ftdi:232h/1?io_update=4&reset=5`` is an FTDI adapter, with bits of its own port.
Their libraries are imported when a port is opened.
"""

from __future__ import annotations

import contextlib
import importlib
import math
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from ..errors import HardwareLost, InstrumentError
from ..loggers import get_logger
from ..text import written
from .base import system_words
from .device_string import DeviceString, WrongDevice, parse_device

EXAMPLES = {
    "spi": "spi:/dev/spidev0.0?io_update=24&reset=25",
    "ftdi": "ftdi://ftdi:232h/1?io_update=4&reset=5",
}
"""A device string of each kind of port."""

SPEED = 5e6
"""Clock of the port in Hz unless the device string has a `speed`: slow enough for wires."""

MIN_SPEED, MAX_SPEED = 1e3, 50e6

GPIO_CHIP = "/dev/gpiochip0"
"""Where the lines of a `spi:` port are unless the device string has a `gpio`."""

FTDI_BITS = frozenset(map(str, range(4, 16)))
"""Bits of an FTDI adapter's port that it does not need for SPI with one select line."""

PULSED = frozenset({"io_update", "reset"})
"""Pins that rest at low, and act by a pulse."""

logger = get_logger(__name__)


class Spi(ABC):
    """One chip's port and pins. It is one thread's, that of the instrument.

    Opening it moves no pin, except that `io_update` and `reset` are brought to their resting
    level, low. It and the methods after it raise `HardwareLost` where the port does not work; the
    next use then opens it again.
    """

    def __init__(self, name: str, pins: frozenset[str]) -> None:
        self.name = name
        """What the device string says, such as ``spi:/dev/spidev0.0``."""
        self.pins = pins
        """The pins that are wired: ``io_update``, ``reset``, and those of the chip."""

    @abstractmethod
    def open(self) -> None:
        """Open the port."""

    @abstractmethod
    def close(self) -> None:
        """Close the port; the pins keep their levels as far as the hardware lets them."""

    @abstractmethod
    def transfer(self, data: bytes) -> bytes:
        """Select the chip, shift `data` out, MSB first, and return what came in meanwhile."""

    @abstractmethod
    def pulse(self, pin: str) -> None:
        """Take a pin to high and back to low."""

    @abstractmethod
    def level(self, pin: str) -> bool:
        """Whether a pin is high."""

    @abstractmethod
    def set_level(self, pin: str, high: bool) -> None:
        """Take a pin to high or low."""

    def io_update(self) -> None:
        """Have the chip take over what was written to it."""
        self.pulse("io_update")

    def reset(self) -> None:
        """Put the chip to its state after power-up."""
        self.pulse("reset")


class _Port(Spi):
    """A port of a library that raises OSErrors: it opens when used and closes when it fails."""

    def __init__(self, name: str, path: str, pins: Mapping[str, str], speed: float) -> None:
        super().__init__(name, frozenset(pins))
        self._path = path
        self._lines = pins
        self._speed = speed
        self._is_open = False

    def open(self) -> None:
        with self._words():
            self._prepare()

    def close(self) -> None:
        if self._is_open:
            self._is_open = False
            with contextlib.suppress(OSError):  # it was pulled out
                self._disconnect()

    def transfer(self, data: bytes) -> bytes:
        with self._words():
            self._prepare()
            heard = self._transfer(data)
        logger.info("%s: sent %s, received %s", self.name, data.hex(" "), heard.hex(" "))
        return heard

    def pulse(self, pin: str) -> None:
        with self._words():
            self._prepare()
            self._set(pin, True)
            # A call to the system takes microseconds: longer than any chip asks for.
            self._set(pin, False)
        logger.info("%s: pulsed %s", self.name, pin)

    def level(self, pin: str) -> bool:
        with self._words():
            self._prepare()
            return self._get(pin)

    def set_level(self, pin: str, high: bool) -> None:
        with self._words():
            self._prepare()
            self._set(pin, high)
        logger.info("%s: set %s to %s", self.name, pin, "high" if high else "low")

    @contextlib.contextmanager
    def _words(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            self.close()
            raise HardwareLost(f"{self.name}: {system_words(error)}") from error

    def _prepare(self) -> None:
        if not self._is_open:
            self._connect()
            self._is_open = True

    # What a library has; raises OSError.

    @abstractmethod
    def _connect(self) -> None: ...

    @abstractmethod
    def _disconnect(self) -> None: ...

    @abstractmethod
    def _transfer(self, data: bytes) -> bytes: ...

    @abstractmethod
    def _get(self, pin: str) -> bool: ...

    @abstractmethod
    def _set(self, pin: str, high: bool) -> None: ...


class LinuxSpi(_Port):
    """A port of Linux's spidev, in mode 0, with pins that are lines of a GPIO chip."""

    def __init__(self, path: str, pins: Mapping[str, str], speed: float, gpio: str) -> None:
        super().__init__(f"spi:{path}", path, pins, speed)
        self._gpio = gpio

    def _connect(self) -> None:
        spidev, gpiod = _library("spidev"), _library("gpiod")
        line = gpiod.line
        offsets: dict[str, int | str] = {
            pin: int(number) if number.isdecimal() else number
            for pin, number in self._lines.items()
        }
        with contextlib.ExitStack() as undo:
            port = spidev.SpiDev()
            port.open_path(self._path)
            undo.callback(port.close)
            port.mode = 0
            port.max_speed_hz = int(self._speed)
            # First as they are, to see the levels that they then go on with.
            lines = gpiod.request_lines(
                self._gpio,
                consumer="artiq-link",
                config={offset: gpiod.LineSettings() for offset in offsets.values()},
            )
            undo.callback(lines.release)
            levels = {
                pin: line.Value.INACTIVE if pin in PULSED else lines.get_value(offset)
                for pin, offset in offsets.items()
            }
            lines.reconfigure_lines(
                {
                    offset: gpiod.LineSettings(
                        direction=line.Direction.OUTPUT, output_value=levels[pin]
                    )
                    for pin, offset in offsets.items()
                }
            )
            undo.pop_all()
        self._port: Any = port
        self._requested: Any = lines
        self._offsets = offsets
        self._high, self._low = line.Value.ACTIVE, line.Value.INACTIVE

    def _disconnect(self) -> None:
        self._port.close()
        self._requested.release()

    def _transfer(self, data: bytes) -> bytes:
        return bytes(self._port.xfer2(list(data)))

    def _get(self, pin: str) -> bool:
        return bool(self._requested.get_value(self._offsets[pin]) == self._high)

    def _set(self, pin: str, high: bool) -> None:
        self._requested.set_value(self._offsets[pin], self._high if high else self._low)


class FtdiSpi(_Port):
    """An FTDI adapter with an MPSSE, in mode 0, select line 0; pins are bits of its port from 4.

    pyftdi's URLs say which adapter it is.
    """

    def __init__(self, url: str, pins: Mapping[str, str], speed: float) -> None:
        super().__init__(url, url, pins, speed)
        self._bits = {pin: 1 << int(bit) for pin, bit in pins.items()}

    def _connect(self) -> None:
        controller = _library("pyftdi.spi").SpiController()
        mask = sum(self._bits.values())
        try:
            controller.configure(self._path)
        except (_library("pyftdi.usbtools").UsbToolsError, ValueError) as error:
            # A ValueError tells of a missing libusb, too.
            raise OSError(str(error)) from error
        with contextlib.ExitStack() as undo:
            undo.callback(controller.close)
            gpio = controller.get_gpio()
            # They are inputs yet: outputs go on with the levels that they are held at.
            gpio.set_direction(mask, 0)
            held = gpio.read() & ~sum(self._bits.get(pin, 0) for pin in PULSED)
            gpio.set_direction(mask, mask)
            gpio.write(held)
            self._port: Any = controller.get_port(cs=0, freq=self._speed, mode=0)
            undo.pop_all()
        self._controller: Any = controller
        self._pins: Any = gpio
        self._levels = held

    def _disconnect(self) -> None:
        # `freeze` leaves the pins as they are, and with them what the chip does.
        self._controller.close(freeze=True)

    def _transfer(self, data: bytes) -> bytes:
        return bytes(self._port.exchange(data, len(data), duplex=True))

    def _get(self, pin: str) -> bool:
        return bool(self._levels & self._bits[pin])

    def _set(self, pin: str, high: bool) -> None:
        bit = self._bits[pin]
        levels = self._levels | bit if high else self._levels & ~bit
        self._pins.write(levels)
        self._levels = levels


def spi_to(
    device: str | Spi, pins: Sequence[str], numbers: Sequence[str] = ()
) -> tuple[Spi, Mapping[str, float]]:
    """The port of a device string, and what the string says of the chip; nothing is opened yet.

    A port is taken as it is.

    `pins` are those that the chip has, of which ``io_update`` must be given; `numbers` are names
    of numbers that the string may have for the chip's driver, such as its ``refclk``. Raises
    `WrongDevice` where there can be no such port.
    """
    if isinstance(device, Spi):
        return device, {}
    parsed = parse_device(device, EXAMPLES)
    is_ftdi = parsed.kind == "ftdi"
    parsed.check_options(*pins, *numbers, "speed", *([] if is_ftdi else ["gpio"]))
    options = parsed.options
    if "io_update" not in options:
        raise WrongDevice(
            f"{parsed} does not say where the chip's pin IO_UPDATE is: write such as "
            f"{EXAMPLES[parsed.kind]}"
        )
    wired = {pin: options[pin] for pin in pins if pin in options}
    for pin, line in wired.items():
        if not line:
            raise WrongDevice(f"{parsed}: {pin} has no line")
        if is_ftdi and line not in FTDI_BITS:
            raise WrongDevice(f"{parsed}: {pin}={line} is no free bit of the adapter, 4 to 15")
    if len(set(wired.values())) < len(wired):
        raise WrongDevice(f"{parsed}: two pins are on the same line")
    given = {name: _number(parsed, name) for name in (*numbers, "speed") if name in options}
    speed = given.pop("speed", SPEED)
    if not MIN_SPEED <= speed <= MAX_SPEED:
        raise WrongDevice(
            f"{parsed}: speed={options['speed']} is outside {written(MIN_SPEED)} to "
            f"{written(MAX_SPEED)} Hz"
        )
    if is_ftdi:
        return FtdiSpi(str(parsed), wired, speed), given
    return LinuxSpi(parsed.where, wired, speed, options.get("gpio", GPIO_CHIP)), given


def _library(name: str) -> Any:
    try:
        return importlib.import_module(name)
    except ImportError:
        package = name.partition(".")[0]
        raise InstrumentError(
            f"SPI ports need {package}: install it with 'python -m pip install {package}', or "
            "artiq-link with its extra 'spi'"
        ) from None


def _number(parsed: DeviceString, name: str) -> float:
    text = parsed.options[name]
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not math.isfinite(value):
        raise WrongDevice(f"{parsed}: {name}={text} is no number")
    return value
