"""The one thread in which one instrument's commands run, one at a time, in order of arrival."""

from __future__ import annotations

import asyncio
import contextlib
import functools
import threading
import time
from collections import deque
from collections.abc import Callable, Coroutine
from queue import Empty, SimpleQueue
from typing import Any, NamedTuple

from ..errors import Busy, ExchangeError, Expired, InstrumentError, ShuttingDown
from ..loggers import get_logger
from ..text import sentence_of
from .exchange import Exchange, outcome_of
from .hardware import Hardware
from .messages import Request
from .state_reader import StateReader

QUEUE_LENGTH = 64
"""Commands that may wait for one instrument. More than this wait only behind a fault, and a
refusal tells the experiment sooner than a timeout would."""

logger = get_logger(__name__)

Call = Callable[[Request], Any]
Deliver = Callable[[Exchange, bytes], None]
Look = Callable[[Exchange], ExchangeError | None]

_PROGRESS = ("command", "seconds", "fraction", "text", "rid", "owner")


class _Waiting(NamedTuple):
    exchange: Exchange
    call: Call
    is_own: bool
    """Whether it is the link's own, which nothing refuses."""


class Worker:
    """Runs the commands of one instrument in a thread of its own, from `start` on.

    `loop` is the event loop on which ``async def`` commands run, and on which `deliver` is called
    with each exchange that has come to its end here, and with its reply as it was written. `look`
    is asked in the thread, just before a command starts, what refuses it now.
    """

    def __init__(
        self,
        name: str,
        loop: asyncio.AbstractEventLoop,
        deliver: Deliver,
        queue_length: int = QUEUE_LENGTH,
        look: Look = lambda exchange: None,
    ) -> None:
        self.name = name
        self._loop = loop
        self._deliver = deliver
        self._queue_length = queue_length
        self._look = look
        self._waiting: deque[_Waiting] = deque()
        self._running: Exchange | None = None
        self._closed = False
        self._given_up = False
        self.left_open = False
        """Whether the thread has ended, or was given up, without its instrument being closed."""
        self._lock = threading.Lock()
        # One for each exchange and one for the end; the thread sleeps here. Waking it this way
        # costs half of what a threading.Condition does.
        self._wakes: SimpleQueue[None] = SimpleQueue()
        self._thread: threading.Thread | None = None
        self._hardware = Hardware(name)
        self._reader: StateReader | None = None
        self._tend: Callable[[], float | None] = lambda: None

    def start(
        self,
        hardware: Hardware | None = None,
        gate: threading.Event | None = None,
        reader: StateReader | None = None,
        tend: Callable[[], float | None] = lambda: None,
    ) -> asyncio.Future[None]:
        """Start the thread; the future tells when `hardware` is open, or why it is not.

        In the thread it is opened first, then what comes runs, once `gate` is set, and it is
        closed last. It is opened again where a command says that it is lost. Between the
        commands `reader` has its turns, and `tend`, which gives the seconds until its next one.
        """
        opened: asyncio.Future[None] = self._loop.create_future()
        self._hardware = hardware or self._hardware
        self._reader = reader
        self._tend = tend
        # A daemon: a command that never returns must not keep the process alive.
        self._thread = threading.Thread(
            target=self._run, args=(gate, opened), name=f"worker {self.name}", daemon=True
        )
        self._thread.start()
        return opened

    def submit(self, exchange: Exchange, call: Call) -> None:
        """Put an exchange into the queue; raises `Busy` where it is full, `ShuttingDown` at the
        end."""
        with self._lock:
            if self._closed:
                raise ShuttingDown("the server is stopping")
            if len(self._waiting) >= self._queue_length:
                raise Busy(f"{self.name}: its queue of {self._queue_length} is full")
            exchange.queue(self)
            self._waiting.append(_Waiting(exchange, call, is_own=False))
        self._wakes.put(None)

    def submit_first(self, exchange: Exchange, call: Call) -> None:
        """Put what the link itself does before all that waits; raises `ShuttingDown`."""
        with self._lock:
            if self._closed:
                raise ShuttingDown("the server is stopping")
            exchange.queue(self)
            self._waiting.appendleft(_Waiting(exchange, call, is_own=True))
        self._wakes.put(None)

    def withdraw(self, exchange: Exchange) -> bool:
        """Take back an exchange that has not started, and never start it; False if it has."""
        with self._lock:
            for place, waiting in enumerate(self._waiting):
                if waiting.exchange is exchange:
                    del self._waiting[place]
                    return True
        return False

    def abort(self) -> None:
        """Ask what runs to end, if anything does."""
        if (running := self._running) is not None:
            running.abort()

    def describe(self) -> dict[str, Any]:
        """What the worker does now, as `link.status` shows it."""
        with self._lock:
            running, waiting = self._running, len(self._waiting)
        command: dict[str, Any] | None = None
        if running is not None:
            command = running.describe()
            if (request_id := running.request.link.id) is not None:
                command["id"] = request_id  # by which anybody can abort it
        elif self._reader is not None:
            command = self._reader.describe()
        if command is None:
            summary = f"{self.name}: {'closing' if self._closed else 'idle'}"
            idle = {"state": "idle", "summary": summary, "waiting": waiting}
            return {**idle, **self._hardware.describe()}
        summary = f"{self.name}: busy with {command['command']}, {command['text']}"
        return {"state": "busy", "summary": summary, "waiting": waiting, **command}

    def progress(self) -> dict[str, Any]:
        """What its command does now, as those who watch are told; all is None where none runs."""
        with self._lock:
            running, waiting = self._running, len(self._waiting)
        if running is None or running.outcome is not None:
            return {**dict.fromkeys(_PROGRESS), "waiting": waiting}
        link = running.request.link
        return {**running.describe(), "rid": link.rid, "owner": link.owner, "waiting": waiting}

    def ask_for_state(self) -> asyncio.Future[None] | None:
        """Have the instrument's state read as soon as no command runs; None where it has none."""
        return None if self._reader is None else self._reader.ask()

    def close(self) -> list[Exchange]:
        """Take nothing more, give back what waits, and end the thread after what runs."""
        with self._lock:
            self._closed = True
            left = [waiting.exchange for waiting in self._waiting]
            self._waiting.clear()
        self._wakes.put(None)
        return left

    def join(self, timeout: float) -> bool:
        """Wait until the thread has ended, at most `timeout` seconds; whether it has."""
        if self._thread is None:
            return True
        self._thread.join(timeout)
        return not self._thread.is_alive()

    def give_up(self) -> Exchange | None:
        """Leave what still runs to itself, and give it back.

        The thread then ends without closing the instrument: the program may end in the middle.
        """
        with self._lock:
            self._given_up = self.left_open = True
            return self._running

    def refusal(self, exchange: Exchange) -> ExchangeError | None:
        """What refuses a command just before it starts; called in the thread."""
        error = self._look(exchange)
        if error is None and self._hardware.is_lost:
            # It may be there again now, without what was set before.
            error = self._hardware.refusal() or self._look(exchange)
        return error

    def note(self, error: ExchangeError | None) -> None:
        """Take note of what a command has come to; called in the thread."""
        self._hardware.note(error)

    def make_safe(self) -> None:
        """Put the hardware where it may be left alone; called in the thread."""
        self._hardware.make_safe()

    def reopen(self) -> None:
        """Close the hardware and open it again; called in the thread. Raises `HardwareLost`."""
        self._hardware.reopen()

    def _run(self, gate: threading.Event | None, opened: asyncio.Future[None]) -> None:
        self._open(opened)
        if gate is not None:
            gate.wait()
        if self._reader is not None:
            self._reader.begin(functools.partial(self._wakes.put, None), self.note)
        while self._run_next():
            pass
        if self._given_up:
            return
        try:
            self._hardware.close()
        except BaseException:
            self.left_open = True
            logger.exception("%s could not be closed", self.name)

    def _open(self, opened: asyncio.Future[None]) -> None:
        exchange = Exchange(Request("open_hardware", {}))
        exchange.queue(self)
        exchange.start(time.monotonic())
        self._running = exchange
        error = outcome_of(exchange, lambda request: self._hardware.open()).error
        self._running = None

        def tell() -> None:
            if opened.done():
                return  # a stop was faster
            if error is None:
                opened.set_result(None)
            else:
                opened.set_exception(error)

        self._on_loop(tell)

    def _run_next(self) -> bool:
        """Wait for the next exchange and run it; False at the end."""
        self._hardware.tell()
        patience = self._hardware.patience
        if patience == 0 and not self._closed:
            with contextlib.suppress(InstrumentError):
                self.reopen()
            return True
        if not self._closed:
            patience = _shorter(patience, self._tend())
            if self._reader is not None:
                is_lost = self._hardware.is_lost
                patience = _shorter(patience, self._reader.tend(self._is_free, is_lost=is_lost))
        try:
            self._wakes.get(timeout=_shorter(patience, threading.TIMEOUT_MAX))
        except Empty:
            return True
        with self._lock:
            if not self._waiting:
                return not self._closed  # what woke it has been withdrawn
            exchange, call, is_own = self._waiting.popleft()
            now = time.monotonic()
            name = exchange.request.command_id
            error: ExchangeError | None = None
            if exchange.deadline is not None and now >= exchange.deadline:
                error = Expired(f"{name} was not started: its time was up")
            elif exchange.client.has_gone():
                error = Expired(f"{name} was not started: its client has gone")
            elif not is_own:
                error = self.refusal(exchange)
            if error is None:
                self._running = exchange
                exchange.started_at = now
        try:
            data = exchange.refuse(error) if error else self._execute(exchange, call, now)
        except Exception:
            # A command may have changed its own exchange. The next one is to be served.
            logger.exception("%s: an exchange did not come to its end", self.name)
            self._running = None
            return True
        # The client may look at the status as soon as it has its reply.
        self._running = None
        self._on_loop(self._deliver, exchange, data)
        if self._reader is not None:
            self._reader.touch()
        return True

    def _execute(self, exchange: Exchange, call: Call, now: float) -> bytes:
        """Run a command to its end; returns what its client is to be told."""
        exchange.start(now)
        reply = outcome_of(exchange, call, self.complete)
        self.note(reply.error)
        return exchange.finish(reply)

    def _is_free(self) -> bool:
        """Whether nothing waits for the instrument."""
        return not (self._waiting or self._closed)

    def _on_loop(self, callback: Callable[..., None], *arguments: Any) -> None:
        # The loop may have gone before a command that overran the server's stop.
        with contextlib.suppress(RuntimeError):
            self._loop.call_soon_threadsafe(callback, *arguments)

    def complete(self, command: Coroutine[Any, Any, Any]) -> Any:
        """Have an ``async def`` command run on the event loop, and wait for its result."""
        on_loop = _as_command(command)
        return asyncio.run_coroutine_threadsafe(on_loop, self._loop).result()


def _shorter(one: float | None, other: float | None) -> float | None:
    """The shorter of two waits; None is one without an end."""
    if one is None or other is None:
        return one if other is None else other
    return min(one, other)


async def _as_command(command: Coroutine[Any, Any, Any]) -> Any:
    """Run an ``async def`` command; asyncio would let its sys.exit() end the event loop."""
    try:
        return await command
    except (SystemExit, KeyboardInterrupt) as error:
        raise RuntimeError(sentence_of(error)) from error
