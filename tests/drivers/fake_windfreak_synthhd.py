"""A fake SynthHD: letters and numbers without anything between, settings without an answer.

A number ends where the next letter comes. What has not ended is not done yet.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from artiq_link.transports.fake import Device

READ_ONLY = "pVz+-"

SETTING = re.compile(rb"\s*([fWihrE~CgAjx/e])(\?|[-+]?[0-9]*\.?[0-9]*)")


def without_questions(heard: bytes) -> bytes:
    """What it was told, of all that it heard."""
    return re.sub(rb"C[01](?:[pV]|[fWiErhgA/j]\?)|\+-|\+|v[12]", b"", heard)


@dataclass
class Synthesiser:
    """One channel."""

    frequency: float = 1000e6
    """Hz, as it was snapped."""
    power: float = -10.0
    spacing: float = 100.0
    unmuted: int = 0
    amplifier: int = 0
    pll: int = 0
    phase: float = 0.0
    """Degrees since the frequency came up: no command tells it."""
    step: float = 0.0
    strongest: float = 15.0
    """dBm that it reaches."""
    locks: bool = True

    def locked(self) -> bool:
        return bool(self.pll) and self.locks


class SynthHD(Device):
    """A SynthHD v2, or another by its answers."""

    model = "WFT SynthHD"
    serial = "1042"
    hardware = "Hardware Version 2.06"
    kind = "HD"
    lowest, highest = 10e6, 15e9

    def __init__(self) -> None:
        self.pending = b""
        self.saved = False
        self.power_cycle()

    def power_cycle(self) -> None:
        self.synthesisers = [Synthesiser(), Synthesiser()]
        self.chosen = 0
        self.flags = {"g": 0, "A": 0, "/": 0, "j": 0, "x": 1}

    def restart(self) -> None:
        self.pending = b""

    def receive(self, data: bytes) -> bytes:
        self.pending += data
        answers = []
        while self.pending:
            letter = self.pending[:1].decode("latin-1")
            if letter in READ_ONLY:
                self.pending = self.pending[1:]
                answers.append(self.tell(letter))
                continue
            if letter == "v":
                if len(self.pending) < 2:
                    break
                number, self.pending = self.pending[1:2], self.pending[2:]
                answers.append(self.version(number))
                continue
            if not (found := SETTING.match(self.pending)):
                self.pending = self.pending[1:]
                continue
            if found[2] != b"?" and found.end() == len(self.pending):
                break  # more digits may come
            self.pending = self.pending[found.end() :]
            answer = self.act(found[1].decode(), found[2].decode())
            if answer is not None:
                answers.append(answer)
        return "".join(f"{answer}\n" for answer in answers).encode()

    def tell(self, letter: str) -> str:
        now = self.synthesisers[self.chosen]
        return {
            "p": str(int(now.locked())),
            "V": str(int(now.power <= now.strongest)),
            "z": "41.250",
            "+": self.model,
            "-": self.serial,
        }[letter]

    def version(self, number: bytes) -> str:
        return {b"0": "Firmware Version 3.22b", b"1": self.hardware, b"2": self.kind}[number]

    def act(self, letter: str, value: str) -> str | None:
        now = self.synthesisers[self.chosen]
        if value == "?":
            return {
                "f": f"{now.frequency / 1e6:.8f}",
                "W": f"{now.power:.3f}",
                "i": f"{now.spacing:.1f}",
                "h": str(now.unmuted),
                "r": str(now.amplifier),
                "E": str(now.pll),
                "~": f"{now.step:.3f}",
                "C": str(self.chosen),
                **{flag: str(on) for flag, on in self.flags.items()},
            }[letter]
        if letter == "e":
            self.saved = True
        elif letter == "C":
            self.chosen = int(value)
        elif letter == "f":
            asked = min(max(float(value) * 1e6, self.lowest), self.highest)
            now.frequency = round(int(asked / now.spacing + 1e-6) * now.spacing, 2)
            now.phase = 0.0
        elif letter == "W":
            now.power = min(max(round(float(value), 2), -80.0), 20.0)
        elif letter == "i":
            now.spacing = float(value)
        elif letter == "~":
            now.step = float(value)
            now.phase = (now.phase + now.step) % 360.0
        elif letter == "h":
            now.unmuted = int(value)
        elif letter == "r":
            now.amplifier = int(value)
        elif letter == "E":
            if int(value) and not now.pll:
                now.phase = 0.0
            now.pll = int(value)
        else:
            self.flags[letter] = int(value)
        return None
