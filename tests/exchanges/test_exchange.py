"""Exchange: a table of states, one outcome, and what observers and commands see of it."""

from __future__ import annotations

import asyncio
import gc
import itertools
import threading
import time
from collections import defaultdict
from collections.abc import Callable
from typing import Any

import pytest

from artiq_link import Instrument, InstrumentError, command, current_exchange
from artiq_link.errors import Busy
from artiq_link.exchanges.boot import Restarts
from artiq_link.exchanges.client import NOBODY, Client
from artiq_link.exchanges.costs import Costs
from artiq_link.exchanges.deadlines import Deadlines
from artiq_link.exchanges.exchange import TRANSITIONS, Exchange, Moment, progress
from artiq_link.exchanges.feed import Feed
from artiq_link.exchanges.journal import Journal
from artiq_link.exchanges.leases import Leases
from artiq_link.exchanges.link_commands import LinkCommands, Parts
from artiq_link.exchanges.messages import LinkMembers, Reply, Request
from artiq_link.exchanges.registry import Registry
from artiq_link.exchanges.settings import Settings
from artiq_link.wire.json_stream import JSON, JsonWire
from tests.conftest import PATIENCE
from tests.exchanges.asking import Asked, Laser, ask, dispatching, on_loop

STATES = tuple(TRANSITIONS)
RECEIVED, QUEUED, RUNNING = Moment.RECEIVED, Moment.QUEUED, Moment.RUNNING
FINISHED, REFUSED = Moment.FINISHED, Moment.REFUSED


class NoQueue:
    def withdraw(self, exchange: Exchange) -> bool:
        return False


ENTER: dict[Moment, Callable[[Exchange], object]] = {
    QUEUED: lambda exchange: exchange.queue(NoQueue()),
    RUNNING: lambda exchange: exchange.start(time.monotonic()),
    FINISHED: lambda exchange: exchange.finish(Reply(1)),
    REFUSED: lambda exchange: exchange.refuse(Busy("full")),
}
WAYS: dict[Moment, list[Moment]] = {
    RECEIVED: [],
    QUEUED: [QUEUED],
    RUNNING: [QUEUED, RUNNING],
    FINISHED: [QUEUED, RUNNING, FINISHED],
    REFUSED: [QUEUED, REFUSED],
}
"""How an exchange comes into each state."""


def exchange_in(state: Moment) -> Exchange:
    exchange = Exchange(Request("set", {}))
    for step in WAYS[state]:
        ENTER[step](exchange)
    assert exchange.state is state
    return exchange


ALL = list(itertools.product(STATES, ENTER))


@pytest.mark.parametrize(("state", "to"), [(a, b) for a, b in ALL if b in TRANSITIONS[a]])
def test_each_transition_of_the_table_is_taken(state: Moment, to: Moment) -> None:
    exchange = exchange_in(state)
    ENTER[to](exchange)
    assert exchange.state is to


@pytest.mark.parametrize(("state", "to"), [(a, b) for a, b in ALL if b not in TRANSITIONS[a]])
def test_every_other_transition_is_an_error(state: Moment, to: Moment) -> None:
    """And changes nothing."""
    exchange = exchange_in(state)
    outcome = exchange.outcome
    with pytest.raises(ValueError, match=r"cannot follow|is set already"):
        ENTER[to](exchange)
    assert (exchange.state, exchange.outcome) == (state, outcome)


@pytest.mark.parametrize("state", [FINISHED, REFUSED])
@pytest.mark.parametrize("again", [FINISHED, REFUSED])
def test_an_outcome_is_set_once(state: Moment, again: Moment) -> None:
    exchange = exchange_in(state)
    with pytest.raises(ValueError, match=r"^set: its outcome is set already$"):
        ENTER[again](exchange)


# What observers see


class Diary:
    """An observer: what it was told of each request, and what was known then."""

    def __init__(self) -> None:
        self.seen: dict[str, list[Moment]] = defaultdict(list)
        self.told: dict[str, list[Any]] = defaultdict(list)

    def __call__(self, exchange: Exchange, moment: Moment) -> None:
        name = exchange.request.link.id or ""
        self.seen[name].append(moment)
        self.told[name].append((moment, exchange.outcome, exchange.told))


def named(name: str, timeout: float | None = None) -> LinkMembers:
    return LinkMembers(id=name, timeout=timeout)


