"""Dispatch: takes requests on their routes, keeps their time, and brings their replies back."""

from __future__ import annotations

import asyncio
import contextlib
import functools
import threading
import time
from collections.abc import Callable, Coroutine, Sequence
from types import CoroutineType
from typing import Any

from ..errors import ExchangeError, InstrumentError, ShuttingDown, TimedOut
from ..instrument.instrument import SAFE, Instrument
from ..loggers import get_logger
from .abort import Abort
from .batch import Batch
from .boot import Restarts
from .client import NOBODY, Client
from .costs import Costs
from .deadlines import Deadlines
from .events import Events
from .exchange import Exchange, Observer, by_moment, outcome_of, outcome_on_loop
from .feed import Feed
from .feed_commands import States
from .hardware import Hardware
from .history import History, Outcomes
from .journal import Journal
from .lease_commands import LEASES, Acquisitions, Renewals
from .lease_table import Lease
from .leases import Leases
from .link_commands import Checks, LinkCommands, Overview, Parts
from .log import log_exchange
from .messages import Reply, Request
from .metrics import Metrics
from .refusals import Refusals
from .registry import Registry, Route
from .reopen import Reopen
from .sessions import Sessions
from .settings import Settings
from .sign_in import SignIn
from .state_reader import Found, StateReader
from .stop import Stop
from .worker import QUEUE_LENGTH, Look, Worker

LINK_COMMANDS: tuple[type[LinkCommands], ...] = (
    Overview,
    Checks,
    Batch,
    Abort,
    Reopen,
    Stop,
    Outcomes,
    History,
    Acquisitions,
    Renewals,
    States,
    SignIn,
    Metrics,
)
"""Where the link's own commands are."""

OBSERVERS: tuple[Observer, ...] = (log_exchange,)
"""Who is told of every exchange."""

ABORT_TIME = 0.5
"""Seconds that a stop gives to commands that are asked to end; those that look at it now and then
need less, and who wants the server's end waits no longer for the others."""

Guard = Callable[[Exchange], "Reply | asyncio.Future[Reply | None] | None"]
"""Stands before the way of every exchange, on the event loop, and returns at once.

It lets it pass (None), raises an `ExchangeError` that refuses it, or knows what it comes to: a
reply, or a future of one. Where that future gives None, the exchange comes to the guards again.
"""

logger = get_logger(__name__)


