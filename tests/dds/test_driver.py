"""What crosses the interface between the DDS and its drivers."""

from __future__ import annotations

import pytest

from artiq_link.dds.driver import Driver
from artiq_link.dds.types import Ramp
from artiq_link.errors import InstrumentError


class TonesOnly(Driver):
    """A driver that leaves out what it need not have."""

    channels = 1
    max_frequency = 1.0

    def quantise(self, tone):
        return tone

    def update(self, updates):
        pass

    def set_output(self, channel, on):
        pass

    def reset(self):
        pass

    def close(self):
        pass


RAMP = Ramp("frequency", 0.0, 1.0, 1.0)


@pytest.mark.parametrize(
    ("act", "sentence"),
    [
        (lambda d: d.plan_ramp(RAMP), "TonesOnly cannot make ramps"),
        (lambda d: d.ramp(0, RAMP, clear_phase=False), "TonesOnly cannot make ramps"),
        (lambda d: d.plan_table([]), "TonesOnly cannot play tables"),
        (lambda d: d.play(0, [], 1, clear_phase=False), "TonesOnly cannot play tables"),
        (lambda d: d.stop(0), "TonesOnly cannot stop: it has no ramps or tables"),
        (lambda d: d.waveform(0, 1, 1.0), "TonesOnly cannot tell the waveform of its output"),
    ],
)
def test_a_driver_says_what_it_has_not(act, sentence):
    with pytest.raises(InstrumentError, match=f"^{sentence}$"):
        act(TonesOnly())
