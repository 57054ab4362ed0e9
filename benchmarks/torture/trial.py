"""A row of the table, and one run of it: what was found, what did not hold, what was too slow."""

from __future__ import annotations

import random
import tempfile
import time
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from benchmarks.torture.lab import Lab

Figure = int | float | str

AFTER_TIMEOUT = 0.05
"""Seconds by which a call of the client may outlast its timeout (the promise "no hang")."""


class Trial:
    """One run of a row: how often, with which chance, in which folder; collects what it found."""

    def __init__(self, times: int, seed: int, folder: Path) -> None:
        self.times = times
        self.random = random.Random(seed)
        self.folder = folder
        self.figures: dict[str, Figure] = {}
        self.broken: list[str] = []
        self.slow: list[str] = []

    def must(self, holds: bool, told: str) -> None:
        """Note what does not hold."""
        if not holds:
            self.broken.append(told)

    def must_be_none(self, found: list[str], what: str) -> None:
        """Note what there is and should not be, with the first few of it."""
        self.must(not found, f"{len(found)} {what}, such as {', '.join(sorted(found)[:3])}")

    def must_take(self, seconds: float, at_most: float, what: str) -> None:
        """Note what took too long; apart from what does not hold, as a busy computer is slow."""
        if seconds > at_most:
            self.slow.append(f"{what}: {1e3 * seconds:.1f} ms, at most {1e3 * at_most:.1f} ms")

    def lab(self, **options: object) -> Lab:
        """A server with its counter and its journal in this run's folder."""
        return Lab(self.folder, **options)


class Row(NamedTuple):
    """A row of the table: faults, and what must hold under them."""

    name: str
    what: str
    holds: str
    run: Callable[[Trial], None]
    unit: str
    """What there are so many of."""
    whole: int
    short: int
    """How many there are in `make torture`, and in the tests."""


class Found(NamedTuple):
    """What one run of a row has come to."""

    row: Row
    times: int
    seed: int
    seconds: float
    figures: dict[str, Figure]
    broken: list[str]
    slow: list[str]

    @property
    def verdict(self) -> str:
        if self.broken:
            return "broken"
        return "too slow" if self.slow else "held"


def run(row: Row, times: int, seed: int) -> Found:
    """Run a row so often. What it raises is something that did not hold."""
    started = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="artiq_link-torture-") as folder:
        trial = Trial(times, seed, Path(folder))
        try:
            row.run(trial)
        except Exception:  # noqa: BLE001 the other rows are run nevertheless
            trial.broken.append(traceback.format_exc())
    seconds = time.monotonic() - started
    return Found(row, times, seed, seconds, trial.figures, trial.broken, trial.slow)
