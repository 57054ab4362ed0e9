"""The values of a DDS, with their units and bounds: what is asked, achieved and known.

Everything is in Hz, turns, fractions of full scale and seconds.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Literal, TypedDict

import msgspec


def in_unit(unit: str) -> msgspec.Meta:
    """The note of a unit in an annotation."""
    return msgspec.Meta(extra={"unit": unit})


HZ, TURNS, FULL_SCALE, SECONDS = "Hz", "turns", "of full scale", "s"

Frequency = Annotated[float, msgspec.Meta(ge=0), in_unit(HZ)]
Phase = Annotated[float, in_unit(TURNS)]
Amplitude = Annotated[float, msgspec.Meta(ge=0, le=1), in_unit(FULL_SCALE)]
Duration = Annotated[float, msgspec.Meta(gt=0), in_unit(SECONDS)]

ToneParameter = Literal["frequency", "phase", "amplitude"]
"""What a tone is made of, and what a ramp can change."""

UNITS: Mapping[ToneParameter, str] = {
    "frequency": HZ,
    "phase": TURNS,
    "amplitude": FULL_SCALE,
}


class Tone(msgspec.Struct, frozen=True):
    """What one channel puts out; as it is after a reset unless said otherwise."""

    frequency: Frequency = 0.0
    phase: Phase = 0.0
    amplitude: Amplitude = 0.0


class Update(msgspec.Struct, frozen=True):
    """One channel's part in an update."""

    tone: Tone
    clear_phase: bool = False
    """Whether the phase accumulator starts from zero, so that the tone starts at its phase."""


class Ramp(msgspec.Struct, frozen=True):
    """A linear ramp, as it is asked for."""

    parameter: ToneParameter
    start: float
    stop: float
    duration: Duration


class AchievedRamp(TypedDict):
    """A linear ramp, as the hardware makes it."""

    parameter: ToneParameter
    start: float
    stop: float
    step: float
    """How much one step adds: negative where the ramp falls. The last one may be smaller."""
    step_time: Duration
    steps: int
    duration: Duration
    """From the start until `stop` is reached."""


class Row(msgspec.Struct, frozen=True):
    """One step of a table: a tone and how long it lasts."""

    tone: Tone
    dwell: Duration


MIN_RATE = 1.0
"""Hz; a waveform's cycles then fit in 64 bits for any system clock."""

MAX_SAMPLES = 1 << 20
"""Samples of one waveform: 8 MiB; encoding more would hold up other clients."""

MAX_REPEAT = 10**15
"""Passes of a table: up to here floats count one by one, and the total duration is one too."""

ChannelId = Annotated[int | str, msgspec.Meta(description="the channel's number or name")]

PhaseMode = Literal["continuous", "absolute"]
"""What happens to the phase when a tone is updated (as ARTIQ's PHASE_MODE_CONTINUOUS, _ABSOLUTE).

continuous: the accumulator runs on, so that the phase only jumps by the change of `phase`.
absolute: the accumulator starts from zero, so that the tone starts at `phase`, at each update
that gives a frequency, a phase or the mode, and at the start of each ramp and table.
"""

Activity = Literal["single_tone", "ramp", "table"]

Samples = Annotated[int, msgspec.Meta(ge=1, le=MAX_SAMPLES)]

Rate = Annotated[float, msgspec.Meta(ge=MIN_RATE), in_unit(HZ)]

Repeat = bool | Annotated[int, msgspec.Meta(ge=1)]


class Channel(msgspec.Struct, frozen=True):
    """One channel's name and limits, for the making of a `DDS`.

    The frequencies are in Hz and the driver's where they are not given; `max_amplitude` is a
    fraction of full scale. The limits are those of what may be asked for: what is achieved may
    be half a step of the hardware beyond.
    """

    name: str
    max_frequency: float | None = None
    min_frequency: float | None = None
    max_amplitude: float = 1.0


class Setting(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What one channel is set to; what is not given stays as it is."""

    channel: ChannelId
    frequency: Frequency | None = None
    phase: Phase | None = None
    amplitude: Amplitude | None = None
    phase_mode: PhaseMode | None = None


class Step(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One step of a table; what is not given stays as in the step before."""

    dwell: Duration
    frequency: Frequency | None = None
    phase: Phase | None = None
    amplitude: Amplitude | None = None


Steps = Annotated[list[Step], msgspec.Meta(min_length=1)]


class AchievedFrequency(TypedDict):
    """The frequency after quantisation."""

    frequency: Frequency


class AchievedPhase(TypedDict):
    """The phase after quantisation, at least 0 and below 1."""

    phase: Phase


class AchievedAmplitude(TypedDict):
    """The amplitude after quantisation."""

    amplitude: Amplitude


class AchievedTone(AchievedFrequency, AchievedPhase, AchievedAmplitude):
    """A channel's tone after quantisation."""


class AchievedOutput(TypedDict):
    """Whether the output is on."""

    output: bool


class AchievedStep(AchievedTone):
    """One step of a table after quantisation."""

    dwell: Duration


class AchievedTable(TypedDict):
    """A table as it is played."""

    steps: list[AchievedStep]
    repeat: int | None
    """None: until it is stopped."""
    duration: Duration | None
    """Of all repetitions; None: until it is stopped."""


class Limits(TypedDict):
    """What one channel may be asked for."""

    min_frequency: Frequency
    max_frequency: Frequency
    max_amplitude: Amplitude


class ChannelState(TypedDict):
    """What is known of one channel. null is what a driver's error left unknown.

    While a ramp or a table runs, frequency, phase and amplitude are those at its end. A ramp or
    table that has come to its end stays the channel's activity, held, until it is set or stopped.
    """

    channel: int
    name: str
    frequency: Frequency | None
    phase: Phase | None
    amplitude: Amplitude | None
    phase_mode: PhaseMode
    output: bool | None
    activity: Activity | None
    limits: Limits
