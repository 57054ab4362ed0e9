"""A slot of a FlexDDS-NG: two AD9910 behind lines of text."""

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


class FakeFlexDdsNg(LineDevice):
    """What is written waits in a channel's program until that is started.

    A register's digits that are left out are those at its end, as if it were shifted in.
    """

    def __init__(self, slot: int = 0) -> None:
        super().__init__()
        self.slot = slot
        self.chips = [FakeAD9910(), FakeAD9910()]
        self.program: list[list[str]] = [[], []]
        self.authenticated = False
        self.power_cycle()

    def power_cycle(self) -> None:
        self.authenticated = False
        for chip in self.chips:
            chip.power_cycle()
            self._write(chip, CFR1, 2)
            chip.io_update()

    def restart(self) -> None:
        super().restart()
        self.authenticated = False

    def answer(self, line: bytes) -> bytes:
        text = line.decode()
        if text == f"75f4a4e10dd4b6b{self.slot}":
            self.authenticated = True
            return b"Auth OK"
        if not self.authenticated:
            return b"Auth error"
        said = re.fullmatch(r"dcp ([01]) (.*)", text)
        if said is None:
            return b"error: unknown command"
        channel, act = int(said[1]), said[2]
        if act == "start":
            for each in self.program[channel]:
                self._act(self.chips[channel], each)
            self.program[channel].clear()
        elif re.fullmatch(r"spi:(\w+)=0x([0-9a-f]+)(:w)?", act) or re.fullmatch(
            r"update:(u|[+-]d)", act
        ):
            self.program[channel].append(act)
        else:
            return b"error: " + act.encode()
        return b"OK"

    def _act(self, chip: FakeAD9910, act: str) -> None:
        chip.run(1000)
        if written := re.fullmatch(r"spi:(\w+)=0x([0-9a-f]+)(:w)?", act):
            register = REGISTERS[written[1]]
            self._write(chip, register, int(written[2].ljust(2 * WIDTHS[register], "0"), 16))
        elif act == "update:u":
            chip.io_update()
        else:
            chip.set_level("drctl", act == "update:+d")

    def _write(self, chip: FakeAD9910, register: int, value: int) -> None:
        chip.transfer(bytes([register]) + value.to_bytes(WIDTHS[register]))
