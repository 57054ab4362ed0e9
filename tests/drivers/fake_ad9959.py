"""An AD9959 as its data sheet has it: fed with SPI bytes and pins, it computes its outputs.

All of it is integers: registers in two banks, those of a channel four times, phase accumulators
and sweep accumulators. Nothing here is taken from the driver, which is tested against it.
"""

from __future__ import annotations

from typing import NamedTuple

from tests.drivers.fake_chip import FakeChip

CSR, FR1, FR2, CFR, CFTW0, CPOW0, ACR, LSRR, RDW, FDW, CW1 = range(0x0B)
WIDTHS = {
    CSR: 1, FR1: 3, FR2: 2, CFR: 3, CFTW0: 4, CPOW0: 2, ACR: 3, LSRR: 2, RDW: 4, FDW: 4,
    **dict.fromkeys(range(CW1, 0x19), 4),
}  # fmt: skip
RESET_CSR = 0xF0  # from memory, unconfirmed
RESET_CFR = 0x000302  # from memory, and in many drivers of others
TURN = 1 << 32


class Output(NamedTuple):
    """What a channel puts out in one cycle of the system clock."""

    frequency: int
    """32 bits."""
    phase: int
    """14 bits."""
    amplitude: int
    """10 bits, 0 where the channel is powered down."""
    scale: int
    """The DAC's full scale in eighths."""


class FakeAD9959(FakeChip):
    """One chip, and the lines that lead to it.

    `pins` are the names of the lines that are wired.
    """

    def __init__(self, *pins: str, floating: int = 0xFF) -> None:
        self.written: list[tuple[int, int, int]] = []
        """The channel bits of CSR, the register and the value of each write since it was made."""
        wired = pins or ("io_update", "reset", "p0", "p1", "p2", "p3")
        super().__init__("ad9959", frozenset(wired), floating)

    def power_cycle(self) -> None:
        """Lose everything."""
        self._master_reset()

    def _master_reset(self) -> None:
        self.csr = RESET_CSR
        self.buffer = {FR1: 0, FR2: 0}
        self.active = dict(self.buffer)
        self._channels = [_Channel() for _ in range(4)]
        self._register: int | None = None
        self._shifted: list[int] = []
        self._reading = False

    def run(self, cycles: int) -> None:
        """Let so many cycles of the system clock pass."""
        self.cycle += cycles
        for number, channel in enumerate(self._channels):
            channel.run(cycles, self._high(number))

    def output(self, channel: int) -> Output:
        """What a channel puts out in the present cycle."""
        assert not self.active[FR1] >> 8 & 3, "a modulation level above two"
        return self._channels[channel].output(self._high(channel))

    def accumulator(self, channel: int) -> int:
        """A channel's phase accumulator."""
        return self._channels[channel].accumulator

    def registers(self, channel: int) -> dict[int, int]:
        """A channel's registers that are in effect."""
        return dict(self._channels[channel].active)

    @property
    def multiplier(self) -> int:
        """By what the system clock is the reference's."""
        set_to = self.active[FR1] >> 18 & 0x1F
        return set_to if 4 <= set_to <= 20 else 1

    def _high(self, channel: int) -> bool:
        return self.levels.get(f"p{channel}", False)

    def _shift(self, byte: int) -> int:
        assert not self.csr & 1, "LSB first"
        assert not self.csr & 4, "more than one data line"
        if self._register is None:
            register = byte & 0x1F
            self._reading, self._shifted = byte >= 0x80, []
            self._register = register if register in WIDTHS else None
            return self.floating
        width = WIDTHS[self._register]
        out = self.floating
        if self._reading and self.csr & 6 == 2:
            out = self._read(self._register).to_bytes(width)[len(self._shifted)]
        self._shifted.append(byte)
        if len(self._shifted) == width:
            if not self._reading:
                self._write(self._register, int.from_bytes(bytes(self._shifted)))
            self._register = None
        return out

    def _selected(self) -> list[_Channel]:
        return [
            channel for number, channel in enumerate(self._channels) if self.csr >> number + 4 & 1
        ]

    def _read(self, register: int) -> int:
        if register == CSR:
            return self.csr
        if register in self.active:
            return self.active[register]
        selected = self._selected()
        if len(selected) != 1:
            return 0  # which channel answers is not said
        return selected[0].active[register]

    def _write(self, register: int, value: int) -> None:
        self.written.append((self.csr >> 4, register, value))
        if register == CSR:
            self.csr = value  # at once
        elif register in self.buffer:
            self.buffer[register] = value
        else:
            for channel in self._selected():
                channel.buffer[register] = value

    def _io_update(self) -> None:
        self.active = dict(self.buffer)
        function = self.active[FR2]
        for number, channel in enumerate(self._channels):
            channel.io_update(
                self._high(number),
                clear_phase=bool(function & 0x3000),
                clear_sweep=bool(function & 0xC000),
            )

    def _level_changed(self, pin: str) -> None:
        if pin.startswith("p"):
            number = int(pin[1])
            self._channels[number].load_timer(self._high(number))


