"""The server: an asyncio shell that listens, holds connections and stops; knows no command."""

from __future__ import annotations

import asyncio
import contextlib
import functools
import socket
import time
from collections.abc import Iterable, Mapping, Sequence
from os import PathLike
from pathlib import Path

from ..errors import Busy, InstrumentError
from ..exchanges.dispatch import Dispatch
from ..exchanges.journal import Journal
from ..exchanges.journal_file import MAX_AGE, MAX_SIZE, default_path
from ..exchanges.log import DebugOutput
from ..exchanges.registry import Fallback, Interact, Registry
from ..exchanges.worker import QUEUE_LENGTH
from ..instrument.instrument import Instrument
from ..link_client import DEFAULT_PORT
from ..loggers import get_logger
from ..version import __version__
from ..wire import DIALECT_NAMES, check_dialects
from ..wire.base import MAX_REQUEST, WireOptions
from .access import Access, closed_sentence
from .addresses import CannotListen, format_address, is_loopback, listen
from .announce import Announcement, reachable, zeroconf_package
from .connection import Connection
from .descriptors import room_for_connections
from .forks import let_go_in_children
from .log_output import BackgroundOutput
from .pages import read_pages
from .private_files import UnsafeFile
from .turns import Turns

MAX_CONNECTIONS = 4096
"""Connections at once: every device of a large lab many times over, and a bound on memory."""

BACKLOG = 1024
"""Connections that the system may hold while the loop is busy: all experiments start at once."""

MAX_BUFFERED = 1024 * 1024 * 1024
"""Bytes of requests that are unfinished or unanswered, and of replies that are not taken, on all
connections together, so that many large ones at once cannot take a lab PC's memory."""

REQUEST_TIME = 10.0
"""Seconds to deliver a whole request. 64 MiB take 6 s over 100 Mbit/s Ethernet."""

LINGER_TIME = 5.0
"""Seconds in which a client must take some of its reply, or close after it."""

GRACE = 10.0
"""Seconds that a stop gives to running commands."""

FLUSH_TIME = 2.0
"""Seconds that a stop gives to clients to take their last replies."""

FLUSH_LOOK = 0.02
"""Seconds between two looks at whether they have."""

logger = get_logger(__name__)


