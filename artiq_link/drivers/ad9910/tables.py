"""Tables of tones in the AD9910's words, with dwell times on the grid of its SYNC_CLK.

Each row is a whole tone with a dwell of its own. The chip's own RAM is less: its words are of one
parameter, with one dwell for all.
"""

from __future__ import annotations

from collections.abc import Sequence

from ...dds.limits import check_range
from ...dds.types import SECONDS, Row
from ...errors import OutOfRange
from ..words import WordFormat, rounded
from .chip import CYCLES_PER_TICK, RAM_WORDS, seconds_of, ticks_of

MAX_ROWS = RAM_WORDS

MAX_DWELL_TICKS = 1 << 40
"""More than an hour at 1 GHz; the cycles of a full table then stay below 2**52."""


def plan_table(chip: WordFormat, rows: Sequence[Row]) -> list[Row]:
    """The rows that the chip makes of `rows`; raises `OutOfRange`."""
    if len(rows) > MAX_ROWS:
        raise OutOfRange(f"steps: {len(rows)} steps are more than the table's {MAX_ROWS}", "steps")
    shortest, longest = seconds_of(1, chip.sysclk), seconds_of(MAX_DWELL_TICKS, chip.sysclk)
    for index, row in enumerate(rows):
        where = f"steps[{index}].dwell"
        check_range(where, _dwell(row), shortest, longest, SECONDS, whose="table's")
    return [
        Row(chip.quantise(row.tone), seconds_of(dwell_ticks(chip, row), chip.sysclk))
        for row in rows
    ]


def dwell_cycles(chip: WordFormat, row: Row) -> int:
    """How many cycles of the system clock a row lasts."""
    return dwell_ticks(chip, row) * CYCLES_PER_TICK


def dwell_ticks(chip: WordFormat, row: Row) -> int:
    """How many ticks of SYNC_CLK a row lasts, rounded half to even."""
    return rounded(*ticks_of(_dwell(row), chip.sysclk))


def _dwell(row: Row) -> float:
    """A row's dwell in seconds; raises TypeError for one that waits for a trigger."""
    if row.dwell is None:
        raise TypeError("the AD9910's RAM goes on by time, and not by triggers")
    return row.dwell
