"""What the tests of exchanges share: an instrument that waits, and requests to a dispatch."""

from __future__ import annotations

import asyncio
import functools
import json
import threading
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from typing import Annotated, Any

import msgspec

from artiq_link import Instrument, LinkServer, OutOfRange, command, progress
from artiq_link.exchanges.dispatch import Dispatch
from artiq_link.exchanges.exchange import Exchange
from artiq_link.exchanges.messages import LinkMembers, Request
from artiq_link.exchanges.registry import Interact, Registry
from artiq_link.wire.json_stream import JSON, JsonWire
from tests.conftest import PATIENCE


class Laser(Instrument):
    """A laser that waits on request."""

    def __init__(self) -> None:
        self.executed: list[Any] = []
        self.threads: list[str] = []
        self.started = threading.Event()
        self.go_on = threading.Event()
        self.closed = 0

    @command
    def set_power(self, power: Annotated[float, msgspec.Meta(ge=0, extra={"unit": "W"})]) -> float:
        """Set the power."""
        self.executed.append(power)
        self.threads.append(threading.current_thread().name)
        return power

    @set_power.checker
    def _check_set_power(self, power: float) -> None:
        if power == 13:
            raise RuntimeError("the checker's bug")
        if power > 2:
            raise OutOfRange(f"power: {power} W would burn the fibre", "power")

    @command
    def wait(self) -> str:
        """Wait for the test."""
        progress(0.2, "12.0 of 60.0 s")
        self.started.set()
        assert self.go_on.wait(PATIENCE)
        self.executed.append("wait")
        return "waited"

    @command
    async def look(self) -> str:
        """Look on the event loop."""
        return threading.current_thread().name

    @command
    def fail(self) -> None:
        """Have a bug."""
        raise RuntimeError("the bug's text")

    def close(self) -> None:
        self.closed += 1


def on_loop(test: Callable[..., Awaitable[None]]) -> Callable[..., None]:
    """Run a test on an event loop."""

    @functools.wraps(test)
    def run(*args: Any, **kwargs: Any) -> None:
        asyncio.run(asyncio.wait_for(test(*args, **kwargs), 2 * PATIENCE))

    return run


@asynccontextmanager
async def dispatching(
    instruments: Mapping[str, Any],
    interact: Interact | None = None,
    registry: Registry | None = None,
    **options: Any,
) -> AsyncIterator[Dispatch]:
    """An open dispatch, whose commands go on and whose workers end at the block's end."""
    dispatch = Dispatch(registry or Registry(instruments, interact), **options)
    try:
        await dispatch.open()
        yield dispatch
    finally:
        for laser in instruments.values():
            if isinstance(laser, Laser):
                laser.go_on.set()
        await dispatch.close(PATIENCE)


class Asked:
    """A request that has been submitted, whose reply can be awaited."""

    def __init__(
        self,
        dispatch: Dispatch,
        command_id: str,
        parameters: dict[str, Any] | None = None,
        link: LinkMembers = LinkMembers(),  # noqa: B008 frozen
        arrived: float | None = None,
    ) -> None:
        self.replies: list[dict[str, Any]] = []
        self._answered = asyncio.Event()
        self._loop = asyncio.get_running_loop()
        self.request = Request(command_id, parameters or {}, link, JSON)
        self.exchange: Exchange = dispatch.submit(
            self.request, self._note, JsonWire.encode_reply, arrived=arrived
        )

    def _note(self, reply: bytes) -> None:
        assert asyncio.get_running_loop() is self._loop
        self.replies.append(json.loads(reply))
        self._answered.set()

    async def reply(self) -> dict[str, Any]:
        await self._answered.wait()
        assert len(self.replies) == 1
        return self.replies[0]


def end_time(dispatch: Dispatch, exchange: Exchange) -> None:
    """Bring an exchange's deadline to now, however long it took to start; on the event loop."""
    assert exchange.time_is_up in dispatch.deadlines
    exchange.deadline = time.monotonic()
    dispatch.deadlines.set(exchange.time_is_up, exchange.deadline)


def end_time_of_running(server: LinkServer, name: str = "dds") -> None:
    """The same for the command that an instrument of a server runs; from any other thread."""
    worker = server.dispatch.workers[name]
    assert worker._running is not None
    worker._loop.call_soon_threadsafe(end_time, server.dispatch, worker._running)


async def ask(dispatch: Dispatch, command_id: str, **parameters: Any) -> dict[str, Any]:
    return await Asked(dispatch, command_id, parameters).reply()


async def busy(dispatch: Dispatch, laser: Laser, command_id: str = "wait") -> Asked:
    """Start the waiting command, and return when it runs."""
    asked = Asked(dispatch, command_id)
    assert await asyncio.to_thread(laser.started.wait, PATIENCE)
    return asked


def failure(command_id: str, code: str, error: str, **more: str) -> dict[str, Any]:
    return {"status": "fail", "command_id": command_id, "code": code, "error": error, **more}


def success(command_id: str, result: Any) -> dict[str, Any]:
    return {"status": "success", "command_id": command_id, "result": result}
