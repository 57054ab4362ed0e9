"""A slot of a WieserLabs FlexDDS-NG over TCP: two AD9910 whose registers are written as text.

What is known of its text comes from the source of four clients in the field; no manual could be
asked, and nothing was tried on one. Words and plans are the AD9910's.
"""

from __future__ import annotations

from collections.abc import Mapping
from fractions import Fraction

from ..dds.capabilities import Capabilities
from ..dds.driver import Driver
from ..dds.types import AchievedRamp, Ramp, Reading, Tone, Update
from ..errors import InstrumentError
from ..transports import Transport, WrongDevice, transport_to
from ..transports.endings import Line, Lines
from ..transports.protocol import Protocol
from .ad9910 import registers
from .ad9910.chip import AMPLITUDE_BITS, FREQUENCY_BITS, OUTPUT_LIMIT, PHASE_BITS
from .clocks import Clock, monotonic
from .ramps import RunningRamp, plan_ramp, ramp_shift, ramp_words
from .ticks import CYCLES_PER_TICK
from .words import ToneWords, WordFormat

CHANNELS = 2

SYSCLK = 1e9

MIN_FREQUENCY = 300e3
"""Lowest output in Hz, as its clients have it."""

FIRST_PORT = 26000
"""The TCP port of slot 0; that of slot n is n more."""

SLOTS = 6

GREETING = "75f4a4e10dd4b6b"
"""With the slot's number behind, what a connection begins with; the answer is ``Auth OK``."""

PROTOCOL = Protocol(timeout=2.0)

NAMES = {
    registers.CFR1: "CFR1",
    registers.CFR2: "CFR2",
    registers.ASF: "ASF",
    registers.RAMP_LIMITS: "DRL",
    registers.RAMP_STEPS: "DRSS",
    registers.RAMP_RATES: "DRR",
    registers.PROFILE: "STP0",
}
"""What it calls the chips' registers."""

CFR1 = registers.SDIO_INPUT_ONLY
"""What of CFR1 is the board's. The clients do not write it, so that this is unconfirmed."""

CFR2 = registers.CFR2_AFTER_RESET | registers.PROFILE_AMPLITUDE | 1 << 22
"""0x01400820, as the clients have it for a tone."""


