"""A MOGLabs XRF as its manual and its users have it, quirks included, on either kind of line."""

from __future__ import annotations

import math
import re

from artiq_link.transports.fake import LineDevice

CLOCK = 1e9
FULL_POWER = 36.0
"""dBm at the highest amplitude word, of this fake."""


class Channel:
    """One channel: its single tone in words, its switches, its table."""

    def __init__(self) -> None:
        self.frequency, self.amplitude, self.phase = 0x147AE148, 164, 0
        self.limit = 30.0
        self.mode = "NSB"
        self.signal = self.amplifier = False
        self.flags: dict[str, bool] = {"REARM": True, "RESTART": False}
        self.table: list[tuple[int, int, int, int]] = []
        self.armed = self.running = False

    @property
    def power(self) -> float:
        """In dBm."""
        return FULL_POWER + 20 * math.log10(max(self.amplitude, 1) / 16383)


class FakeMoglabsXrf(LineDevice):
    """Two channels behind text commands; `commands` has all that it was told."""

    terminator = b"\r\n"

    def __init__(self) -> None:
        super().__init__()
        self.info = "XRF421 A18123\r\nFirmware: v1.5.0"
        self.commands: list[str] = []
        self.power_up()

    def power_up(self) -> None:
        """Its power comes back."""
        self.channels = [Channel(), Channel()]

    def restart(self) -> None:
        super().restart()
        self.power_up()

    def answer(self, line: bytes) -> bytes | None:
        command = line.decode("latin-1").strip()
        self.commands.append(command)
        try:
            return self._answer(*command.upper().split(",")).encode()
        except (ValueError, TypeError) as error:
            return f"ERR: {error}".encode()

    def _answer(self, name: str, *given: str) -> str:
        if name == "INFO":
            return self.info
        if name == "TABLE":
            action, number, *rest = given
            return self._table(action, self._channel(number), *rest)
        if name not in {"FREQ", "POW", "PHASE", "LIMIT", "MODE", "STATUS", "ON", "OFF"}:
            raise ValueError(f"Undefined command: {name}")
        number, *values = given
        channel = self._channel(number)
        if name in {"ON", "OFF"}:
            for stage in ("signal", "amplifier"):
                setattr(channel, stage, name == "ON")
            return f"OK: CH{number} {name.lower()}"
        if name == "MODE" and values:
            if values[0] not in {"NSB", "NSA", "TSB", "TPA"}:
                raise ValueError("Invalid mode")
            # Whether or not it is another.
            channel.mode, channel.signal, channel.amplifier = values[0], False, False
            channel.armed = channel.running = False
            return f"OK: CH{number} mode {values[0]}"
        if values:
            self._set(name, channel, values[0])
            return f"OK: CH{number} {name.lower()} now {self._told(name, channel)}"
        return self._told(name, channel)

    def _channel(self, number: str) -> Channel:
        if number not in {"1", "2"}:
            raise ValueError(f"Invalid channel, {number}")
        return self.channels[int(number) - 1]

    def _set(self, name: str, channel: Channel, text: str) -> None:
        if channel.mode not in {"NSB", "TPA"}:
            raise ValueError(f"Not available in {channel.mode}")
        if name == "FREQ":
            channel.frequency = _frequency(text)
        elif name == "POW":
            channel.amplitude = _power(text, channel.limit)
        elif name == "PHASE":
            channel.phase = int(text, 16) & 0xFFFF
        else:
            raise ValueError("Invalid argument")

    @staticmethod
    def _told(name: str, channel: Channel) -> str:
        if name == "FREQ":
            megahertz = channel.frequency * CLOCK / (1 << 32) / 1e6
            return f"{megahertz:.8f} MHz (0x{channel.frequency:08X})"
        if name == "POW":
            return f"{channel.power:.2f} dBm (0x{channel.amplitude:04X})"
        if name == "PHASE":
            return f"{channel.phase * 360 / 65536:.3f} deg (0x{channel.phase:04X})"
        if name == "LIMIT":
            return f"{channel.limit:.2f} dBm"
        if name == "MODE":
            return f"Basic ({channel.mode})"
        states = ["ON" if on else "OFF" for on in (channel.signal, channel.amplifier)]
        return f"MODE {channel.mode}\r\nSIG: {states[0]}, POW: {states[1]}"

    @staticmethod
    def _table(action: str, channel: Channel, *rest: str) -> str:
        if channel.mode != "TSB":
            raise ValueError("Channel is not in table mode")
        if action in channel.flags:
            channel.flags[action] = rest == ("ON",)
        elif action == "CLEAR":
            channel.table = []
        elif action == "APPEND":
            if len(channel.table) == 8191:
                raise ValueError("Table is full")
            frequency, power, phase, dwell = rest
            microseconds = re.fullmatch(r"(\d+)US", dwell)
            if not microseconds or not 1 <= int(microseconds[1]) < 1 << 20:
                raise ValueError("Invalid duration")
            channel.table.append(
                (
                    _frequency(frequency),
                    _power(power, channel.limit),
                    int(phase, 16),
                    int(microseconds[1]),
                )
            )
        elif action == "ARM":
            channel.armed = channel.signal = channel.amplifier = True
        elif action == "START" and channel.armed:
            channel.running = True
        elif action == "STOP":
            channel.armed = channel.running = False
        else:
            raise ValueError("Invalid table command")
        return "OK"


def _frequency(text: str) -> int:
    if found := re.fullmatch(r"0X([0-9A-F]{1,8})", text):
        word = int(found[1], 16)
    else:
        word = round(float(text.removesuffix("MHZ")) * 1e6 * (1 << 32) / CLOCK)
    megahertz = word * CLOCK / (1 << 32) / 1e6
    if not 19.999999 <= megahertz <= 400.000001:
        raise ValueError(f"Frequency {megahertz:.2f} MHz out of range")
    return word


def _power(text: str, limit: float) -> int:
    dbm = float(text.removesuffix("DBM"))
    if dbm > limit:
        raise ValueError(f"Power {dbm:.2f} dBm exceeds limit")
    return round(10 ** ((dbm - FULL_POWER) / 20) * 16383)
