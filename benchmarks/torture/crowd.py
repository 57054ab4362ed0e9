"""Thousands of clients that do nothing, or much too much, beside one who wants to work.

``python -m benchmarks.torture.crowd PORT SIZE SEED`` is the crowd, in a process of its own.
"""

from __future__ import annotations

import asyncio
import contextlib
import random
import resource
import sys
import time
from collections.abc import Iterator

from artiq_link import Link
from benchmarks.measures import percentile
from benchmarks.torture.dialects import HOST, handshake, ndsp, websocket_frame
from benchmarks.torture.lab import beside, until
from benchmarks.torture.trial import Trial

PING = b'{"command_id": "link.ping", "link": {"keep": true}}\n'
SLOW = b'{"command_id": "link.ping", "filler": "'
LARGE = b'{"command_id": "link.describe", "link": {"keep": true}}\n'
FLOODS = [
    PING * 500,
    handshake() + websocket_frame(PING) * 500,
    ndsp("counter", b'{"action": "call", "name": "ping", "args": [], "kwargs": {}}\n' * 500),
]
"""What floods send: requests behind each other, without waiting for an answer."""

IDLE, SLOW_SENDERS, NEVER_READERS, FLOODERS = 5000, 1000, 1000, 100
"""The crowd at its full size, 100 %."""

CALLS = 2000
"""Exchanges of the client that is watched, without a crowd and with it, at full size."""

MEMORY = 1100.0
"""MiB that the server may take: its own bound on what it holds, and what it needs by itself."""

GIVEN_BACK = 60.0
"""MiB above the quiet server that the allocator may keep afterwards."""

MOST_FILES = 16_000

FLOOD_PAUSE = 0.01
"""Seconds between two looks of a flood at whether it can send more."""


def crowd(trial: Trial) -> None:
    """Measure one client's exchanges alone, then in the crowd; `times` is its size in %."""
    calls = max(50, CALLS * trial.times // 100)
    with trial.lab(max_connections=8192, linger_time=2.0) as lab:
        _exchanges(lab.link(), calls)
        quiet, before = _exchanges(lab.link(), calls), lab.memory()
        with _crowded(trial, lab.port):
            until(lambda: lab.descriptors("socket") > (IDLE + FLOODERS) * trial.times // 100)
            _exchanges(lab.link(), 50)
            loud, most = _exchanges(lab.link(), calls), lab.memory()
            connections = lab.descriptors("socket")
        lab.settle()
        after = lab.memory()
    trial.figures["connections"] = connections
    for name, percent, limit in (("median", 50.0, 2.0), ("99th percentile", 99.0, 5.0)):
        alone, among = percentile(quiet, percent), percentile(loud, percent)
        trial.figures[name] = f"{1e3 * alone:.2f} ms alone, {1e3 * among:.2f} ms in the crowd"
        trial.must_take(among, limit * alone, f"the {name}")
    trial.figures["memory"] = f"{before:.0f} MiB before, {most:.0f} within, {after:.0f} after"
    trial.must(most < MEMORY, f"{most:.0f} MiB of memory")
    trial.must(after < before + GIVEN_BACK, f"{after - before:.0f} MiB are not given back")


def _exchanges(link: Link, count: int) -> list[float]:
    """The seconds of each of so many exchanges over a kept connection."""
    taken = []
    with link:
        for number in range(count):
            started = time.perf_counter()
            link.call("link.ping")
            taken.append(time.perf_counter() - started)
            time.sleep(0.0005 if number % 10 else 0.005)  # as an experiment, not as a flood
    return taken


@contextlib.contextmanager
def _crowded(trial: Trial, port: int) -> Iterator[None]:
    """The crowd, from when it is complete."""
    chance = trial.random.randrange(1 << 30)
    with beside("benchmarks.torture.crowd", port, trial.times, chance) as process:
        assert process.stdout is not None
        if process.stdout.readline() != "complete\n":
            raise OSError("the crowd did not come together")
        yield


class _Member(asyncio.Protocol):
    """A client that sends `first`, and takes nothing unless it reads."""

    def __init__(self, first: bytes, *, reads: bool, floods: bool = False) -> None:
        self._first, self._reads, self._floods = first, reads, floods
        self.transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self.transport = transport
        if not self._reads:
            transport.pause_reading()
        transport.set_write_buffer_limits(0)
        transport.write(self._first)
        if self._floods:
            self._flood()

    def _flood(self) -> None:
        """Send more as soon as the server has taken what was sent."""
        if self.transport is not None and not self.transport.is_closing():
            if self.transport.get_write_buffer_size() == 0:
                self.transport.write(self._first)
            asyncio.get_running_loop().call_later(FLOOD_PAUSE, self._flood)

    def connection_lost(self, error: Exception | None) -> None:
        self.transport = None


async def _be_crowd(port: int, size: int, chance: random.Random) -> None:
    """Connect all, tell, and go on until killed; who is thrown out comes again."""
    loop = asyncio.get_running_loop()
    kinds = [
        (IDLE, lambda: _Member(PING, reads=True)),
        (SLOW_SENDERS, lambda: _Member(SLOW, reads=True)),
        (NEVER_READERS, lambda: _Member(LARGE * 20, reads=False)),
        (FLOODERS, lambda: _Member(chance.choice(FLOODS), reads=True, floods=True)),
    ]

    async def join(kind: int) -> None:
        _, member = await loop.create_connection(kinds[kind][1], HOST, port)
        places[kind].append(member)

    places: list[list[_Member]] = [[] for _ in kinds]
    for kind, (count, _) in enumerate(kinds):
        for _ in range(count * size // 100):
            await join(kind)
    print("complete", flush=True)
    while True:
        await asyncio.sleep(0.2)
        for kind, present in enumerate(places):
            gone = [member for member in present if member.transport is None]
            places[kind] = [member for member in present if member.transport is not None]
            for _ in gone:
                with contextlib.suppress(OSError):
                    await join(kind)
        for member in places[1]:
            if member.transport is not None:
                member.transport.write(b"x")


if __name__ == "__main__":
    resource.setrlimit(resource.RLIMIT_NOFILE, (MOST_FILES, MOST_FILES))
    asyncio.run(_be_crowd(int(sys.argv[1]), int(sys.argv[2]), random.Random(int(sys.argv[3]))))
