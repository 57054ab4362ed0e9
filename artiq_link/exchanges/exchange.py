"""One exchange: a request on its way to its one outcome, as an object with states.

::

    RECEIVED ──> QUEUED ──> RUNNING ──> FINISHED      success or failure
        │           │
        └───────────┴─────> REFUSED                   nothing was executed

A repeated request goes from RECEIVED to FINISHED: it is answered as it was before.

Beside its state stand two facts: the client has gone (`abandoned`), and what the client was told
(`told`), which differs from the outcome where a command overran its time. Who wants to know of an
exchange (a log, a journal, a display) observes its moments; nothing else tells of it.
"""

from __future__ import annotations

import enum
import threading
import time
from collections.abc import Callable, Coroutine, Mapping, Sequence
from concurrent.futures import CancelledError
from contextvars import ContextVar
from types import CoroutineType
from typing import Any, Protocol, TypeVar

import msgspec

from ..errors import (
    Aborted,
    ExchangeError,
    Expired,
    HardwareLost,
    InternalError,
    TimedOut,
    bare,
    failure_of,
)
from ..loggers import get_logger
from ..text import json_kind, sentence_of, without_folders, writable
from .client import NOBODY, Client
from .messages import Reply, Request

LONGEST_TIMEOUT = 86400.0
"""Seconds; a longer time than this would only be kept."""

logger = get_logger(__name__)


class Moment(enum.IntEnum):
    """What observers are told of. The first five are an exchange's states."""

    RECEIVED = 0
    QUEUED = 1
    RUNNING = 2
    FINISHED = 3
    REFUSED = 4
    OVERDUE = 5
    """The client was told ``timeout``; the command goes on."""
    ABANDONED = 6
    """The client has gone before it was told anything."""
    LATE = 7
    """The exchange came to its end after one of the two above; follows FINISHED."""
    PROGRESS = 8
    """Its command tells how far it is."""


State = Moment
RECEIVED, QUEUED, RUNNING = Moment.RECEIVED, Moment.QUEUED, Moment.RUNNING
FINISHED, REFUSED, LATE = Moment.FINISHED, Moment.REFUSED, Moment.LATE

TRANSITIONS: Mapping[State, frozenset[State]] = {
    RECEIVED: frozenset({QUEUED, REFUSED, FINISHED}),
    QUEUED: frozenset({RUNNING, REFUSED}),
    RUNNING: frozenset({FINISHED}),
    FINISHED: frozenset(),
    REFUSED: frozenset(),
}
"""From each state to those that may follow it."""


Observer = Callable[["Exchange", Moment], None]
"""Is told of an exchange's moments, in the thread in which they happen, and returns at once."""

_Function = TypeVar("_Function", bound=Callable[..., None])

Observers = Mapping[Moment, Sequence[Observer]]
"""Who is told of which moment."""


def observes(*moments: Moment) -> Callable[[_Function], _Function]:
    """Decorator: an observer, a function or a method, wants to be told of these moments alone."""

    def note(observer: _Function) -> _Function:
        vars(observer)["moments"] = frozenset(moments)
        return observer

    return note


def by_moment(observers: Sequence[Observer]) -> dict[Moment, tuple[Observer, ...]]:
    """Sort observers by the moments of which they want to be told: all, unless they say."""
    return {
        moment: tuple(each for each in observers if moment in getattr(each, "moments", Moment))
        for moment in Moment
    }


def observe(
    observers: dict[Moment, tuple[Observer, ...]], observer: Observer, *, is_on: bool
) -> None:
    """Have one more observer told, or one less, also of exchanges that are on their way."""
    for moment, told in observers.items():
        others = tuple(each for each in told if each != observer)
        wants = is_on and moment in getattr(observer, "moments", Moment)
        observers[moment] = (*others, observer) if wants else others


_NO_OBSERVERS = by_moment(())


