"""A Novatech 409B as its manual and its users have it, quirks included, for ``FakeSerial``."""

from __future__ import annotations

import re

from artiq_link.transports.fake import LineDevice

POWER_UP = (100_000_000, 0, 1023)
"""What its EEPROM has: 10 MHz at full scale, on each channel."""

TABLE_ROW = r"T([01]) ([0-9A-F]{4}) ([0-9A-F]{8}),([0-9A-F]{4}),([0-9A-F]{4}),([0-9A-F]{2})"


class FakeNovatech409b(LineDevice):
    """Four channels of frequency word, phase word and amplitude word.

    `written` is what commands wrote; it becomes `output` with an update, which automatic mode
    makes behind each command.
    """

    terminator = b"\r\n"

    def __init__(self) -> None:
        super().__init__()
        self.echo = False
        self.commands: list[str] = []
        self.power_up()

    def power_up(self) -> None:
        """Its power comes back."""
        self.written = [list(POWER_UP) for _ in range(4)]
        self.output = [list(POWER_UP) for _ in range(4)]
        self.updates = 0
        self.automatic = True
        self.clears_phase = False
        self.table: dict[tuple[int, int], tuple[int, int, int, int]] = {}
        self.row: int | None = None
        self._toggled = False

    def restart(self) -> None:
        super().restart()
        self.power_up()

    def receive(self, data: bytes) -> bytes:
        answer = super().receive(data)
        return data + answer if self.echo else answer

    def trigger(self) -> None:
        """An edge at its trigger input, or the end of a dwell: the next row."""
        assert self.row is not None
        self._load(self.row + 1)

    def answer(self, line: bytes) -> bytes | None:
        command = line.decode("latin-1").strip()
        if command:
            self.commands.append(command)
        answer = self._answer(command.upper())
        if self.automatic and self.row is None and not answer.startswith("?"):
            self._update()
        return answer.encode()

    def _answer(self, command: str) -> str:
        if not command:
            return "OK"
        if len(command) > 40:
            return "?3"
        if command == "QUE":
            return "\r\n".join([*map(self._told, range(4)), "80 BC0000 0000 0102 21"])
        if command == "R":
            self.power_up()
            return "OK"
        if found := re.fullmatch(
            r"T([01]) ([0-9A-F]{4}) ([0-9A-F]{8}),(\w{4}),(\w{4}),(\w\w)", command
        ):
            channel, address, *words = (int(text, 16) for text in found.groups())
            self.table[channel, address] = (words[0], words[1], words[2], words[3])
            self._toggled = False
            return "OK"
        name, _, value = command.partition(" ")
        if found := re.fullmatch(r"([FPV])([0-3])", name):
            return self._set(found[1], int(found[2]), value)
        if name == "M":
            return self._set_mode(value)
        if name == "I" and value in {"A", "M", "P"}:
            if value == "P":
                self._update()
            else:
                self.automatic = value == "A"
            return "OK"
        return "?0"

    def _set(self, kind: str, channel: int, value: str) -> str:
        if kind == "F":
            if not re.fullmatch(r"\d+\.\d{7}", value):
                return "?1"
            word = int(value.replace(".", ""))
            if not 1 <= word <= 1_711_276_031:
                return "?1"
            self.written[channel][0] = word
        elif not value.isdecimal() or (kind == "P" and int(value) >= 16384):
            return "?4" if kind == "P" else "?7"
        else:
            self.written[channel]["FPV".index(kind)] = int(value)  # any amplitude is taken
        return "OK"

    def _set_mode(self, mode: str) -> str:
        if mode == "T":
            # It was seen to begin one row off unless table mode had been entered and left.
            self._load(0 if self._toggled else 1)
        elif mode == "0":
            self.row, self._toggled = None, True
        elif mode in {"A", "N"}:
            self.clears_phase = mode == "A"
        else:
            return "?6"
        return "OK"

    def _load(self, row: int) -> None:
        self.row = row
        for channel in (0, 1):
            if (channel, row) in self.table:
                words = self.table[channel, row][:3]
                self.written[channel], self.output[channel] = list(words), list(words)

    def _update(self) -> None:
        if self.output != self.written:
            self.updates += 1
        self.output = [list(words) for words in self.written]

    def _told(self, channel: int) -> str:
        frequency, phase, amplitude = self.written[channel]
        function = "000305" if self.clears_phase else "000301"
        return f"{frequency:08X} {phase:04X} {amplitude:04X} 0000 00000000 00000000 {function}"