class FlexDdsNgDriver(Driver):
    """A slot of a FlexDDS-NG, such as ``tcp:192.168.0.45:26002``; the port is 26000 + slot.

    It cannot be read: what its channels do is unknown until they are set. Each channel's update
    comes by itself. Raises `WrongDevice` for a device string that is no slot.
    """

    model = "the FlexDDS-NG"
    simultaneous = False

    def __init__(self, device: str, *, slot: int | None = None, clock: Clock = monotonic) -> None:
        self._line: Transport = transport_to(device, PROTOCOL)
        self._slot = _slot_of(device) if slot is None else slot
        self._greeted = False
        self._clock = clock
        self.format = chip = WordFormat(SYSCLK, FREQUENCY_BITS, PHASE_BITS, AMPLITUDE_BITS)
        can = Capabilities(
            parameters=chip.spans(float(Fraction(SYSCLK) * OUTPUT_LIMIT), MIN_FREQUENCY),
            ramps=("frequency", "phase", "amplitude"),
            whole_tones=True,
        )
        self.channels = [can] * CHANNELS
        self._tones: list[ToneWords | None] = [None] * CHANNELS
        """What each was last told to put out; None: not known."""
        self._outputs = [True] * CHANNELS
        self._ramps: list[RunningRamp | None] = [None] * CHANNELS
        self._started = [Fraction(0)] * CHANNELS

    def quantise(self, channel: int, tone: Tone) -> Tone:
        return self.format.quantise(tone)

    def plan_ramp(self, channel: int, ramp: Ramp) -> AchievedRamp:
        return plan_ramp(self.format, ramp)

    def open(self) -> None:
        self._line.open()
        self._tones, self._ramps = [None] * CHANNELS, [None] * CHANNELS
        self._greet()

    def close(self) -> None:
        self._line.close()
        self._greeted = False

    def read(self, channel: int) -> Reading:
        words = self._tones[channel]
        if words is None or self._ramps[channel] is not None:
            return Reading()
        return Reading(self.format.tone(words), self._outputs[channel], "single_tone")

    def update(self, updates: Mapping[int, Update]) -> Mapping[int, Tone]:
        achieved = {}
        for channel, update in updates.items():
            words = self.format.words(update.tone)
            self._put_tone(channel, words, clear_phase=update.clear_phase)
            achieved[channel] = self.format.tone(words)
        return achieved

    def set_output(self, channel: int, on: bool) -> None:
        self._tell(channel, {registers.ASF: 0, registers.CFR1: self._keyed(on)})
        self._outputs[channel] = on

    def reset(self) -> None:
        # Without the device's own `dds reset`, whose effect on the chips' clock nobody tells.
        self._outputs = [True] * CHANNELS
        for channel in range(CHANNELS):
            self._put_tone(channel, ToneWords(0, 0, 0), clear_phase=True)

    def ramp(self, channel: int, ramp: Ramp, tone: Tone, *, clear_phase: bool) -> None:
        words = ramp_words(self.format, ramp)
        still = self.format.words(tone)
        cfr1 = self._keyed(self._outputs[channel])
        self._tones[channel] = self._ramps[channel] = None
        *filling, running = registers.ramp_stages(words)
        common = {
            registers.PROFILE: registers.tone_profile(still),
            registers.CFR2: CFR2 | registers.ramp_destination(words),
        }
        for stage in [*filling, running]:
            cleared = registers.AUTOCLEAR_PHASE if clear_phase and stage is running else 0
            self._tell(
                channel,
                {**common, **stage.registers, registers.CFR1: cfr1 | stage.begins | cleared},
                drctl="+d" if stage.rises else "-d",
            )
        self._started[channel] = Fraction(*self._clock())
        self._tones[channel] = still
        self._ramps[channel] = RunningRamp(words, still, ramp_shift(self.format, ramp.parameter))

    def stop(self, channel: int) -> Tone:
        ramp = self._ramps[channel]
        if ramp is None:
            raise InstrumentError(
                f"it is not known what channel {channel} of the FlexDDS-NG puts out: set its "
                "frequency, phase and amplitude"
            )
        elapsed = Fraction(*self._clock()) - self._started[channel]
        words = ramp.tone_at(elapsed * Fraction(SYSCLK) // CYCLES_PER_TICK)
        self._put_tone(channel, words, clear_phase=False)
        return self.format.tone(words)

    def _put_tone(self, channel: int, words: ToneWords, *, clear_phase: bool) -> None:
        self._tones[channel] = self._ramps[channel] = None
        cfr1 = self._keyed(self._outputs[channel])
        self._tell(
            channel,
            {
                registers.ASF: 0,
                registers.PROFILE: registers.tone_profile(words),
                registers.CFR2: CFR2,
                registers.CFR1: cfr1 | (registers.AUTOCLEAR_PHASE if clear_phase else 0),
            },
        )
        self._tones[channel] = words

    def _keyed(self, on: bool) -> int:
        """CFR1 of an output: it is switched off by OSK, with an amplitude of 0 in ASF."""
        return CFR1 | (0 if on else registers.OSK_ENABLE)

    # --- its text --------------------------------------------------------------------------------

    def _tell(self, channel: int, values: Mapping[int, int], drctl: str = "") -> None:
        """Write registers of a channel, and have it take them over.

        Digits are padded with zeros: without, small words go wrong.
        """
        lines = [f"dcp {channel} update:{drctl}"] if drctl else []
        lines += [
            f"dcp {channel} spi:{NAMES[register]}=0x{value:0{2 * registers.WIDTHS[register]}x}"
            for register, value in values.items()
        ]
        # `:w` waits until it is written. That a program which runs may be started again, and one
        # that does not must be, is unconfirmed.
        lines[-1] += ":w"
        lines += [f"dcp {channel} update:u", f"dcp {channel} start"]
        if not self._greeted:
            self._greet()
        for line, answer in zip(lines, self._ask(lines), strict=True):
            if answer != "OK":
                self._refused(line, answer)

    def _greet(self) -> None:
        line = f"{GREETING}{self._slot}"
        [answer] = self._ask([line])
        if answer != "Auth OK":
            self._refused(line, answer)
        self._greeted = True

    def _ask(self, lines: list[str]) -> list[str]:
        """Each line's answer, which is one line."""
        sent = "".join(f"{line}\n" for line in lines).encode()
        try:
            heard = self._line.query(sent, Lines(len(lines)) if len(lines) > 1 else Line())
        except BaseException:
            self._greeted = False  # the line begins anew
            raise
        return [line.strip() for line in heard.decode("latin-1").split("\n")]

    def _refused(self, line: str, answer: str) -> None:
        self.close()
        raise InstrumentError(
            f"{self._line.name}: slot {self._slot} of the FlexDDS-NG answered {answer!r:.80} "
            f"to {line!r}"
        )


def _slot_of(device: str) -> int:
    port = device.rpartition(":")[2]
    if not port.isdecimal() or not 0 <= int(port) - FIRST_PORT < SLOTS:
        raise WrongDevice(
            f"{device!r} is no slot of a FlexDDS-NG: write such as tcp:192.168.0.45:26002 for "
            "slot 2; the port is 26000 and the slot's number, 0 to 5"
        )
    return int(port) - FIRST_PORT
