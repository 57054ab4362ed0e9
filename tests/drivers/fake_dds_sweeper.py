"""A dds-sweeper as its firmware 0.4.0 has it, quirks included, for ``FakeSerial``.

The firmware keeps its tables as the bytes that it writes to an AD9959, and so does this one: what
comes out is what that chip makes of them.
"""

from __future__ import annotations

import math
import struct
from collections.abc import Callable

from artiq_link.transports.fake import Device
from tests.drivers.fake_ad9959 import ACR, CFR, CFTW0, CPOW0, CW1, FDW, LSRR, RDW, FakeAD9959

STOPPED, STARTING, RUNNING, ABORTED = 0, 1, 2, 4

SINGLE, AMPLITUDE, FREQUENCY, PHASE = range(4)
"""Modes; 4 to 6 are the sweeps with steps of the other two parameters, which nobody uses here."""

MODES = ("Single Steps", "Amplitude Sweeps", "Frequency Sweeps", "Phase Sweeps")

LAYOUTS = {SINGLE: "<IHH", AMPLITUDE: "<HHHB", FREQUENCY: "<IIIB", PHASE: "<HHHB"}
SIZES = {SINGLE: 14, AMPLITUDE: 28, FREQUENCY: 29, PHASE: 27}
"""Bytes of a channel's part of a row, as it comes and as it is kept."""

MEMORY, TIMES = 249_856, 5000

CYCLES_PER_COMMAND = 500_000
"""Of the chip's clock, 1 ms: about what USB takes."""


