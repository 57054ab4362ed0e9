"""A proxy before the server, which is a bad network: it cuts, delays, throttles, swallows."""

from __future__ import annotations

import asyncio
import contextlib
import math
import socket
import struct
import threading
from asyncio import StreamReader, StreamWriter
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass
from types import TracebackType
from typing import Self

from benchmarks.torture.dialects import HOST

RESET = struct.pack("ii", 1, 0)
"""A linger of no time, by which a connection is closed with a reset."""


@dataclass(frozen=True)
class Faults:
    """What becomes of one connection's bytes; by default they pass."""

    requests: float = math.inf
    """Bytes that pass to the server before the connection is cut."""
    replies: float = math.inf
    """Bytes that pass to the client before the connection is cut."""
    reset: bool = False
    """Whether it is cut by a reset, or by an orderly end."""
    swallows: bool = False
    """Whether replies are taken from the server and never passed on."""
    delay: float = 0.0
    """Seconds for which each piece is kept."""
    piece: int = 65536
    """Bytes that pass at once."""


class Proxy:
    """Stands before a server's port for the length of a ``with`` block.

    `faults` gives what becomes of each connection, by its number from 0 on.
    """

    def __init__(self, port: int, faults: Callable[[int], Faults]) -> None:
        self.port = 0
        self._target = port
        self._faults = faults
        self._connections = 0
        self._handlers: set[asyncio.Task[None]] = set()
        self._thread = threading.Thread(target=lambda: asyncio.run(self._run()))
        self._ready: Future[asyncio.AbstractEventLoop] = Future()

    def __enter__(self) -> Self:
        self._thread.start()
        self._loop = self._ready.result()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._loop.call_soon_threadsafe(self._ending.set)
        self._thread.join()

    async def _run(self) -> None:
        self._ending = asyncio.Event()
        listener = socket.create_server((HOST, 0), backlog=256)
        self.port = listener.getsockname()[1]
        async with await asyncio.start_server(self._accept, sock=listener):
            self._ready.set_result(asyncio.get_running_loop())
            await self._ending.wait()
            handlers = list(self._handlers)
            for handler in handlers:
                handler.cancel()
            await asyncio.gather(*handlers, return_exceptions=True)

    async def _accept(self, from_client: StreamReader, to_client: StreamWriter) -> None:
        handler = asyncio.current_task()
        assert handler is not None
        self._handlers.add(handler)
        faults = self._faults(self._connections)
        self._connections += 1
        writers = [to_client]
        try:
            from_server, to_server = await asyncio.open_connection(HOST, self._target)
            writers.append(to_server)
            both = [
                asyncio.ensure_future(_pump(from_client, to_server, faults, faults.requests)),
                asyncio.ensure_future(
                    _pump(from_server, to_client, faults, faults.replies, faults.swallows)
                ),
            ]
            try:
                await asyncio.gather(*both)
            finally:
                for pump in both:
                    pump.cancel()
        except (OSError, asyncio.CancelledError):
            pass
        finally:
            for writer in writers:
                if faults.reset:
                    with contextlib.suppress(OSError):
                        connection = writer.get_extra_info("socket")
                        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
                writer.transport.abort()
            self._handlers.discard(handler)


async def _pump(
    source: StreamReader, target: StreamWriter, faults: Faults, left: float, swallows: bool = False
) -> None:
    """Pass on what comes, until it ends; raises ConnectionAbortedError where it is to be cut."""
    target.get_extra_info("socket").setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    while left > 0 and (data := await source.read(int(min(faults.piece, left)))):
        left -= len(data)
        await asyncio.sleep(faults.delay)
        if not swallows:
            target.write(data)
            await target.drain()
    if left <= 0:
        raise ConnectionAbortedError
    if not swallows:
        target.write_eof()