@on_loop
async def test_an_observer_sees_each_moment_once_and_in_order() -> None:
    diary, laser = Diary(), Laser()
    async with dispatching({"laser": laser}, observers=[diary], queue_length=4) as dispatch:
        overdue = Asked(dispatch, "wait", {}, named("overdue", 0.2))
        assert await asyncio.to_thread(laser.started.wait, PATIENCE)
        expired = Asked(dispatch, "look", {}, named("expired", 0.01))
        abandoned = Asked(dispatch, "look", {}, named("abandoned"))
        dispatch.abandon(abandoned.exchange)
        unknown = Asked(dispatch, "qqq", {}, named("unknown"))
        ping = Asked(dispatch, "link.ping", {}, named("ping"))
        assert (await overdue.reply())["code"] == "timeout"
        assert (await expired.reply())["code"] == "expired"
        assert (await unknown.reply())["code"] == "unknown_command"
        await ping.reply()
        laser.started.clear()
        laser.go_on.set()
        done = Asked(dispatch, "set_power", {"power": 1}, named("done"))
        failed = Asked(dispatch, "set_power", {"power": 3}, named("failed"))
        await failed.reply()
        laser.go_on.clear()
        gone = Asked(dispatch, "wait", {}, named("gone"))
        assert await asyncio.to_thread(laser.started.wait, PATIENCE)
        dispatch.abandon(gone.exchange)
        laser.go_on.set()
        await ask(dispatch, "look")
    run = [RECEIVED, QUEUED, RUNNING]
    assert dict(diary.seen) == {
        "overdue": [*run, Moment.PROGRESS, Moment.OVERDUE, FINISHED, Moment.LATE],
        "expired": [RECEIVED, QUEUED, REFUSED],
        "abandoned": [RECEIVED, QUEUED, Moment.ABANDONED, REFUSED],
        "unknown": [RECEIVED, REFUSED],
        "ping": [*run, FINISHED],
        "done": [*run, FINISHED],
        "failed": [*run, FINISHED],
        "gone": [*run, Moment.PROGRESS, Moment.ABANDONED, FINISHED, Moment.LATE],
        "": [*run, FINISHED],
    }
    assert (await done.reply())["result"] == 1.0
    _, outcome, told = diary.told["overdue"][-1]
    assert outcome.result == "waited"
    assert told.error.code == "timeout"


@on_loop
async def test_an_observer_that_fails_hurts_nobody(caplog: pytest.LogCaptureFixture) -> None:
    """Neither the client nor the worker's thread; the log has its traceback."""

    def fail(exchange: Exchange, moment: Moment) -> None:
        raise RuntimeError("the observer's bug")

    async with dispatching({"laser": Laser()}, observers=[fail]) as dispatch:
        for _ in range(2):
            assert (await ask(dispatch, "set_power", power=1))["result"] == 1.0
            assert (await ask(dispatch, "qqq"))["code"] == "unknown_command"
    messages = {record.getMessage() for record in caplog.records}
    assert messages == {"an observer of set_power failed", "an observer of qqq failed"}


@on_loop
async def test_what_a_wire_refused_is_an_exchange_too() -> None:
    diary = Diary()
    async with dispatching({"laser": Laser()}, observers=[diary]) as dispatch:
        request = Request.refused(Busy("full"), JSON, ends=True)
        sent: list[bytes] = []
        dispatch.submit(request, sent.append, JsonWire.encode_reply)
    assert diary.seen[""] == [RECEIVED, REFUSED]
    assert sent == [b'{"status":"fail","code":"busy","error":"full"}\n']


# What commands see


class Curious(Instrument):
    """Tells what it knows of who asks."""

    @command
    def who(self) -> dict[str, Any]:
        """Tell who asks."""
        return told_of(current_exchange())

    @command
    async def who_on_loop(self) -> dict[str, Any]:
        """Tell who asks, on the event loop."""
        await asyncio.sleep(0)
        return told_of(current_exchange())

    @command
    def anybody(self) -> bool:
        """Whether anything is left of an exchange in this thread, seen past the command."""
        return current_exchange().client is NOBODY

    def close(self) -> None:
        self.left = current_exchange().client


class CuriousLink(LinkCommands):
    """A command of the link's own."""

    @command
    def who(self) -> dict[str, Any]:
        """Tell who asks."""
        return told_of(current_exchange())


def told_of(exchange: Exchange) -> dict[str, Any]:
    return {
        "peer": exchange.client.peer,
        "dialect": exchange.client.dialect,
        "rid": exchange.rid,
        "owner": exchange.owner,
        "lease": exchange.lease,
        "in_time": exchange.deadline is not None and exchange.deadline > time.monotonic(),
        "id": exchange.request.link.id,
    }


