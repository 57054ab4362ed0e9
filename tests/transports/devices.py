"""What the tests of transports share: a device that is asked for numbers, and both lines to it."""

from __future__ import annotations

from artiq_link.transports.fake import LineDevice


class Counter(LineDevice):
    """Answers ``ID?`` by its name, ``N?`` by a number, each time one more; nothing else."""

    def __init__(self) -> None:
        super().__init__()
        self.number = 0

    def answer(self, line: bytes) -> bytes | None:
        if line == b"ID?":
            return b"counter"
        if line.startswith(b"N?"):
            self.number += 1
            return b"%d" % self.number
        return None
