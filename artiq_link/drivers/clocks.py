"""Clocks of drivers: functions that give the time in seconds, exactly: as a ratio.

A pair of integers is enough, and a `Fraction` would take longer to make than a tone to set.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from fractions import Fraction

Clock = Callable[[], tuple[int, int]]
"""Gives the time in seconds as two integers, the one above and the one below the line."""

NANOSECONDS = 10**9


def monotonic() -> tuple[int, int]:
    """The computer's monotonic clock, in seconds."""
    return time.monotonic_ns(), NANOSECONDS


def in_seconds(clock: Clock) -> float:
    """The time that a clock gives, as far as a float has it."""
    above, below = clock()
    return above / below


class ManualClock:
    """A clock that stands still until it is advanced."""

    def __init__(self) -> None:
        self._now = Fraction(0)

    def __call__(self) -> tuple[int, int]:
        return self._now.as_integer_ratio()

    def advance(self, seconds: float | Fraction) -> None:
        """Go on by `seconds`; a float means the decimal number that it is written as."""
        exact = Fraction(repr(seconds)) if isinstance(seconds, float) else Fraction(seconds)
        if exact < 0:
            raise ValueError(f"a clock does not go back: {seconds} s")
        self._now += exact
