"""A dds-sweeper as its firmware 0.4.0 has it, quirks included, for ``FakeSerial``."""

from __future__ import annotations

import struct

from artiq_link.transports.fake import Device

MANUAL, RUNNING, ABORTED = 0, 2, 4


class FakeDdsSweeper(Device):
    """Four channels of tuning word, phase word and amplitude word, and one table."""

    def __init__(self) -> None:
        self.board, self.version = "pico1", "0.4.0"
        self.clock = (0, 125_000_000, 4)
        self.commands: list[str] = []
        self.power_up()

    def power_up(self) -> None:
        """Its power comes back: in a mode for sweeps, at 0 Hz and full scale."""
        self._heard = b""
        self._awaited = 0
        self.debug = True
        self.status = MANUAL
        self.mode, self.timing, self.active = 1, 0, 1
        self.words = [[0, 0, 1023] for _ in range(4)]
        self.table: dict[int, list[tuple[int, int, int, int]]] = {}
        self.ending: tuple[int, int] | None = None

    def restart(self) -> None:
        self.power_up()

    def receive(self, data: bytes) -> bytes:
        self._heard += data
        said = []
        while True:
            if self._awaited:
                if len(self._heard) < self._awaited:
                    break
                rows, self._heard = self._heard[: self._awaited], self._heard[self._awaited :]
                self._awaited = 0
                self._take_rows(rows)
                said.append("ok")
                continue
            line, newline, rest = self._heard.partition(b"\n")
            if not newline:
                break
            self._heard = rest
            command = line.decode("latin-1").strip()
            self.commands.append(command)
            said.append(self._answer(command))
        return "".join(f"{line}\n" for line in said).encode()

    def finish(self) -> None:
        """The table plays to its end."""
        assert self.ending is not None
        assert self.ending[0] == 4
        rows = self.table[self.ending[1] - 1]
        for channel, (frequency, amplitude, phase, _) in enumerate(rows):
            self.words[channel] = [frequency, phase, amplitude]
        self.status = MANUAL

    def _answer(self, command: str) -> str:
        # In the firmware's order, and by prefix.
        if command.startswith("version"):
            return self.version
        if command.startswith("board"):
            return self.board
        if command.startswith("status"):
            return str(self.status)
        if command.startswith("clkstatus"):
            return "{} {} {}".format(*self.clock)
        if command.startswith(("debug on", "debug off")):
            self.debug = command == "debug on"
            return "ok"
        if command.startswith("reset"):
            heard = self._heard
            debug = self.debug
            self.power_up()
            self._heard, self.debug = heard, debug
            return "ok"
        if command.startswith("abort"):
            if self.status == RUNNING:
                self.status = ABORTED
            return "ok"
        if self.status not in {MANUAL, ABORTED}:
            return f'Cannot execute command "{command}\n" during buffered execution.'
        if command.startswith("getmode"):
            return f"{self.mode}\n{self.timing}"
        if command.startswith("setchannels"):
            self.active = int(command.split()[1])
            return "ok"
        if command.startswith("setfreq"):
            _, channel, value = command.split()
            word = round(float(value) * 2**32 / (self.clock[1] * self.clock[2]))
            return self._set(channel, 0, word & 0xFFFFFFFF, f"set freq: {value}")
        if command.startswith("setphase"):
            _, channel, value = command.split()
            word = round(float(value) / 360 * 16384) % 16383
            return self._set(channel, 1, word, f"Phase: {value}")
        if command.startswith("setamp"):
            _, channel, value = command.split()
            word = min(round(float(value) * 1024), 1023)
            return self._set(channel, 2, word, f"Amp: {value}")
        if command.startswith("mode "):
            self.mode, self.timing = map(int, command.split()[1:])
            return "ok"
        if command.startswith("set "):
            kind, address = map(int, command.split()[1:])
            if kind not in {4, 5}:
                return "Invalid Channel - expected 0-3 for channels or 4/5\nok"
            self.ending = (kind, address) if address else None
            return "ok"
        if command.startswith("setb "):
            start, count = map(int, command.split()[1:])
            if start + count > 5000:
                return "Insufficient space for instructions"
            self._awaited = count * self.active * (12 if self.timing else 8)
            return f"ready for {self._awaited} bytes"
        if command.startswith("start"):
            self.status = RUNNING if self.ending else 1
            return "ok"
        return f'Unrecognized Command: "{command}\n"'

    def _set(self, channel: str, place: int, word: int, debug: str) -> str:
        self.words[int(channel)][place] = word
        return f"{debug}\nok" if self.debug else "ok"

    def _take_rows(self, data: bytes) -> None:
        rows = list(struct.iter_unpack("<IHHI", data))
        least = 500 + 250 * (self.active - 1)
        # Shorter rows are lengthened without a word.
        rows = [(*words, max(cycles, least)) for *words, cycles in rows]
        self.table = {
            address: rows[address * self.active : (address + 1) * self.active]
            for address in range(len(rows) // self.active)
        }
