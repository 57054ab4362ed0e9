"""The AD9959's registers, and their bits (AD9959 data sheet, "Register Maps and Descriptions").

What a register holds is given as one integer, MSB first on the port. Reset values are from memory
and other drivers, unconfirmed.
"""

from __future__ import annotations

from collections.abc import Mapping

from ...dds.types import ToneParameter
from ..words import ToneWords

CSR, FR1, FR2, CFR, CFTW0, CPOW0, ACR, LSRR, RDW, FDW, CW1 = range(0x0B)

READ = 0x80
"""The bit of the instruction byte that makes it a read."""

WIDTHS = {
    CSR: 1, FR1: 3, FR2: 2, CFR: 3, CFTW0: 4, CPOW0: 2, ACR: 3, LSRR: 2, RDW: 4, FDW: 4, CW1: 4,
}  # fmt: skip
"""Bytes of each register. Those from CFR on are there once for each channel."""

# CSR: which channels are written to and read, and how; in effect at once

THREE_WIRE = 2
"""The chip answers on a line of its own, SDIO_2; MSB first."""


def selecting(channel: int) -> int:
    """CSR for one channel: only then it is clear which one answers."""
    return 1 << channel + 4 | THREE_WIRE


# FR1

MODULATION_LEVEL = 3 << 8
"""0 where the profile pins are the sweeps'."""
MULTIPLIER = 0x1F << 18
VCO_GAIN = 1 << 23

MIN_MULTIPLIER, MAX_MULTIPLIER = 4, 20

# FR2: for all channels

CLEAR_ALL = 0xF << 12
"""Of all sweep and phase accumulators, at each update or for as long as it is set."""

# CFR

TARGETS: Mapping[ToneParameter, int] = {
    "amplitude": 1 << 22,
    "frequency": 2 << 22,
    "phase": 3 << 22,
}
TARGET = 3 << 22
"""What a sweep, or the profile pin, changes."""
NO_DWELL = 1 << 15
SWEEP_ENABLE = 1 << 14
LOAD_SWEEP_RATE = 1 << 13
"""Each update begins a new step of a sweep."""
FULL_CURRENT = 3 << 8
"""The DAC's full scale, not reduced. Whoever writes CFR must keep these bits."""
POWER_DOWN = 1 << 7 | 1 << 6
"""Of the channel's digital core and of its DAC, as other drivers have them; unconfirmed."""
DAC_POWER_DOWN = 1 << 6
AUTOCLEAR_SWEEP = 1 << 4
CLEAR_SWEEP = 1 << 3
AUTOCLEAR_PHASE = 1 << 2
CLEAR_PHASE = 1 << 1

ONCE = LOAD_SWEEP_RATE | AUTOCLEAR_SWEEP | AUTOCLEAR_PHASE
"""What each update does again while it is set."""

MOMENTARY = TARGET | NO_DWELL | SWEEP_ENABLE | ONCE | POWER_DOWN | CLEAR_SWEEP | CLEAR_PHASE
"""What an update decides anew; the rest of CFR, such as the DAC's current, is the board's."""

CFR_AFTER_RESET = 0x000302

# ACR

MULTIPLIER_ENABLE = 1 << 12
"""Without it, as after a reset, the amplitude is full scale."""
AMPLITUDE_RAMP = 1 << 11


def clock_register(refclk: float, multiplier: float | None) -> int:
    """FR1 for a reference in Hz, multiplied by the PLL, or as it is.

    Raises ValueError for what the PLL cannot do, or what nobody guarantees.
    """
    if multiplier is None:
        if not 0 < refclk <= 500e6:
            raise ValueError(f"refclk: {refclk:g} Hz is outside 0 to 500e6 Hz, the AD9959's clock")
        return 0
    output = refclk * multiplier
    if multiplier not in range(MIN_MULTIPLIER, MAX_MULTIPLIER + 1):
        raise ValueError(f"multiplier: {multiplier:g} is no whole number from 4 to 20")
    if not (100e6 <= output <= 160e6 or 255e6 <= output <= 500e6):
        raise ValueError(
            f"refclk times multiplier: {output:g} Hz is outside 100e6 to 160e6 and 255e6 to "
            "500e6 Hz, which the AD9959's PLL is good for"
        )
    return int(multiplier) << 18 | (VCO_GAIN if output >= 255e6 else 0)


def multiplier_of(fr1: int) -> int:
    """By what the system clock is the reference's, as FR1 has it."""
    multiplier = (fr1 & MULTIPLIER) >> 18
    return multiplier if MIN_MULTIPLIER <= multiplier <= MAX_MULTIPLIER else 1


def amplitude_register(amplitude: int) -> int:
    """ACR of an amplitude word."""
    return MULTIPLIER_ENABLE | amplitude


def tone_registers(words: ToneWords) -> dict[ToneParameter, tuple[int, int]]:
    """The register of each parameter of a tone, with what it holds."""
    return {
        "frequency": (CFTW0, words.frequency),
        "phase": (CPOW0, words.phase),
        "amplitude": (ACR, amplitude_register(words.amplitude)),
    }


ALIGNMENT: Mapping[ToneParameter, int] = {"frequency": 0, "phase": 18, "amplitude": 22}
"""By how many bits a parameter's word is shifted up in CW1, RDW and FDW."""


def sweep_rates(falling: int, rising: int) -> int:
    """LSRR of the ticks of a step."""
    return falling << 8 | rising
