"""The MOGLabs XRF's driver over a fake one, for the DDS's tests."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from unittest.mock import patch

from artiq_link.dds.types import Tone
from artiq_link.drivers import moglabs_xrf as module
from artiq_link.drivers.moglabs_xrf import FORMAT, PROTOCOL, MoglabsXrfDriver
from artiq_link.transports.fake import FakeTcp
from tests.drivers.fake_moglabs_xrf import FakeMoglabsXrf

QUESTION = re.compile(r"INFO|(FREQ|POW|PHASE|LIMIT|MODE|STATUS),\d")


class MoglabsXrfSource:
    slack: Mapping[str, float] = {"power": 0.05}
    """Its amplitude words are coarse at low powers: 1.7 dB at -50 dBm."""

    def __init__(self, fake: FakeTcp, device: FakeMoglabsXrf) -> None:
        # A table is played in another mode than a tone.
        self.driver = MoglabsXrfDriver(fake.device_string, switch_mode=True)
        self._device = device

    def tone(self, channel: int) -> Tone:
        now = self._device.channels[channel]
        return Tone(FORMAT.frequency(now.frequency), FORMAT.phase(now.phase), power=now.power)

    def changes(self) -> int:
        return len([each for each in self._device.commands if not QUESTION.fullmatch(each)])


@contextmanager
def moglabs_xrf() -> Iterator[MoglabsXrfSource]:
    device = FakeMoglabsXrf()
    for channel in device.channels:
        channel.signal = channel.amplifier = True
    # The fake's amplifier needs no time.
    protocol = replace(PROTOCOL, pauses={})
    with patch.object(module, "PROTOCOL", protocol), FakeTcp(device) as fake:
        yield MoglabsXrfSource(fake, device)