class _Channel:
    def __init__(self) -> None:
        self.buffer = {register: 0 for register in WIDTHS if register >= CFR} | {CFR: RESET_CFR}
        self.active = dict(self.buffer)
        self.accumulator = 0
        self.swept = 0
        """The sweep accumulator: how far the output is above its start."""
        self._left: int | None = None

    def _bit(self, bit: int) -> bool:
        return bool(self.active[CFR] >> bit & 1)

    def _target(self) -> str | None:
        """What the profile pin changes: by a sweep, or from word 0 to word 1."""
        return (None, "amplitude", "frequency", "phase")[self.active[CFR] >> 22 & 3]

    def _align(self, word: int) -> int:
        """A word of 32 bits in those of the target, which stand at its upper end."""
        return (
            word >> {"amplitude": 22, "frequency": 0, "phase": 18}[self._target() or "frequency"]
        )

    def _start(self) -> int:
        return {
            "amplitude": self.active[ACR] & 0x3FF,
            "frequency": self.active[CFTW0],
            "phase": self.active[CPOW0] & 0x3FFF,
        }[self._target() or "frequency"]

    def _span(self) -> int:
        return self._align(self.active[CW1]) - self._start()

    def output(self, high: bool) -> Output:
        values = {
            "frequency": self.active[CFTW0],
            "phase": self.active[CPOW0] & 0x3FFF,
            "amplitude": self.active[ACR] & 0x3FF,
        }
        if target := self._target():
            if self._bit(14):
                values[target] = self._start() + self.swept
            elif high:
                values[target] = self._align(self.active[CW1])
        amplitude = values["amplitude"]
        if not self.active[ACR] >> 12 & 1 and not (target == "amplitude" and self._bit(14)):
            # The multiplier is left out, but not where it is swept: the dds-sweeper sweeps so.
            amplitude = 0x3FF
        # The chip's own ramp of the amplitude, bit 11, is taken to have come to its end.
        if self._bit(6) or self._bit(7):
            amplitude = 0
        scale = {3: 8, 1: 4, 2: 2, 0: 1}[self.active[CFR] >> 8 & 3]
        return Output(values["frequency"], values["phase"], amplitude, scale)

    def run(self, cycles: int, high: bool) -> None:
        while cycles:
            step = min(cycles, self._left or cycles)
            gained = 0 if self._bit(1) else self.accumulator + step * self.output(high).frequency
            self.accumulator = gained % TURN
            cycles -= step
            if self._left is not None:
                self._left -= step
                if not self._left:
                    self._step(high)

    def io_update(self, high: bool, *, clear_phase: bool, clear_sweep: bool) -> None:
        swept = self._bit(14)
        self.active = dict(self.buffer)
        if self._bit(2) or self._bit(1) or clear_phase:
            self.accumulator = 0
        if self._bit(14) and self._target():
            assert self._span() > 0, "a sweep's start must be below its end"
            if self._bit(4) or self._bit(3) or clear_sweep or not swept:
                self.swept = 0
            if self._bit(13) or not swept or self._left is None:
                self.load_timer(high)
        else:
            self.swept, self._left = 0, None

    def _step(self, high: bool) -> None:
        if high:
            self.swept = min(self.swept + self._align(self.active[RDW]), self._span())
            if self.swept == self._span() and self._bit(15):
                self.swept, self._left = 0, None  # no dwell
                return
        else:
            self.swept = max(self.swept - self._align(self.active[FDW]), 0)
        self.load_timer(high)

    def load_timer(self, high: bool) -> None:
        """Begin a step, unless the sweep is where it stays."""
        rate = self.active[LSRR] & 0xFF if high else self.active[LSRR] >> 8
        ends = self.swept == (self._span() if high else 0)
        falls_without_dwell = self._bit(15) and not high
        moves = rate and self._align(self.active[RDW if high else FDW]) and not ends
        idle = not self._bit(14) or not self._target() or not moves or falls_without_dwell
        self._left = None if idle else 4 * rate
