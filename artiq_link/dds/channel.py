"""One channel as a lab configures it: its name, its limits, its levels, where it is safe."""

from __future__ import annotations

import msgspec

from ..text import written
from .calibration import Calibration
from .capabilities import Span
from .limits import Bounds
from .types import UNITS, Amplitude, Frequency, Phase, Power, ToneParameter


class SetPoint(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What a channel is put to by `reset`, or where it may be left alone; None: as it is."""

    frequency: Frequency | None = None
    phase: Phase | None = None
    amplitude: Amplitude | None = None
    power: Power | None = None
    output: bool | None = None


class Channel(msgspec.Struct, frozen=True):
    """One channel's name, limits and levels, for the making of a `DDS`.

    Frequencies are in Hz, powers in dBm, and `max_amplitude` is a fraction of full scale; where
    they are not given, the hardware's limits are the channel's. The limits are those of what may
    be asked for: what is achieved may be half a step of the hardware beyond.
    """

    name: str
    max_frequency: float | None = None
    min_frequency: float | None = None
    max_amplitude: float | None = None
    max_power: float | None = None
    min_power: float | None = None
    calibration: Calibration | None = None
    """The hardware's power at amplitude 1; with it, a channel with amplitudes has powers too."""
    attenuator: float = 0.0
    """dB behind the hardware; powers are those behind it."""
    default: SetPoint | None = None
    """What `DDS.reset` puts it to."""
    safe: SetPoint | None = None
    """What `DDS.safe_state` puts it to; without it, its output is switched off."""


def channel_bounds(channel: Channel, hardware: Bounds) -> Bounds:
    """The channel's limits, the hardware's where it has none; raises ValueError."""
    bounds = dict(hardware)
    configured: list[tuple[ToneParameter, float | None, float | None]] = [
        ("frequency", channel.min_frequency, channel.max_frequency),
        ("amplitude", None, channel.max_amplitude),
        ("power", channel.min_power, channel.max_power),
    ]
    for parameter, low, high in configured:
        if low is None and high is None:
            continue
        if parameter not in hardware:
            raise ValueError(f"channel {channel.name!r}: the hardware has no {parameter} to limit")
        span = hardware[parameter]
        lowest = span.lowest if low is None else float(low)
        highest = span.highest if high is None else float(high)
        if not span.lowest <= lowest <= highest <= span.highest:
            raise ValueError(
                f"channel {channel.name!r}: the limits of its {parameter} must lie between the "
                f"hardware's, {written(span.lowest)} and {written(span.highest)} "
                f"{UNITS[parameter]}"
            )
        bounds[parameter] = Span(lowest, highest, span.step)
    return bounds
