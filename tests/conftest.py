"""Fixtures of all tests: a real server on a free port, an instrument to watch, no leftovers."""

from __future__ import annotations

import gc
import os
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import Annotated, Any

import msgspec
import pytest
from hypothesis import HealthCheck, settings

from artiq_link import (
    Instrument,
    InstrumentError,
    LinkServer,
    command,
    progress,
    serve_in_background,
)

PATIENCE = 20.0
"""Seconds after which a test calls something hung; never awaited where all is well."""

# Times are measured in benchmarks; a busy computer fails no test.
settings.register_profile("unhurried", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("unhurried")

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


@pytest.fixture(autouse=True, scope="session")
def state_folder(tmp_path_factory: pytest.TempPathFactory) -> None:
    """Let servers on a port of their own have their journals elsewhere than the user's have.

    Programs that tests start inherit it.
    """
    os.environ["XDG_STATE_HOME"] = str(tmp_path_factory.mktemp("state"))


@pytest.fixture
def probe() -> Iterator[Probe]:
    """An instrument whose waiting command is released at the test's end."""
    instrument = Probe()
    yield instrument
    instrument.go_on.set()


@pytest.fixture
def serve(probe: Probe) -> Iterator[Callable[..., LinkServer]]:
    """Start servers: ``serve()`` serves `probe` as ``dds``; all stop at the test's end."""
    with ExitStack() as stack:

        def start(instruments: dict[str, Instrument] | None = None, **options: Any) -> LinkServer:
            served = {"dds": probe} if instruments is None else instruments
            return stack.enter_context(serve_in_background(served, **options))

        yield start
        probe.go_on.set()


@pytest.fixture(autouse=True, scope="module")
def no_leftover_sockets() -> Iterator[None]:
    """Fail a module that leaves a socket open: it warns when it is collected."""
    yield
    gc.collect()


@pytest.fixture(autouse=True)
def no_leftover_threads() -> Iterator[None]:
    """Fail a test that leaves a thread behind."""
    before = set(threading.enumerate())
    yield
    left = [thread for thread in threading.enumerate() if thread not in before]
    for thread in left:
        thread.join(PATIENCE)
    assert [thread.name for thread in left if thread.is_alive()] == []


def until(happened: Callable[[], bool]) -> None:
    """Wait for what another thread does."""
    end = time.monotonic() + PATIENCE
    while not happened():
        assert time.monotonic() < end, "waited in vain"
        time.sleep(0.001)
