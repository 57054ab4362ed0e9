"""An AD9910 as its data sheet has it: fed with SPI bytes and pins, it computes its output.

All of it is integers: registers in two banks, the phase accumulator, the ramp generator and the
RAM with timers of their own. Nothing here is taken from the driver, which is tested against it.
"""

from __future__ import annotations

import functools
from typing import NamedTuple

from tests.drivers.fake_chip import FakeChip

CFR1, CFR2, CFR3, AUX_DAC, FTW, POW, ASF = 0x00, 0x01, 0x02, 0x03, 0x07, 0x08, 0x09
LIMITS, STEPS, RATES, PROFILE0, RAM = 0x0B, 0x0C, 0x0D, 0x0E, 0x16
WIDTHS = {
    **dict.fromkeys((CFR1, CFR2, CFR3, AUX_DAC, 0x04, FTW, ASF, 0x0A, RATES, RAM), 4),
    POW: 2,
    **dict.fromkeys((LIMITS, STEPS, *range(PROFILE0, PROFILE0 + 8)), 8),
}
RESET = {
    CFR2: 0x00400820,
    CFR3: 0x1F3F4000,
    AUX_DAC: 0x7F,
    0x04: 0xFFFFFFFF,
    # From memory, unconfirmed: a profile has an amplitude that CFR2 leaves out after a reset.
    PROFILE0: 0x08B5 << 48,
}
TURN = 1 << 32


class Output(NamedTuple):
    """What the chip puts out in one cycle of its system clock."""

    frequency: int
    """The tuning word at the phase accumulator, 32 bits."""
    phase: int
    """The phase offset, 16 bits."""
    amplitude: int
    """The amplitude, 14 bits."""