class Queue(Protocol):
    """Where exchanges wait for their turn."""

    def withdraw(self, exchange: Exchange) -> bool:
        """Take an exchange back that has not started; False if it has."""


_ABORTABLE = threading.Lock()
"""Of the moment in which an exchange gets what can be waited for: its thread and another one."""


def _to_nobody(request: Request, reply: Reply) -> bytes:
    return b""


class Exchange:
    """One request, what became of it, and who asked.

    `encode` writes its reply for its client; `answer` takes what was written, on the event loop.
    `arrived` is when the request's first byte came, on `time.monotonic`; its time counts from
    there.
    """

    __slots__ = (
        "__weakref__",
        "_abortion",
        "_answer",
        "_encode",
        "_observers",
        "_queue",
        "abandoned",
        "arrived",
        "boot",
        "client",
        "deadline",
        "finished_at",
        "fraction",
        "outcome",
        "request",
        "started_at",
        "state",
        "text",
        "told",
    )

    def __init__(
        self,
        request: Request,
        client: Client = NOBODY,
        encode: Callable[[Request, Reply], bytes] = _to_nobody,
        answer: Callable[[bytes], None] | None = None,
        *,
        arrived: float | None = None,
        observers: Observers = _NO_OBSERVERS,
    ) -> None:
        self.request = request
        self.client = client
        self._encode = encode
        self._answer = answer
        self._queue: Queue | None = None
        self.arrived = time.monotonic() if arrived is None else arrived
        timeout = request.link.timeout
        self.deadline = None if timeout is None else self.arrived + min(timeout, LONGEST_TIMEOUT)
        """When its client gives up, on `time.monotonic`; None: it says nothing of that."""
        self.state: State = RECEIVED
        self.started_at: float | None = None
        self.finished_at: float | None = None
        self.outcome: Reply | None = None
        self.told: Reply | None = None
        self.abandoned = False
        self.boot: str | None = None
        """The name of this start of the server that the client is told, where it said one."""
        self.fraction: float | None = None
        self.text = ""
        self._abortion: threading.Event | None = None
        self._observers = observers
        if observers[RECEIVED]:
            self._tell(RECEIVED)

    @property
    def rid(self) -> int | None:
        """ARTIQ's run identifier."""
        return self.request.link.rid

    @property
    def owner(self) -> str | None:
        """Who asks, as he calls himself."""
        return self.request.link.owner

    @property
    def lease(self) -> int | None:
        """The number of the lease that the client says it holds."""
        return self.request.link.lease

    @property
    def aborted(self) -> bool:
        """Whether somebody wants its command to end: `link.abort`. A long one looks at it now and
        then, and raises `Aborted` or returns."""
        return self._abortion is not None and self._abortion.is_set()

    def sleep(self, seconds: float) -> None:
        """Wait; raises `Aborted` as soon as somebody wants the command to end.

        For commands in a thread, and not for ``async def``, where it would block everybody.
        """
        if self._abortable().wait(seconds):
            raise Aborted(f"{self.request.command_id} was aborted while it ran")

    @property
    def is_too_late(self) -> bool:
        """Whether its client was told of its end before it came, or has gone."""
        return self.told is not None or self.abandoned

    def queue(self, queue: Queue | None = None) -> None:
        """It waits for its turn in `queue`; without one it is run at once."""
        self._queue = queue
        self._enter(QUEUED)

    def start(self, now: float) -> None:
        """Its command starts."""
        self.started_at = now
        self._enter(RUNNING)

    def refuse(self, error: ExchangeError) -> bytes:
        """Nothing of it is executed; returns what its client is to be told."""
        return self._end(REFUSED, Reply(error=bare(error)))

    def finish(self, reply: Reply) -> bytes:
        """Its command has come to its end, perhaps when it was asked for before; returns what its
        client is to be told.

        That is written here, before the next command may change what this one returned.
        """
        return self._end(FINISHED, reply)

    def deliver(self, data: bytes) -> None:
        """Give the client what it is to be told of the outcome, unless it was told or has gone."""
        answer, self._answer = self._answer, None
        if self.told is None and not self.abandoned:
            self.told = self.outcome
            if answer is not None:
                answer(data)
        elif self.state is FINISHED:
            self._tell(Moment.LATE)

    def abandon(self) -> None:
        """The client has gone: do not start the command, and answer nobody."""
        self._answer = None
        if self.told is not None:
            return
        self.abandoned = True
        self._tell(Moment.ABANDONED)
        if self._withdraw():
            name = self.request.command_id
            self.refuse(Expired(f"{name} was not started: its client has gone"))

    def time_is_up(self) -> None:
        """Its client gives up: do not start the command, or tell that it has not finished."""
        name, time_given = self.request.command_id, f"{self.request.link.timeout:.3g} s"
        if self._withdraw():
            error = Expired(f"{name} was not started: its time of {time_given} was up")
            self.deliver(self.refuse(error))
        # Otherwise its worker has just found the same, and the refusal is on its way.
        elif self.started_at is not None or self.state is RECEIVED:
            self.overrun(TimedOut(f"{name} has not finished in {time_given}; it goes on"))

    def abort(self) -> bool:
        """Do not start the command, or ask it to end; whether it had not started."""
        self._abortable().set()
        if not self._withdraw():
            return False
        name = self.request.command_id
        self.deliver(self.refuse(Aborted(f"{name} was not started: it was aborted")))
        return True

    def _abortable(self) -> threading.Event:
        """What is set when somebody wants it to end; few exchanges need one."""
        with _ABORTABLE:
            if self._abortion is None:
                self._abortion = threading.Event()
            return self._abortion

    def overrun(self, error: ExchangeError) -> None:
        """Tell the client that the command goes on without it, unless it was told or has gone."""
        answer, self._answer = self._answer, None
        if answer is not None:
            self.told, data = self._written(Reply(error=error))
            self._tell(Moment.OVERDUE)
            answer(data)

    def _withdraw(self) -> bool:
        return self._queue is not None and self._queue.withdraw(self)

    def part(self, request: Request, encode: Callable[[Request, Reply], bytes]) -> Exchange:
        """An exchange of its own that is part of this one: the same client, the same observers.

        It has this one's owner, RID, lease and boot, where its own request has none, and is
        aborted with it.
        """
        link = request.link.under(self.request.link)
        request = msgspec.structs.replace(request, link=link)
        part = Exchange(
            request, self.client, encode, arrived=self.arrived, observers=self._observers
        )
        part._abortion = self._abortable()
        return part

    def run(
        self, call: Callable[[Request], Any], complete: Callable[[Any], Any] | None = None
    ) -> bytes:
        """Run its command here and now; returns what its client is to be told."""
        self.queue()
        self.start(time.monotonic())
        return self.finish(outcome_of(self, call, complete))

    def progress(self, fraction: float, text: str = "") -> None:
        """Tell how far the command is; `link.status` shows it.

        `fraction` goes from 0 to 1, `text` is for people: ``"12.0 of 60.0 s"``. Raises ValueError
        for a fraction outside 0 to 1, TypeError for a text that is none.
        """
        if not 0 <= fraction <= 1:
            raise ValueError(f"progress: expected a fraction from 0 to 1, got {fraction!r}")
        if not isinstance(text, str):
            raise TypeError(f"progress: expected a text, got {json_kind(text)}")
        self.fraction, self.text = float(fraction), writable(text)
        if self._observers[Moment.PROGRESS]:
            self._tell(Moment.PROGRESS)

    def describe(self) -> dict[str, Any]:
        """What the command does now, as `link.status` shows it."""
        started = self.started_at
        seconds = 0.0 if started is None else round(time.monotonic() - started, 3)
        done = "" if self.fraction is None else f"{self.fraction:.0%} done, "
        return {
            "command": self.request.command_id,
            "seconds": seconds,
            "fraction": self.fraction,
            "text": self.text or f"{done}for {seconds:.1f} s",
        }

    def _end(self, state: State, reply: Reply) -> bytes:
        if self.outcome is not None:
            raise ValueError(f"{self.request.command_id}: its outcome is set already")
        reply, data = self._written(reply)
        self._enter(state, reply)
        return data

    def _written(self, reply: Reply) -> tuple[Reply, bytes]:
        """The reply and its bytes; what cannot be written becomes an `InternalError`."""
        if self.boot is not None:
            reply = msgspec.structs.replace(reply, boot=self.boot)
        try:
            return reply, self._encode(self.request, reply)
        except Exception as error:
            name = self.request.command_id
            logger.exception("%s: its result cannot be sent", name)
            sentence = f"{name}: its result cannot be sent: {without_folders(sentence_of(error))}"
            reply = Reply(error=InternalError(sentence))
            return reply, self._encode(self.request, reply)

    def _enter(self, state: State, outcome: Reply | None = None) -> None:
        if state not in TRANSITIONS[self.state]:
            old, new = self.state.name.lower(), state.name.lower()
            raise ValueError(f"{self.request.command_id}: {new} cannot follow {old}")
        self.state = state
        if outcome is not None:
            self.outcome = outcome
            self.finished_at = time.monotonic()
        if self._observers[state]:
            self._tell(state)

    def _tell(self, moment: Moment) -> None:
        for observe in self._observers[moment]:
            try:
                observe(self, moment)
            except Exception:
                # Neither the client nor the instrument's thread is to suffer from it.
                logger.exception("an observer of %s failed", self.request.command_id)


