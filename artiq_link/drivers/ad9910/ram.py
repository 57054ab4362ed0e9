"""Tables in the AD9910's RAM: words of one length, of the frequency, or of phase and amplitude.

A row takes as many words as its dwell has lengths of a word (AD9910 data sheet, "RAM Control").
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import msgspec

from ...dds.limits import check_range
from ...dds.types import SECONDS, Row
from ...errors import OutOfRange
from ...text import written
from ..ticks import seconds_of
from ..words import ToneWords, WordFormat
from .chip import RAM_WORDS
from .registers import RAM_TO_FREQUENCY, RAM_TO_POLAR, polar_word
from .tables import dwell_of, dwell_ticks

MAX_TICKS = (1 << 16) - 1
"""Ticks of SYNC_CLK that a word can last: the address step rate has 16 bits."""


class RamTable(msgspec.Struct, frozen=True):
    """A table in the words of the RAM."""

    destination: int
    """The bits of CFR1 that say what the words are of."""
    words: Sequence[int]
    ticks: int
    """How long each lasts, in ticks of SYNC_CLK."""
    rows: Sequence[ToneWords]
    ends: Sequence[int]
    """The tick at which each row ends, since the start of a pass."""
    repeat: int | None

    def tone_at(self, tick: int) -> ToneWords:
        """The tone of the row that plays at a tick since the start."""
        length = self.ends[-1]
        if self.repeat is None:
            tick %= length
        elif tick >= length * self.repeat:
            return self.rows[-1]
        return self.rows[next(i for i, end in enumerate(self.ends) if tick % length < end)]


def ram_table(chip: WordFormat, rows: Sequence[Row], repeat: int | None) -> RamTable:
    """The RAM's words for `rows`, played `repeat` times or, where it is None, until stopped.

    Raises `OutOfRange` for what the RAM cannot hold.
    """
    tones = [chip.words(row.tone) for row in rows]
    frequency = len({tone.frequency for tone in tones}) > 1
    others = {
        name: len({getattr(tone, name) for tone in tones}) > 1 for name in ("phase", "amplitude")
    }
    if frequency and any(others.values()):
        changed = " and ".join(name for name, changes in others.items() if changes)
        raise OutOfRange(
            f"steps: the AD9910's RAM plays either the frequency, or phase and amplitude; "
            f"these steps change frequency and {changed}",
            "steps",
        )
    shortest, longest = seconds_of(1, chip.sysclk), seconds_of(RAM_WORDS * MAX_TICKS, chip.sysclk)
    for index, row in enumerate(rows):
        where = f"steps[{index}].dwell"
        check_range(where, dwell_of(row), shortest, longest, SECONDS, whose="RAM's")
    dwells = [dwell_ticks(chip, row) for row in rows]
    ticks = _longest_word(math.gcd(*dwells))
    passes = 1 if repeat is None else repeat
    needed = passes * sum(dwells) // ticks
    if needed > RAM_WORDS:
        where, of = ("steps", "") if passes == 1 else ("repeat", f" for {passes} repetitions")
        raise OutOfRange(
            f"{where}: the AD9910's RAM holds {RAM_WORDS} words of one length, at most "
            f"{written(seconds_of(MAX_TICKS, chip.sysclk))} s; these dwells have "
            f"{written(seconds_of(ticks, chip.sysclk))} s in common, and take "
            f"{written(needed)} words{of}",
            where,
        )
    words = [
        tone.frequency if frequency else polar_word(tone)
        for tone, dwell in zip(tones, dwells, strict=True)
        for _ in range(dwell // ticks)
    ]
    ends = [sum(dwells[: index + 1]) for index in range(len(dwells))]
    destination = RAM_TO_FREQUENCY if frequency else RAM_TO_POLAR
    return RamTable(destination, words * passes, ticks, tones, ends, repeat)


def plan_table(chip: WordFormat, rows: Sequence[Row], repeat: int | None) -> list[Row]:
    """The rows that the RAM makes of `rows`; raises `OutOfRange`."""
    table = ram_table(chip, rows, repeat)
    starts = [0, *table.ends]
    return [
        Row(chip.tone(tone), seconds_of(end - start, chip.sysclk))
        for tone, start, end in zip(table.rows, starts, table.ends, strict=False)
    ]


def _longest_word(common: int) -> int:
    """The largest divisor of `common` that a word can last."""
    return next(ticks for ticks in range(min(MAX_TICKS, common), 0, -1) if common % ticks == 0)
