"""A slot of a FlexDDS-NG: two AD9910 behind lines of text, each with its DCP."""

from __future__ import annotations

import re

from artiq_link.transports.fake import LineDevice
from tests.drivers.fake_ad9910 import (
    ASF,
    CFR1,
    CFR2,
    LIMITS,
    PROFILE0,
    RATES,
    STEPS,
    WIDTHS,
    FakeAD9910,
)

REGISTERS = {
    "CFR1": CFR1,
    "CFR2": CFR2,
    "ASF": ASF,
    "DRL": LIMITS,
    "DRSS": STEPS,
    "DRR": RATES,
    "STP0": PROFILE0,
}

WRITE = re.compile(r"spi:(\w+)=0x([0-9a-f]+)(?::[wc])?")
UPDATE = re.compile(r"update:(u|[+-]d)")
WAIT = re.compile(r"wait:(?:(\d+)h)?:(\d*)")

CYCLES_PER_ACT = 8

ROOM = 512
"""Lines that a DCP holds; clients in the field found no more to be good."""


class FakeFlexDdsNg(LineDevice):
    """What is written waits until a start gives it to the channel's DCP, which then goes on.

    A register's digits that are left out are those at its end, as if it were shifted in.
    """

    def __init__(self, slot: int = 0) -> None:
        super().__init__()
        self.slot = slot
        self.chips = [FakeAD9910(), FakeAD9910()]
        self.authenticated = False
        self.power_cycle()

    def power_cycle(self) -> None:
        self.authenticated = False
        self.written: list[list[str]] = [[], []]
        self.program: list[list[str]] = [[], []]
        self.runs = [False, False]
        self.due: list[int | None] = [None, None]
        """The cycle until which a DCP waits; None where it waits for an event, or for nothing."""
        for channel in (0, 1):
            self._reset(channel)

    def restart(self) -> None:
        super().restart()
        self.authenticated = False

    def run(self, channel: int, cycles: int) -> None:
        """Let so many cycles of a channel's chip pass, in which its DCP goes on."""
        chip = self.chips[channel]
        end = chip.cycle + cycles
        while (due := self.due[channel]) is not None and due <= end:
            chip.run(max(0, due - chip.cycle))
            self.due[channel] = None
            self._go_on(channel)
        chip.run(max(0, end - chip.cycle))

    def trigger(self) -> None:
        """An edge at the slot's input A."""
        for channel, program in enumerate(self.program):
            if program[:1] == ["event 3"]:
                del program[0]
                self._go_on(channel)

    def answer(self, line: bytes) -> bytes:
        text = line.decode()
        if text == f"75f4a4e10dd4b6b{self.slot}":
            self.authenticated = True
            return b"Auth OK"
        if not self.authenticated:
            return b"Auth error"
        if reset := re.fullmatch(r"dds ([01]) reset", text):
            self._reset(int(reset[1]))
            return b"OK"
        said = re.fullmatch(r"dcp ([01]) (.*)", text)
        if said is None:
            return b"error: unknown command"
        channel, act = int(said[1]), said[2]
        if act == "start":
            self.program[channel] += self.written[channel]
            self.written[channel].clear()
            self.runs[channel] = True
            self._go_on(channel)
        elif act == "stop":
            self.runs[channel] = False
        elif any(form.fullmatch(act) for form in (WRITE, UPDATE, WAIT)):
            self.written[channel].append(act)
            assert len(self.written[channel]) + len(self.program[channel]) <= ROOM
        else:
            return b"error: " + act.encode()
        return b"OK"

    def _reset(self, channel: int) -> None:
        self.written[channel], self.program[channel] = [], []
        self.runs[channel], self.due[channel] = False, None
        chip = self.chips[channel]
        chip.power_cycle()
        self._write(chip, CFR1, 2)
        chip.io_update()

    def _go_on(self, channel: int) -> None:
        chip, program = self.chips[channel], self.program[channel]
        while self.runs[channel] and self.due[channel] is None and program:
            if program[0].startswith("event"):
                return
            act = program.pop(0)
            chip.run(CYCLES_PER_ACT)
            if written := WRITE.fullmatch(act):
                chip.run(1000)
                register = REGISTERS[written[1]]
                self._write(chip, register, int(written[2].ljust(2 * WIDTHS[register], "0"), 16))
            elif wait := WAIT.fullmatch(act):
                if wait[1]:
                    # What is written goes out while it waits.
                    due = self.due[channel] = chip.updated_at + 8 * int(wait[1])
                    assert due >= chip.cycle, "it is not written yet"
                else:
                    program.insert(0, f"event {wait[2]}")
            elif act == "update:u":
                chip.io_update()
            else:
                chip.set_level("drctl", act == "update:+d")

    def _write(self, chip: FakeAD9910, register: int, value: int) -> None:
        chip.transfer(bytes([register]) + value.to_bytes(WIDTHS[register]))
