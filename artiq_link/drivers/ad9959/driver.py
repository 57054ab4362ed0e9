"""An AD9959 on an SPI port: four channels, set at the same instant; registers read back.

Facts are the data sheet's unless another source is named; where none could be asked, it says so.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from fractions import Fraction

from ...dds.capabilities import Capabilities
from ...dds.driver import Driver
from ...dds.types import AchievedRamp, Activity, Ramp, Reading, Tone, ToneParameter, Update
from ...errors import HardwareRestarted, InstrumentError
from ...transports.spi import Spi, spi_to
from ..clocks import Clock, in_seconds, monotonic
from ..ramps import RunningRamp, plan_ramp, ramp_words
from ..ticks import ticks_since
from ..words import ToneWords
from . import registers
from .chip import CHANNELS, OUTPUT_LIMIT, PHASE_BITS, word_format

PINS = ("io_update", "reset", "p0", "p1", "p2", "p3")
"""The chip's pins that a device string can name; the profile pins are those of the sweeps."""

LOCK_TIME = 1e-3
"""Seconds that the PLL is given to lock."""


class Ad9959Driver(Driver):
    """An AD9959 on an SPI port, such as ``spi:/dev/spidev0.0?io_update=24&reset=25&p0=5``.

    `refclk` is the reference in Hz, and `multiplier` that of the chip's PLL, None where the
    reference is the system clock; a device string may have both, ``&refclk=25e6&multiplier=20``.

    It needs the line on which the chip answers, SDIO_2, and SDIO_3 at low. After power-up nothing
    is known: the first command that sets something sets the chip up, with all amplitudes at 0.

    A channel ramps by its profile pin. A falling ramp first puts out its stop for one tick of
    SYNC_CLK: the chip sweeps down from where a sweep up has taken it.

    Raises ValueError for a device string or a clock that cannot be.
    """

    model = "the AD9959"

    def __init__(
        self,
        device: str | Spi,
        *,
        refclk: float = 500e6,
        multiplier: float | None = None,
        clock: Clock = monotonic,
    ) -> None:
        self._spi, given = spi_to(device, PINS, ("refclk", "multiplier"))
        refclk = given.get("refclk", refclk)
        multiplier = given.get("multiplier", multiplier)
        self._fr1 = registers.clock_register(refclk, multiplier)
        self.format = chip = word_format(refclk * (multiplier or 1))
        highest = float(Fraction(chip.sysclk) * OUTPUT_LIMIT)
        can = Capabilities(
            parameters=chip.spans(highest),
            ramps=("frequency", "phase", "amplitude"),
            reads=("frequency", "phase", "amplitude", "output", "activity"),
        )
        self.channels = [can] * CHANNELS
        self._clock = clock
        self._functions: list[int] | None = None
        """What each channel's CFR was left at; None: the chip is not set up."""
        self._ramps: list[RunningRamp | None] = [None] * CHANNELS
        self._started = [Fraction(0)] * CHANNELS
        self._fr1_kept, self._fr2_kept = self._fr1, 0
        """What FR1 and FR2 are written to: what they held, but for what would act on a sweep or
        on all channels at once."""

    # --- what touches no hardware ----------------------------------------------------------------

    def quantise(self, channel: int, tone: Tone) -> Tone:
        return self.format.quantise(tone)

    def plan_ramp(self, channel: int, ramp: Ramp) -> AchievedRamp:
        self._profile_pin(channel)
        return plan_ramp(self.format, ramp)

    # --- opening and reading ---------------------------------------------------------------------

    def open(self) -> None:
        self._spi.open()
        self._adopt()

    def close(self) -> None:
        self._spi.close()

    def now(self) -> float:
        return in_seconds(self._clock)

    def read(self, channel: int) -> Reading:
        if self._functions is None:
            self._adopt()
        if self._functions is None:
            return Reading()
        self._select(channel)
        function, acr = self._get(registers.CFR), self._get(registers.ACR)
        known: dict[ToneParameter, float | None] = {
            "frequency": self.format.frequency(self._get(registers.CFTW0)),
            "phase": self.format.phase(self._get(registers.CPOW0) & (1 << PHASE_BITS) - 1),
            "amplitude": self.format.amplitude(acr & self.format.full_scale),
        }
        if acr & registers.AMPLITUDE_RAMP:
            known["amplitude"] = None
        elif not acr & registers.MULTIPLIER_ENABLE:
            known["amplitude"] = 1.0
        activity: Activity | None = "single_tone"
        target = function & registers.TARGET
        if target:
            swept = next(name for name, bits in registers.TARGETS.items() if bits == target)
            activity = "ramp" if function & registers.SWEEP_ENABLE else None
            known[swept] = self._swept_to(channel, swept, function, known[swept])
        output = not function & registers.POWER_DOWN
        return Reading(Tone(**known), output, activity)

    def _swept_to(
        self, channel: int, swept: ToneParameter, function: int, start: float | None
    ) -> float | None:
        """Where a sweep ends that is found running, as far as that can be told."""
        pin = f"p{channel}"
        if not function & registers.SWEEP_ENABLE or pin not in self._spi.pins:
            return None
        if not self._spi.level(pin) or function & registers.NO_DWELL:
            return start
        word = self._get(registers.CW1) >> registers.ALIGNMENT[swept]
        return self.format.value(swept, word)

    def _adopt(self) -> None:
        """See that it is an AD9959, whose clock is the expected one, and go on from what it does.

        CSR, which is written, says only which channel the port speaks of.
        """
        self._functions = None
        self._ramps = [None] * CHANNELS
        functions = []
        for channel in range(CHANNELS):
            self._select(channel)
            functions.append(self._get(registers.CFR))
        fr1 = self._get(registers.FR1)
        found, wanted = registers.multiplier_of(fr1), registers.multiplier_of(self._fr1)
        if _after_reset(functions, fr1):
            return
        if found != wanted:
            raise InstrumentError(
                f"{self._spi.name}: the AD9959's system clock is {found} times its reference, and "
                f"{wanted} times was expected: say in the device string what it is, such as "
                "&refclk=25e6&multiplier=20"
            )
        self._fr1_kept = fr1 & ~registers.MODULATION_LEVEL
        self._fr2_kept = self._get(registers.FR2) & ~registers.CLEAR_ALL
        self._functions = functions

    # --- writing ---------------------------------------------------------------------------------

    def update(self, updates: Mapping[int, Update]) -> Mapping[int, Tone]:
        functions = self._require_chip()
        written: dict[int, dict[int, int]] = {}
        achieved = {}
        for channel, update in updates.items():
            tone = self.format.quantise(update.tone)
            achieved[channel] = tone
            function = functions[channel] & ~registers.MOMENTARY
            function |= functions[channel] & registers.POWER_DOWN  # the output's switch
            if update.clear_phase:
                function |= registers.AUTOCLEAR_PHASE
            written[channel] = {registers.CFR: function}
            for parameter in update.changed:
                value = getattr(tone, parameter)
                register, holds = self._register(parameter, self.format.word(parameter, value))
                written[channel][register] = holds
        self._take_over(functions, written)
        for channel in updates:
            self._ramps[channel] = None
        return achieved

    def set_output(self, channel: int, on: bool) -> None:
        functions = self._require_chip()
        function = functions[channel] & ~(registers.ONCE | registers.POWER_DOWN)
        if not on:
            function |= registers.DAC_POWER_DOWN
        self._take_over(functions, {channel: {registers.CFR: function}})

    def reset(self) -> None:
        self._set_up()

    def ramp(self, channel: int, ramp: Ramp, tone: Tone, *, clear_phase: bool) -> None:
        pin = self._profile_pin(channel)
        made = ramp_words(self.format, ramp)
        functions = self._require_chip()
        still = self._words_of(channel)
        parameter, up = made.parameter, registers.ALIGNMENT[made.parameter]
        low, high = sorted((made.first, made.last))
        rises = made.last > made.first
        function = functions[channel] & ~registers.MOMENTARY
        function |= functions[channel] & registers.POWER_DOWN
        function |= registers.TARGETS[parameter] | registers.SWEEP_ENABLE
        function |= registers.AUTOCLEAR_SWEEP | registers.LOAD_SWEEP_RATE
        if clear_phase:
            function |= registers.AUTOCLEAR_PHASE
        # To fall, the sweep is first taken to its upper end, by one step.
        rising, falling = (made.step, 0) if rises else (high - low, made.step)
        rates = (1, made.period) if rises else (made.period, 1)
        start, holds = self._register(parameter, low)
        self._ramps[channel] = None
        self._spi.set_level(pin, not rises)
        self._take_over(
            functions,
            {
                channel: {
                    start: holds,
                    registers.CW1: high << up,
                    registers.RDW: rising << up,
                    registers.FDW: falling << up,
                    registers.LSRR: registers.sweep_rates(*rates),
                    registers.CFR: function,
                }
            },
        )
        # The pin's edge begins it. That a sweep falls slower than a step each tick is unconfirmed:
        # the firmware of the dds-sweeper does without.
        self._spi.set_level(pin, rises)
        self._started[channel] = Fraction(*self._clock())
        self._ramps[channel] = RunningRamp(made, still, 0)

    def stop(self, channel: int) -> Tone:
        functions = self._require_chip()
        ramp = self._ramps[channel]
        if ramp is None:
            raise InstrumentError(
                f"it is not known what channel {channel} of the AD9959 puts out, which was begun "
                "by another program: set its frequency, phase and amplitude"
            )
        # The chip cannot be asked where it is.
        words = ramp.tone_at(ticks_since(self._started[channel], self._clock, self.format.sysclk))
        function = functions[channel] & ~registers.MOMENTARY
        function |= functions[channel] & registers.POWER_DOWN
        written = dict(registers.tone_registers(words).values())
        self._take_over(functions, {channel: {**written, registers.CFR: function}})
        self._ramps[channel] = None
        return self.format.tone(words)

    def _register(self, parameter: ToneParameter, word: int) -> tuple[int, int]:
        """The register of a tone's parameter, and what it holds for its word."""
        words = ToneWords(word, word, word)
        return registers.tone_registers(words)[parameter]

    def _words_of(self, channel: int) -> ToneWords:
        """The words in a channel's registers."""
        self._select(channel)
        acr = self._get(registers.ACR)
        full_scale = self.format.full_scale
        return ToneWords(
            self._get(registers.CFTW0),
            self._get(registers.CPOW0) & (1 << PHASE_BITS) - 1,
            acr & full_scale if acr & registers.MULTIPLIER_ENABLE else full_scale,
        )

    def _take_over(self, functions: list[int], written: Mapping[int, Mapping[int, int]]) -> None:
        """Write channels' registers, have the chip take them over at once, and see that it has.

        `functions` is what each channel's CFR was left at.
        """
        all_written = {channel: dict(values) for channel, values in written.items()}
        for channel, function in enumerate(functions):
            if function & registers.ONCE and channel not in written:
                # This update is not that channel's, and would clear its phase again.
                all_written[channel] = {registers.CFR: function & ~registers.ONCE}
        # Until it is known that they hold, they may be the old or the new.
        self._functions = None
        for channel, values in all_written.items():
            self._select(channel)
            for register, value in values.items():
                self._put(register, value)
        self._put(registers.FR1, self._fr1_kept)
        self._put(registers.FR2, self._fr2_kept)
        self._spi.io_update()
        for channel, values in all_written.items():
            self._select(channel)
            for register, value in values.items():
                if (found := self._get(register)) != value:
                    raise InstrumentError(
                        f"{self._spi.name}: channel {channel} of the AD9959 was to hold "
                        f"{value:#x} in its register {register:#04x}, which reads {found:#x}: the "
                        "chip lost its power, or a wire is bad"
                    )
        self._functions = [
            all_written.get(channel, {}).get(registers.CFR, function)
            for channel, function in enumerate(functions)
        ]

    # --- setting up ------------------------------------------------------------------------------

    def _require_chip(self) -> list[int]:
        """Each channel's CFR, of a chip that is set up if it never was.

        Raises `HardwareRestarted` where it is not as it was left.
        """
        if self._functions is None:
            self._adopt()  # what a failure left is looked at before it is set up anew
        functions = self._functions or self._set_up()
        for channel, function in enumerate(functions):
            self._select(channel)
            found = self._get(registers.CFR)
            if found != function:
                self._functions = None
                raise HardwareRestarted(
                    f"{self._spi.name}: the AD9959 has lost what it was set to: its register CFR "
                    f"of channel {channel} reads {found:#08x} instead of {function:#08x}; nothing "
                    "was sent"
                )
        return functions

    def _set_up(self) -> list[int]:
        """Make a chip in whatever state put out nothing, at amplitude 0; each channel's CFR."""
        kept = [
            function & ~registers.MOMENTARY
            for function in self._functions or [registers.FULL_CURRENT] * CHANNELS
        ]
        self._functions = None
        self._ramps = [None] * CHANNELS
        if "reset" in self._spi.pins:
            self._spi.reset()
        functions = [function | registers.AUTOCLEAR_PHASE for function in kept]
        silence = dict(registers.tone_registers(ToneWords(0, 0, 0)).values())
        self._fr1_kept, self._fr2_kept = self._fr1, 0
        self._take_over(
            functions,
            {
                channel: {**silence, registers.CFR: function}
                for channel, function in enumerate(functions)
            },
        )
        if self._fr1 & registers.MULTIPLIER:
            time.sleep(LOCK_TIME)
        return functions

    def _profile_pin(self, channel: int) -> str:
        pin = f"p{channel}"
        if pin not in self._spi.pins:
            raise InstrumentError(
                f"channel {channel} of the AD9959 ramps by its profile pin: add {pin}= to the "
                "device string, where the pin is wired"
            )
        return pin

    # --- the port --------------------------------------------------------------------------------

    def _select(self, channel: int) -> None:
        """Have the port speak of one channel, and see that an AD9959 is there."""
        asked = registers.selecting(channel)
        self._put(registers.CSR, asked)
        found = self._get(registers.CSR)
        if found != asked:
            self._functions = None
            raise InstrumentError(
                f"{self._spi.name}: no AD9959 answers: its register CSR was set to {asked:#04x} "
                f"and reads {found:#04x}; is it switched on, and SDIO_2 wired?"
            )

    def _put(self, register: int, value: int) -> None:
        width = registers.WIDTHS[register]
        self._spi.transfer(bytes([register]) + value.to_bytes(width, "big"))

    def _get(self, register: int) -> int:
        width = registers.WIDTHS[register]
        heard = self._spi.transfer(bytes([register | registers.READ]) + bytes(width))
        return int.from_bytes(heard[1:], "big")


def _after_reset(functions: list[int], fr1: int) -> bool:
    """Whether nobody has set the chip up since its power came."""
    return fr1 == 0 and all(function == registers.CFR_AFTER_RESET for function in functions)
