"""The SynthHD's driver over a fake one, for the DDS's tests."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from artiq_link.dds.types import Tone
from artiq_link.drivers.windfreak_synthhd import PHASE_STEPS, WindfreakDriver
from artiq_link.transports.fake import FakeSerial
from tests.drivers.fake_windfreak_synthhd import SynthHD, without_questions


class WindfreakSource:
    def __init__(self, fake: FakeSerial, synth: SynthHD) -> None:
        self.driver = WindfreakDriver(fake.device_string)
        self._fake, self._synth = fake, synth

    def tone(self, channel: int) -> Tone:
        now = self._synth.synthesisers[channel]
        phase = round(now.phase * PHASE_STEPS / 360) % PHASE_STEPS / PHASE_STEPS
        return Tone(frequency=now.frequency, phase=phase, power=now.power)

    def changes(self) -> int:
        return len(without_questions(self._fake.heard))


@contextmanager
def windfreak_synthhd() -> Iterator[WindfreakSource]:
    synth = SynthHD()
    for each in synth.synthesisers:
        each.strongest = 20.0
    with FakeSerial(synth) as fake:
        yield WindfreakSource(fake, synth)
