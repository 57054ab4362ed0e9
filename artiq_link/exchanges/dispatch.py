"""Request -> Reply: finds the instrument and the command, keeps deadlines, answers ``link.*``."""

from __future__ import annotations

import asyncio
import contextlib
import functools
import inspect
import logging
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Annotated, Any

import msgspec

from ..errors import (
    ExchangeError,
    Expired,
    InstrumentError,
    InternalError,
    InvalidParameter,
    ShuttingDown,
    TimedOut,
    UnknownCommand,
)
from ..instrument.command import Command, CommandTable, command
from ..instrument.instrument import Instrument
from ..version import __version__
from .messages import OWN_KEYS, Reply, Request
from .worker import QUEUE_LENGTH, Job, Worker, sentence_of

LONGEST_TIMEOUT = 86400.0
"""Seconds; a longer time than this would only keep an event loop's timer."""

MAX_CHECKED = 10_000
"""Requests in one `link.check`: each takes some 30 to 300 us, and memory for its verdict."""

LINK = "link"
"""The name of the commands that the server itself answers."""

CHECK = "check"
"""The one of them that may take long: it has a worker of its own."""

logger = logging.getLogger(__name__)

Interact = Callable[[dict[str, Any]], Any]
Action = Callable[[str, Any], Any]


class Exchange:
    """One request on its way to its one reply."""

    def __init__(self, request: Request, answer: Callable[[Reply], None]) -> None:
        self.request = request
        self._answer: Callable[[Reply], None] | None = answer
        self._job: Job | None = None
        self._worker: Worker | None = None
        self._timer: asyncio.TimerHandle | None = None

    def reply(self, result: Any, error: ExchangeError | None = None) -> None:
        """Answer the client, unless it has been answered or has gone."""
        if self._timer is not None:
            self._timer.cancel()
        answer, self._answer = self._answer, None
        if answer is not None:
            answer(Reply(self.request, result, error))
        else:
            outcome = "succeeded" if error is None else f"failed: {error}"
            logger.warning(
                "%s %s after its client had been answered or had gone",
                self.request.command_id,
                outcome,
            )

    def abandon(self) -> None:
        """The client has gone: do not start the command, and answer nobody."""
        self._answer = None
        if self._timer is not None:
            self._timer.cancel()
        if self._worker is not None and self._job is not None and self._worker.withdraw(self._job):
            logger.info("%s was not started: its client has gone", self.request.command_id)

    def start(
        self,
        worker: Worker,
        call: Callable[[], Any],
        arrived: float,
        loop: asyncio.AbstractEventLoop,
    ) -> None:
        """Queue the command in `worker`; raises what `Worker.submit` raises."""
        timeout = self.request.link.timeout
        deadline = None if timeout is None else arrived + min(timeout, LONGEST_TIMEOUT)

        def done(result: Any, error: ExchangeError | None) -> None:
            # The loop may have gone before a command that overran the server's stop.
            with contextlib.suppress(RuntimeError):
                loop.call_soon_threadsafe(self.reply, result, error)

        self._worker = worker
        self._job = job = Job(self.request.command_id, call, done, deadline)
        worker.submit(job)
        if timeout is not None and deadline is not None:
            remaining = max(0.0, deadline - time.monotonic())
            self._timer = loop.call_later(remaining, self._time_is_up, worker, job, timeout)

    def _time_is_up(self, worker: Worker, job: Job, timeout: float) -> None:
        name, time_given = self.request.command_id, f"{round(timeout, 3):g} s"
        if worker.withdraw(job):
            self.reply(None, Expired(f"{name} was not started: its time of {time_given} was up"))
        # Otherwise the worker has just found the same, and its refusal is on its way.
        elif job.started is not None:
            self.reply(None, TimedOut(f"{name} has not finished in {time_given}; it goes on"))


