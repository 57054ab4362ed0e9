"""The words of DDS chips, against rational arithmetic and what other makers' devices give."""

from __future__ import annotations

import math
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from artiq_link.dds.types import Tone
from artiq_link.drivers.words import WordFormat

AD9910 = WordFormat(1e9, 32, 16, 14)
AD9959 = WordFormat(500e6, 32, 14, 10)
AD9912 = WordFormat(1e9, 48, 14, 10)

formats = st.sampled_from([AD9910, AD9959, AD9912, WordFormat(122.88e6, 32, 16, 14)])


@pytest.mark.parametrize(
    ("sysclk", "frequency", "word"),
    [
        (1e9, 0.0, 0),
        (1e9, 80e6, 0x147AE148),
        (1e9, 10e6, 0x028F5C29),
        (1e9, 100e6, 0x1999999A),
        (1e9, 400e6, 0x66666666),
        (122.88e6, 41e6, 0x556AAAAB),
    ],
)
def test_tuning_word(sysclk, frequency, word):
    """The words that ARTIQ and MOGLabs' devices give for these frequencies."""
    assert WordFormat(sysclk, 32, 16, 14).frequency_word(frequency) == word


@pytest.mark.parametrize(
    ("steps", "word"), [(0, 0), (0.49, 0), (0.5, 0), (0.51, 1), (1, 1), (1.5, 2), (2.5, 2)]
)
def test_tuning_word_is_rounded_half_to_even(steps, word):
    # A clock of 2**32 Hz makes a step 1 Hz, so that halves are exact.
    assert WordFormat(float(1 << 32), 32, 16, 14).frequency_word(steps) == word


@pytest.mark.parametrize(
    ("phase", "word"),
    [
        (0.0, 0),
        (0.25, 0x4000),
        (65535 / 65536, 0xFFFF),
        (0.999999, 0),
        (1.0, 0),
        (1.25, 0x4000),
        (-0.25, 0xC000),
        (1e300, 0),
    ],
)
def test_phase_word_drops_whole_turns(phase, word):
    assert AD9910.phase_word(phase) == word


def test_both_ends_of_every_scale():
    """The lowest word is zero; the highest is one step below fs or a turn, or full scale."""
    assert AD9910.phase(0) == AD9910.amplitude(0) == AD9910.frequency(0) == 0.0
    assert AD9910.frequency(1 << 31) == 500e6
    assert AD9910.phase(0xFFFF) == 65535 / 65536
    assert AD9910.amplitude_word(1.0) == 0x3FFF
    assert AD9910.amplitude(0x3FFF) == 1.0
    assert AD9959.phase_word(16383 / 16384) == 16383
    assert AD9959.amplitude_word(1.0) == 1023


def test_half_of_full_scale_is_rounded_to_even():
    assert AD9910.amplitude_word(0.5) == round(0.5 * 0x3FFF) == 8192


@given(formats, st.floats(0, 400e6))
def test_frequency_agrees_with_rational_arithmetic(chip, frequency):
    step = Fraction(chip.sysclk) / 2**chip.frequency_bits
    word = chip.frequency_word(frequency)
    assert word == round(Fraction(frequency) / step)
    assert abs(word * step - Fraction(frequency)) <= step / 2
    assert chip.frequency(word) == float(word * step)


@given(formats, st.integers(0, 2**31), st.integers(-3, 3))
def test_next_to_the_middle_of_two_words_it_is_the_nearer(chip, word, ulps):
    """Where the rounding of floats would decide, and not the frequency or the amplitude."""
    step = Fraction(chip.sysclk) / 2**chip.frequency_bits
    frequency = float((word + Fraction(1, 2)) * step)
    frequency += ulps * math.ulp(frequency)
    assert chip.frequency_word(frequency) == round(Fraction(frequency) / step)
    amplitude = float((word % chip.full_scale + Fraction(1, 2)) / chip.full_scale)
    amplitude += ulps * math.ulp(amplitude)
    assert chip.amplitude_word(amplitude) == round(Fraction(amplitude) * chip.full_scale)


@given(formats, st.floats(-1e300, 1e300))
def test_phase_agrees_with_rational_arithmetic(chip, phase):
    turn = 1 << chip.phase_bits
    assert chip.phase_word(phase) == round(Fraction(phase) * turn) % turn


@given(formats, st.floats(0, 400e6), st.floats(-1e6, 1e6), st.floats(0, 1))
def test_what_was_achieved_is_achieved_again(chip, frequency, phase, amplitude):
    achieved = chip.quantise(Tone(frequency, phase, amplitude))
    assert chip.quantise(achieved) == achieved


@given(formats, st.floats(-1e6, 1e6), st.floats(0, 1))
def test_phase_and_amplitude_are_within_half_a_step(chip, phase, amplitude):
    achieved = chip.quantise(Tone(0.0, phase, amplitude))
    assert 0 <= achieved.phase < 1
    off = (Fraction(achieved.phase) - Fraction(phase) + Fraction(1, 2)) % 1 - Fraction(1, 2)
    assert abs(off) <= Fraction(1, 2 ** (chip.phase_bits + 1))
    word = chip.amplitude_word(amplitude)
    assert abs(word - Fraction(amplitude) * chip.full_scale) <= Fraction(1, 2)
    assert achieved.amplitude == word / chip.full_scale
