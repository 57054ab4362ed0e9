"""A protocol: how one make of device talks, declared in one place."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from .endings import Ending, Line


@dataclass(frozen=True, kw_only=True)
class Protocol:
    """How one make of device talks, whatever it is attached to. Times are in seconds."""

    ending: Ending = field(default_factory=Line)
    """How its replies end, where an ask does not say otherwise."""
    timeout: float = 1.0
    """For one ask and its whole answer, where an ask does not say otherwise."""
    late: float = 0.5
    """After an ask that failed, for so long its answer may still come: nothing else is asked
    meanwhile, and what comes is thrown away. A device that takes longer needs a longer `timeout`.
    """
    wake: float = 0.0
    """What the device needs after the line was opened, before it listens: an Arduino, which
    restarts then, about 2."""
    pause: float = 0.0
    """What the device needs after each command or answer, before the next."""
    pauses: Mapping[bytes, float] = field(default_factory=dict)
    """What it needs after commands that begin so, instead of `pause`; the longest beginning of
    a command counts."""
    baud: int | None = None
    """The baud rate of its serial line, where the device string names none."""
    port: int | None = None
    """The TCP port that it listens on, where the device string names none."""

    def pause_after(self, command: bytes) -> float:
        """What the device needs after `command`."""
        beginnings = [text for text in self.pauses if command.startswith(text)]
        return self.pauses[max(beginnings, key=len)] if beginnings else self.pause