@pytest.mark.parametrize("command_id", ["who", "who_on_loop", "link.who"])
def test_a_command_sees_who_asks(command_id: str) -> None:
    """With the members of `link`; and afterwards nothing of it is left in the thread."""

    @on_loop
    async def test() -> None:
        curious = Curious()
        registry = Registry({"curious": curious})
        costs = Costs(registry.__contains__)
        journal = Journal(registry)
        leases = Leases(registry, journal, lambda lease: None)
        settings = Settings(registry, journal, restores=False)
        feed = Feed((), Deadlines(asyncio.get_running_loop()), journal.boot)
        ended = asyncio.Event()
        parts = Parts(
            registry,
            {},
            costs,
            journal,
            leases,
            Restarts(journal.boot, registry),
            settings,
            feed,
            "",
            lambda at_once: ended,
        )
        registry.add_own(CuriousLink(parts))
        async with dispatching({}, registry=registry) as dispatch:
            held = await ask(
                dispatch, "link.acquire", instrument="curious", owner="a lab", seconds=PATIENCE
            )
            lease = held["result"]["lease"]
            link = LinkMembers(
                id="0192", timeout=PATIENCE, rid=7, owner="a lab", lease=lease, token="secret"
            )
            answered: asyncio.Future[bytes] = asyncio.get_running_loop().create_future()
            dispatch.submit(
                Request(command_id, {}, link, JSON),
                answered.set_result,
                JsonWire.encode_reply,
                Client("127.0.0.1:5", "json"),
            )
            await answered
            assert b"secret" not in answered.result()
            for expected in (
                b'"peer":"127.0.0.1:5"', b'"dialect":"json"', b'"rid":7', b'"lease":%d' % lease,
                b'"owner":"a lab"', b'"in_time":true', b'"id":"0192"',
            ):  # fmt: skip
                assert expected in answered.result()
            assert current_exchange().client is NOBODY
        assert curious.left is NOBODY

    test()


def test_outside_of_an_exchange_it_is_nobodys() -> None:
    """So that a program can call its instrument itself; progress is told to nobody then."""
    assert Curious().anybody()
    progress(0.5)


@pytest.mark.parametrize("fraction", [-0.1, 1.1, float("nan")])
def test_progress_beyond_its_ends_is_an_error(fraction: float) -> None:
    """NaN could not even be sent: nobody would get a status."""
    with pytest.raises(ValueError, match=r"^progress: expected a fraction from 0 to 1, got "):
        progress(fraction)


# Memory


class Failing(Laser):
    """Fails in every way."""

    @command
    def refuse(self) -> None:
        """Fail as hardware does, from within."""
        try:
            raise OSError("unplugged")
        except OSError as error:
            raise InstrumentError("no answer") from error

    @command
    async def fail_on_loop(self) -> None:
        """Have a bug."""
        raise RuntimeError("the bug's text")

    @command
    def unsendable(self) -> object:
        """Return what no dialect can carry."""
        return object()


KINDS: list[tuple[str, dict[str, Any]]] = [
    ("set_power", {"power": 1.0}),
    ("set_power", {"power": "x"}),
    ("set_power", {"power": 3}),
    ("look", {}),
    ("fail", {}),
    ("fail_on_loop", {}),
    ("refuse", {}),
    ("unsendable", {}),
    ("qqq", {}),
    ("link.status", {}),
    ("link.qqq", {}),
    ("link.check", {"requests": [{"command_id": "qqq"}, 5]}),
]


@pytest.mark.filterwarnings("ignore")
def test_no_reference_cycle_is_left(caplog: pytest.LogCaptureFixture) -> None:
    """1,000 exchanges of every kind, and the garbage collector finds none of them."""
    caplog.set_level("CRITICAL")
    alive: list[int] = []

    class Watched(dict):  # type: ignore[type-arg]
        """Parameters whose end is counted."""

        def __del__(self) -> None:
            alive.append(-1)

    @on_loop
    async def test() -> None:
        async with dispatching({"laser": Failing()}) as dispatch:
            gc.collect()
            gc.disable()
            try:
                for number in range(1000):
                    command_id, parameters = KINDS[number % len(KINDS)]
                    alive.append(1)
                    await Asked(dispatch, command_id, Watched(parameters)).reply()
                await ask(dispatch, "look")
                assert sum(alive) <= 1  # the last one may still be in the loop's hands
            finally:
                gc.enable()

    test()


def test_threads_do_not_mix_up_their_exchanges() -> None:
    """Each thread has a current exchange of its own."""
    seen = []
    thread = threading.Thread(target=lambda: seen.append(current_exchange().client))
    thread.start()
    thread.join()
    assert seen == [NOBODY]
