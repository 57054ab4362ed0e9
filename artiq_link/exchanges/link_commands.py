"""``link.*``: what the server answers itself, also while commands run.

A command of the link's own is a method of a class here, or of one in a file of its own; they are
listed in `dispatch.LINK_COMMANDS`. It may ask `current_exchange` who asks.
"""

from __future__ import annotations

import asyncio
import inspect
import time
from collections.abc import Callable, Mapping
from typing import Annotated, Any, ClassVar, NamedTuple, TypeVar

import msgspec

from ..errors import ExchangeError, failure_of
from ..instrument.activity import Activity
from ..instrument.command import CommandTable, command
from ..loggers import get_logger
from ..text import json_kind, sentence_of
from ..version import __version__
from .boot import Restarts
from .costs import Costs
from .exchange import Exchange, current_exchange
from .feed import Feed
from .journal import Journal
from .leases import Leases
from .messages import LinkMembers, Reply, Request
from .registry import LINK, Registry
from .sessions import Sessions
from .settings import Settings
from .worker import Worker

MAX_CHECKED = 10_000
"""Requests in one `link.check`: each takes some 30 to 300 us, and memory for its verdict."""

logger = get_logger(__name__)

T = TypeVar("T")


async def in_worker(
    submit: Callable[[Exchange, Callable[[Request], Any]], None],
    outer: Exchange,
    call: Callable[[], T],
) -> T:
    """Have something called in an instrument's turn, as part of `outer`."""
    done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
    turn = Exchange(
        Request(outer.request.command_id, {}, LinkMembers().under(outer.request.link)),
        answer=lambda data: done.set_result(None),
    )
    turn.deadline = outer.deadline
    submit(turn, lambda request: call())
    await done
    assert turn.outcome is not None  # noqa: S101 it was delivered
    if turn.outcome.error is not None:
        raise turn.outcome.error
    result: T = turn.outcome.result
    return result


class Parts(NamedTuple):
    """What the link's own commands can ask."""

    registry: Registry
    workers: Mapping[str, Worker]
    costs: Costs
    journal: Journal
    leases: Leases
    restarts: Restarts
    settings: Settings
    feed: Feed
    access: str
    """Who may connect, for people."""
    stop: Callable[[bool], asyncio.Event]
    """Ends the server, without waiting for running commands if asked for; the event is set when
    its workers have ended."""
    sessions: Sessions | None = None
    """Of those who have shown a token; None: nobody is asked for one."""
    connections: Callable[[], int] = int
    """How many are open; for any thread."""

    def describe_instrument(self, name: str) -> dict[str, Any]:
        """What an instrument does now, what goes on by itself, who holds it, and what was
        restored, if anything."""
        held = self.leases.holder(name)
        does = self.workers[name].describe()
        if (goes_on := self.activity_of(name)) is not None and "lost" not in does:
            does["summary"] = f"{does['summary']}; {goes_on.text}"
            does["activity"] = msgspec.to_builtins(goes_on)
        return {
            **does,
            **({} if held is None else {"lease": held.describe()}),
            **self.settings.describe(name),
        }

    def describe_progress(self, name: str) -> dict[str, Any]:
        """What an instrument's command does now, and what goes on by itself."""
        does = self.workers[name].progress()
        if (goes_on := self.activity_of(name)) is not None:
            does["activity"] = msgspec.to_builtins(goes_on)
        return does

    def activity_of(self, name: str) -> Activity | None:
        """What goes on by itself; where the lab's method fails, this says so."""
        try:
            goes_on = self.registry.targets[name].activity()
            if not isinstance(goes_on, Activity | None):
                raise TypeError(f"expected an Activity, got {json_kind(goes_on)}")
            return goes_on
        # One that calls sys.exit() is not to end the event loop.
        except BaseException as error:  # noqa: BLE001 it is told to whoever asks
            return Activity(f"its activity() failed: {sentence_of(error)}")


class LinkCommands:
    """Commands of the link's own; they know what there is, what it does, and what became of it."""

    worker: ClassVar[str | None] = None
    """The worker in which they run; None: at once, so that they must not block."""
    act: ClassVar[bool] = False
    """Whether they may change anything; what does not stands in no journal, and may be watched."""
    commands = CommandTable()

    def __init_subclass__(cls) -> None:
        cls.commands = CommandTable.of(cls)

    def __init__(self, parts: Parts) -> None:
        self.registry = parts.registry
        self.workers = parts.workers
        self.costs = parts.costs
        self.journal = parts.journal
        self.leases = parts.leases
        self.restarts = parts.restarts
        self.settings = parts.settings
        self.feed = parts.feed
        self.describe_progress = parts.describe_progress
        self.access = parts.access


class Overview(LinkCommands):
    """What there is, and what it does now."""

    def __init__(self, parts: Parts) -> None:
        super().__init__(parts)
        self._started = time.monotonic()
        self._describe_instrument = parts.describe_instrument

    @command
    def ping(self) -> bool:
        """Answer true."""
        return True

    @command
    def status(self) -> dict[str, Any]:
        """Tell what every instrument does now, and for how long the server has run, in s.

        The costs are those of the last minute's exchanges, by command, in s. boot is the name of
        this start of the server, with a number behind it once hardware was lost; journal says
        where the exchanges are kept, access who may connect, and roles what who asks may do on
        each instrument: watch or control.
        """
        rights = current_exchange().client.rights
        return {
            "version": __version__,
            "boot": self.restarts.name,
            "uptime": round(time.monotonic() - self._started, 3),
            "access": self.access,
            "roles": {name: rights.on(name).name.lower() for name in self.workers},
            "loop": type(asyncio.get_running_loop()).__module__.partition(".")[0],
            "instruments": {name: self._describe_instrument(name) for name in self.workers},
            "journal": self.journal.describe(),
            "costs": self.costs.describe(),
        }

    @command
    def describe(
        self, instrument: str | None = None, command: str | None = None
    ) -> dict[str, Any]:
        """Give the commands with their parameters, types (JSON Schema), units and defaults.

        With instrument, those of that one alone; with command, that command alone.
        """
        registry = self.registry
        if command is not None:
            return self._describe_command(
                command if instrument is None else f"{instrument}.{command}"
            )
        if instrument is not None:
            if instrument not in registry.targets:
                raise registry.no_instrument(instrument)
            return registry.targets[instrument].describe()
        interact = registry.interact
        return {
            "version": __version__,
            "buffers": True,
            "instruments": {
                name: instrument.describe() for name, instrument in registry.instruments.items()
            },
            "interact": inspect.getdoc(interact) if interact is not None else None,
            LINK: registry.own.describe(),
        }

    def _describe_command(self, command_id: str) -> dict[str, Any]:
        route = self.registry.route(Request(command_id, {}))
        if route.command is None:
            raise self.registry.unknown(command_id)
        owner = LINK if route.instrument is None else route.instrument.link_name
        return {"command_id": f"{owner}.{route.command.name}", **route.command.describe()}


class Checks(LinkCommands):
    """What would be refused; may take long, so it has a worker of its own."""

    worker = f"{LINK}.check"

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
            if request.refusal is not None:
                raise request.refusal
            if self.registry.is_only_interacts(request.command_id):
                error = self.registry.unknown(request.command_id)
                return {"status": "unchecked", **verdict, "error": str(error)}
            self.registry.route(request).check(request)
        except ExchangeError as error:
            return {**Reply(error=error).to_object(), **verdict}
        except Exception as error:  # a checker's bug is one request's, not all's
            logger.exception("the check of %s failed", command_id)
            return {**Reply(error=failure_of(error)).to_object(), **verdict}
        return {"status": "success", **verdict}