_current: ContextVar[Exchange] = ContextVar("current_exchange")


def current_exchange() -> Exchange:
    """The exchange whose command runs here: who asks, until when, under which lease and RID.

    To be called by a command, in its thread or on the event loop. Where there is none, because a
    program calls its instrument itself, it is one that `NOBODY` asked for.
    """
    return _current.get(None) or Exchange(Request("", {}))


def progress(fraction: float, text: str = "") -> None:
    """Tell how far the running command is; see `Exchange.progress`."""
    current_exchange().progress(fraction, text)


async def outcome_on_loop(exchange: Exchange, command: Coroutine[Any, Any, Any]) -> Reply:
    """Let an ``async def`` command of `exchange` come to its end, on the event loop."""
    token = _current.set(exchange)
    try:
        return Reply(await command)
    except Exception as error:  # noqa: BLE001 it is told
        return Reply(error=_told_of(exchange, error))
    finally:
        _current.reset(token)


def outcome_of(
    exchange: Exchange,
    call: Callable[[Request], Any],
    complete: Callable[[Any], Any] | None = None,
) -> Reply:
    """Run a command as `exchange`: what it returned, or what it raised; raises nothing itself.

    What an ``async def`` command returns, `complete` makes a result of.
    """
    token = _current.set(exchange)
    try:
        result = call(exchange.request)
        if complete is not None and type(result) is CoroutineType:
            result = complete(result)
        return Reply(result)
    # A command that calls sys.exit() ends itself, and neither its thread nor the event loop.
    except BaseException as error:  # noqa: BLE001 it is told
        return Reply(error=_told_of(exchange, error))
    finally:
        _current.reset(token)


def _told_of(exchange: Exchange, error: BaseException) -> ExchangeError:
    """What a client is told of a command's exception; of one that is no `ExchangeError`, the log
    has all.

    An OSError, as serial and socket libraries raise it, is the instrument's: an adapter that was
    pulled out, for one.
    """
    if isinstance(error, ExchangeError):
        return bare(error)
    if isinstance(error, CancelledError):  # an async command, at the latest when the loop ends
        return InternalError(f"{exchange.request.command_id} was cancelled")
    logger.error("%s failed", exchange.request.command_id, exc_info=error)
    if isinstance(error, OSError):
        return HardwareLost(without_folders(sentence_of(error)))
    return failure_of(error)
