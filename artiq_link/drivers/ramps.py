"""The ramp generators of DDS chips: the words with which they make a ramp, and what comes out.

A generator adds a step to an accumulator, or takes it away, each time that so many ticks of
SYNC_CLK have passed, until a limit is reached (AD9910 data sheet, "Digital Ramp Generator";
AD9959 data sheet, "Linear Sweep Mode").
"""

from __future__ import annotations

import functools
from collections.abc import Iterator
from fractions import Fraction

import msgspec

from ..dds.limits import check_range
from ..dds.types import SECONDS, TURNS, UNITS, AchievedRamp, Ramp, ToneParameter
from ..errors import OutOfRange
from ..text import written
from .ticks import seconds_of, ticks_of
from .words import ToneWords, WordFormat


class RampWords(msgspec.Struct, frozen=True):
    """A ramp in the words of the ramp generator."""

    parameter: ToneParameter
    first: int
    last: int
    step: int
    """Unsigned; the generator's direction is another bit."""
    period: int
    """Ticks of a step."""

    @property
    def steps(self) -> int:
        """Steps until `last` is reached."""
        return ramp_steps(abs(self.last - self.first), self.step)

    @property
    def duration(self) -> int:
        """Ticks until `last` is reached."""
        return self.steps * self.period

    def at(self, tick: int) -> int:
        """Where the generator is at a tick since the start; it stays at `last`."""
        moved = min(tick // self.period * self.step, abs(self.last - self.first))
        return self.first + moved if self.last > self.first else self.first - moved


def ramp_shift(chip: WordFormat, parameter: ToneParameter) -> int:
    """How many bits finer than the parameter's word the ramp generator counts."""
    if not chip.wide_ramps:
        return 0
    return chip.frequency_bits - chip.bits(parameter)


@functools.lru_cache  # a command asks for its ramp three times: to check, to answer, to make it
def ramp_words(chip: WordFormat, ramp: Ramp) -> RampWords:
    """The ramp generator's words for `ramp`.

    Raises `OutOfRange` for what it cannot make: a phase that wraps around, a ramp without a step,
    a duration below a tick or too long for the slowest steps.
    """
    if ramp.parameter == "phase":
        # The generator's limits do not wrap around.
        highest = chip.phase((1 << chip.phase_bits) - 1)
        for where, value in [("start", ramp.start), ("stop", ramp.stop)]:
            check_range(where, value, 0.0, highest, TURNS, whose="ramp's")
    shift = ramp_shift(chip, ramp.parameter)
    first, last = (chip.word(ramp.parameter, value) << shift for value in (ramp.start, ramp.stop))
    if first == last:
        raise OutOfRange(
            f"stop: {written(ramp.stop)} {UNITS[ramp.parameter]} is the same as start in the "
            "chip's words: there is nothing to ramp",
            "stop",
        )
    difference = abs(last - first)
    shortest = seconds_of(1, chip.sysclk)
    longest = seconds_of(difference * chip.longest_step, chip.sysclk)
    check_range("duration", ramp.duration, shortest, longest, SECONDS, whose="ramp's")
    length = Fraction(*ticks_of(ramp.duration, chip.sysclk))
    step, period = ramp_rate(difference, length, chip.longest_step)
    return RampWords(ramp.parameter, first, last, step, period)


def plan_ramp(chip: WordFormat, ramp: Ramp) -> AchievedRamp:
    """The ramp that the chip makes of `ramp`; raises `OutOfRange`."""
    made = ramp_words(chip, ramp)
    shift = ramp_shift(chip, ramp.parameter)
    step = made.step if made.last > made.first else -made.step
    start, stop, step_value = (
        chip.value(ramp.parameter, word, shift) for word in (made.first, made.last, step)
    )
    return AchievedRamp(
        parameter=ramp.parameter,
        start=start,
        stop=stop,
        step=step_value,
        step_time=seconds_of(made.period, chip.sysclk),
        steps=made.steps,
        duration=seconds_of(made.duration, chip.sysclk),
    )


class RunningRamp(msgspec.Struct, frozen=True):
    """A ramp that runs, and the tone that it changes."""

    words: RampWords
    tone: ToneWords
    shift: int

    def tone_at(self, tick: int) -> ToneWords:
        """The tone at a tick since the start."""
        word = self.words.at(tick) >> self.shift
        return msgspec.structs.replace(self.tone, **{self.words.parameter: word})


def ramp_rate(difference: int, ticks: Fraction, max_period: int) -> tuple[int, int]:
    """The step and its period with which a ramp generator best makes a straight line.

    `difference` is how far the ramp's accumulator goes, `ticks` how long it should take in ticks
    of its clock; a step lasts a whole number of ticks, from 1 to `max_period`. Returns the step
    in units of the accumulator, and its ticks: among best rational approximations of the slope,
    that with the least sum of the duration's error and half a step's time, by which a staircase
    lags on average.

    Both are at least 1. A ramp slower than one unit in `max_period` ticks is the caller's to
    refuse.
    """
    # In integers, because `Fraction` takes ten times as long.
    time, parts = ticks.as_integer_ratio()
    rise = difference * parts

    def cost(rate: tuple[int, int]) -> tuple[int, int]:
        step, period = rate
        made = ramp_steps(difference, step) * period
        return 2 * abs(made * parts - time) + period * parts, period

    return min(
        (
            (step, period)
            for period in _best_periods(rise, time, max_period)
            for step in (max(1, rise * period // time), -(-rise * period // time))
        ),
        key=cost,
    )


def _best_periods(above: int, below: int, longest: int) -> Iterator[int]:
    """Denominators up to `longest` of best rational approximations of ``above / below``.

    They are those of its continued fraction's convergents and, in the upper half of the way from
    one to the next, of the first and the last semiconvergent.
    """
    before, period = 0, 1
    yield period
    while rest := above % below:
        above, below = below, rest
        quotient = above // below
        most = min(quotient, (longest - before) // period)
        first = quotient // 2 + 1
        if first <= most:
            yield before + first * period
            yield before + most * period
        if most < quotient:
            return
        before, period = period, before + quotient * period


def ramp_steps(difference: int, step: int) -> int:
    """How many steps go over `difference`, the last of them perhaps smaller."""
    return -(-difference // step)
