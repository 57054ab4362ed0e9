"""The server: an asyncio shell that listens, holds connections and stops; knows no command."""

from __future__ import annotations

import asyncio
import contextlib
import functools
import importlib
import logging
import signal
import sys
import threading
from collections.abc import Callable, Coroutine, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from types import FrameType
from typing import Any

from ..errors import InstrumentError
from ..exchanges.dispatch import Action, Dispatch, Interact, check_instruments
from ..exchanges.worker import QUEUE_LENGTH
from ..instrument.instrument import Instrument
from ..link_client import DEFAULT_PORT
from ..version import __version__
from ..wire import DIALECTS, WireOptions
from ..wire.base import MAX_REQUEST, unknown_dialect
from .addresses import CannotListen, format_address, is_loopback, listen
from .connection import Connection

MAX_CONNECTIONS = 4096
"""Connections at once: every device of a large lab many times over, and a bound on memory."""

OTHER_FILES = 256
"""Open files of the program beside its connections: the instruments', the log's, the loop's."""

BACKLOG = 1024
"""Connections that the system may hold while the loop is busy: all experiments start at once."""

MAX_BUFFERED = 1024 * 1024 * 1024
"""Bytes of requests that are unfinished or unanswered, on all connections together, so that many
large ones at once cannot take a lab PC's memory."""

REQUEST_TIME = 10.0
"""Seconds to deliver a whole request. 64 MiB take 6 s over 100 Mbit/s Ethernet."""

LINGER_TIME = 5.0
"""Seconds in which a client must take some of its reply, or close after it."""

GRACE = 10.0
"""Seconds that a stop gives to running commands."""

FLUSH_TIME = 2.0
"""Seconds that a stop gives to clients to take their last replies."""

logger = logging.getLogger(__name__)


