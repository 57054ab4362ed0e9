"""The drivers that the suite in test_every_driver.py runs on, each over hardware or a fake of it.

A driver's author adds a line to `SOURCES`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from functools import partial
from typing import Protocol

import msgspec

from artiq_link.dds.driver import Driver
from artiq_link.dds.types import Tone
from artiq_link.drivers.simulated import SimulatedDriver
from tests.dds.powered import PoweredDriver
from tests.drivers.fake_scpi import GENERATORS
from tests.drivers.scpi_sources import scpi
from tests.drivers.windfreak_source import windfreak_synthhd


class Source(Protocol):
    """Hardware, and the driver for it."""

    driver: Driver
    """Not opened. It may be opened, closed and opened again, as programs come and go.

    Where it answers in fewer digits than it has, the source's ``slack`` tells how much of a value
    gets lost, by parameters.
    """

    def tone(self, channel: int) -> Tone:
        """What the channel puts out, as the hardware has it and not as the driver says."""

    def changes(self) -> int:
        """How often anything that it puts out was written. Questions do not count."""


class SimulatedSource:
    """The simulation, which is its own hardware."""

    def __init__(self, **can) -> None:
        self.writes = []
        self.driver = SimulatedDriver(record=self.writes.append)
        self.driver.channels = [
            msgspec.structs.replace(each, **can) for each in self.driver.channels
        ]

    def tone(self, channel):
        return self.driver.format.tone(self.driver.words(channel))

    def changes(self):
        return len(self.writes)


class PoweredSource:
    """A source with powers, one channel after the other."""

    def __init__(self) -> None:
        self.driver = CountedDriver()

    def tone(self, channel):
        return self.driver.tones[channel]

    def changes(self):
        return self.driver.count


class CountedDriver(PoweredDriver):
    count = 0

    def update(self, updates):
        self.count += 1
        return super().update(updates)


@contextmanager
def simulated() -> Iterator[Source]:
    """All that a DDS can do."""
    yield SimulatedSource()


@contextmanager
def unreadable() -> Iterator[Source]:
    """The same without a way to read it, and with whole tones alone: FlexDDS is such."""
    yield SimulatedSource(reads=(), whole_tones=True)


@contextmanager
def plain() -> Iterator[Source]:
    """The same without switch, ramps, tables and a cleared phase."""
    yield SimulatedSource(output=False, ramps=(), tables=None, phase_modes=("continuous",))


@contextmanager
def powered() -> Iterator[Source]:
    """As synthesisers are."""
    yield PoweredSource()


SOURCES: Mapping[str, Callable[[], AbstractContextManager[Source]]] = {
    "simulated": simulated,
    "simulated, unreadable": unreadable,
    "simulated, plain": plain,
    "powered": powered,
    **{f"scpi, {make}": partial(scpi, make) for make in GENERATORS},
    "windfreak_synthhd": windfreak_synthhd,
}
"""By the names that ``--driver`` has for them, or with a comma behind those."""
