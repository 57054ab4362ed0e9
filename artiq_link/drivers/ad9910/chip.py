"""The AD9910's words, limits and clocks (AD9910 data sheet)."""

from __future__ import annotations

from fractions import Fraction

FREQUENCY_BITS, PHASE_BITS, AMPLITUDE_BITS = 32, 16, 14
"""Widths of the words in a single tone profile."""

OUTPUT_LIMIT = Fraction(2, 5)
"""Highest output frequency in units of the system clock: 400 MHz at 1 GHz."""

CYCLES_PER_TICK = 4
"""The ramp generator and the RAM count in ticks of SYNC_CLK, a fourth of the system clock."""

RAM_WORDS = 1024
"""Words of its RAM, and so rows of a table."""


def ticks_of(seconds: float, sysclk: float) -> tuple[int, int]:
    """How many ticks of SYNC_CLK last `seconds`, exactly: as a ratio."""
    above, below = seconds.as_integer_ratio()
    clock, clock_below = sysclk.as_integer_ratio()
    return above * clock, below * clock_below * CYCLES_PER_TICK


def seconds_of(ticks: int, sysclk: float) -> float:
    """How long so many ticks of SYNC_CLK last."""
    clock, clock_below = sysclk.as_integer_ratio()
    return ticks * CYCLES_PER_TICK * clock_below / clock