class LinkServer:
    """Serves instruments on a TCP port, in the running event loop.

    `host` is one address or several; ``"*"`` is all. After `start`, `addresses` lists what is
    listened on and `port` is the one port of all of them (a free one where 0 was asked for).
    `interact` is called for every exchange, `actions` for COMET's messages that are no command
    (see `Dispatch`). `dialects` are the ones spoken, `telnet`, `quit_stops` and `origins` belong
    to some of them (see `WireOptions`).
    """

    def __init__(
        self,
        instruments: Mapping[str, Instrument],
        *,
        interact: Interact | None = None,
        host: str | Sequence[str] = "127.0.0.1",
        port: int = DEFAULT_PORT,
        debug: bool = False,
        actions: Sequence[Action] | None = None,
        dialects: Iterable[str] = DIALECTS,
        telnet: bool = False,
        quit_stops: bool = False,
        origins: Iterable[str] = (),
        max_request: int = MAX_REQUEST,
        max_connections: int = MAX_CONNECTIONS,
        max_buffered: int = MAX_BUFFERED,
        queue_length: int = QUEUE_LENGTH,
        request_time: float = REQUEST_TIME,
        linger_time: float = LINGER_TIME,
        grace: float = GRACE,
    ) -> None:
        if interact is not None and not callable(interact):
            raise TypeError(f"interact: expected a function, got {interact!r:.80}")
        if not instruments and interact is None:
            raise ValueError("nothing to serve: give instruments, or a function as interact")
        check_instruments(instruments)
        self.hosts = [host] if isinstance(host, str) else list(host)
        self.port = port
        self.debug = debug
        dialects = frozenset(dialects)
        if unknown := dialects - DIALECTS:
            raise ValueError(unknown_dialect(min(unknown)))
        self.options = WireOptions(
            dialects=dialects,
            max_request=max_request,
            telnet=telnet,
            quit_stops=quit_stops,
            origins=tuple(origins),
            # A controller manager needs a target that it can ping.
            instruments=instruments or {"interact": Instrument()},
            description=f"artiq_link {__version__}",
        )
        self.max_connections = max_connections
        self._max_buffered = max_buffered
        self.request_time = request_time
        self.linger_time = linger_time
        self.addresses: list[str] = []
        self._instruments = instruments
        self._interact = interact
        self._actions = actions
        self._queue_length = queue_length
        self._grace = grace
        self._listeners: list[asyncio.Server] = []
        self.connections: set[Connection] = set()
        self.loop: asyncio.AbstractEventLoop | None = None
        self._stopping = asyncio.Event()
        self._all_closed = asyncio.Event()
        self._all_closed.set()

    async def start(self) -> None:
        """Take the port, then open the instruments; returns when they are open, or at a stop.

        Meanwhile clients are listened to: what they ask for waits behind the opening, for as long
        as their timeouts allow. Raises `CannotListen`, before any hardware is touched, and
        `InstrumentError` where an instrument cannot be opened; the server has ended then.
        """
        sockets = listen(self.hosts, self.port)
        self.port = sockets[0].getsockname()[1]
        self.loop = loop = asyncio.get_running_loop()
        self.dispatch = Dispatch(
            self._instruments,
            self._interact,
            actions=self._actions,
            queue_length=self._queue_length,
        )
        opening = self.dispatch.open()
        for listener in sockets:
            address = listener.getsockname()
            if not is_loopback(address[0]):
                logger.warning(
                    "listening on %s: whoever reaches it can command the instruments",
                    format_address(address),
                )
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

    async def _unless_stopped(self, opening: asyncio.Task[None]) -> None:
        """Wait for what `stop` cuts short."""
        stopping = asyncio.ensure_future(self._stopping.wait())
        await asyncio.wait({opening, stopping}, return_when=asyncio.FIRST_COMPLETED)
        stopping.cancel()
        if opening.done():
            opening.result()
        else:
            opening.cancel()

    def stop(self) -> None:
        """Ask for the end of `run`; may be called from any thread, and again."""
        if self.loop is None:
            self._stopping.set()
            return
        # The loop may have ended by itself.
        with contextlib.suppress(RuntimeError):
            self.loop.call_soon_threadsafe(self._stopping.set)

    async def run(self) -> None:
        """Serve until `stop`; then finish running commands, answer them, close everything."""
        await self._stopping.wait()
        for listener in self._listeners:
            listener.close()
        await self.dispatch.close(self._grace)
        # The workers' threads handed the last replies to the loop before they ended.
        await asyncio.sleep(0)
        for connection in list(self.connections):
            connection.close()
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._all_closed.wait(), FLUSH_TIME)
        for connection in list(self.connections):
            connection.abort()
        await self._all_closed.wait()

    def opened(self, connection: Connection) -> bool:
        """Take note of a new connection; whether there is room for it."""
        self.connections.add(connection)
        self._all_closed.clear()
        return len(self.connections) <= self.max_connections

    def is_full(self) -> bool:
        """Whether all connections together hold as much of requests as they may."""
        return sum(connection.held for connection in self.connections) > self._max_buffered

    def closed(self, connection: Connection) -> None:
        """Take note that a connection has gone."""
        self.connections.discard(connection)
        if not self.connections:
            self._all_closed.set()


def start_server(
    instruments: Mapping[str, Instrument],
    *,
    interact: Interact | None = None,
    host: str | Sequence[str] = "127.0.0.1",
    port: int = DEFAULT_PORT,
    debug: bool = False,
    **options: Any,
) -> None:
    """Serve instruments until Ctrl-C or SIGTERM; print ``listening on HOST:PORT`` when ready.

    `instruments` maps names to `Instrument`s. With `interact`, every exchange of every dialect
    goes through ``interact(data)``, in the worker thread of the instrument that has the command
    (of the first one otherwise): what it returns is the result, what it raises the failure.
    Without, the instruments' commands answer. `debug` prints each message. `options` are those
    of `LinkServer`. Ends the program with a sentence where it cannot listen (exit code 2, before
    any hardware is touched) or an instrument cannot be opened (exit code 1).
    """
    server = LinkServer(
        instruments, interact=interact, host=host, port=port, debug=debug, **options
    )
    allow_files(server.max_connections)
    try:
        _run(functools.partial(_serve, server))
    except CannotListen as error:
        print(error, file=sys.stderr)
        raise SystemExit(2) from None
    except InstrumentError as error:
        print(error, file=sys.stderr)
        raise SystemExit(1) from None