class LinkServer:
    """Serves instruments on a TCP port, in the running event loop.

    `host` is one address or several; ``"*"`` is all. After `start`, `addresses` lists what is
    listened on and `port` is the one port of all of them (a free one where 0 was asked for).
    `interact` is called for every exchange, `fallback` for messages that name no command (see
    `Registry`). `dialects` are the ones spoken, `telnet`, `quit_stops`, `origins` and `host_names`
    belong to some of them (see `WireOptions`).

    Where it listens beyond this computer, it lets in who has a certificate, with `ssl` (the files
    of its own certificate, of its key, and of the certificates that it trusts), or one of the
    tokens of `token_file`, or everyone, with `open_to_all`.

    `journal` is the path of the journal's file. True is one in the user's state directory, named
    after the port, or none where any free port was asked for; False is none: then memory keeps
    what became of the newest exchanges. With `journal_sync` a command starts when a power failure
    would not hide it. Exchanges older than `journal_age` seconds are forgotten, and the oldest
    where the file has more than `journal_size` bytes. With `restore`, each instrument is set at
    the start to what it was set to last, as far as the journal's file knows. With `announce` the
    local network is told that it is there (see `Announcement`).

    `panel_tile` is the path of a lab's own script for the panel, which browsers get as
    ``/tile.js``.
    """

    def __init__(
        self,
        instruments: Mapping[str, Instrument],
        *,
        interact: Interact | None = None,
        host: str | Sequence[str] = "127.0.0.1",
        port: int = DEFAULT_PORT,
        debug: bool = False,
        fallback: Fallback | None = None,
        dialects: Iterable[str] = DIALECT_NAMES,
        telnet: bool = False,
        quit_stops: bool = False,
        origins: Iterable[str] = (),
        host_names: Iterable[str] = (),
        ssl: Sequence[str] | None = None,
        token_file: str | None = None,
        open_to_all: bool = False,
        max_request: int = MAX_REQUEST,
        max_connections: int = MAX_CONNECTIONS,
        max_buffered: int = MAX_BUFFERED,
        queue_length: int = QUEUE_LENGTH,
        request_time: float = REQUEST_TIME,
        linger_time: float = LINGER_TIME,
        grace: float = GRACE,
        journal: str | PathLike[str] | bool = True,
        journal_sync: bool = False,
        journal_age: float = MAX_AGE,
        journal_size: int = MAX_SIZE,
        restore: bool = False,
        panel_tile: str | PathLike[str] | None = None,
        announce: bool = False,
    ) -> None:
        if interact is not None and not callable(interact):
            raise TypeError(f"interact: expected a function, got {interact!r:.80}")
        if not instruments and interact is None:
            raise ValueError("nothing to serve: give instruments, or a function as interact")
        self.hosts = [host] if isinstance(host, str) else list(host)
        self.port = port
        self.options = WireOptions(
            dialects=check_dialects(dialects),
            max_request=max_request,
            telnet=telnet,
            quit_stops=quit_stops,
            origins=tuple(origins),
            host_names=tuple(host_names),
            pages=read_pages(panel_tile),
            registry=Registry(instruments, interact, fallback),
            description=f"artiq_link {__version__}",
        )
        self.max_connections = max_connections
        self.access: Access | None = None
        """Who may connect from other computers; None: nobody, so that nothing has to be asked."""
        self._access = Access(self.options.registry, ssl, token_file, is_open=open_to_all)
        self.request_time = request_time
        self.linger_time = linger_time
        self.addresses: list[str] = []
        self.connections: set[Connection] = set()
        self.loop: asyncio.AbstractEventLoop | None = None
        self._silent: list[tuple[float, Connection]] = []
        self._is_crowded = False
        self._messages = BackgroundOutput() if debug else None
        self._max_buffered = max_buffered
        self._held = 0
        self._queue_length = queue_length
        self._grace = grace
        self._restores = restore
        self._announces = announce
        self._announcement: Announcement | None = None
        self._journal_path = _journal_path(journal, port)
        self._open_journal = functools.partial(
            Journal, sync=journal_sync, max_age=journal_age, max_size=journal_size
        )
        self._sockets: list[socket.socket] = []
        self._listeners: list[asyncio.Server] = []
        self._stopping = asyncio.Event()
        self._all_closed = asyncio.Event()
        self._all_closed.set()

    async def start(self) -> None:
        """Take the port, then open the instruments; returns when they are open, or at a stop.

        Meanwhile clients are listened to: what they ask for waits behind the opening, for as long
        as their timeouts allow. Raises `CannotListen`, before any hardware is touched, where it
        cannot listen or has not what it takes to be announced, and
        `InstrumentError` where an instrument cannot be opened; the server has ended then.
        """
        self._sockets = sockets = self._listen()
        let_go_in_children(self)
        self.port = sockets[0].getsockname()[1]
        self.loop = loop = asyncio.get_running_loop()
        self.turns = Turns(loop)
        self.max_connections = min(self.max_connections, room_for_connections())
        self._journal = self._open_journal(self.options.registry, self._journal_path)
        self.dispatch = Dispatch(
            self.options.registry,
            self._journal,
            guards=self._access.guards,
            observers=[] if self._messages is None else [DebugOutput(self._messages.write).note],
            access=self._access.describe(),
            sessions=self._access.sessions,
            connections=lambda: len(self.connections),
            stop=lambda at_once: self.stop(at_once=at_once),
            queue_length=self._queue_length,
            restores=self._restores,
        )
        opening = self.dispatch.open()
        for listener in sockets:
            self._listeners.append(
                await loop.create_server(lambda: Connection(self), sock=listener, backlog=BACKLOG)
            )
        try:
            await self._unless_stopped(opening)
        except InstrumentError:
            self._stopping.set()
            await self.run()
            raise
        if not self._stopping.is_set():
            self.addresses = [format_address(listener.getsockname()) for listener in sockets]
            if self._announces:
                self._announce([listener.getsockname()[0] for listener in sockets])

    def _announce(self, listened: Sequence[str]) -> None:
        """Tell the local network what everybody may know."""
        texts = {
            "version": __version__,
            "instruments": ",".join(self.options.registry.instruments),
            "proof": self._access.proof,
        }
        self._announcement = Announcement(reachable(listened), self.port, texts)
        self._announcement.begin()

    def _listen(self) -> list[socket.socket]:
        """Listen, beyond this computer only where somebody is let in from there."""
        access = self._access
        if self._announces:
            try:
                zeroconf_package()
            except ImportError as error:
                raise CannotListen(str(error)) from None
        try:
            access.read_files()
        except UnsafeFile as error:
            raise CannotListen(f"cannot let anyone in: {error}") from None
        sockets = listen(self.hosts, self.port)
        addresses = [each.getsockname() for each in sockets]
        beyond = [address for address in addresses if not is_loopback(address[0])]
        if beyond and not access.is_given:
            for each in sockets:
                each.close()
            raise CannotListen(closed_sentence(beyond[0]))
        for address in beyond if access.is_open else ():
            where = format_address(address)
            logger.warning(
                "listening on %s: whoever reaches it can command the instruments", where
            )
        self.access = access if access.is_given else None
        return sockets

    async def _unless_stopped(self, opening: asyncio.Task[None]) -> None:
        """Wait for what `stop` cuts short."""
        stopping = asyncio.ensure_future(self._stopping.wait())
        await asyncio.wait({opening, stopping}, return_when=asyncio.FIRST_COMPLETED)
        stopping.cancel()
        if opening.done():
            opening.result()
        else:
            opening.cancel()

    def stop(self, *, at_once: bool = False) -> None:
        """Ask for the end of `run`; may be called from any thread, and again.

        With `at_once` it does not wait for running commands: their instruments are not closed.
        """
        if self.loop is None:
            self._stopping.set()
            return
        # The loop may have ended by itself.
        with contextlib.suppress(RuntimeError):
            self.loop.call_soon_threadsafe(self._stopping.set)
            if at_once:
                self.loop.call_soon_threadsafe(self.dispatch.end_wait)

    @property
    def summary(self) -> str:
        """What it does now, for people."""
        if not self.addresses:
            return f"opening {', '.join(self.options.registry.targets)}"
        if self._stopping.is_set():
            return "stopping"
        summaries = [worker.describe()["summary"] for worker in self.dispatch.workers.values()]
        return f"listening on {', '.join(self.addresses)}; {'; '.join(summaries)}"

    @property
    def left_open(self) -> list[str]:
        """The names of the instruments that `run` could not close."""
        return [name for name, worker in self.dispatch.workers.items() if worker.left_open]

    async def until_stop(self) -> None:
        """Wait until somebody has asked for `stop`."""
        await self._stopping.wait()

    async def run(self) -> None:
        """Serve until `stop`; then finish running commands, answer them, close everything."""
        await self.until_stop()
        for listener in self._listeners:
            listener.close()
        if self._announcement is not None:
            await self._announcement.end()
        await self.dispatch.close(self._grace)
        await asyncio.to_thread(self._journal.close)
        # The workers' threads handed the last replies to the loop before they ended.
        await asyncio.sleep(0)
        end = time.monotonic() + FLUSH_TIME
        while self.connections and time.monotonic() < end:
            # A client's system may take its time to say that it has the last reply.
            for connection in list(self.connections):
                connection.close()
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._all_closed.wait(), FLUSH_LOOK)
        for connection in list(self.connections):
            connection.abort()
        await self._all_closed.wait()
        if self._messages is not None:
            await asyncio.to_thread(self._messages.close)

    def descriptors(self) -> list[int]:
        """Its open sockets, by their numbers in the system."""
        listening = [listener.fileno() for listener in self._sockets]
        connected = [connection.descriptor for connection in self.connections]
        return [each for each in listening + connected if each >= 0]

    def opened(self, connection: Connection) -> None:
        """Take note of a new connection; raises `Busy` where there is no room for it.

        The one that was silent longest makes room, if there is one for which nothing is to be
        done: its client has kept it and connects again when it needs to.
        """
        self.connections.add(connection)
        self._all_closed.clear()
        if len(self.connections) <= self.max_connections:
            return
        if not self._is_crowded:
            logger.warning(
                "%d connections are open, as many as there may be; silent ones make room",
                self.max_connections,
            )
            self._is_crowded = True
        if (silent := self._most_silent()) is None:
            raise Busy(f"{self.max_connections} connections are open already")
        silent.close()

    def _most_silent(self) -> Connection | None:
        """The connection that was silent longest, if one is."""
        for _ in range(2):
            while self._silent:
                since, connection = self._silent.pop()
                if connection.silent_since == since:
                    return connection
            # Looking at all of them takes a millisecond: it is done for many newcomers at once.
            found = ((each.silent_since, each) for each in self.connections)
            silent = [(since, each) for since, each in found if since is not None]
            self._silent = sorted(silent, key=lambda pair: pair[0], reverse=True)
        return None

    def holds(self, more: int) -> None:
        """Take note of so many bytes more, or less, that a connection holds."""
        self._held += more

    def is_full(self) -> bool:
        """Whether all connections together hold as much as they may."""
        return self._held > self._max_buffered

    def closed(self, connection: Connection) -> None:
        """Take note that a connection has gone."""
        self.connections.discard(connection)
        self._is_crowded &= len(self.connections) > self.max_connections // 2
        if not self.connections:
            self._all_closed.set()


def _journal_path(journal: str | PathLike[str] | bool, port: int) -> Path | None:
    if isinstance(journal, bool):
        # A free port is another one each time: nobody would find its journal again.
        return default_path(port) if journal and port else None
    if not Path(journal).name:
        raise ValueError(f"journal: {str(journal)!r} is no file's name")
    return Path(journal)
