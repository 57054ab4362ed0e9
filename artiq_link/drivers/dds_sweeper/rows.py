"""The rows of the dds-sweeper's tables, as ``setb`` takes them: single steps, and sweeps.

A row has a part for each channel from 0 to the table's, side by side, each with the row's time in
cycles of the Pico's clock (source of the firmware, 0.4.0).
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Mapping, Sequence

import msgspec

from ...dds.limits import check_range
from ...dds.types import SECONDS, Row, Tone, ToneParameter
from ...errors import OutOfRange
from ...text import written
from ..ramps import RampWords
from ..words import ToneWords, rounded

TABLE_TIMES = 5000
"""Times that a table has, one for each row."""

TABLE_BYTES = 249_856
"""Of a table's rows and times, on a Pico; a Pico 2 has more."""

ROW_BYTES, TIME_BYTES = 14, 4
"""Of a row for each channel, beside one more for all; and of its time."""

SHORTEST_ROW, SHORTEST_PER_CHANNEL = 500, 250
"""Pico cycles of a row, and more for each further channel; the firmware lengthens shorter ones."""

LONGEST_ROW = (1 << 32) - 1
"""Pico cycles; a longer dwell is made of several rows."""

SHORTEST_SWEEP, SHORTEST_SWEEP_PER_CHANNEL = 1000, 500
"""Pico cycles of a sweep's row, and more for each further channel."""

SWEEP_MODES: Mapping[ToneParameter, int] = {"frequency": 2, "phase": 3, "amplitude": 1}
"""The mode of each parameter's sweeps, which are rows of their own kinds."""

SWEEPS: Mapping[ToneParameter, str] = {
    "frequency": "<IIIBI",
    "phase": "<HHHBI",
    "amplitude": "<HHHBI",
}
"""A channel's part of a row of sweeps: start, stop, the step, its ticks, and the row's time."""


class SingleSteps(msgspec.Struct, frozen=True):
    """What the rows of single steps can be, in a table of the channels up to `channel`."""

    model: str
    """What sentences call the device."""
    clock: float
    """The Pico's, in Hz."""
    channel: int

    @property
    def most(self) -> int:
        """Rows of a table.

        The firmware asks for room for the row that ends it, as if that were a whole one of a
        channel.
        """
        row = ROW_BYTES * (self.channel + 1) + 1
        room = TABLE_BYTES - TABLE_TIMES * TIME_BYTES - ROW_BYTES - 1
        return min(TABLE_TIMES, (room - 1) // row)

    @property
    def shortest(self) -> float:
        """Seconds of the shortest row."""
        return self._shortest / self.clock

    @property
    def _shortest(self) -> int:
        return SHORTEST_ROW + SHORTEST_PER_CHANNEL * self.channel

    def plan(
        self, rows: Sequence[Row], repeat: int | None, quantise: Callable[[Tone], Tone]
    ) -> list[Row]:
        """The rows as the device makes them, with the tones that `quantise` gives.

        Raises `OutOfRange` where they do not fit, naming the command's parameter.
        """
        longest = self.most * LONGEST_ROW / self.clock
        needed = 0
        planned = []
        for index, row in enumerate(rows):
            where = f"steps[{index}].dwell"
            check_range(where, _dwell(row), self.shortest, longest, SECONDS, whose="table's")
            cycles = self.cycles(row)
            needed += len(cycles)
            planned.append(Row(quantise(row.tone), sum(cycles) / self.clock))
        if needed * (repeat or 1) > self.most:
            raise OutOfRange(
                f"steps: {written(repeat or 1)} times {needed} rows are more than the table's "
                f"{self.most}; a step takes a row for each {LONGEST_ROW / self.clock:.1f} s of "
                "its dwell",
                "steps",
            )
        return planned

    def cycles(self, row: Row) -> list[int]:
        """The Pico cycles of the rows that make one step, none of them too short."""
        above, below = _dwell(row).as_integer_ratio()
        clock, clock_below = self.clock.as_integer_ratio()
        left = max(rounded(above * clock, below * clock_below), self._shortest)
        parts = -(-left // LONGEST_ROW)
        whole, more = divmod(left, parts)
        return [whole + 1] * more + [whole] * (parts - more)


def single_steps(tones: Sequence[ToneWords], cycles: int) -> bytes:
    """A row that has channels from 0 on put out these tones, for so many Pico cycles."""
    return b"".join(
        struct.pack("<IHHI", words.frequency, words.amplitude, words.phase, cycles)
        for words in tones
    )


def sweep_row(ramp: RampWords, held: Sequence[int], bits: int) -> bytes:
    """The row that begins a sweep of a channel, and has those below it stay at words.

    `bits` is the width of the parameter's words.
    """
    cycles = SHORTEST_SWEEP + SHORTEST_SWEEP_PER_CHANNEL * len(held)
    sweeps = [(*standing(word, bits), 0, 1) for word in held]
    sweeps.append((ramp.first, ramp.last, ramp.step, ramp.period))
    layout = SWEEPS[ramp.parameter]
    return b"".join(struct.pack(layout, *sweep, cycles) for sweep in sweeps)


def standing(word: int, bits: int) -> tuple[int, int]:
    """Start and stop of a sweep by steps of 0, which stays at a word of so many bits.

    Two words: with one alone, a sweep of the chip would have no direction. At the highest it is
    a falling one, which puts out the word below for one tick of SYNC_CLK.
    """
    return (word, word + 1) if word + 1 < 1 << bits else (word, word - 1)


def _dwell(row: Row) -> float:
    """A row's dwell in seconds; raises TypeError for one that waits for a trigger."""
    if row.dwell is None:
        raise TypeError("a row of the dds-sweeper has a time")
    return row.dwell
