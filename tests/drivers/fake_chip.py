"""The port of a fake chip: its pins, and its bytes with the time that they take."""

from __future__ import annotations

from abc import abstractmethod

from artiq_link.transports.spi import Spi

CYCLES_PER_BYTE = 40
"""Of the chip's system clock. The port is faster than any real one, so that tests are."""


class FakeChip(Spi):
    """A chip at the end of lines; `cycle` is its system clock's, moved on by `run`.

    `pins` are the names of the lines that are wired. A chip makes itself ready before it calls
    this class's `__init__`, which has its power come.
    """

    def __init__(self, name: str, pins: frozenset[str], floating: int) -> None:
        super().__init__(f"fake:{name}", pins)
        self.floating = floating
        """What the port reads while nobody drives its line."""
        self.powered = True
        self.cycle = 0
        self.levels = dict.fromkeys(self.pins, False)
        self.updates = 0
        """I/O updates since it was made."""
        self.updated_at = 0
        """The cycle of the last one."""
        self.power_cycle()

    def open(self) -> None:
        pass

    def close(self) -> None:
        pass

    def transfer(self, data: bytes) -> bytes:
        heard = bytearray()
        for byte in data:
            heard.append(self._shift(byte) if self.powered else self.floating)
            self.run(CYCLES_PER_BYTE)
        return bytes(heard)

    def pulse(self, pin: str) -> None:
        assert pin in self.pins, pin
        if self.powered and pin == "reset":
            self._master_reset()
        elif self.powered and pin == "io_update":
            self.run(-self.cycle % 4)  # it comes with an edge of SYNC_CLK
            self.updates += 1
            self.updated_at = self.cycle
            self._io_update()

    def level(self, pin: str) -> bool:
        return self.levels[pin]

    def set_level(self, pin: str, high: bool) -> None:
        assert pin in self.pins, pin
        if self.levels[pin] != high:
            self.levels[pin] = high
            self._level_changed(pin)

    @abstractmethod
    def power_cycle(self) -> None:
        """Lose everything."""

    @abstractmethod
    def run(self, cycles: int) -> None:
        """Let so many cycles of the system clock pass."""

    @abstractmethod
    def _shift(self, byte: int) -> int:
        """One byte in, one byte out."""

    @abstractmethod
    def _master_reset(self) -> None:
        """The pin RESET was pulsed."""

    @abstractmethod
    def _io_update(self) -> None:
        """What was written takes effect."""

    @abstractmethod
    def _level_changed(self, pin: str) -> None:
        """A pin has another level."""
