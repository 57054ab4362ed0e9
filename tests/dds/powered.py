"""A source that has powers in dBm, as synthesisers have, and no switch, ramps or tables."""

from __future__ import annotations

from artiq_link.dds.capabilities import Capabilities, Span
from artiq_link.dds.driver import Driver
from artiq_link.dds.types import Reading, Tone


class PoweredDriver(Driver):
    """Two channels with frequency and power, one written after the other."""

    model = "the synthesiser"
    simultaneous = False
    channels = (
        Capabilities(
            {"frequency": Span(0.0, 1e9, 1.0), "power": Span(-50.0, 20.0, 0.5)},
            output=False,
            phase_modes=("continuous",),
            reads=("frequency", "power", "activity"),
        ),
    ) * 2

    def __init__(self):
        self.tones = [Tone(1e6, power=-50.0), Tone(1e6, power=-50.0)]

    def open(self):
        pass

    def close(self):
        pass

    def read(self, channel):
        return Reading(self.tones[channel], output=True, activity="single_tone")

    def quantise(self, channel, tone):
        frequency, power = tone.frequency, tone.power
        return Tone(
            None if frequency is None else float(round(frequency)),
            power=None if power is None else round(power * 2) / 2,
        )

    def update(self, updates):
        for channel, update in updates.items():
            self.tones[channel] = self.quantise(channel, update.tone)
        return {channel: self.tones[channel] for channel in updates}