class Dispatch:
    """Holds the instruments with their workers and takes requests to them.

    To be made and called on the event loop. With `interact`, every command goes through it, in
    the worker of the instrument that has the command (of the first one otherwise); without,
    through the instruments' own tables. `actions` are asked for COMET's messages that are no
    command, in their order, until one gives a truthy answer; that is the result.
    """

    def __init__(
        self,
        instruments: Mapping[str, Instrument],
        interact: Interact | None = None,
        *,
        actions: Sequence[Action] | None = None,
        queue_length: int = QUEUE_LENGTH,
    ) -> None:
        check_instruments(instruments)
        self.instruments = instruments
        self.interact = interact
        self.actions = actions
        self._loop = asyncio.get_running_loop()
        self._all_open = threading.Event()
        self._all_open.set()
        self.workers = {}
        # The instruments that have a command, by `command` and by `instrument.command`.
        self._owners: dict[str, list[Instrument]] = {}
        for name, instrument in instruments.items():
            instrument.link_name = name
            self.workers[name] = Worker(name, self._loop, instrument.close, queue_length)
            for prefix in ("", f"{name}."):
                for its_command in instrument.commands:
                    self._owners.setdefault(prefix + its_command, []).append(instrument)
        if not instruments:
            self.workers["interact"] = Worker("interact", self._loop, _nothing, queue_length)
        self._checking = Worker(f"{LINK}.{CHECK}", self._loop, _nothing, queue_length)
        self._link = LinkCommands(self)

    def open(self) -> asyncio.Task[None]:
        """Have every instrument opened, in its worker, before it does anything else.

        No command is started before all are open. The task raises `InstrumentError` if one
        cannot be opened.
        """
        logger.info("opening %s", ", ".join(self.instruments))
        self._all_open.clear()
        return self._loop.create_task(self._wait_for(list(map(self._open, self.instruments))))

    async def _wait_for(self, opened: list[asyncio.Future[None]]) -> None:
        await asyncio.gather(*opened)
        self._all_open.set()

    def _open(self, name: str) -> asyncio.Future[None]:
        opened: asyncio.Future[None] = self._loop.create_future()

        def tell(error: ExchangeError | None) -> None:
            if opened.done():
                return  # a stop was faster
            if error is None:
                opened.set_result(None)
            else:
                opened.set_exception(InstrumentError(f"{name} cannot be opened: {error}"))

        def done(result: Any, error: ExchangeError | None) -> None:
            with contextlib.suppress(RuntimeError):  # the loop may have gone
                self._loop.call_soon_threadsafe(tell, error)
            # The worker's next job may need the other instruments. Where a stop refuses the
            # opening, this is no worker's thread, and there is no next job.
            if not isinstance(error, ShuttingDown):
                self._all_open.wait()

        self.workers[name].submit(Job("open_hardware", self.instruments[name].open_hardware, done))
        return opened

    def submit(
        self, request: Request, answer: Callable[[Reply], None], arrived: float | None = None
    ) -> Exchange:
        """Take one request; `answer` is called once, later, on the event loop.

        `arrived` is when the request's first byte came, on `time.monotonic`: its timeout counts
        from there.
        """
        exchange = Exchange(request, answer)
        try:
            prefix, _, name = request.command_id.rpartition(".")
            if prefix == LINK and name != CHECK:
                self._loop.call_soon(exchange.reply, self._link.run(name, request.parameters))
            else:
                worker, call = self._find(request)
                if arrived is None:
                    arrived = time.monotonic()
                exchange.start(worker, call, arrived, self._loop)
        except ExchangeError as error:
            self._loop.call_soon(exchange.reply, None, error)
        return exchange

    def _find(self, request: Request) -> tuple[Worker, Callable[[], Any]]:
        """The worker for a request, and what it has to call; raises `UnknownCommand`."""
        if request.command_id == f"{LINK}.{CHECK}":
            return self._checking, functools.partial(self._link.run, CHECK, request.parameters)
        first = next(iter(self.workers.values()))
        owners = self._owners.get(request.command_id, ())
        if request.action is not None and self.actions is not None:
            action, value = request.action
            if not owners or not isinstance(value, dict):
                return first, functools.partial(ask, self.actions, action, value)
        name = request.command_id.rpartition(".")[2]
        if own := OWN_KEYS & request.parameters.keys():
            # In data they would take the place of the request's own.
            raise InvalidParameter(f"{name!r:.60} has no parameter {min(own)!r}", min(own))
        data = request.data
        if self.interact is not None and self.is_only_interacts(request.command_id):
            return first, functools.partial(self.interact, data)
        instrument = self.find(request.command_id)
        # interact compares names: it sees the command's own one wherever that is enough.
        if len(self._owners[name]) == 1:
            data["command_id"] = name
        door = self.interact or instrument.interact
        return self.workers[instrument.link_name], functools.partial(door, data)

    def is_only_interacts(self, command_id: str) -> bool:
        """Whether nobody but the server's `interact`, if it has one, can know the command."""
        prefix = command_id.rpartition(".")[0]
        return command_id not in self._owners and prefix not in {LINK, *self.instruments}

    def find(self, command_id: str) -> Instrument:
        """The instrument that has the command; raises `UnknownCommand`."""
        owners = self._owners.get(command_id, ())
        if len(owners) == 1:
            return owners[0]
        if owners:
            choices = " or ".join(f"'{owner.link_name}.{command_id}'" for owner in owners)
            raise UnknownCommand(f"several instruments have {command_id!r}: say {choices}")
        names = [*(f"{LINK}.{name}" for name in _LINK_COMMANDS), *self._owners]
        raise UnknownCommand.nearest(command_id, names)

    async def close(self, grace: float) -> None:
        """Refuse what waits, let what runs finish for at most `grace` seconds, close instruments.

        An instrument whose command still runs then is not closed: its hardware is in use. The
        command's client is told.
        """
        workers = [*self.workers.values(), self._checking]
        for worker in workers:
            worker.close()
        self._all_open.set()
        for worker in workers:
            state = worker.describe()
            if state["state"] == "busy":
                logger.warning("stopping: %s; it has %g s to finish", state["summary"], grace)
        end = time.monotonic() + grace
        for worker in workers:
            left = max(0.0, end - time.monotonic())
            if not await asyncio.to_thread(worker.join, left):
                summary = worker.describe()["summary"]
                logger.error("%s: not closed, %g s were not enough", summary, grace)
                worker.give_up()


