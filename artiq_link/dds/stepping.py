"""A ramp that the computer makes, by setting a channel again and again: its steps and its clock.

The value of a step is that of the straight line at the time of the step. A source that is slow to
set makes fewer and larger steps, and the ramp still takes the time that it was asked to.
"""

from __future__ import annotations

import math
import time
from collections.abc import Iterator
from typing import Protocol

import msgspec

from ..exchanges.exchange import current_exchange
from ..text import written
from .types import UNITS, AchievedRamp, Ramp


class Timer(Protocol):
    """What a ramp waits by."""

    def now(self) -> float:
        """The time in s."""

    def wait_until(self, then: float) -> None:
        """Return at that time, or at once where it has passed."""


class SystemTimer:
    """The computer's monotonic clock."""

    def now(self) -> float:
        return time.monotonic()

    def wait_until(self, then: float) -> None:
        """Return at that time; raises `Aborted` as soon as somebody wants the command to end."""
        current_exchange().sleep(max(0.0, then - time.monotonic()))


class RampStep(msgspec.Struct, frozen=True):
    """Where a ramp is."""

    value: float
    fraction: float
    """From 0 at its start to 1 at its end."""


def ramp_steps(ramp: Ramp, step_time: float, timer: Timer) -> Iterator[RampStep]:
    """Wait for each step of the ramp and give it; the first is its start, the last its end.

    A step's time is a multiple of `step_time` after the start, or the end. Those that have passed
    by while the caller was setting are left out.
    """
    started = timer.now()
    steps = max(1, math.ceil(ramp.duration / step_time - 1e-9))
    number = 0
    while number < steps:
        fraction = number / steps
        yield RampStep(ramp.start + fraction * (ramp.stop - ramp.start), fraction)
        passed = (timer.now() - started) / ramp.duration * steps
        number = min(max(number + 1, math.floor(passed) + 1), steps)
        timer.wait_until(started + number * (ramp.duration / steps))
    yield RampStep(ramp.stop, 1.0)


def achieved_ramp(
    ramp: Ramp, first: float, last: float, steps: int, duration: float
) -> AchievedRamp:
    """The ramp that setting values from `first` to `last` in so many steps made in `duration` s.

    Step and step time are means.
    """
    return AchievedRamp(
        parameter=ramp.parameter,
        start=first,
        stop=last,
        step=(last - first) / steps,
        step_time=duration / steps,
        steps=steps,
        duration=duration,
    )


def where_it_ended(ramp: Ramp, last: float | None, steps: int) -> str:
    """What to say of a ramp that ended before its end, and had come to `last` in so many steps."""
    if last is None:
        return "the ramp had not begun"
    unit = UNITS[ramp.parameter]
    return f"the ramp had come to {written(last)} {unit} in {steps} steps, and ended there"
