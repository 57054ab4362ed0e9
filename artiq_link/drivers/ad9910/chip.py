"""The AD9910's words and limits (AD9910 data sheet)."""

from __future__ import annotations

from fractions import Fraction

from ..words import WordFormat

FREQUENCY_BITS, PHASE_BITS, AMPLITUDE_BITS = 32, 16, 14
"""Widths of the words in a single tone profile."""

OUTPUT_LIMIT = Fraction(2, 5)
"""Highest output frequency in units of the system clock: 400 MHz at 1 GHz."""

RAM_WORDS = 1024
"""Words of its RAM, and so rows of a table."""


def word_format(sysclk: float) -> WordFormat:
    """The scales of its words at a system clock in Hz."""
    return WordFormat(sysclk, FREQUENCY_BITS, PHASE_BITS, AMPLITUDE_BITS)
