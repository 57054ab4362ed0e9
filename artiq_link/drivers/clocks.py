"""Clocks of simulated hardware: functions that give the time in seconds, exactly."""

from __future__ import annotations

import time
from fractions import Fraction


def monotonic() -> Fraction:
    """The computer's monotonic clock, in seconds."""
    return Fraction(time.monotonic_ns(), 10**9)


class ManualClock:
    """A clock that stands still until it is advanced."""

    def __init__(self) -> None:
        self._now = Fraction(0)

    def __call__(self) -> Fraction:
        return self._now

    def advance(self, seconds: float | Fraction) -> None:
        """Go on by `seconds`; a float means the decimal number that it is written as."""
        exact = Fraction(repr(seconds)) if isinstance(seconds, float) else Fraction(seconds)
        if exact < 0:
            raise ValueError(f"a clock does not go back: {seconds} s")
        self._now += exact