async def _serve(server: LinkServer) -> None:
    with _stop_on_signals(server):
        await server.start()
        for address in server.addresses:
            print(f"listening on {address}", flush=True)
        await server.run()


@contextlib.contextmanager
def _stop_on_signals(server: LinkServer) -> Iterator[None]:
    """Let Ctrl-C, SIGTERM and Windows' Ctrl-Break stop the server; only the main thread can."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def stop(number: int, frame: FrameType | None) -> None:
        server.stop()

    numbers = [signal.SIGINT, signal.SIGTERM]
    if sys.platform == "win32":
        numbers.append(signal.SIGBREAK)
    former = {number: signal.signal(number, stop) for number in numbers}
    try:
        yield
    finally:
        for number, handler in former.items():
            signal.signal(number, handler)


def allow_files(connections: int) -> None:
    """Let this program open so many connections, as far as the system's hard limit allows.

    Many systems begin with 1024 files for a program. Windows has no such limit.
    """
    try:
        import resource
    except ImportError:
        return
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = connections + OTHER_FILES
    if hard != resource.RLIM_INFINITY:
        wanted = min(wanted, hard)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))


@contextlib.contextmanager
def serve_in_background(
    instruments: Mapping[str, Instrument], *, port: int = 0, **options: Any
) -> Iterator[LinkServer]:
    """Serve instruments from a thread for the length of a ``with`` block, on a free port.

    Gives the `LinkServer`, which listens already; at the block's end it is stopped as by Ctrl-C.
    `options` are those of `LinkServer`. Raises `CannotListen`.
    """
    server = LinkServer(instruments, port=port, **options)
    ready: Future[None] = Future()

    async def serve() -> None:
        await server.start()
        ready.set_result(None)
        await server.run()

    def run() -> None:
        try:
            _run(serve)
        except BaseException as error:
            if ready.done():
                raise
            ready.set_exception(error)  # the caller's thread raises it

    thread = threading.Thread(target=run, name="link server")
    thread.start()
    try:
        ready.result()
        yield server
    finally:
        server.stop()
        thread.join()


def _run(serve: Callable[[], Coroutine[Any, Any, None]]) -> None:
    """Run a server in an event loop of its own, which ends whatever its commands do.

    `asyncio.run` would wait without a limit for an ``async def`` command that does not let itself
    be cancelled.
    """
    loop = _new_event_loop()
    try:
        loop.run_until_complete(serve())
    finally:
        loop.run_until_complete(_cancel_the_rest())
        loop.close()


async def _cancel_the_rest() -> None:
    tasks = asyncio.all_tasks() - {asyncio.current_task()}
    for task in tasks:
        task.cancel()
    if tasks:
        _, left = await asyncio.wait(tasks, timeout=FLUSH_TIME)
        for task in left:
            logger.error("left behind, because it does not let itself be cancelled: %s", task)
    await asyncio.get_running_loop().shutdown_asyncgens()


class _DaemonThreads(ThreadPoolExecutor):
    """Runs each call in a thread of its own, which no end of the program waits for.

    asyncio's own would: an ``async def`` command whose `asyncio.to_thread` does not return would
    keep the server from ending.
    """

    def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future[Any]:
        future: Future[Any] = Future()

        def run() -> None:
            if not future.set_running_or_notify_cancel():
                return
            try:
                result = fn(*args, **kwargs)
            except BaseException as error:  # noqa: BLE001 whoever awaits the future raises it
                future.set_exception(error)
            else:
                future.set_result(result)

        threading.Thread(target=run, name="to_thread", daemon=True).start()
        return future


def _new_event_loop() -> asyncio.AbstractEventLoop:
    """The fastest event loop that is installed, which can be closed whatever its threads do."""
    loop = _fastest_event_loop()
    loop.set_default_executor(_DaemonThreads())
    return loop


def _fastest_event_loop() -> asyncio.AbstractEventLoop:
    name = "winloop" if sys.platform == "win32" else "uvloop"
    try:
        fast: Any = importlib.import_module(name)
    except ImportError:
        return asyncio.new_event_loop()
    loop: asyncio.AbstractEventLoop = fast.new_event_loop()
    return loop
