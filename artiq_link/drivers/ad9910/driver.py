"""An AD9910 on an SPI port: its registers, written and read back.

Facts are the data sheet's unless another source is named; where none could be asked, it says so.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from fractions import Fraction

import msgspec

from ...dds.capabilities import Capabilities, Tables
from ...dds.driver import Driver
from ...dds.types import AchievedRamp, Activity, Ramp, Reading, Row, Tone, Update
from ...errors import HardwareRestarted, InstrumentError
from ...loggers import get_logger
from ...transports.spi import Spi, spi_to
from ..clocks import Clock, in_seconds, monotonic
from ..ramps import RunningRamp, plan_ramp, ramp_shift, ramp_words
from ..ticks import seconds_of, ticks_since
from ..words import ToneWords
from . import ram, registers
from .chip import OUTPUT_LIMIT, RAM_WORDS, word_format

PINS = ("io_update", "reset", "drctl")
"""The chip's pins that a device string can name."""

LOCK_TIME = 0.1
"""Seconds that the PLL is given to lock, as ARTIQ gives it."""

RAM_BLOCK = 256
"""Words of the RAM in one transfer: spidev takes 4096 bytes at most."""

logger = get_logger(__name__)


class Ad9910Driver(Driver):
    """An AD9910 on an SPI port, such as ``spi:/dev/spidev0.0?io_update=24&reset=25&drctl=26``.

    `refclk` is the reference in Hz, and `multiplier` that of the chip's PLL, None where the
    reference is the system clock; a device string may have both, ``&refclk=25e6&multiplier=40``.
    The board must select profile 0.

    It needs the line on which the chip answers, SDO. After power-up the chip does not use it
    before it has been told so: until then its state is unknown, and the first command that sets
    a whole tone, or `reset`, sets the chip up.

    Ramps need the pin DRCTL. Tables are the RAM's: while it is loaded, for some milliseconds,
    the output is silent, and a table of frequencies below full amplitude needs a board that
    holds the pin OSK high: early Urukul boards do not (sinara-hw/Urukul, issue 19).

    Raises ValueError for a device string or a clock that cannot be.
    """

    model = "the AD9910"

    def __init__(
        self,
        device: str | Spi,
        *,
        refclk: float = 1e9,
        multiplier: float | None = None,
        clock: Clock = monotonic,
    ) -> None:
        self._spi, given = spi_to(device, PINS, ("refclk", "multiplier"))
        refclk = given.get("refclk", refclk)
        multiplier = given.get("multiplier", multiplier)
        self._cfr3 = registers.clock_register(refclk, multiplier)
        sysclk = refclk * registers.multiplier_of(self._cfr3)
        self.format = word_format(sysclk)
        self.channels = [self._capabilities()]
        self._clock = clock
        self._control: tuple[int, int] | None = None
        """What CFR1 and CFR2 were left at; None: the chip is not set up."""
        self._tone: ToneWords | None = None
        """What the channel puts out, or returns to; None: not known."""
        self._output = True
        self._program: RunningRamp | ram.RamTable | None = None
        """The ramp or table that runs; None also where another program began it."""
        self._started = Fraction(0)
        """When it began."""
        self._updated = Fraction(0)
        """When the chip last took over what was written."""
        self._ram_falls: bool | None = None
        """Whether the port goes down through the RAM's addresses; None: not asked yet."""

    def _capabilities(self) -> Capabilities:
        chip = self.format
        tick = seconds_of(1, chip.sysclk)
        highest = float(Fraction(chip.sysclk) * OUTPUT_LIMIT)
        return Capabilities(
            parameters=chip.spans(highest),
            ramps=("frequency", "phase", "amplitude"),
            tables=Tables(RAM_WORDS, ("frequency", "phase", "amplitude"), tick, tick),
            whole_tones=True,
            reads=("frequency", "phase", "amplitude", "output", "activity"),
        )

    # --- what touches no hardware ----------------------------------------------------------------

    def quantise(self, channel: int, tone: Tone) -> Tone:
        return self.format.quantise(tone)

    def plan_ramp(self, channel: int, ramp: Ramp) -> AchievedRamp:
        self._require_drctl()
        return plan_ramp(self.format, ramp)

    def plan_table(self, channel: int, rows: Sequence[Row], repeat: int | None) -> list[Row]:
        return ram.plan_table(self.format, rows, repeat)

    # --- opening and reading -----------------------------------------------------------------

    def open(self) -> None:
        self._spi.open()
        self._adopt()
        if self._control is None:
            logger.warning(
                "%s: no AD9910 answers yet, as after power-up; the first whole tone sets it up",
                self._spi.name,
            )

    def close(self) -> None:
        self._spi.close()

    def now(self) -> float:
        return in_seconds(self._clock)

    def read(self, channel: int) -> Reading:
        self._adopt()
        if self._control is None:
            return Reading()
        cfr1, cfr2 = self._control
        tone = Tone()
        activity: Activity | None = None
        if cfr1 & registers.RAM_ENABLE:
            activity = "table"
        elif cfr2 & registers.RAMP_ENABLE:
            tone, activity = self._ramp_end(cfr2), "ramp"
        elif self._tone is not None:
            tone, activity = self.format.tone(self._tone), "single_tone"
        return Reading(tone, self._output, activity)

    def _adopt(self) -> None:
        """Read what the chip does, and go on from there."""
        self._control = self._tone = self._program = None
        self._output = True
        aux = self._get(registers.AUX_DAC)
        if _silent(aux, 4):
            return
        self._identify(aux)
        cfr1, cfr2, cfr3 = (
            self._get(register) for register in (registers.CFR1, registers.CFR2, registers.CFR3)
        )
        if cfr3 == registers.CFR3_AFTER_RESET:
            return  # it answers, but nobody has set its clock up
        found, wanted = registers.multiplier_of(cfr3), registers.multiplier_of(self._cfr3)
        if found != wanted:
            raise InstrumentError(
                f"{self._spi.name}: the AD9910's system clock is {found:g} times its reference, "
                f"and {wanted:g} times was expected: say in the device string what it is, such "
                "as &refclk=25e6&multiplier=40"
            )
        asf, profile = self._get(registers.ASF), self._get(registers.PROFILE)
        keyed = registers.asf_amplitude(asf)
        osk = bool(cfr1 & registers.OSK_ENABLE)
        self._output = not ((osk and keyed == 0) or cfr1 & registers.POWER_DOWN)
        self._control = cfr1, cfr2
        tone = registers.profile_tone(profile)
        if not cfr2 & registers.PROFILE_AMPLITUDE:
            tone = msgspec.structs.replace(tone, amplitude=self.format.full_scale)
        if osk and keyed:
            tone = msgspec.structs.replace(tone, amplitude=keyed)
        # Driven by something else, the profile's tone is not what comes out.
        if not (
            cfr1 & (registers.RAM_ENABLE | registers.AUTO_OSK) or cfr2 & registers.PARALLEL_PORT
        ):
            self._tone = tone

    def _identify(self, aux: int) -> None:
        """Raise unless the chip is an AD9910; `aux` is its AUX_DAC register, 0x7f after a reset.

        Its current may have been set, so that any is taken where the unused bits are 0.
        """
        if aux >> 8 or not aux:
            raise InstrumentError(
                f"{self._spi.name}: no AD9910 answers: its register AUX_DAC reads {aux:#010x}, "
                "and should be 0x0000007f; is it another chip, or is SDO not wired?"
            )

    def _ramp_end(self, cfr2: int) -> Tone:
        """The tone with which a ramp ends that another program may have begun."""
        if self._tone is None:
            return Tone()
        parameter = registers.ramp_parameter(cfr2)
        end = None
        if "drctl" in self._spi.pins and not cfr2 & registers.RAMP_NO_DWELL:
            limits = self._get(registers.RAMP_LIMITS)
            word = limits >> 32 if self._spi.level("drctl") else limits & 0xFFFFFFFF
            shift = ramp_shift(self.format, parameter)
            end = self.format.value(parameter, word >> shift)
        return msgspec.structs.replace(self.format.tone(self._tone), **{parameter: end})

    # --- writing -------------------------------------------------------------------------------

    def update(self, updates: Mapping[int, Update]) -> Mapping[int, Tone]:
        achieved = {}
        for channel, update in updates.items():
            words = self.format.words(update.tone)
            control = self._require_chip()
            self._put_tone(words, control, clear_phase=update.clear_phase)
            achieved[channel] = self.format.tone(words)
        return achieved

    def set_output(self, channel: int, on: bool) -> None:
        cfr1, cfr2 = self._require_chip()
        playing = bool(cfr1 & registers.RAM_ENABLE)
        if playing and on:
            raise InstrumentError(
                "the AD9910 would begin its table anew with its output: stop it or play it again, "
                "then switch the output on"
            )
        was, self._output = self._output, on
        try:
            if self._tone is not None and not (playing or cfr2 & registers.RAMP_ENABLE):
                self._put_tone(self._tone, (cfr1, cfr2), clear_phase=False)
            else:
                # A ramp goes on with its words, which this update leaves alone.
                cfr1 &= ~(registers.ONCE | registers.AMPLITUDE_KEYS)
                cfr1 |= 0 if on else registers.OSK_ENABLE
                self._take_over({registers.ASF: 0}, cfr1, cfr2)
        except BaseException:
            self._output = was
            raise

    def reset(self) -> None:
        self._set_up()

    def ramp(self, channel: int, ramp: Ramp, tone: Tone, *, clear_phase: bool) -> None:
        self._require_drctl()
        words = ramp_words(self.format, ramp)
        still = self.format.words(tone)
        cfr1, cfr2 = self._require_chip()
        cfr1, cfr2 = self._lasting(cfr1, cfr2)
        cfr1 |= 0 if self._output else registers.OSK_ENABLE
        cfr2 |= registers.PROFILE_AMPLITUDE | registers.ramp_destination(words)
        profile = {registers.ASF: 0, registers.PROFILE: registers.tone_profile(still)}
        clear = registers.AUTOCLEAR_PHASE if clear_phase else 0
        self._program = None
        *filling, running = registers.ramp_stages(words)
        for stage in filling:
            self._spi.set_level("drctl", stage.rises)
            self._take_over({**profile, **stage.registers}, cfr1 | stage.begins, cfr2)
        self._spi.set_level("drctl", running.rises)
        self._take_over({**profile, **running.registers}, cfr1 | running.begins | clear, cfr2)
        self._tone = still
        self._begin(RunningRamp(words, still, ramp_shift(self.format, ramp.parameter)))

    def play(
        self, channel: int, rows: Sequence[Row], repeat: int | None, *, clear_phase: bool
    ) -> None:
        table = ram.ram_table(self.format, rows, repeat)
        cfr1, cfr2 = self._lasting(*self._require_chip())
        first, last = table.rows[0], len(table.words) - 1
        self._program = self._tone = None
        self._load(table.words, cfr1, cfr2)
        cfr1 |= registers.RAM_ENABLE | table.destination
        keyed = first.amplitude if self._output else 0
        # What the RAM does not drive comes from these registers, the amplitude only by OSK.
        by_osk = table.destination == registers.RAM_TO_FREQUENCY and keyed < self.format.full_scale
        if by_osk or not self._output:
            cfr1 |= registers.OSK_ENABLE
        if clear_phase:
            cfr1 |= registers.AUTOCLEAR_PHASE
        self._take_over(
            {
                registers.FTW: first.frequency,
                registers.POW: first.phase,
                registers.ASF: registers.amplitude_register(keyed),
                registers.PROFILE: registers.ram_profile(
                    0, last, table.ticks, repeat=repeat is None
                ),
            },
            cfr1,
            cfr2,
        )
        self._begin(table)

    def stop(self, channel: int) -> Tone:
        control = self._require_chip()
        if self._program is None:
            raise InstrumentError(
                "it is not known what the AD9910 puts out, which was begun by another program: "
                "set its frequency, phase and amplitude"
            )
        # The chip cannot be asked for the phase or amplitude of a ramp, nor for a table's row.
        tick = ticks_since(self._started, self._clock, self.format.sysclk)
        words = self._program.tone_at(tick)
        self._put_tone(words, control, clear_phase=False)
        return self.format.tone(words)

    def _put_tone(self, words: ToneWords, control: tuple[int, int], *, clear_phase: bool) -> None:
        """Have profile 0 put out a tone, whatever the chip did before; `control` is as it was."""
        cfr1, cfr2 = self._lasting(*control)
        self._program = self._tone = None
        self._take_over(
            {registers.ASF: 0, registers.PROFILE: registers.tone_profile(words)},
            cfr1
            | (registers.AUTOCLEAR_PHASE if clear_phase else 0)
            | (0 if self._output else registers.OSK_ENABLE),
            cfr2 | registers.PROFILE_AMPLITUDE,
        )
        self._tone = words

    def _lasting(self, cfr1: int, cfr2: int) -> tuple[int, int]:
        """What of the control registers is the board's, and stays whatever is put out."""
        return cfr1 & ~registers.MOMENTARY_1, cfr2 & ~registers.MOMENTARY_2

    def _take_over(self, values: Mapping[int, int], cfr1: int, cfr2: int) -> None:
        """Write registers, have the chip take them over at once, and see that it has."""
        values = {**values, registers.CFR2: cfr2, registers.CFR1: cfr1}
        # Until it is known that they hold, they may be the old or the new.
        self._control = None
        for register, value in values.items():
            self._put(register, value)
        self._spi.io_update()
        self._updated = Fraction(*self._clock())
        for register, value in values.items():
            if register == registers.FTW:
                continue  # may read as the frequency that is put out
            self._check(register, value, self._get(register))
        self._control = cfr1, cfr2

    def _check(self, register: int, value: int, found: int) -> None:
        if (found ^ value) & ~registers.FROM_PINS.get(register, 0):
            raise InstrumentError(
                f"{self._spi.name}: the AD9910's register {register:#04x} was set to {value:#x} "
                f"and reads {found:#x}: the chip lost its power, or a wire is bad"
            )

    def _begin(self, program: RunningRamp | ram.RamTable) -> None:
        self._started, self._program = self._updated, program

    # --- setting up ----------------------------------------------------------------------------

    def _require_chip(self) -> tuple[int, int]:
        """CFR1 and CFR2 of the chip, set up if it never was.

        Raises `HardwareRestarted` where it is not as it was left.
        """
        if self._control is None:
            self._adopt()  # what a failure left is looked at before it is set up anew
        control = self._control or self._set_up()
        for register, value in zip((registers.CFR1, registers.CFR2), control, strict=True):
            found = self._get(register)
            if (found ^ value) & ~registers.FROM_PINS.get(register, 0):
                self._control = None
                raise HardwareRestarted(
                    f"{self._spi.name}: the AD9910 has lost what it was set to: its register "
                    f"{register:#04x} reads {found:#x} instead of {value:#x}; nothing was sent"
                )
        return control

    def _set_up(self) -> tuple[int, int]:
        """Make a chip in whatever state put out nothing, at amplitude 0; its CFR1 and CFR2."""
        self._control = self._tone = self._program = None
        self._output = True
        if "reset" in self._spi.pins:
            self._spi.reset()
        self._put(registers.CFR1, registers.SDIO_INPUT_ONLY)
        self._spi.io_update()
        self._identify(self._get(registers.AUX_DAC))
        if self._get(registers.CFR3) != self._cfr3:
            self._put(registers.CFR3, self._cfr3 | registers.PLL_RESET)
            self._spi.io_update()
            self._put(registers.CFR3, self._cfr3)
            self._spi.io_update()
            if self._cfr3 & registers.PLL_ENABLE:
                time.sleep(LOCK_TIME)
        silence = ToneWords(0, 0, 0)
        control = (
            registers.SDIO_INPUT_ONLY | registers.AUTOCLEAR_PHASE,
            registers.CFR2_AFTER_RESET | registers.PROFILE_AMPLITUDE,
        )
        self._take_over(
            {
                registers.CFR3: self._cfr3,
                registers.ASF: 0,
                registers.PROFILE: registers.tone_profile(silence),
            },
            *control,
        )
        self._tone = silence
        return control

    def _require_drctl(self) -> None:
        if "drctl" not in self._spi.pins:
            raise InstrumentError(
                "the AD9910 ramps by its pin DRCTL: add drctl= to the device string, "
                "where the pin is wired"
            )

    # --- the RAM -------------------------------------------------------------------------------

    def _load(self, words: Sequence[int], cfr1: int, cfr2: int) -> None:
        """Write words into the RAM from address 0 on; the output is silent from here on.

        While it is written, the profile holds addresses and not a tone.
        """
        if self._ram_falls is None:
            # The data sheet says that the addresses rise; ARTIQ's tests on hardware saw them fall.
            probe = (0x00000000, 0xFFFFFFFF)
            self._window(0, 1, cfr1, cfr2)
            self._spi.transfer(_ram_write(probe))
            self._window(0, 0, cfr1, cfr2)
            self._ram_falls = self._get(registers.RAM) == probe[1]
        for start in range(0, len(words), RAM_BLOCK):
            block = words[start : start + RAM_BLOCK]
            sent = _ram_write(block[::-1] if self._ram_falls else block)
            self._window(start, start + len(block) - 1, cfr1, cfr2)
            self._spi.transfer(sent)
            asked = bytes([registers.RAM | registers.READ]).ljust(len(sent), b"\0")
            if self._spi.transfer(asked)[1:] != sent[1:]:
                raise InstrumentError(
                    f"{self._spi.name}: the AD9910's RAM does not hold what was written to it"
                )

    def _window(self, start: int, end: int, cfr1: int, cfr2: int) -> None:
        """Have the port write and read the RAM between two addresses."""
        profile = registers.ram_profile(start, end, 1, repeat=False)
        self._take_over(
            {registers.ASF: 0, registers.PROFILE: profile}, cfr1 | registers.OSK_ENABLE, cfr2
        )

    # --- the port ------------------------------------------------------------------------------

    def _put(self, register: int, value: int) -> None:
        width = registers.WIDTHS[register]
        self._spi.transfer(bytes([register]) + value.to_bytes(width, "big"))

    def _get(self, register: int) -> int:
        width = registers.WIDTHS[register]
        heard = self._spi.transfer(bytes([register | registers.READ]) + bytes(width))
        return int.from_bytes(heard[1:], "big")


def _silent(value: int, width: int) -> bool:
    """Whether a register's value is that of a line that nobody drives."""
    return value in {0, (1 << 8 * width) - 1}


def _ram_write(words: Sequence[int]) -> bytes:
    return bytes([registers.RAM]) + b"".join(word.to_bytes(4, "big") for word in words)
