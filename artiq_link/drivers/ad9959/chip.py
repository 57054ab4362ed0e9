"""The AD9959's words and limits (AD9959 data sheet)."""

from __future__ import annotations

from fractions import Fraction

from ..words import WordFormat

CHANNELS = 4

FREQUENCY_BITS, PHASE_BITS, AMPLITUDE_BITS = 32, 14, 10
"""Widths of its words."""

OUTPUT_LIMIT = Fraction(2, 5)
"""Highest output frequency in units of the system clock: 200 MHz at 500 MHz."""

LONGEST_STEP = (1 << 8) - 1
"""Ticks of SYNC_CLK that a sweep's step can last: LSRR has 8 bits for them."""


def word_format(sysclk: float) -> WordFormat:
    """The scales of its words at a system clock in Hz."""
    return WordFormat(
        sysclk,
        FREQUENCY_BITS,
        PHASE_BITS,
        AMPLITUDE_BITS,
        wide_ramps=False,
        longest_step=LONGEST_STEP,
    )
