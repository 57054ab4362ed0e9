"""What simulated hardware does wrong when it is told to, for tests of what then happens."""

from __future__ import annotations

import threading
from abc import ABC, abstractmethod

from ..errors import InstrumentError


class Fault(ABC):
    """What goes wrong each time the hardware is touched, as long as it is the driver's `fault`."""

    @abstractmethod
    def strike(self, closed: threading.Event, timeout: float) -> None:
        """Delay the driver, or raise `InstrumentError`; nothing has been written then.

        `closed` is set once the driver is closed; after `timeout` seconds it gives up.
        """


class NoAnswer(Fault):
    """The hardware is silent: the driver gives up after its timeout, at once when closed."""

    def strike(self, closed: threading.Event, timeout: float) -> None:
        closed.wait(timeout)
        raise InstrumentError(f"the DDS did not answer within {timeout} s")


class SlowAnswer(Fault):
    """The hardware takes its time: `seconds`, or less where `release` is set before."""

    def __init__(self, seconds: float | None = None) -> None:
        self.seconds = seconds
        self.reached = threading.Event()
        """Set once the driver waits."""
        self.release = threading.Event()
        """Setting it ends the waiting."""

    def strike(self, closed: threading.Event, timeout: float) -> None:
        self.reached.set()
        self.release.wait(self.seconds)


class Error(Fault):
    """The hardware refuses with a text of its own."""

    def __init__(self, text: str) -> None:
        self.text = text

    def strike(self, closed: threading.Event, timeout: float) -> None:
        raise InstrumentError(self.text)


class After(Fault):
    """The hardware works `accesses` times more, and then has another fault."""

    def __init__(self, accesses: int, fault: Fault) -> None:
        self.left = accesses
        self.fault = fault

    def strike(self, closed: threading.Event, timeout: float) -> None:
        if not self.left:
            self.fault.strike(closed, timeout)
        else:
            self.left -= 1