class FakeDdsSweeper(Device):
    """A Pico and its chip; `chip.cycle` counts the time of both."""

    def __init__(self) -> None:
        self.board, self.version = "pico1", "0.4.0"
        self.clock = (0, 125e6, 4)
        self.commands: list[str] = []
        self.chip = FakeAD9959()
        self.power_up()

    def power_up(self) -> None:
        """Its power comes back: in a mode for sweeps, at 0 Hz and full scale."""
        self._heard = b""
        self._awaited = 0
        self._take_bytes: Callable[[bytes], None] = lambda data: None
        self.debug = True
        self.timing = False
        self.status = STOPPED
        self.triggers = 0
        self.memory = bytearray(MEMORY)
        self.ending = 0
        """The row that ends the table, or has it begin anew; 0: there is none."""
        self.next_row = 0
        self.chip.power_cycle()
        self._reset()

    def restart(self) -> None:
        self.power_up()

    def words(self, channel: int) -> tuple[int, int, int]:
        """Tuning word, phase word and amplitude word of what a channel puts out."""
        frequency, phase, amplitude, _ = self.chip.output(channel)
        return frequency, phase, amplitude

    def put(self, channel: int, frequency: int, phase: int, amplitude: int) -> None:
        """Have a channel put that out."""
        self._select(1 << channel)
        self._write(CFTW0, frequency, 4)
        self._write(CPOW0, phase, 2)
        self._write(ACR, 1 << 12 | amplitude, 3)
        self.chip.pulse("io_update")

    def rows(self) -> list[list[tuple[int, int, int, int]]]:
        """Of a table of single steps: its rows, for each channel frequency, amplitude, phase and
        Pico cycles."""
        kept = []
        for address in range(self.ending):
            row = self._row(address)[1:]
            parts = [row[at : at + 14] for at in range(0, len(row), 14)]
            cycles = self._cycles(address)
            kept.append(
                [
                    (
                        int.from_bytes(part[3:7]),
                        int.from_bytes(part[11:14]) & 0x3FF,
                        int.from_bytes(part[8:10]),
                        cycles,
                    )
                    for part in parts
                ]
            )
        return kept

    def repeats(self) -> bool:
        """Whether the table begins anew with the row that ends it."""
        return bool(self.memory[self._offset(self.ending) + 1])

    def finish(self) -> None:
        """The table plays to its end."""
        assert not self.repeats()
        while self.status in {STARTING, RUNNING}:
            self._go_on()

    # Its line

    def receive(self, data: bytes) -> bytes:
        self._heard += data
        said = []
        while True:
            if self._awaited:
                if len(self._heard) < self._awaited:
                    break
                rows, self._heard = self._heard[: self._awaited], self._heard[self._awaited :]
                self._awaited = 0
                self._take_bytes(rows)
                said.append("ok")
                continue
            line, newline, rest = self._heard.partition(b"\n")
            if not newline:
                break
            self._heard = rest
            command = line.decode("latin-1").strip()
            self.commands.append(command)
            self.chip.run(CYCLES_PER_COMMAND)
            said.append(self._answer(command))
        return "".join(f"{line}\n" for line in said).encode()

    def _answer(self, command: str) -> str:
        # In the firmware's order, and by prefix.
        word, *texts = command.split() or [""]
        if command.startswith("version"):
            return self.version
        if command.startswith("board"):
            return self.board
        if command.startswith("status"):
            status = self.status
            if status == STARTING:
                self._go_on()  # it begins some ms after its ok
            return str(status)
        if command.startswith("clkstatus"):
            return "{} {:.6f} {}".format(*self.clock)
        if command.startswith(("debug on", "debug off")):
            self.debug = command == "debug on"
            return "ok"
        if command.startswith("numtriggers"):
            return str(self.triggers)
        if command.startswith("reset"):
            self.status = STOPPED
            self._reset()
            return "ok"
        if command.startswith("abort"):
            if self.status in {STARTING, RUNNING}:
                self.status = ABORTED
            return "ok"
        if self.status not in {STOPPED, ABORTED}:
            refused = f'Cannot execute command "{command}\n" during buffered execution. Check '
            return (refused + "status first and wait for it to return stopped")[:127]
        if command.startswith("getmode"):
            return f"{self.channels} active channels\nMode {self.mode} - {MODES[self.mode]}"
        if command.startswith("setchannels"):
            self.channels = int(texts[0])
            return "ok"
        if command.startswith(("setfreq", "setphase", "setamp")):
            return self._set(word, int(texts[0]), float(texts[1]))
        if command.startswith("mode "):
            self.mode, self.timing = int(texts[0]), texts[1] != "0"
            if self.mode == SINGLE:
                self._select(0b1111)
                self._write(CFR, 0x000300, 3)
                self.chip.pulse("io_update")
            return "ok"
        if command.startswith("set "):
            kind, address = map(int, texts)
            if kind not in {4, 5}:
                return "Invalid Channel - expected 0-3 for channels or 4/5\nok"
            if not self._has_room(address):
                return "Insufficient space for stop instruction\nok"
            at = self._offset(address)
            self.memory[at : at + 2] = bytes([0, 0xFF if kind == 5 else 0])
            self.ending = address
            return "ok"
        if command.startswith("setb "):
            start, count = map(int, texts)
            if not self._has_room(start + count):
                return "Insufficient space for instructions"
            if self.ending <= start + count:
                self.ending = 0
            size = struct.calcsize(LAYOUTS[self.mode]) + (4 if self.timing else 0)
            self._awaited = count * self.channels * size
            self._take_bytes = lambda data: self._take_rows(start, data)
            return f"ready for {self._awaited} bytes"
        if command.startswith("start"):
            self.status = STARTING
            if not self.ending:
                none = "Instruction table does not contain a stop or repeat. Cannot execute!"
                return f"ok\n{none}"
            self.next_row = 0
            return "ok"
        return f'Unrecognized Command: "{command}\n"'

    def _set(self, word: str, channel: int, value: float) -> str:
        self._select(1 << channel)
        if word == "setfreq":
            clock = self.clock[1] * self.clock[2]
            self._write(CFTW0, nearest(value * 2**32 / clock) & 0xFFFFFFFF, 4)
            shown = f"set freq: {value:f}"
        elif word == "setphase":
            self._write(CPOW0, nearest(value / 360 * 16384) % 16383, 2)
            shown = f"Phase: {value:12f}"
        else:
            self._write(ACR, 1 << 12 | min(nearest(value * 1024), 1023), 3)
            shown = f"Amp: {value:12f}"
        self.chip.pulse("io_update")
        return f"{shown}\nok" if self.debug else "ok"

    # Its tables

    def _take_rows(self, start: int, data: bytes) -> None:
        layout = LAYOUTS[self.mode] + ("I" if self.timing else "")
        for number, kept in enumerate(struct.iter_unpack(layout, data)):
            row, channel = divmod(number, self.channels)
            at = self._offset(start + row)
            values = kept[:-1] if self.timing else kept
            if self.timing:
                self._keep_cycles(start + row, kept[-1])
            if self.mode == SINGLE:
                self.memory[at] |= 0x01
                part = self._single_step(channel, *values)
            else:
                self._keep_pins(at, channel, rises=values[1] > values[0])
                part = self._sweep(channel, *values)
            assert len(part) == SIZES[self.mode]
            at += 1 + channel * len(part)
            self.memory[at : at + len(part)] = part

    def _keep_cycles(self, address: int, cycles: int) -> None:
        """A row's time; shorter ones are lengthened without a word."""
        base, more = (250, 250) if self.mode == SINGLE else (500, 500)
        kept = max(cycles, base + more * self.channels) - (10 if address else 18)
        at = MEMORY - 4 * TIMES + 4 * address
        self.memory[at : at + 4] = kept.to_bytes(4, "little")

    def _cycles(self, address: int) -> int:
        at = MEMORY - 4 * TIMES + 4 * address
        return int.from_bytes(self.memory[at : at + 4], "little") + (10 if address else 18)

    def _keep_pins(self, at: int, channel: int, *, rises: bool) -> None:
        """A row's levels of the profile pins: at its update, and behind it. P0 is the last."""
        first, then = 1 << 3 - channel, 1 << 7 - channel
        self.memory[at] |= first | then
        if not rises:
            self.memory[at] &= ~then

    def _single_step(self, channel: int, frequency: int, amplitude: int, phase: int) -> bytes:
        return b"".join(
            [
                bytes([0, 1 << channel + 4 | 2]),
                bytes([CFTW0]) + frequency.to_bytes(4),
                bytes([CPOW0]) + phase.to_bytes(2),
                bytes([ACR, 0, amplitude >> 8 & 3 | 0x10, amplitude & 0xFF]),
            ]
        )

    def _sweep(self, channel: int, start: int, stop: int, step: int, ticks: int) -> bytes:
        """Of the amplitude: its multiplier's bit is left out."""
        register, width, up, most = {
            AMPLITUDE: (ACR, 3, 22, 0xFFC00000),
            FREQUENCY: (CFTW0, 4, 0, 0xFFFFFFFF),
            PHASE: (CPOW0, 2, 18, 0xFFFFFFFF),
        }[self.mode]
        # Where start and stop are the same, sweeps of the amplitude alone are falling ones.
        rises = stop > start if self.mode == AMPLITUDE else stop >= start
        low, high = (start, stop) if rises else (stop, start)
        # A rising sweep of the amplitude has a fall, others have none.
        idle = most if self.mode == AMPLITUDE or not rises else 0
        rising, falling = (step << up, idle) if rises else (idle, step << up)
        rates = (1, ticks) if rises else (ticks, 1)
        return b"".join(
            [
                bytes([0, 1 << channel + 4 | 2]),
                bytes([register]) + low.to_bytes(width),
                bytes([LSRR, *rates]),
                bytes([RDW]) + shifted(rising),
                bytes([FDW]) + shifted(falling),
                bytes([CW1]) + shifted(high << up),
                bytes([CFR, self.mode << 6, 0x43, 0x10]),
            ]
        )

    def _offset(self, address: int) -> int:
        return (SIZES[self.mode] * self.channels + 1) * address

    def _row(self, address: int) -> bytes:
        return bytes(self.memory[self._offset(address) : self._offset(address + 1)])

    def _has_room(self, address: int) -> bool:
        times = TIMES * 4 if self.timing else 0
        needed = self._offset(address) + 1 + SIZES[self.mode] + times
        return needed < MEMORY and not (self.timing and address > TIMES)

    def _go_on(self) -> None:
        """The table's next trigger, at whatever time; with the last one the table has ended."""
        if not self.ending or not self.timing:
            return  # it waits for ever, or for a trigger from outside
        if self.next_row == 0:
            self.status, self.triggers = RUNNING, 0
        row = self._row(self.next_row)
        self.chip.transfer(row[1:])
        self._pins(row[0])
        self.chip.pulse("io_update")
        self.chip.run(4 * self.clock[2])
        self._pins(row[0] >> 4)
        self.triggers += 1
        self.next_row += 1
        if self.next_row == self.ending:
            self.next_row = 0
            if not self.repeats():
                self.status = STOPPED

    def _pins(self, levels: int) -> None:
        for channel in range(4):
            self.chip.set_level(f"p{channel}", bool(levels >> 3 - channel & 1))

    # Its chip

    def _reset(self) -> None:
        """What a reset does to its chip; the table and the timing stay."""
        self.mode, self.channels = AMPLITUDE, 1
        self.chip.pulse("reset")
        self._write(1, (0x80 | self.clock[2] << 2) << 16, 3)
        self._select(0b1111)
        self._write(CFR, 0x000304, 3)
        for register, width in ((CFTW0, 4), (CPOW0, 2), (ACR, 3), (LSRR, 2)):
            self._write(register, 0, width)
        for register in (RDW, FDW, CW1):
            self._write(register, 0, 4)
        self.chip.pulse("io_update")

    def _select(self, channels: int) -> None:
        self._write(0, channels << 4 | 2, 1)

    def _write(self, register: int, value: int, width: int) -> None:
        self.chip.transfer(bytes([register]) + value.to_bytes(width))


def shifted(word: int) -> bytes:
    """The lower 32 bits of a word."""
    return (word & 0xFFFFFFFF).to_bytes(4)


def nearest(value: float) -> int:
    """C's round, for what is not negative."""
    return math.floor(value + 0.5)