class FakeAD9910(FakeChip):
    """One chip, and the lines that lead to it.

    `pins` are the names of the lines that are wired. `osk` is the level at which the board holds
    the OSK pin. `ram_falls` is the way that the serial port takes through the RAM: in ARTIQ's
    tests on hardware the addresses came down, the data sheet says that they go up.
    """

    def __init__(
        self,
        *pins: str,
        osk: bool = True,
        ram_falls: bool = True,
        floating: int = 0xFF,
    ) -> None:
        self.osk = osk
        self.ram_falls = ram_falls
        self.written: list[tuple[int, int]] = []
        """The registers that were written since it was made, and with what."""
        wired = pins or ("io_update", "reset", "drctl")
        super().__init__("ad9910", frozenset(wired), floating)

    # What a test does with it

    def power_cycle(self) -> None:
        """Lose everything."""
        self.ram = [0x5A5A5A5A] * 1024
        self._master_reset()

    def run(self, cycles: int) -> None:
        """Let so many cycles of the system clock pass."""
        while cycles:
            step = min(cycles, self._drg_left or cycles, self._ram_left or cycles)
            self.accumulator = (self.accumulator + step * self.output().frequency) % TURN
            self.cycle += step
            cycles -= step
            if self._drg_left is not None:
                self._drg_left -= step
                if not self._drg_left:
                    self._step_drg()
            if self._ram_left is not None:
                self._ram_left -= step
                if not self._ram_left:
                    self._step_ram()

    def output(self) -> Output:
        """What it puts out in the present cycle."""
        ram, drg = self._destination_of_ram(), self._destination_of_drg()
        word = self.ram[self._ram_address]
        profile = self.active[PROFILE0 + self._profile()]
        single = not self._cfr1(31)
        if ram == "frequency":
            frequency = word
        elif drg == "frequency":
            frequency = self._drg
        else:
            frequency = profile & 0xFFFFFFFF if single else self.active[FTW]
        if ram == "phase" or ram == "polar":
            phase = word >> 16
        elif drg == "phase":
            phase = self._drg >> 16
        else:
            phase = profile >> 32 & 0xFFFF if single else self.active[POW]
        if self._cfr1(7) or self._cfr1(6):
            amplitude = 0  # digital core or DAC powered down
        elif self._cfr1(9):
            if self._cfr1(8):
                raise NotImplementedError("automatic OSK")
            amplitude = self.active[ASF] >> 2 & 0x3FFF if self.osk else 0
        elif ram == "amplitude":
            amplitude = word >> 18
        elif ram == "polar":
            amplitude = word >> 2 & 0x3FFF
        elif drg == "amplitude":
            amplitude = self._drg >> 18
        elif self._cfr2(24):
            # Also while the profile is one of the RAM's: its bits are taken for an amplitude.
            amplitude = profile >> 48 & 0x3FFF
        else:
            amplitude = 0x3FFF
        return Output(frequency, phase, amplitude)

    # Its serial port

    def _shift(self, byte: int) -> int:
        """One byte in, one byte out. Where the last one stopped does not depend on the select
        line: a transfer that ends within a register goes on in the next one.
        """
        if self._register is None:
            self._register, self._shifted, self._reading = byte & 0x1F, [], byte >= 0x80
            if self._register == RAM:
                profile = self.active[PROFILE0 + self._profile()]
                start, end = profile >> 14 & 0x3FF, profile >> 30 & 0x3FF
                self._ram_range = list(range(start, end + 1))
                if self.ram_falls:
                    self._ram_range.reverse()
            if self._register not in WIDTHS:
                self._register = None
            return self.floating
        width = WIDTHS[self._register]
        out = self.floating
        if self._reading and self._cfr1(1):
            # With SDIO as an input only, the chip drives SDO.
            out = self._read(self._register).to_bytes(width)[len(self._shifted)]
        self._shifted.append(byte)
        if len(self._shifted) == width:
            if not self._reading:
                self._write(self._register, int.from_bytes(bytes(self._shifted)))
            if self._register == RAM:
                del self._ram_range[0]
            self._shifted = []
            if self._register != RAM or not self._ram_range:
                self._register = None
        return out

    def _read(self, register: int) -> int:
        if register == RAM:
            return self.ram[self._ram_range[0]]
        if register == FTW and self._cfr2(16):
            return self.output().frequency
        return self.active[register]

    def _write(self, register: int, value: int) -> None:
        self.written.append((register, value))
        if register == RAM:
            assert not self._cfr1(31), "the RAM is not written while it plays"
            self.ram[self._ram_range[0]] = value
            return
        self.buffer[register] = value
        if register == CFR1:
            # The power-down of the digital core and of the reference needs no update.
            self.active[CFR1] = self.active[CFR1] & ~0xA0 | value & 0xA0

    # What it does

    def _master_reset(self) -> None:
        self.buffer = dict.fromkeys(WIDTHS, 0) | RESET
        self.active = dict(self.buffer)
        self._register: int | None = None
        self._shifted: list[int] = []
        self._reading = False
        self._ram_range: list[int] = []
        self.accumulator = 0
        self._drg = 0
        self._drg_left: int | None = None
        self._drg_halted = False
        self._ram_address = 0
        self._ram_left: int | None = None

    def _io_update(self) -> None:
        ramped = self._cfr2(19)
        self.active = dict(self.buffer)
        if self._cfr1(0) or self._cfr1(20) or self._cfr1(19) or self._cfr1(18) or self._cfr1(17):
            raise NotImplementedError("LSB first, internal profile control")
        if self._cfr1(11) or self._cfr1(13):
            self.accumulator = 0
        upper, lower = self._limits()
        if self._cfr2(19):
            assert lower < upper, "the ramp's upper limit must be above the lower one"
            if self._cfr1(14) or self._cfr1(12) or not ramped:
                self._drg, self._drg_halted = lower, False
            self._drg = min(max(self._drg, lower), upper)
            if self._cfr1(15) or self._cfr1(14) or not ramped or self._drg_left is None:
                self._load_drg_timer()
        else:
            self._drg_left = None
        self._ram_left = None
        if self._cfr1(31):
            # Each update begins the RAM's waveform anew.
            self._ram_address = self.active[PROFILE0 + self._profile()] >> 14 & 0x3FF
            if self._ram_mode() in {1, 4}:
                self._ram_left = self._ram_period()
            elif self._ram_mode():
                raise NotImplementedError("a bidirectional RAM mode")

    def _level_changed(self, pin: str) -> None:
        if pin == "drctl":
            self._drg_halted = False
            self._load_drg_timer()

    def _step_drg(self) -> None:
        upper, lower = self._limits()
        up, down = self.active[STEPS] & 0xFFFFFFFF, self.active[STEPS] >> 32
        if self.levels.get("drctl", False):
            self._drg = min(self._drg + up, upper)
            if self._drg == upper and self._cfr2(18):
                self._drg, self._drg_halted = lower, True
        else:
            self._drg = max(self._drg - down, lower)
            if self._drg == lower and self._cfr2(17):
                self._drg, self._drg_halted = upper, True
        self._load_drg_timer()

    def _load_drg_timer(self) -> None:
        """Begin a step, unless the generator is where it stays."""
        upper, lower = self._limits()
        high = self.levels.get("drctl", False)
        steps, rates = self.active[STEPS], self.active[RATES]
        step = steps & 0xFFFFFFFF if high else steps >> 32
        rate = rates & 0xFFFF if high else rates >> 16
        moves = step and rate and self._drg != (upper if high else lower)
        idle = self._drg_halted or self._cfr1(12) or not self._cfr2(19) or not moves
        self._drg_left = None if idle else 4 * rate

    def _step_ram(self) -> None:
        profile = self.active[PROFILE0 + self._profile()]
        start, end = profile >> 14 & 0x3FF, profile >> 30 & 0x3FF
        self._ram_left = self._ram_period()
        if self._ram_address < end:
            self._ram_address += 1
        elif self._ram_mode() == 4:
            self._ram_address = start
        else:
            self._ram_left = None

    def _ram_period(self) -> int | None:
        step = self.active[PROFILE0 + self._profile()] >> 40 & 0xFFFF
        return 4 * step if step else None

    def _ram_mode(self) -> int:
        return self.active[PROFILE0 + self._profile()] & 7

    def _profile(self) -> int:
        return sum(self.levels.get(f"profile{bit}", False) << bit for bit in range(3))

    def _limits(self) -> tuple[int, int]:
        return self.active[LIMITS] >> 32, self.active[LIMITS] & 0xFFFFFFFF

    def _destination_of_ram(self) -> str | None:
        names = ("frequency", "phase", "amplitude", "polar")
        return names[self.active[CFR1] >> 29 & 3] if self._cfr1(31) else None

    def _destination_of_drg(self) -> str | None:
        names = ("frequency", "phase", "amplitude", "amplitude")
        return names[self.active[CFR2] >> 20 & 3] if self._cfr2(19) else None

    def _bit(self, register: int, bit: int) -> bool:
        return bool(self.active[register] >> bit & 1)

    _cfr1 = functools.partialmethod(_bit, CFR1)
    _cfr2 = functools.partialmethod(_bit, CFR2)
