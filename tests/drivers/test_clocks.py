"""Clocks of simulated hardware."""

from __future__ import annotations

import pytest

from artiq_link.drivers.clocks import ManualClock, monotonic


def test_manual_clock_counts_decimals_exactly():
    clock = ManualClock()
    for _ in range(1000):
        clock.advance(7e-9)
    assert clock() == (7, 10**6)
    with pytest.raises(ValueError, match=r"^a clock does not go back: -1 s$"):
        clock.advance(-1)


def test_the_computer_s_clock_counts_whole_nanoseconds():
    assert monotonic()[1] == 10**9
