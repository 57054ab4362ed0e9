"""The values of a DDS, with their units and bounds: what is asked, achieved and known.

Everything is in Hz, turns, fractions of full scale, dBm and seconds.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Annotated, Literal, NotRequired, TypedDict, get_args

import msgspec


def in_unit(unit: str) -> msgspec.Meta:
    """The note of a unit in an annotation."""
    return msgspec.Meta(extra={"unit": unit})


HZ, TURNS, FULL_SCALE, DBM, SECONDS = "Hz", "turns", "of full scale", "dBm", "s"

Frequency = Annotated[float, msgspec.Meta(ge=0), in_unit(HZ)]
Phase = Annotated[float, in_unit(TURNS)]
Amplitude = Annotated[float, msgspec.Meta(ge=0, le=1), in_unit(FULL_SCALE)]
Power = Annotated[float, in_unit(DBM)]
Duration = Annotated[float, msgspec.Meta(gt=0), in_unit(SECONDS)]
Seconds = Annotated[float, msgspec.Meta(ge=0), in_unit(SECONDS)]

ToneParameter = Literal["frequency", "phase", "amplitude", "power"]
"""What a tone is made of, and what a ramp can change."""

TONE_PARAMETERS: tuple[ToneParameter, ...] = get_args(ToneParameter)

UNITS: Mapping[ToneParameter, str] = {
    "frequency": HZ,
    "phase": TURNS,
    "amplitude": FULL_SCALE,
    "power": DBM,
}


Activity = Literal["single_tone", "ramp", "table"]


class Tone(msgspec.Struct, frozen=True):
    """What one channel puts out, or what is asked or known of it; None: the hardware has no such
    parameter, or it is not known.

    Hardware has an amplitude or a power, and not both.
    """

    frequency: Frequency | None = None
    phase: Phase | None = None
    amplitude: Amplitude | None = None
    power: Power | None = None


class Reading(msgspec.Struct, frozen=True):
    """What a channel was found to do; None: that cannot be read."""

    tone: Tone = Tone()
    """While a ramp or a table runs, the tone at its end."""
    output: bool | None = None
    activity: Activity | None = None


class Update(msgspec.Struct, frozen=True):
    """One channel's part in an update."""

    tone: Tone
    """The tone as it is to be: what changes, and of the rest what is known."""
    changed: Sequence[ToneParameter]
    """What is to be written: hardware that can leaves the rest alone."""
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
    """With every parameter that the table has a column for."""
    dwell: Duration | None
    """None: until the next trigger."""


MIN_RATE = 1.0
"""Hz; a waveform's cycles then fit in 64 bits for any system clock."""

MAX_SAMPLES = 1 << 20
"""Samples of one waveform: 8 MiB; encoding more would hold up other clients."""

MAX_REPEAT = 10**15
"""Passes of a table: up to here floats count one by one, and the total duration is one too."""

SHORTEST_SOFTWARE_STEP = 1e-3
"""Seconds; a system's clock and a link to an instrument make nothing shorter that deserves it."""

LONGEST_SOFTWARE_RAMP = 86400.0
"""Seconds; a client can wait no longer."""

ChannelId = Annotated[int | str, msgspec.Meta(description="the channel's number or name")]

PhaseMode = Literal["continuous", "absolute"]
"""What happens to the phase when a tone is updated (as ARTIQ's PHASE_MODE_CONTINUOUS, _ABSOLUTE).

continuous: the accumulator runs on, so that the phase only jumps by the change of `phase`.
absolute: the accumulator starts from zero, so that the tone starts at `phase`, at each update
that gives a frequency, a phase or the mode, and at the start of each ramp and table.
"""

Samples = Annotated[int, msgspec.Meta(ge=1, le=MAX_SAMPLES)]

Rate = Annotated[float, msgspec.Meta(ge=MIN_RATE), in_unit(HZ)]

Repeat = bool | Annotated[int, msgspec.Meta(ge=1)]


class Setting(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What one channel is set to; what is not given stays as it is."""

    channel: ChannelId
    frequency: Frequency | None = None
    phase: Phase | None = None
    amplitude: Amplitude | None = None
    phase_mode: PhaseMode | None = None
    power: Power | None = None


class Step(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One step of a table; what is not given stays as in the step before.

    A dwell of null waits for a trigger, where the hardware has one.
    """

    dwell: Duration | None
    frequency: Frequency | None = None
    phase: Phase | None = None
    amplitude: Amplitude | None = None
    power: Power | None = None


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


class AchievedPower(TypedDict):
    """The power after quantisation."""

    power: Power


class AchievedTone(TypedDict):
    """A channel's tone after quantisation. null: not known, or the hardware has no such parameter.

    power is there where the channel has one.
    """

    frequency: Frequency | None
    phase: Phase | None
    amplitude: Amplitude | None
    power: NotRequired[Power | None]


class AchievedOutput(TypedDict):
    """Whether the output is on."""

    output: bool


class AchievedStep(AchievedTone):
    """One step of a table after quantisation."""

    dwell: Duration | None
    """null: until the next trigger."""


class AchievedTable(TypedDict):
    """A table as it is played."""

    steps: list[AchievedStep]
    repeat: int | None
    """None: until it is stopped."""
    duration: Duration | None
    """Of all repetitions; null: until it is stopped, or as triggers come."""


class Limits(TypedDict):
    """What one channel may be asked for: its amplitude, or the power that it has instead."""

    min_frequency: Frequency
    max_frequency: Frequency
    max_amplitude: NotRequired[Amplitude]
    min_power: NotRequired[Power]
    max_power: NotRequired[Power]


class ChannelSettings(TypedDict):
    """What is known of what one channel was set to; of a ramp or a table, how it ends."""

    channel: int
    name: str
    frequency: Frequency | None
    phase: Phase | None
    amplitude: Amplitude | None
    power: NotRequired[Power | None]
    phase_mode: PhaseMode
    output: bool | None
    activity: Activity | None


class Running(TypedDict):
    """How far a ramp or a table is. null is what is not known, because triggers move it on."""

    elapsed: Seconds | None
    """Since it began."""
    duration: Duration | None
    """Of all of it; null: until it is stopped, or as triggers come."""
    fraction: Annotated[float, msgspec.Meta(ge=0, le=1)] | None
    """How much of the duration has passed."""
    parameter: NotRequired[ToneParameter]
    """What a ramp changes, and from where to where."""
    start: NotRequired[float]
    stop: NotRequired[float]
    step: NotRequired[int | None]
    """Of a table: the index of the present step, of so many, in the pass after so many passes."""
    steps: NotRequired[int]
    passes: NotRequired[int | None]
    repeat: NotRequired[int | None]
    """How many passes there are; null: until it is stopped."""


class ChannelState(ChannelSettings):
    """What is known of one channel at this instant. null is what is not known: because the
    hardware cannot tell it, or an error left it so; or what the hardware has not.

    While a ramp or a table runs, `running` says how far it is, and frequency, phase, amplitude
    and power are those of the instant; null, if it ran before the server did. Once it is over,
    the activity is the single tone that it ended with.
    """

    limits: Limits
    running: NotRequired[Running]
