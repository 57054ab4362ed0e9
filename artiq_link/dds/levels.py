"""A channel's power at its output, by a calibration from dBm to amplitude and an attenuator.

Hardware with an amplitude has a power where its channel has a calibration; hardware with a power
of its own has it less the attenuator's dB.
"""

from __future__ import annotations

import math
from typing import TypeVar

import msgspec

from ..errors import InvalidParameter, OutOfRange
from ..text import written
from .calibration import SLACK
from .capabilities import Span
from .channel import Channel
from .limits import Bounds
from .types import DBM, Setting, Step, Tone

_Asked = TypeVar("_Asked", Setting, Step)

FINEST = 1e-6
"""The least amplitude that has a power where nobody knows how fine the hardware is: -120 dB."""


class Level:
    """How the power at a channel's output goes with what its hardware is set to."""

    def __init__(self, channel: Channel) -> None:
        self._channel = channel
        self.attenuator = channel.attenuator
        calibration = channel.calibration
        self._calibration = calibration.behind(self.attenuator) if calibration else None
        self._max_power = channel.max_power
        self._half_step = 0.0

    def bounds(self, hardware: Bounds) -> Bounds:
        """The hardware's bounds at the channel's output; raises ValueError where they clash."""
        name = self._channel.name
        if self._calibration is not None:
            if "amplitude" not in hardware:
                raise ValueError(f"channel {name!r}: its hardware has no amplitude to calibrate")
            if self._max_power is not None:
                self._check_covers(hardware)
            step = hardware["amplitude"].step or FINEST
            self._half_step = step / 2
            least = 20 * math.log10(step)
            powers = self._calibration.powers
            return {**hardware, "power": Span(min(powers) + least, max(powers))}
        if self.attenuator and "power" not in hardware:
            raise ValueError(f"channel {name!r}: an attenuator needs a calibration in dBm")
        if not self.attenuator:
            return hardware
        span = hardware["power"]
        lowest, highest = span.lowest - self.attenuator, span.highest - self.attenuator
        return {**hardware, "power": Span(lowest, highest, span.step)}

    def _check_covers(self, hardware: Bounds) -> None:
        """A power is limited only where it is known at every frequency."""
        assert self._calibration is not None  # noqa: S101 the caller knows
        low, high = self._channel.min_frequency, self._channel.max_frequency
        low = hardware["frequency"].lowest if low is None else low
        high = hardware["frequency"].highest if high is None else high
        known = self._calibration.frequencies
        if not known[0] <= low <= high <= known[-1]:
            raise ValueError(
                f"channel {self._channel.name!r}: max_power needs min_frequency and max_frequency "
                f"within its calibration's, {known[0]:g} to {known[-1]:g} Hz"
            )

    def of_hardware(self, asked: _Asked, tone: Tone, where: str) -> _Asked:
        """What is asked, in what the hardware has: its amplitude, or its own power.

        `tone` is the present one. Raises `InvalidParameter` where its frequency is needed and not
        known, and `OutOfRange` for a power that cannot be made.
        """
        if asked.power is None or (self._calibration is None and not self.attenuator):
            return asked
        if self._calibration is None:
            return msgspec.structs.replace(asked, power=asked.power + self.attenuator)
        frequency = tone.frequency if asked.frequency is None else asked.frequency
        if frequency is None:
            raise InvalidParameter(
                f"{where}power: the calibration of {self._channel.name!r} needs its frequency, "
                "which is not known: give it too",
                f"{where}power",
            )
        amplitude = self._calibration.amplitude(asked.power, frequency, f"{where}power")
        return msgspec.structs.replace(asked, amplitude=amplitude, power=None)

    def power(self, tone: Tone) -> float | None:
        """The power at the output that a tone of the hardware makes, in dBm; None: not known."""
        if self._calibration is None:
            return None if tone.power is None else tone.power - self.attenuator
        if tone.amplitude is None or tone.frequency is None:
            return None
        return self._calibration.power(tone.amplitude, tone.frequency)

    def check(self, tone: Tone, where: str) -> None:
        """Raise for a tone that makes more than the channel's highest power.

        It may be one whose power was not asked for: a calibration's frequency or amplitude.
        """
        if self._calibration is None or self._max_power is None or tone.amplitude == 0:
            return
        if tone.amplitude is None or tone.frequency is None:
            missing = "amplitude" if tone.amplitude is None else "frequency"
            raise InvalidParameter(
                f"{where}{missing}: the power of {self._channel.name!r} is limited, and its "
                f"{missing} is not known: give it too",
                f"{where}{missing}",
            )
        # What was achieved may be half a step beyond the limit, and is to stay as it is.
        amplitude = max(0.0, tone.amplitude - self._half_step)
        power = self._calibration.power(amplitude, tone.frequency)
        if power is not None and power > self._max_power + SLACK:
            raise OutOfRange(
                f"{where}amplitude: with {written(tone.amplitude)} at "
                f"{written(tone.frequency)} Hz {self._channel.name!r} would put out "
                f"{power:.2f} {DBM}, above its limit of {written(self._max_power)} {DBM}",
                f"{where}amplitude",
            )

    def turning_points(self, low: float, high: float) -> list[float]:
        """The frequencies between these two at which the power of a ramp may be highest."""
        known = self._calibration.frequencies if self._calibration else []
        return [frequency for frequency in known if low < frequency < high]
