"""Ramps in the words of the AD9910's ramp generator, and what is told of them."""

from __future__ import annotations

from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from artiq_link.dds.types import Ramp, Tone
from artiq_link.drivers.ad9910.ramps import (
    plan_ramp,
    ramp_rate,
    ramp_shift,
    ramp_steps,
    ramp_words,
)
from artiq_link.drivers.words import WordFormat
from artiq_link.errors import OutOfRange

AD9910 = WordFormat(1e9, 32, 16, 14)


def test_ramps_count_in_the_width_of_the_tuning_word():
    parameters = ("frequency", "phase", "amplitude")
    assert [ramp_shift(AD9910, name) for name in parameters] == [0, 16, 18]


@pytest.mark.parametrize(
    "ramp",
    [
        Ramp("frequency", 80e6, 180e6, 1e-6),
        Ramp("frequency", 180e6, 80e6, 1.3e-6),
        Ramp("frequency", 100.0, 300.0, 1.2e-6),
        Ramp("phase", 0.0, 0.75, 1e-6),
        Ramp("phase", 0.9, 0.1, 0.7e-6),
        Ramp("amplitude", 0.8, 0.3, 1e-6),
    ],
    ids=str,
)
def test_planned_ramp_is_what_is_made(ramp):
    plan, words = plan_ramp(AD9910, ramp), ramp_words(AD9910, ramp)
    scale = {"frequency": 1e9 / 2**32, "phase": 2**-32, "amplitude": 2**-18 / 0x3FFF}
    sign = 1 if ramp.stop > ramp.start else -1
    assert plan["parameter"] == ramp.parameter
    ends = [AD9910.quantise(Tone(**{ramp.parameter: end})) for end in (ramp.start, ramp.stop)]
    assert [plan["start"], plan["stop"]] == [getattr(end, ramp.parameter) for end in ends]
    assert plan["step"] == pytest.approx(sign * words.step * scale[ramp.parameter], rel=1e-15)
    assert plan["step_time"] == pytest.approx(4e-9 * words.period, rel=1e-15)
    assert plan["duration"] == pytest.approx(plan["steps"] * plan["step_time"], rel=1e-15)
    assert plan["duration"] == pytest.approx(ramp.duration, abs=plan["step_time"])
    last = plan["stop"] - (plan["start"] + (plan["steps"] - 1) * plan["step"])
    assert 0 < sign * last <= sign * plan["step"] * (1 + 1e-9)


@pytest.mark.parametrize(
    ("ramp", "where", "sentence"),
    [
        (
            Ramp("frequency", 80e6, 80e6 + 0.1, 1.0),
            "stop",
            "stop: 8.00000001e7 Hz is the same as start in the chip's words: "
            "there is nothing to ramp",
        ),
        (
            Ramp("frequency", 80e6, 81e6, 1e-9),
            "duration",
            "duration: 1e-9 s is below the ramp's limit of 4e-9 s",
        ),
        (
            Ramp("frequency", 0.0, 1.0, 1.0),
            "duration",
            "duration: 1 s is above the ramp's limit of 0.00104856 s",
        ),
        (
            Ramp("phase", -0.25, 0.5, 1.0),
            "start",
            "start: -0.25 turns is below the ramp's limit of 0 turns",
        ),
        (
            Ramp("phase", 0.0, 1.0, 1.0),
            "stop",
            "stop: 1 turns is above the ramp's limit of 0.9999847412109375 turns",
        ),
    ],
)
def test_ramps_that_the_chip_cannot_make(ramp, where, sentence):
    with pytest.raises(OutOfRange) as refusal:
        plan_ramp(AD9910, ramp)
    assert str(refusal.value) == sentence
    assert refusal.value.where == where


@pytest.mark.parametrize(
    ("difference", "ticks", "rate"),
    [
        (1000, 1000, (1, 1)),
        (100, 3, (34, 1)),
        (700, 980, (5, 7)),
        (7, 1010, (1, 144)),
        (1, 65535, (1, 65535)),
        (429496730, 250000, (1718, 1)),
        (5, 1, (5, 1)),
    ],
)
def test_ramp_rate(difference, ticks, rate):
    """Steps are as short as the duration allows: one long step is no ramp."""
    assert ramp_rate(difference, Fraction(ticks), 65535) == rate


@given(st.integers(1, 2**32 - 1), st.integers(1, 65535), st.data())
def test_ramp_rate_is_nearly_the_best_of_all(difference, longest, data):
    """No other has a sum of duration error and half a step that is less by a third of the ramp."""
    # Small periods only, so that all of them can be tried.
    longest = min(longest, 40)
    ticks = Fraction(data.draw(st.integers(1, min(difference * longest, 10**6))))
    step, period = ramp_rate(difference, ticks, longest)
    assert 1 <= period <= longest
    assert step >= 1

    def cost(step, period):
        return 2 * abs(ramp_steps(difference, step) * period - ticks) + period

    slope = difference / ticks
    others = [
        cost(max(1, near), other)
        for other in range(1, longest + 1)
        for near in (int(slope * other), int(slope * other) + 1)
    ]
    assert cost(step, period) - min(others) <= ticks / 3 + 2
