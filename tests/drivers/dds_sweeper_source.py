"""The dds-sweeper's driver over a fake one, for the DDS's tests."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from artiq_link.dds.types import Tone
from artiq_link.drivers.dds_sweeper.driver import DdsSweeperDriver
from artiq_link.drivers.words import ToneWords
from artiq_link.transports.fake import FakeSerial
from tests.drivers.fake_dds_sweeper import FakeDdsSweeper

QUESTIONS = {"version", "board", "status", "clkstatus", "getmode", "numtriggers"}


class DdsSweeperSource:
    def __init__(self, fake: FakeSerial, device: FakeDdsSweeper) -> None:
        self.driver = DdsSweeperDriver(
            fake.device_string, clock=lambda: (device.chip.cycle, 500_000_000)
        )
        self._device = device

    def tone(self, channel: int) -> Tone:
        return self.driver.format.tone(ToneWords(*self._device.words(channel)))

    def changes(self) -> int:
        return len([each for each in self._device.commands if each not in QUESTIONS])


@contextmanager
def dds_sweeper() -> Iterator[DdsSweeperSource]:
    device = FakeDdsSweeper()
    with FakeSerial(device) as fake:
        yield DdsSweeperSource(fake, device)
