"""The AD9910's registers, and their bits (AD9910 data sheet, "Register Map and Bit Descriptions").

What a register holds is given as one integer, MSB first on the port.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from ...dds.types import ToneParameter
from ..ramps import RampWords
from ..words import ToneWords

CFR1, CFR2, CFR3, AUX_DAC = 0x00, 0x01, 0x02, 0x03
FTW, POW, ASF = 0x07, 0x08, 0x09
RAMP_LIMITS, RAMP_STEPS, RAMP_RATES = 0x0B, 0x0C, 0x0D
PROFILE = 0x0E
"""The first of eight."""
RAM = 0x16

READ = 0x80
"""The bit of the instruction byte that makes it a read."""

WIDTHS = {
    **dict.fromkeys((CFR1, CFR2, CFR3, AUX_DAC, FTW, ASF, RAMP_RATES, RAM), 4),
    POW: 2,
    **dict.fromkeys((RAMP_LIMITS, RAMP_STEPS, *range(PROFILE, PROFILE + 8)), 8),
}
"""Bytes of each register; of the RAM, those of a word."""

# CFR1

RAM_ENABLE = 1 << 31
RAM_TO_FREQUENCY, RAM_TO_POLAR = 0 << 29, 3 << 29
RAM_DESTINATION = 3 << 29
MANUAL_OSK_PIN = 1 << 23
INTERNAL_PROFILES = 0xF << 17
LOAD_RAMP_RATE = 1 << 15
"""Each update begins a new step of the ramp generator."""
AUTOCLEAR_RAMP = 1 << 14
AUTOCLEAR_PHASE = 1 << 13
CLEAR_RAMP, CLEAR_PHASE = 1 << 12, 1 << 11
OSK_ENABLE = 1 << 9
"""The amplitude is the ASF register's, whatever else would give it."""
AUTO_OSK = 1 << 8
POWER_DOWN = 1 << 7 | 1 << 6 | 1 << 5
"""Of the digital core, the DAC and the reference's input."""
SDIO_INPUT_ONLY = 1 << 1
"""Without it, as after a reset, the chip answers on the line that it is written by, if at all."""

ONCE = LOAD_RAMP_RATE | AUTOCLEAR_RAMP | AUTOCLEAR_PHASE
"""What each update does again while it is set."""
AMPLITUDE_KEYS = MANUAL_OSK_PIN | OSK_ENABLE | AUTO_OSK | POWER_DOWN

MOMENTARY_1 = (
    RAM_ENABLE | RAM_DESTINATION | INTERNAL_PROFILES | ONCE | CLEAR_RAMP | CLEAR_PHASE
    | AMPLITUDE_KEYS
)  # fmt: skip
"""What an update decides anew; the rest of CFR1, such as sine or cosine, is the board's."""

FROM_PINS = {CFR1: 1 << 3}
"""Bits that read as the level of a pin whatever was written: CFR1's of the external power-down
(reported by a user in Analog Devices' forum)."""

# CFR2

PROFILE_AMPLITUDE = 1 << 24
"""Without it, as after a reset, the amplitude is full scale."""
INTERNAL_UPDATE = 1 << 23
RAMP_DESTINATION = 3 << 20
RAMP_ENABLE = 1 << 19
RAMP_NO_DWELL = 3 << 17
PARALLEL_PORT = 1 << 4

MOMENTARY_2 = (
    PROFILE_AMPLITUDE | INTERNAL_UPDATE | RAMP_DESTINATION | RAMP_ENABLE | RAMP_NO_DWELL
    | PARALLEL_PORT
)  # fmt: skip

CFR2_AFTER_RESET = 0x00400820

RAMP_PARAMETERS: tuple[ToneParameter, ...] = (
    "frequency",
    "phase",
    "amplitude",
)
"""By the ramp's destination in CFR2; 3 is the amplitude as well."""

# CFR3

CFR3_BASE = 0x0807C000
"""Fixed bits, the reference's divider bypassed and not held in reset."""
CFR3_AFTER_RESET = 0x1F3F4000
"""As Analog Devices' Linux driver has it; another client in the field has 0x17384000."""
PLL_RESET = 1 << 10
PLL_ENABLE = 1 << 8
DIVIDER_BYPASS = 1 << 15

CHARGE_PUMP = 7
"""The highest current, 387 uA, as ARTIQ has it by default."""

VCO_RANGES = (457e6, 530e6, 632e6, 775e6, 897e6)
"""Up to which output in Hz the PLL takes which of its oscillators, 0 to 4; 5 above (Analog
Devices' Linux driver)."""

MIN_PLL_OUTPUT, MAX_PLL_OUTPUT = 420e6, 1e9
MIN_PLL_INPUT, MAX_PLL_INPUT = 3.307e6, 60e6
MIN_MULTIPLIER, MAX_MULTIPLIER = 12, 127


