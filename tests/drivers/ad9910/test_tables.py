"""Tables whose tones and dwell times lie on the AD9910's grid."""

from __future__ import annotations

from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from artiq_link.dds.types import Row, Tone
from artiq_link.drivers.ad9910.tables import plan_table
from artiq_link.drivers.words import WordFormat
from artiq_link.errors import OutOfRange

AD9910 = WordFormat(1e9, 32, 16, 14)


@pytest.mark.parametrize(
    ("asked", "achieved"), [(4e-9, 4e-9), (5.9e-9, 4e-9), (6.1e-9, 8e-9), (1.0, 1.0)]
)
def test_dwell_times_lie_on_the_chip_s_grid(asked, achieved):
    [row] = plan_table(AD9910, [Row(Tone(80e6), asked)])
    assert row == Row(Tone(80000000.0745058), achieved)
    assert plan_table(AD9910, [row]) == [row]


@given(st.sampled_from([1e9, 122.88e6, 1e9 / 3]), st.floats(1e-7, 1000.0))
def test_dwell_times_agree_with_rational_arithmetic(sysclk, dwell):
    tick = 4 / Fraction(sysclk)
    [row] = plan_table(WordFormat(sysclk, 32, 16, 14), [Row(Tone(), dwell)])
    assert row.dwell == float(round(Fraction(dwell) / tick) * tick)


@pytest.mark.parametrize(
    ("rows", "where", "sentence"),
    [
        (
            [Row(Tone(), 40e-9), Row(Tone(), 1e-9)],
            "steps[1].dwell",
            "steps[1].dwell: 1e-9 s is below the table's limit of 4e-9 s",
        ),
        (
            [Row(Tone(), 5000.0)],
            "steps[0].dwell",
            "steps[0].dwell: 5000 s is above the table's limit of 4398.046511104 s",
        ),
        ([Row(Tone(), 1.0)] * 1026, "steps", "steps: 1026 steps are more than the table's 1024"),
    ],
)
def test_tables_that_the_chip_cannot_play(rows, where, sentence):
    with pytest.raises(OutOfRange) as refusal:
        plan_table(AD9910, rows)
    assert str(refusal.value) == sentence
    assert refusal.value.where == where
