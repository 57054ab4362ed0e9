"""What a DDS asks of its driver: the interface.

The driver knows its chip: words, steps, grids, and what it cannot do. It knows no names, no
configured limits and no phase modes, which are the DDS's.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from ..errors import InstrumentError
from .types import AchievedRamp, Ramp, Row, Tone, Update


class Driver(ABC):
    """The code that talks to one make of DDS. Channels are numbered from 0.

    `quantise`, `plan_ramp` and `plan_table` are pure: they touch no hardware, and give the same
    for what they gave before. They raise `OutOfRange` for what the hardware cannot do, naming
    the command's parameter (``duration``, ``steps[2].dwell``).

    The methods that touch the hardware return once it is done, and raise `InstrumentError` where
    the hardware refuses or does not answer; it may then hold the old or the new.

    A driver without ramps, tables or a model of its output leaves these methods out.
    """

    channels: int
    """How many channels it has."""
    max_frequency: float
    """Highest frequency of its output in Hz."""
    min_frequency: float = 0.0
    """Lowest frequency of its output in Hz."""
    simultaneous = True
    """Whether several channels can be updated at the same instant."""

    @abstractmethod
    def quantise(self, tone: Tone) -> Tone:
        """The tone that the hardware makes of `tone`."""

    @abstractmethod
    def update(self, updates: Mapping[int, Update]) -> None:
        """Give each channel its tone, all at the same instant; ends their ramps and tables."""

    @abstractmethod
    def set_output(self, channel: int, on: bool) -> None:
        """Switch one channel's output on or off; nothing else changes."""

    @abstractmethod
    def reset(self) -> None:
        """Put every channel to ``Tone()`` with its output on, phase accumulators at zero."""

    def open(self) -> None:  # noqa: B027 a driver may have nothing to open
        """Take hold of the hardware; called before the methods that touch it."""

    @abstractmethod
    def close(self) -> None:
        """Release the hardware."""

    def plan_ramp(self, ramp: Ramp) -> AchievedRamp:
        """The ramp that the hardware makes of `ramp`."""
        raise self.cannot("make ramps")

    def ramp(self, channel: int, ramp: Ramp, *, clear_phase: bool) -> None:
        """Start a ramp from the channel's tone; its end is held."""
        raise self.cannot("make ramps")

    def plan_table(self, rows: Sequence[Row]) -> list[Row]:
        """The rows that the hardware makes of `rows`."""
        raise self.cannot("play tables")

    def play(
        self, channel: int, rows: Sequence[Row], repeat: int | None, *, clear_phase: bool
    ) -> None:
        """Start a table that is played `repeat` times, at most 10**15, its last row then held.

        None repeats it until the channel is stopped or updated.
        """
        raise self.cannot("play tables")

    def stop(self, channel: int) -> Tone:
        """End the channel's ramp or table, and return the tone that it holds from then on."""
        raise self.cannot("stop: it has no ramps or tables")

    def waveform(self, channel: int, samples: int, rate: float) -> np.ndarray[Any, Any]:
        """The channel's output from now on as float64: `samples` values, `rate` of them a second.

        1 is full scale; `rate` is at least 1 Hz, `samples` at most some millions.
        """
        raise self.cannot("tell the waveform of its output")

    def cannot(self, act: str) -> InstrumentError:
        """The error for what this driver has not."""
        return InstrumentError(f"{type(self).__name__} cannot {act}")