def clock_register(refclk: float, multiplier: float | None) -> int:
    """CFR3 for a reference in Hz, multiplied by the PLL, or as it is.

    Raises ValueError for what the PLL cannot do.
    """
    if multiplier is None:
        if not 0 < refclk <= MAX_PLL_OUTPUT:
            raise ValueError(f"refclk: {refclk:g} Hz is outside 0 to 1e9 Hz, the AD9910's clock")
        return CFR3_BASE
    output = refclk * multiplier
    if multiplier not in range(MIN_MULTIPLIER, MAX_MULTIPLIER + 1):
        raise ValueError(f"multiplier: {multiplier:g} is no whole number from 12 to 127")
    if not MIN_PLL_INPUT <= refclk <= MAX_PLL_INPUT:
        raise ValueError(f"refclk: {refclk:g} Hz is outside 3.307e6 to 60e6 Hz, the PLL's input")
    if not MIN_PLL_OUTPUT <= output <= MAX_PLL_OUTPUT:
        raise ValueError(
            f"refclk times multiplier: {output:g} Hz is outside 420e6 to 1e9 Hz, the PLL's output"
        )
    vco = sum(output > highest for highest in VCO_RANGES)
    return CFR3_BASE | vco << 24 | CHARGE_PUMP << 19 | PLL_ENABLE | int(multiplier) << 1


def multiplier_of(cfr3: int) -> float:
    """By what the system clock is the reference's, as CFR3 has it."""
    if cfr3 & PLL_ENABLE:
        return float(cfr3 >> 1 & 0x7F)
    return 1.0 if cfr3 & DIVIDER_BYPASS else 0.5


def tone_profile(words: ToneWords) -> int:
    """The profile register of a single tone."""
    return words.amplitude << 48 | words.phase << 32 | words.frequency


def profile_tone(profile: int) -> ToneWords:
    """The tone of a profile register; the inverse of `tone_profile`."""
    return ToneWords(profile & 0xFFFFFFFF, profile >> 32 & 0xFFFF, profile >> 48 & 0x3FFF)


def amplitude_register(amplitude: int) -> int:
    """The ASF register of an amplitude word."""
    return amplitude << 2


def asf_amplitude(register: int) -> int:
    """The amplitude word of an ASF register."""
    return register >> 2 & 0x3FFF


def ram_profile(start: int, end: int, ticks: int, *, repeat: bool) -> int:
    """The profile register with which the RAM plays its words from `start` to `end`.

    Each lasts `ticks` of SYNC_CLK; the last is held, or they begin again.
    """
    mode = 4 if repeat else 1
    return ticks << 40 | end << 30 | start << 14 | mode


def polar_word(words: ToneWords) -> int:
    """The RAM's word of a phase and an amplitude."""
    return words.phase << 16 | words.amplitude << 2


def ramp_destination(ramp: RampWords) -> int:
    """The bits in CFR2 that have the ramp generator drive the ramp's parameter."""
    return RAMP_ENABLE | RAMP_PARAMETERS.index(ramp.parameter) << 20


class RampStage(NamedTuple):
    """What the ramp generator is set to at one I/O update."""

    rises: bool
    """The level of the pin DRCTL."""
    begins: int
    """Bits of CFR1: whether it begins at its lower limit, or goes on from where it is."""
    registers: Mapping[int, int]


def ramp_stages(ramp: RampWords) -> Sequence[RampStage]:
    """How the generator is brought to make a ramp, which begins with the last update.

    The generator begins at its lower limit. So to fall, it rises by one unit to the start, which
    it holds by steps of 0 until it has the limits and steps of the fall.
    """
    anew = AUTOCLEAR_RAMP | LOAD_RAMP_RATE
    if ramp.last > ramp.first:
        return [
            RampStage(True, anew, _generator(ramp.last, ramp.first, up=(ramp.step, ramp.period)))
        ]
    start = ramp.first
    return [
        RampStage(True, anew, _generator(start, start - 1, up=(1, 1))),
        RampStage(
            False, LOAD_RAMP_RATE, _generator(start, ramp.last, down=(ramp.step, ramp.period))
        ),
    ]


def _generator(
    upper: int, lower: int, *, up: tuple[int, int] = (0, 1), down: tuple[int, int] = (0, 1)
) -> dict[int, int]:
    """The ramp generator's registers: its limits, and the step and its ticks each way."""
    return {
        RAMP_LIMITS: upper << 32 | lower,
        RAMP_STEPS: down[0] << 32 | up[0],
        RAMP_RATES: down[1] << 16 | up[1],
    }


def ramp_parameter(cfr2: int) -> ToneParameter:
    """What the ramp generator drives."""
    return RAMP_PARAMETERS[min(cfr2 >> 20 & 3, 2)]
