"""Tables in the words of the AD9910's RAM."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from artiq_link.dds.types import Row, Tone
from artiq_link.drivers.ad9910.ram import MAX_TICKS, plan_table, ram_table
from artiq_link.drivers.words import WordFormat
from artiq_link.errors import OutOfRange

AD9910 = WordFormat(1e9, 32, 16, 14)


def rows(*steps):
    """Rows of frequency in MHz, phase, amplitude, and ticks."""
    return [Row(Tone(mhz * 1e6, phase, part), ticks * 4e-9) for mhz, phase, part, ticks in steps]


def test_a_word_lasts_what_all_dwells_have_in_common():
    table = ram_table(AD9910, rows((10, 0, 1, 600), (20, 0, 1, 900), (10, 0, 1, 300)), 1)
    low, high = AD9910.frequency_word(10e6), AD9910.frequency_word(20e6)
    assert table.ticks == 300
    assert table.words == [low, low, high, high, high, low]
    assert table.ends == [600, 1500, 1800]


def test_a_long_dwell_takes_several_words():
    table = ram_table(AD9910, rows((10, 0, 1, 1_000_000), (20, 0, 1, 500_000)), None)
    assert table.ticks == 62_500
    assert len(table.words) == 24


def test_phase_and_amplitude_are_played_together():
    table = ram_table(AD9910, rows((10, 0.25, 1, 1), (10, 0.5, 0, 1)), 1)
    assert table.words == [0x4000FFFC, 0x80000000]


@pytest.mark.parametrize(
    ("steps", "repeat", "where", "sentence"),
    [
        (
            [(10, 0, 1, 1), (20, 0.5, 0.5, 1)],
            1,
            "steps",
            "steps: the AD9910's RAM plays either the frequency, or phase and amplitude; these "
            "steps change frequency and phase and amplitude",
        ),
        (
            [(10, 0, 1, 1), (20, 0, 1, 1024)],
            1,
            "steps",
            "steps: the AD9910's RAM holds 1024 words of one length, at most 2.6214e-4 s; these "
            "dwells have 4e-9 s in common, and take 1025 words",
        ),
        (
            [(10, 0, 1, 1), (20, 0, 1, 1)],
            513,
            "repeat",
            "repeat: the AD9910's RAM holds 1024 words of one length, at most 2.6214e-4 s; these "
            "dwells have 4e-9 s in common, and take 1026 words for 513 repetitions",
        ),
        (
            [(10, 0, 1, 0.25)],
            1,
            "steps[0].dwell",
            "steps[0].dwell: 1e-9 s is below the RAM's limit of 4e-9 s",
        ),
        (
            [(10, 0, 1, 1), (10, 0, 1, 1024 * MAX_TICKS + 1)],
            1,
            "steps[1].dwell",
            "steps[1].dwell: 0.268431364 s is above the RAM's limit of 0.26843136 s",
        ),
    ],
    ids=["both", "words", "repeat", "short", "long"],
)
def test_tables_that_the_ram_cannot_hold(steps, repeat, where, sentence):
    with pytest.raises(OutOfRange) as refused:
        plan_table(AD9910, rows(*steps), repeat)
    assert (refused.value.where, str(refused.value)) == (where, sentence)


@pytest.mark.parametrize("repeat", [1, 1_000_000_000])
def test_a_refusal_comes_at_once_however_often_a_table_is_repeated(repeat):
    steps = rows(*[(10, 0, 1, 1)] * 1025)
    with pytest.raises(OutOfRange, match=re.escape("words")):
        plan_table(AD9910, steps, repeat)


@given(st.lists(st.integers(1, 200), min_size=1, max_size=5), st.sampled_from([None, 1, 2]))
def test_the_words_last_as_long_as_the_rows(dwells, repeat):
    """Word by word it is the same as row by row."""
    steps = rows(*((10, 0, index / 8, dwell) for index, dwell in enumerate(dwells)))
    try:
        table = ram_table(AD9910, steps, repeat)
    except OutOfRange:
        assert sum(dwells) * (repeat or 1) > 1024
        return
    for tick in range(0, sum(dwells) * 3, 7):
        index = tick // table.ticks
        index = index % len(table.words) if repeat is None else min(index, len(table.words) - 1)
        assert table.tone_at(tick).amplitude == table.words[index] >> 2 & 0x3FFF
    assert [row.dwell for row in plan_table(AD9910, steps, repeat)] == pytest.approx(
        [dwell * 4e-9 for dwell in dwells]
    )
