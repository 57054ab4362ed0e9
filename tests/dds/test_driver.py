"""What crosses the interface between the DDS and its drivers."""

from __future__ import annotations

import pytest

from artiq_link.dds.capabilities import Capabilities, Span
from artiq_link.dds.driver import Driver
from artiq_link.dds.types import Ramp, Reading, Tone
from artiq_link.errors import InstrumentError


class TonesOnly(Driver):
    """A driver that leaves out what it need not have."""

    model = "the plain source"
    channels = (Capabilities({"frequency": Span(0.0, 1.0)}),)

    def open(self):
        pass

    def close(self):
        pass

    def read(self, channel):
        return Reading()

    def quantise(self, channel, tone):
        return tone

    def update(self, updates):
        return {channel: update.tone for channel, update in updates.items()}


RAMP = Ramp("frequency", 0.0, 1.0, 1.0)


@pytest.mark.parametrize(
    ("act", "sentence"),
    [
        (lambda d: d.plan_ramp(0, RAMP), "the plain source cannot make ramps"),
        (
            lambda d: d.ramp(0, RAMP, Tone(), clear_phase=False),
            "the plain source cannot make ramps",
        ),
        (lambda d: d.plan_table(0, [], 1), "the plain source cannot play tables"),
        (lambda d: d.play(0, [], 1, clear_phase=False), "the plain source cannot play tables"),
        (lambda d: d.set_output(0, True), "the plain source cannot switch its outputs"),
        (lambda d: d.reset(), "the plain source cannot be reset"),
        (lambda d: d.stop(0), "the plain source cannot stop: it has no ramps or tables"),
        (
            lambda d: d.waveform(0, 1, 1.0),
            "the plain source cannot tell the waveform of its output",
        ),
    ],
)
def test_a_driver_says_what_it_has_not(act, sentence):
    with pytest.raises(InstrumentError, match=f"^{sentence}$"):
        act(TonesOnly())


def test_a_driver_describes_what_it_is_and_can_do():
    assert TonesOnly().describe() == {
        "model": "the plain source",
        "identity": "",
        "simultaneous": True,
        "channels": [
            {
                "parameters": {"frequency": {"lowest": 0.0, "highest": 1.0, "step": None}},
                "ramps": (),
                "tables": None,
                "output": True,
                "phase_modes": ("continuous", "absolute"),
                "whole_tones": False,
                "reads": (),
            }
        ],
    }
