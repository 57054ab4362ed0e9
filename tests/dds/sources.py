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
from artiq_link.drivers.ad9910.driver import Ad9910Driver
from artiq_link.drivers.ad9959.driver import Ad9959Driver
from artiq_link.drivers.flexdds_ng import FlexDdsNgDriver
from artiq_link.drivers.simulated import SimulatedDriver
from artiq_link.drivers.words import ToneWords
from artiq_link.transports.fake import FakeTcp
from tests.dds.powered import PoweredDriver
from tests.drivers.dds_sweeper_source import dds_sweeper
from tests.drivers.fake_ad9910 import FakeAD9910
from tests.drivers.fake_ad9959 import FakeAD9959
from tests.drivers.fake_flexdds_ng import FakeFlexDdsNg
from tests.drivers.fake_scpi import GENERATORS
from tests.drivers.moglabs_xrf_source import moglabs_xrf
from tests.drivers.novatech_409b_source import novatech_409b
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


class Ad9910Source:
    """A chip that is computed from its registers, and has been set up once."""

    def __init__(self) -> None:
        self.chip = FakeAD9910()
        self.driver = Ad9910Driver(self.chip, clock=lambda: (self.chip.cycle, 10**9))
        self.driver.open()
        self.driver.reset()

    def tone(self, channel):
        return self.driver.format.tone(ToneWords(*self.chip.output()))

    def changes(self):
        return self.chip.updates


class Ad9959Source:
    """The same with four channels."""

    def __init__(self) -> None:
        self.chip = FakeAD9959()
        self.driver = Ad9959Driver(self.chip, clock=lambda: (self.chip.cycle, 500_000_000))
        self.driver.open()
        self.driver.reset()

    def tone(self, channel):
        return self.driver.format.tone(ToneWords(*self.chip.output(channel)[:3]))

    def changes(self):
        return self.chip.updates


class FlexDdsSource:
    """Two chips behind lines of text."""

    def __init__(self, fake: FakeTcp, device: FakeFlexDdsNg) -> None:
        self.chips = device.chips
        clock = lambda: (device.chips[0].cycle, 10**9)  # noqa: E731
        self.driver = FlexDdsNgDriver(fake.device_string, slot=0, clock=clock)

    def tone(self, channel):
        return self.driver.format.tone(ToneWords(*self.chips[channel].output()))

    def changes(self):
        return sum(chip.updates for chip in self.chips)


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


@contextmanager
def ad9910() -> Iterator[Source]:
    """By its registers."""
    yield Ad9910Source()


@contextmanager
def ad9959() -> Iterator[Source]:
    """By its registers."""
    yield Ad9959Source()


@contextmanager
def flexdds_ng() -> Iterator[Source]:
    """Over TCP."""
    device = FakeFlexDdsNg()
    with FakeTcp(device) as fake:
        yield FlexDdsSource(fake, device)


SOURCES: Mapping[str, Callable[[], AbstractContextManager[Source]]] = {
    "simulated": simulated,
    "simulated, unreadable": unreadable,
    "simulated, plain": plain,
    "powered": powered,
    "ad9910": ad9910,
    "ad9959": ad9959,
    "flexdds_ng": flexdds_ng,
    **{f"scpi, {make}": partial(scpi, make) for make in GENERATORS},
    "windfreak_synthhd": windfreak_synthhd,
    "dds_sweeper": dds_sweeper,
    "moglabs_xrf": moglabs_xrf,
    "novatech_409b": novatech_409b,
}
"""By the names that ``--driver`` has for them, or with a comma behind those."""
