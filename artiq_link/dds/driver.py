"""What a DDS asks of its driver: the interface.

The driver knows its hardware: words, steps, grids, and what it cannot do. It knows no names, no
configured limits and no phase modes, which are the DDS's.
"""

from __future__ import annotations

import time
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from typing import Any

import msgspec
import numpy as np

from ..errors import InstrumentError
from .capabilities import Capabilities
from .types import AchievedRamp, Ramp, Reading, Row, Tone, Update


class Driver(ABC):
    """The code that talks to one make of DDS. Channels are numbered from 0.

    What `channels` says a channel cannot do is refused before the driver is asked for it, and so
    is what is beyond its spans.

    `quantise`, `plan_ramp` and `plan_table` are pure: they touch no hardware, and give the same
    for what they gave before. They raise `OutOfRange` for what the hardware cannot do, naming
    the command's parameter (``duration``, ``steps[2].dwell``).

    The other methods return once it is done, and raise `InstrumentError` where the hardware
    refuses or does not answer; it may then hold the old or the new. What can be seen to be
    refused, clamped or misunderstood by the hardware is refused before anything is sent.

    A driver without ramps, tables, a switch or a model of its output leaves these methods out.
    """

    model: str
    """What sentences call it: ``the 409B``."""
    channels: Sequence[Capabilities]
    """What each channel can do. `open` may narrow it to the model that it finds, and leaves
    their number as it is."""
    simultaneous = True
    """Whether several channels can be updated at the same instant."""
    identity = ""
    """What the hardware said that it is, once it is open."""

    @abstractmethod
    def open(self) -> None:
        """Take hold of the hardware, and make sure that it is what the driver is for.

        Changes nothing of what the hardware does. Raises `InstrumentError` where it is another,
        and then has sent nothing but the question.
        """

    @abstractmethod
    def close(self) -> None:
        """Release the hardware; its outputs stay as they are. Called also where `open` raised."""

    @abstractmethod
    def read(self, channel: int) -> Reading:
        """What the channel does, as far as the hardware or the driver can tell; changes nothing.

        Called after `open` and `reset`.
        """

    def now(self) -> float:
        """The time in s of the clock by which its ramps and tables run: the computer's."""
        return time.monotonic()

    @abstractmethod
    def quantise(self, channel: int, tone: Tone) -> Tone:
        """The tone that the hardware makes of `tone`; what is None stays so.

        Where only the hardware knows how it rounds, it is `tone` as it will be sent.
        """

    def check_tone(self, channel: int, tone: Tone) -> None:  # noqa: B027 most need none
        """Raise `OutOfRange` for a tone that the hardware cannot make though each of its
        parameters is within its capabilities."""

    @abstractmethod
    def update(self, updates: Mapping[int, Update]) -> Mapping[int, Tone]:
        """Write each channel's changed parameters, all at the same instant; ends what runs there.

        Hardware that is not `simultaneous` gets one channel at a time. Returns the tones achieved
        by all channels of `updates`: quantised or, where the hardware can be asked, read back.
        """

    def set_output(self, channel: int, on: bool) -> None:
        """Switch one channel's output on or off; nothing else changes."""
        raise self.cannot("switch its outputs")

    def reset(self) -> None:
        """Put all channels to where they are after power-up, with nothing coming out of them."""
        raise self.cannot("be reset")

    def plan_ramp(self, channel: int, ramp: Ramp) -> AchievedRamp:
        """The ramp that the hardware makes of `ramp`."""
        raise self.cannot("make ramps")

    def ramp(self, channel: int, ramp: Ramp, tone: Tone, *, clear_phase: bool) -> None:
        """Start a ramp of the channel, whose tone is `tone` as far as it is known.

        Its end is held.
        """
        raise self.cannot("make ramps")

    def plan_table(self, channel: int, rows: Sequence[Row], repeat: int | None) -> list[Row]:
        """The rows that the hardware makes of `rows`; `repeat` is that of `play`."""
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

    def describe(self) -> dict[str, Any]:
        """What it is and what each channel can do, as `link.describe` shows it."""
        return {
            "model": self.model,
            "identity": self.identity,
            "simultaneous": self.simultaneous,
            "channels": msgspec.to_builtins(list(self.channels)),
        }

    def cannot(self, act: str) -> InstrumentError:
        """The error for what this driver has not."""
        return InstrumentError(f"{self.model} cannot {act}")