def ask(actions: Sequence[Action], action: str, value: Any) -> Any:
    """The first truthy answer of the action functions, or None; one that fails is logged."""
    for function in list(actions):
        try:
            if answer := function(action, value):
                return answer
        except Exception:
            logger.exception("%r failed in an action function; the next one is asked", action)
    return None


def _nothing() -> None:
    """What a worker without an instrument has to close."""


def check_instruments(instruments: Mapping[str, Instrument]) -> None:
    """Raise TypeError and ValueError for what cannot be served under these names.

    A name stands in ``name.command``. An instrument with two names would have two workers, and
    see two commands at a time.
    """
    if not isinstance(instruments, Mapping):
        raise TypeError('instruments: expected a dictionary, such as {"dds": dds}')
    names: dict[int, str] = {}
    for name, instrument in instruments.items():
        if not isinstance(instrument, Instrument):
            hint = "; did you forget the ()?" if isinstance(instrument, type) else ""
            raise TypeError(f"{name!r}: expected an Instrument, got {instrument!r:.80}{hint}")
        if not isinstance(instrument.commands, CommandTable):
            raise TypeError(f"{name!r}: its attribute 'commands' must not be replaced")
        for own in ("interact", "check", "describe", "open_hardware", "close"):
            if not callable(getattr(instrument, own)):
                raise TypeError(f"{name!r}: its attribute {own!r} must not be replaced")
        if name == LINK:
            raise ValueError(f"an instrument cannot be named {name!r}: the server itself is")
        if not isinstance(name, str) or not name.isidentifier():
            raise ValueError(f"an instrument cannot be named {name!r}: letters, digits and _ only")
        if (other := names.setdefault(id(instrument), name)) != name:
            raise ValueError(f"{other!r} and {name!r} are one instrument: give it one name")


class LinkCommands:
    """What the server answers itself, at once, also while commands run."""

    def __init__(self, dispatch: Dispatch) -> None:
        self._dispatch = dispatch
        self._started = time.monotonic()

    def run(self, name: str, parameters: Mapping[str, Any]) -> Any:
        """Run one of the commands below; raises as `CommandTable.resolve` does."""
        found, values = self._resolve(name, parameters)
        return found.function(self, **values)

    def _resolve(
        self, name: str, parameters: Mapping[str, Any]
    ) -> tuple[Command[Any, Any], dict[str, Any]]:
        if name not in _LINK_COMMANDS:
            raise UnknownCommand.nearest(f"{LINK}.{name}", [f"{LINK}.{n}" for n in _LINK_COMMANDS])
        return _LINK_COMMANDS.resolve(name, parameters)

    @command
    def ping(self) -> bool:
        """Answer true."""
        return True

    @command
    def status(self) -> dict[str, Any]:
        """Tell what every instrument does now, and for how long the server has run, in s."""
        return {
            "version": __version__,
            "uptime": round(time.monotonic() - self._started, 3),
            "instruments": {
                name: worker.describe() for name, worker in self._dispatch.workers.items()
            },
        }

    @command
    def describe(self) -> dict[str, Any]:
        """Give the commands with their parameters, types (JSON Schema), units and defaults."""
        interact = self._dispatch.interact
        return {
            "version": __version__,
            "instruments": {
                name: instrument.describe()
                for name, instrument in self._dispatch.instruments.items()
            },
            "interact": inspect.getdoc(interact) if interact is not None else None,
            LINK: _LINK_COMMANDS.describe(),
        }

    @command
    def check(
        self, requests: Annotated[list[Any], msgspec.Meta(max_length=MAX_CHECKED)]
    ) -> list[dict[str, Any]]:
        """Check each request's command, types, ranges and limits; execute nothing.

        Each is answered as its exchange would be if it were refused, or by ``status: success``;
        ``status: unchecked`` where at most the template's `interact` knows the command.
        """
        return [self._check(data) for data in requests]

    def _check(self, data: Any) -> dict[str, Any]:
        command_id = data.get("command_id") if isinstance(data, dict) else None
        verdict = {"command_id": command_id} if isinstance(command_id, str) else {}
        try:
            request = Request.from_object(data)
            prefix, _, name = request.command_id.rpartition(".")
            if prefix == LINK:
                self._resolve(name, request.parameters)
            else:
                self._dispatch.find(request.command_id).check(data)
        except UnknownCommand as error:
            dispatch = self._dispatch
            if dispatch.interact is not None and dispatch.is_only_interacts(request.command_id):
                return {"status": "unchecked", **verdict, "error": str(error)}
            return {**Reply(error=error).to_object(), **verdict}
        except ExchangeError as error:
            return {**Reply(error=error).to_object(), **verdict}
        except Exception as error:  # a checker's bug is one request's, not all's
            logger.exception("the check of %s failed", command_id)
            return {**Reply(error=InternalError(sentence_of(error))).to_object(), **verdict}
        return {"status": "success", **verdict}


_LINK_COMMANDS = CommandTable.of(LinkCommands)
