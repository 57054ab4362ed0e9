"""From dBm to amplitude: a channel's power at full scale, as a table over frequency.

The table is a CSV file of two columns, with the power that the channel puts out at amplitude 1::

    frequency,power
    60MHz,9.8
    80MHz,10.1 dBm

Numbers without a unit are in Hz and dBm. Between two rows the power is on the straight line,
beyond the first and the last it is not known, and refused. An amplitude is a part of the voltage,
so that dB are ``20*log10(amplitude)``.
"""

from __future__ import annotations

import csv
import math
from bisect import bisect_right
from collections.abc import Iterator, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Self

from ..errors import OutOfRange
from ..instrument.typed_text import read_text
from ..text import shown, written
from .limits import check_range
from .types import DBM, HZ

COLUMNS, _UNITS = ("frequency", "power"), (HZ, DBM)

EDGE = 1e-6
"""How far beyond the table a frequency may be, as a part of it: an achieved one is rounded."""

SLACK = 1e-3
"""dB above full scale that are still it: a step of 14 bits of amplitude is half of that."""

LARGEST_FILE = 1 << 20
"""Bytes; a calibration has some thousand rows at most."""


class Calibration:
    """The power at full scale in dBm, over frequency in Hz."""

    def __init__(self, rows: Sequence[tuple[float, float]]) -> None:
        """Take rows of frequency and power; raises ValueError where they are no table."""
        if len(rows) < 2:
            raise ValueError("a calibration has at least two rows")
        for number, (row, after) in enumerate(pairwise(rows), 2):
            if not row[0] < after[0]:
                raise ValueError(f"row {number}: {_not_rising(row[0], after[0])}")
        self.frequencies = [float(frequency) for frequency, _ in rows]
        self.powers = [float(power) for _, power in rows]

    @classmethod
    def read(cls, path: str | Path) -> Self:
        """Read a CSV file.

        Raises ValueError that names file and line for what is no calibration, and OSError where
        it cannot be read.
        """
        path = Path(path)
        with path.open("rb") as file:
            data = file.read(LARGEST_FILE + 1)
        if len(data) > LARGEST_FILE:
            raise ValueError(f"{path}: more than {LARGEST_FILE} bytes are no calibration")
        # What is not UTF-8 becomes a sign that is no number's, so that its line is named.
        text = data.decode("utf-8-sig", errors="replace")
        reader = csv.reader(text.splitlines(), skipinitialspace=True, strict=True)
        try:
            return cls(list(_rows(reader)))
        except (ValueError, csv.Error) as error:
            raise ValueError(f"{path}, line {max(1, reader.line_num)}: {error}") from None

    def behind(self, attenuator: float) -> Calibration:
        """The calibration behind so many dB of attenuation."""
        powers = (power - attenuator for power in self.powers)
        return Calibration(list(zip(self.frequencies, powers, strict=True)))

    def knows(self, frequency: float) -> bool:
        """Whether the table goes so far, but for the rounding of a frequency."""
        low, high = self.frequencies[0], self.frequencies[-1]
        return low * (1 - EDGE) <= frequency <= high * (1 + EDGE)

    def full_scale(self, frequency: float) -> float:
        """The power at amplitude 1, in dBm; raises `OutOfRange` beyond the table."""
        low, high = self.frequencies[0], self.frequencies[-1]
        if not self.knows(frequency):
            check_range("frequency", frequency, low, high, HZ, whose="calibration's")
        frequency = min(max(low, frequency), high)
        right = min(bisect_right(self.frequencies, frequency), len(self.frequencies) - 1)
        start, stop = self.frequencies[right - 1], self.frequencies[right]
        part = (frequency - start) / (stop - start)
        return self.powers[right - 1] * (1 - part) + self.powers[right] * part

    def amplitude(self, power: float, frequency: float, where: str = "power") -> float:
        """The amplitude that makes `power` dBm; raises `OutOfRange` where there is none."""
        most = self.full_scale(frequency)
        if power > most + SLACK:
            raise OutOfRange(
                f"{where}: {written(power)} {DBM} is above full scale, which is {most:.2f} {DBM} "
                f"at {written(frequency)} {HZ}",
                where,
            )
        return float(10 ** (min(0.0, power - most) / 20))

    def power(self, amplitude: float, frequency: float) -> float | None:
        """The power of an amplitude in dBm; None where nothing comes out, or it is not known."""
        if not amplitude or not self.knows(frequency):
            return None
        return self.full_scale(frequency) + 20 * math.log10(amplitude)


def _rows(cells: Iterator[list[str]]) -> Iterator[tuple[float, float]]:
    """The numbers of a CSV file's rows; raises ValueError at the first that is wrong."""
    header = next(cells, [])
    if [name.strip().lower() for name in header] != list(COLUMNS):
        found = shown(",".join(header), 60)
        raise ValueError(f"expected the header {','.join(COLUMNS)}, got {found!r}")
    before = -math.inf
    for row in cells:
        if not any(cell.strip() for cell in row):
            continue
        if len(row) != len(COLUMNS):
            raise ValueError(f"expected a frequency and a power, got {len(row)} values")
        frequency, power = map(_number, COLUMNS, row, _UNITS)
        if frequency <= before:
            raise ValueError(_not_rising(before, frequency))
        before = frequency
        yield frequency, power


def _number(name: str, text: str, unit: str) -> float:
    if not text.strip():
        raise ValueError(f"{name} is missing")
    try:
        return float(read_text(text.strip(), {"number"}, unit))
    except ValueError as error:
        raise ValueError(f"{name}: {error}") from None


def _not_rising(before: float, frequency: float) -> str:
    return (
        f"frequencies must rise from row to row, and {written(frequency)} {HZ} comes after "
        f"{written(before)} {HZ}"
    )
