"""Tables of devices that count dwells: a step takes a row, or several where it lasts longer."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import msgspec

from ..dds.limits import check_range
from ..dds.types import SECONDS, Row, Tone
from ..errors import OutOfRange
from ..text import written
from .words import rounded


class TableRows(msgspec.Struct, frozen=True):
    """What a device's table holds, which it plays so often as its rows are there."""

    model: str
    """What sentences call the device."""
    most: int
    """Rows."""
    unit: float
    """Seconds that dwells are counted in; so many make one second exactly."""
    longest: int
    """The highest dwell of a row, in these."""
    shortest: float | None = None
    """Seconds of the shortest dwell of a step; None: that of one `unit`."""
    on_trigger: int | None = None
    """The dwell of a row that waits for a trigger; None: there are none."""

    def plan(
        self, rows: Sequence[Row], repeat: int | None, quantise: Callable[[Tone], Tone]
    ) -> list[Row]:
        """The rows as the device makes them, with the tones that `quantise` gives.

        Raises `OutOfRange` where they do not fit, naming the command's parameter.
        """
        if repeat is None:
            raise OutOfRange(
                f"repeat: {self.model} ends a table with its last row: give a number", "repeat"
            )
        shortest = self.unit if self.shortest is None else self.shortest
        longest = self.most * self.longest * self.unit
        needed = 0
        planned = []
        for index, row in enumerate(rows):
            dwell = row.dwell
            if dwell is not None:
                where = f"steps[{index}].dwell"
                check_range(where, dwell, shortest, longest, SECONDS, whose="table's")
                dwell = self._count(dwell) / round(1 / self.unit)
            needed += len(self.dwells(row))
            planned.append(Row(quantise(row.tone), dwell))
        if needed * repeat > self.most:
            raise OutOfRange(
                f"steps: {written(repeat)} times {needed} rows are more than the table's "
                f"{self.most}; a step takes a row for each {self.longest * self.unit:g} s of its "
                "dwell",
                "steps",
            )
        return planned

    def dwells(self, row: Row) -> list[int]:
        """The dwells of the device's rows that make one; raises TypeError for a row that is to
        wait for a trigger where there are none."""
        if row.dwell is None:
            if self.on_trigger is None:
                raise TypeError(f"a row of {self.model} has a time")
            return [self.on_trigger]
        whole, rest = divmod(self._count(row.dwell), self.longest)
        return [self.longest] * whole + [rest] * bool(rest)

    def _count(self, dwell: float) -> int:
        above, below = dwell.as_integer_ratio()
        return rounded(above * round(1 / self.unit), below)
