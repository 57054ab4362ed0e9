"""The Novatech 409B's driver over a fake one, for the DDS's tests."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from unittest.mock import patch

from artiq_link.dds.types import Tone
from artiq_link.drivers import novatech_409b as module
from artiq_link.drivers.novatech_409b import FULL_SCALE, PROTOCOL, TURN, Novatech409bDriver
from artiq_link.transports.fake import FakeSerial
from tests.drivers.fake_novatech_409b import FakeNovatech409b


class Novatech409bSource:
    def __init__(self, fake: FakeSerial, device: FakeNovatech409b) -> None:
        self.driver = Novatech409bDriver(fake.device_string)
        self._device = device

    def tone(self, channel: int) -> Tone:
        frequency, phase, amplitude = self._device.output[channel]
        return Tone(frequency / 10, phase / TURN, amplitude / FULL_SCALE)

    def changes(self) -> int:
        return len([command for command in self._device.commands if command != "QUE"])


@contextmanager
def novatech_409b() -> Iterator[Novatech409bSource]:
    device = FakeNovatech409b()
    # The fake needs none of its pauses.
    protocol = replace(PROTOCOL, pauses={})
    with patch.object(module, "PROTOCOL", protocol), FakeSerial(device) as fake:
        yield Novatech409bSource(fake, device)
