"""SYNC_CLK, a fourth of a DDS chip's system clock: ramps and tables are timed in its ticks."""

from __future__ import annotations

from fractions import Fraction

from .clocks import Clock

CYCLES_PER_TICK = 4


def ticks_of(seconds: float, sysclk: float) -> tuple[int, int]:
    """How many ticks of SYNC_CLK last `seconds`, exactly: as a ratio."""
    above, below = seconds.as_integer_ratio()
    clock, clock_below = sysclk.as_integer_ratio()
    return above * clock, below * clock_below * CYCLES_PER_TICK


def seconds_of(ticks: int, sysclk: float) -> float:
    """How long so many ticks of SYNC_CLK last."""
    clock, clock_below = sysclk.as_integer_ratio()
    return ticks * CYCLES_PER_TICK * clock_below / clock


def ticks_since(started: Fraction, clock: Clock, sysclk: float) -> int:
    """How many ticks of SYNC_CLK are over since a time in s, as a driver's clock tells it."""
    return (Fraction(*clock()) - started) * Fraction(sysclk) // CYCLES_PER_TICK