class Dispatch:
    """The workers of a registry's instruments, and the exchanges on their way through them.

    To be made and called on the event loop. `journal` keeps what became of the exchanges; without
    it, memory does. With `restores`, instruments are set to what they were set to last. `guards`
    are asked before anything else happens to an exchange, `observers` are told of every
    exchange's moments, beside those that always are. `access` says for people who may connect,
    `connections` how many are open; `sessions` are those of who has shown a token, where one is
    asked for. `stop` asks for the end of the server around it, and with true for one that does not
    wait for running commands.
    """

    def __init__(
        self,
        registry: Registry,
        journal: Journal | None = None,
        *,
        guards: Sequence[Guard] = (),
        restores: bool = False,
        observers: Sequence[Observer] = (),
        access: str = "",
        sessions: Sessions | None = None,
        connections: Callable[[], int] = int,
        stop: Callable[[bool], None] = lambda at_once: None,
        queue_length: int = QUEUE_LENGTH,
    ) -> None:
        self.registry = registry
        self._loop = asyncio.get_running_loop()
        self.deadlines = Deadlines(self._loop)
        costs = Costs(registry.is_named)
        journal = journal or Journal(registry)
        self.refusals = Refusals(self._loop)
        self.settings = Settings(registry, journal, restores=restores)
        self._observers = by_moment(
            [
                *OBSERVERS,
                self.refusals.note,
                costs.note,
                self.settings.note,
                *journal.observers,
                *observers,
            ]
        )
        self.leases = Leases(registry, journal, self._leave)
        self.restarts = Restarts(journal.boot, registry)
        # Who may not ask is told nothing of what is known. What is known of a repeated request
        # comes before all else that could refuse it.
        self._guards: list[Guard] = [
            *guards,
            journal.recall,
            self.restarts.guard,
            self.leases.guard,
        ]
        self._repeats: set[Exchange] = set()
        self._unfinished: set[asyncio.Task[None]] = set()
        self._all_open = threading.Event()
        self._waits_no_more = asyncio.Event()
        self._stop = stop
        self._workers_ended = asyncio.Event()
        self._queue_length = queue_length
        self.workers = {
            name: self._worker(name, functools.partial(self._refusal_at_start, name))
            for name in registry.targets
        }
        """Those of the instruments, by their names."""
        # With those of the link's own commands.
        self._workers = dict(self.workers)
        self.feed = Feed(self.workers, self.deadlines, journal.boot, self._demand)
        self._readers = {
            name: StateReader(name, target, functools.partial(self._take, name))
            for name, target in registry.targets.items()
        }
        parts = Parts(
            registry,
            self.workers,
            costs,
            journal,
            self.leases,
            self.restarts,
            self.settings,
            self.feed,
            access,
            self._end_server,
            sessions,
            connections,
        )
        self._events = Events(parts, self._observers)
        self.leases.changed = self._events.note_lease
        for commands in LINK_COMMANDS:
            if commands.worker is not None and commands.worker not in self._workers:
                self._workers[commands.worker] = self._worker(commands.worker)
            own = commands(parts)
            registry.add_own(own, commands.worker, acts=commands.act)

    def _worker(self, name: str, look: Look = lambda exchange: None) -> Worker:
        return Worker(name, self._loop, self._deliver, self._queue_length, look)

    def open(self) -> asyncio.Task[None]:
        """Have every instrument opened, in its worker, before it does anything else.

        No command is started before all are open. The task raises `InstrumentError` if one
        cannot be opened.
        """
        logger.info("opening %s", ", ".join(self.registry.instruments))
        targets = self.registry.targets
        opened = {}
        for name, worker in self._workers.items():
            if name in targets:
                hardware = self._hardware(name, targets[name])
                tend = functools.partial(self.settings.tend, name)
                opened[name] = worker.start(hardware, self._all_open, self._readers[name], tend)
                targets[name].tell_change = self._readers[name].changed
            else:
                worker.start()
        self.leases.end_in_time(self.deadlines, self._end_leases)
        return self._loop.create_task(self._wait_for(opened))

    def _take(self, name: str, found: Found | None) -> None:
        """Take the new state of an instrument, if it has one, and what goes on by itself."""
        if found is not None:
            self.feed.take(name, found)
        self._events.note_state(name)

    def _demand(self, kind: str, name: str | None, is_wanted: bool) -> None:
        """Somebody wants to be told of something, or nobody does any more."""
        if name is None:
            self._events.want(kind, is_wanted=is_wanted)
        else:
            self._readers[name].want(is_wanted)

    def _hardware(self, name: str, instrument: Instrument) -> Hardware:
        own = type(instrument).open_hardware is not Instrument.open_hardware
        return Hardware(
            name,
            instrument.open_hardware if own else None,
            functools.partial(self._close_hardware, name, instrument),
            functools.partial(self.settings.restore, name),
            instrument.safe_state,
            changed=functools.partial(self._events.note_hardware, name),
            loses=functools.partial(self.restarts.lose, name),
            gone=functools.partial(self.restarts.find, name),
        )

    def _close_hardware(self, name: str, instrument: Instrument) -> None:
        # What is opened again is to be restored to what it was set to until now.
        self.settings.note_now(name)
        instrument.close()

    async def _wait_for(self, opened: dict[str, asyncio.Future[None]]) -> None:
        for name, its_opening in opened.items():
            try:
                await its_opening
            except ExchangeError as error:
                raise InstrumentError(f"{name} cannot be opened: {error}") from None
        self._all_open.set()

    def submit(
        self,
        request: Request,
        answer: Callable[[bytes], None],
        encode: Callable[[Request, Reply], bytes],
        client: Client = NOBODY,
        arrived: float | None = None,
    ) -> Exchange:
        """Take one request; `answer` is called once, on the event loop, perhaps before this
        returns, with what `encode` has written of its reply.

        `arrived` is when the request's first byte came, on `time.monotonic`.
        """
        exchange = Exchange(
            request, client, encode, answer, arrived=arrived, observers=self._observers
        )
        if request.refusal is not None:
            exchange.deliver(exchange.refuse(request.refusal))
        else:
            self._admit(exchange)
        return exchange

    def _admit(self, exchange: Exchange) -> None:
        """Let an exchange pass the guards, and go its way."""
        try:
            for guard in self._guards:
                known = guard(exchange)
                if isinstance(known, Reply):
                    exchange.deliver(exchange.finish(known))
                    return
                if known is not None:
                    self._repeats.add(exchange)
                    known.add_done_callback(functools.partial(self._repeat, exchange))
                    if exchange.deadline is not None:
                        self.deadlines.set(exchange.time_is_up, exchange.deadline)
                    return
            route = self.registry.route(exchange.request)
            if route.worker is None:
                self._run_at_once(exchange, route)
            else:
                self._workers[route.worker].submit(exchange, route.call)
                if exchange.deadline is not None:
                    self.deadlines.set(exchange.time_is_up, exchange.deadline)
        except ExchangeError as error:
            exchange.deliver(exchange.refuse(error))

    def _repeat(self, exchange: Exchange, known: asyncio.Future[Reply | None]) -> None:
        """Answer an exchange as the one was that it repeats, or let it go its own way."""
        self._repeats.discard(exchange)
        if (reply := known.result()) is not None:
            self._deliver(exchange, exchange.finish(reply))
        elif not exchange.is_too_late:
            self._admit(exchange)

    def abandon(self, exchange: Exchange) -> None:
        """The client of an exchange has gone: do not start its command, and answer nobody."""
        self.deadlines.clear(exchange.time_is_up)
        exchange.abandon()

    def _refusal_at_start(self, instrument: str, exchange: Exchange) -> ExchangeError | None:
        """What refuses a command that waited, though nothing did when it came."""
        error = self.leases.refusal(exchange.lease, instrument)
        if error is None and exchange.request.link.boot is not None:
            error = self.restarts.refusal_at_start(exchange, instrument)
        return error

    def _end_leases(self) -> None:
        """Have leases that have run out ended, where they are changed."""
        with contextlib.suppress(ShuttingDown):
            self._workers[LEASES].submit_first(
                Exchange(Request(LEASES, {})), lambda request: self.leases.end_over()
            )

    def _leave(self, lease: Lease) -> None:
        """Put an instrument whose lease has run out where its policy says; in any thread."""
        instrument = self.registry.targets[lease.instrument]
        if instrument.lease_policy == SAFE:
            exchange = Exchange(
                Request(f"{lease.instrument}.safe_state", {}), observers=self._observers
            )
            worker = self.workers[lease.instrument]
            with contextlib.suppress(ShuttingDown):
                worker.submit_first(exchange, lambda request: worker.make_safe())
            worker.abort()

    def _run_at_once(self, exchange: Exchange, route: Route) -> None:
        """Run a command that does not block here, on the event loop."""
        exchange.queue()
        exchange.start(time.monotonic())
        reply = outcome_of(exchange, route.call)
        if type(reply.result) is not CoroutineType:
            exchange.deliver(exchange.finish(reply))
            return
        if exchange.deadline is not None:
            self.deadlines.set(exchange.time_is_up, exchange.deadline)
        task = self._loop.create_task(self._finish_later(exchange, reply.result))
        self._unfinished.add(task)
        task.add_done_callback(self._unfinished.discard)

    async def _finish_later(self, exchange: Exchange, command: Coroutine[Any, Any, Any]) -> None:
        reply = await outcome_on_loop(exchange, command)
        self._deliver(exchange, exchange.finish(reply))

    def _deliver(self, exchange: Exchange, data: bytes) -> None:
        if exchange.deadline is not None:
            self.deadlines.clear(exchange.time_is_up)
        exchange.deliver(data)

    def _end_server(self, at_once: bool) -> asyncio.Event:
        """Ask for the server's end; gives what is set when the workers have ended."""
        self._stop(at_once)
        return self._workers_ended

    def end_wait(self) -> None:
        """Have `close` wait for running commands no longer, as if their time were up."""
        self._waits_no_more.set()

    async def close(self, grace: float) -> None:
        """Refuse what waits, let what runs finish for at most `grace` seconds, close instruments.

        What runs then is asked to end, as by `link.abort`. An instrument whose command does not
        is not closed: its hardware is in use. The command's client is told.
        """
        workers = list(self._workers.values())
        for worker in workers:
            for exchange in worker.close():
                error = ShuttingDown("the server is stopping; the command was not started")
                self._deliver(exchange, exchange.refuse(error))
        self._all_open.set()
        for worker in workers:
            state = worker.describe()
            if state["state"] == "busy":
                logger.warning("stopping: %s; it has %g s to finish", state["summary"], grace)
        end = time.monotonic() + grace
        await asyncio.gather(*(self._end(worker, end, grace) for worker in workers))
        self._workers_ended.set()
        await asyncio.sleep(0)  # what has ended answers those that repeat it
        for repeat in self._repeats:
            repeat.overrun(_without(repeat))
        if self._unfinished:
            # What they waited for has been refused or given up.
            await asyncio.wait(self._unfinished, timeout=max(0.0, end - time.monotonic()))
        self.feed.close()
        for instrument in self.registry.targets.values():
            instrument.tell_change = None
        self.deadlines.close()
        self.refusals.close()

    async def _end(self, worker: Worker, end: float, grace: float) -> None:
        """Wait for a worker until the `end` of the grace time; then leave it to itself."""
        if await self._has_ended(worker, max(0.0, end - time.monotonic())):
            return
        worker.abort()
        if await asyncio.to_thread(worker.join, ABORT_TIME):
            return
        summary = worker.describe()["summary"]
        if self._waits_no_more.is_set():
            logger.error("%s: not closed, the wait for it was ended", summary)
        else:
            logger.error("%s: not closed, %g s were not enough", summary, grace)
        if (unfinished := worker.give_up()) is not None:
            unfinished.overrun(_without(unfinished))

    async def _has_ended(self, worker: Worker, left: float) -> bool:
        """Wait at most `left` seconds for a worker's end; for its command, until `end_wait`.

        An instrument that is being closed already gets all the time: its hardware is in use by
        nobody else.
        """
        ended = asyncio.ensure_future(asyncio.to_thread(worker.join, left))
        interruption = asyncio.ensure_future(self._waits_no_more.wait())
        await asyncio.wait({ended, interruption}, return_when=asyncio.FIRST_COMPLETED)
        interruption.cancel()
        if not ended.done() and worker.describe()["state"] == "busy":
            return False
        return await ended


def _without(exchange: Exchange) -> TimedOut:
    """What the client of a command is told that the server's end does not wait for."""
    return TimedOut(f"{exchange.request.command_id} has not finished; the server stops without it")
