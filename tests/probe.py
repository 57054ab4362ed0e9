"""An instrument to watch, for tests and for the programs that they start: it imports no pytest."""

from __future__ import annotations

import threading
from typing import Annotated, Any

import msgspec

from artiq_link import Instrument, InstrumentError, command, current_exchange, progress

PATIENCE = 60.0
"""Seconds after which a test calls something hung; never awaited where all is well. A program on a
busy computer may take a third of it to start."""

Frequency = Annotated[float, msgspec.Meta(ge=0, le=400e6, extra={"unit": "Hz"})]


class Probe(Instrument):
    """An instrument for tests: remembers what was executed, waits and fails on request."""

    def __init__(self) -> None:
        self.executed: list[Any] = []
        self.started = threading.Event()
        self.go_on = threading.Event()
        self.closed_in: str | None = None

    @command
    def set_frequency(self, channel: int, frequency: Frequency) -> dict[str, float]:
        """Set a channel's frequency and return what was achieved."""
        self.executed.append((channel, frequency))
        return {"frequency": float(frequency)}

    @command
    def echo(self, value: Any) -> Any:
        """Return the value."""
        self.executed.append("echo")
        return value

    @command
    def count(self) -> int:
        """Return how many commands have been executed."""
        return len(self.executed)

    @command
    def wait(self) -> str:
        """Start, report progress, and end when the test says so."""
        progress(0.2, "12.0 of 60.0 s")
        self.started.set()
        assert self.go_on.wait(PATIENCE)
        self.executed.append("wait")
        return "waited"

    @command
    async def ask(self) -> str:
        """Run on the event loop."""
        self.executed.append("ask")
        return threading.current_thread().name

    @command
    def rest(self) -> None:
        """Take long, and end when somebody wants it to."""
        self.started.set()
        current_exchange().sleep(PATIENCE)

    @command
    def fail(self) -> None:
        """Have a bug."""
        raise RuntimeError("the bug's text")

    @command
    def refuse(self) -> None:
        """Fail as hardware does."""
        raise InstrumentError("no lock")

    @command
    def quit_program(self) -> None:
        """Try to end the server."""
        raise SystemExit(3)

    @command
    def say(self) -> None:
        """Print."""
        print("said by a command")

    @command
    def unsendable(self) -> object:
        """Return what no dialect can carry."""
        return object()

    def close(self) -> None:
        self.closed_in = threading.current_thread().name
