"""Feed: versions and patches, who is told what, and that many listeners hold up nobody."""

from __future__ import annotations

import asyncio
import functools
import json
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any

import pytest

from artiq_link.exchanges.deadlines import Deadlines
from artiq_link.exchanges.feed import MOST, Feed
from artiq_link.exchanges.known_states import KEPT, MAX_KEPT, Since
from artiq_link.exchanges.messages import Event
from artiq_link.exchanges.state_reader import Found
from tests.conftest import PATIENCE
from tests.exchanges.asking import on_loop


def take(feed: Feed, name: str, **state: Any) -> None:
    """Have a feed take what an instrument's reading has found."""
    known = feed.states()[name]
    former = Found(b"", known.value) if known.version else None
    feed.take(name, Found.of(json.dumps(state).encode(), former))


class Listener:
    """Keeps what it is told."""

    def __init__(self) -> None:
        self.told: list[dict[str, Any]] = []
        self.times = 0
        self.events: list[Event] = []
        self._news = asyncio.Event()

    def __call__(self, events: Sequence[Event]) -> None:
        self.times += 1
        self.events += events
        self.told += [event.to_object() for event in events]
        self._news.set()

    async def next(self) -> dict[str, Any]:
        """The oldest that was not asked for."""
        while not self.told:
            self._news.clear()
            await asyncio.wait_for(self._news.wait(), PATIENCE)
        return self.told.pop(0)


@asynccontextmanager
async def a_feed(*names: str) -> AsyncIterator[tuple[Feed, list[Any]]]:
    """A feed, and what is demanded of it."""
    demanded: list[Any] = []
    deadlines = Deadlines(asyncio.get_running_loop())
    feed = Feed(names or ("dds",), deadlines, "k3f9", lambda *demand: demanded.append(demand))
    try:
        yield feed, demanded
    finally:
        feed.close()
        deadlines.close()


@on_loop
async def test_a_state_is_told_whole_first_and_then_what_changes() -> None:
    async with a_feed() as (feed, _):
        listener = Listener()
        feed.listen(listener)
        take(feed, "dds", a=1, b=2)
        told = {"event": "state", "instrument": "dds", "time": feed.states()["dds"].time}
        assert await listener.next() == {**told, "version": 1, "state": {"a": 1, "b": 2}}
        take(feed, "dds", a=1, b=3)
        told["time"] = feed.states()["dds"].time
        assert await listener.next() == {**told, "version": 2, "patch": {"b": 3}}


@on_loop
async def test_what_becomes_unknown_is_told_whole() -> None:
    async with a_feed() as (feed, _):
        listener = Listener()
        feed.listen(listener)
        for state in ({"a": 1, "b": 2}, {"a": None, "b": 2}, {"a": None, "b": 3}):
            take(feed, "dds", **state)
            told = await listener.next()
            assert told.get("state", state) == state
        assert told["patch"] == {"b": 3}


@on_loop
async def test_changes_at_one_time_are_told_as_one() -> None:
    async with a_feed() as (feed, _):
        listener = Listener()
        take(feed, "dds", a=0)
        feed.listen(listener)
        for number in range(1, 100):
            take(feed, "dds", a=number)
        told = await listener.next()
        assert (told["version"], told["state"]) == (100, {"a": 99})
        assert listener.times == 1


@on_loop
async def test_a_listener_that_comes_is_told_nothing_of_what_was_before() -> None:
    """It gets it as the answer to its subscription."""
    async with a_feed() as (feed, _):
        early, late = Listener(), Listener()
        feed.listen(early)
        take(feed, "dds", a=1)
        feed.listen(late)
        assert feed.describe()["instruments"]["dds"]["state"] == {"a": 1}
        take(feed, "dds", a=2)
        # Two changes at one time are told as one.
        assert (await late.next())["version"] == (await early.next())["version"] == 2
        take(feed, "dds", a=3)
        assert (await late.next())["patch"] == {"a": 3}


@on_loop
async def test_who_comes_again_gets_what_it_has_missed_or_all() -> None:
    async with a_feed("dds", "laser") as (feed, _):
        for number in range(3):
            take(feed, "dds", a=0, b=number)

        def since(boot: str = "k3f9", **versions: int) -> Any:
            return feed.describe(since=Since(boot, versions))["instruments"]

        assert since(dds=1, laser=0) == {
            "dds": {"version": 3, "time": feed.states()["dds"].time, "patch": {"b": 2}}
        }
        assert since(dds=3, laser=0) == {}
        whole = feed.describe()["instruments"]
        assert whole["dds"]["state"] == {"a": 0, "b": 2}
        assert whole["laser"] == {"version": 0, "time": None, "state": None}
        assert since() == since("another", dds=1, laser=0) == whole
        for version in (4, -1, 10**30):  # of no state that there was
            assert since(dds=version, laser=0) == {"dds": whole["dds"]}


@on_loop
async def test_the_states_before_the_newest_are_few_and_small() -> None:
    async with a_feed() as (feed, _):
        for number in range(2 * KEPT):
            take(feed, "dds", n=number, text="x" * 10)

        def told_since(version: int) -> Any:
            return feed.describe(since=Since("k3f9", {"dds": version}))["instruments"]["dds"]

        assert "patch" in told_since(KEPT + 1)
        assert "state" in told_since(KEPT - 1)
        for number in range(10):
            take(feed, "dds", n=number, text="x" * (MAX_KEPT // 2))
        newest = feed.states()["dds"].version
        assert "patch" in told_since(newest - 1)
        assert "state" in told_since(newest - 3)


@on_loop
async def test_a_listener_is_told_of_what_it_asked_for() -> None:
    async with a_feed("dds", "laser") as (feed, _):
        of_laser, of_logs = Listener(), Listener()
        feed.listen(of_laser, ["state", "lease"], ["laser"])
        feed.listen(of_logs, ["log"])
        take(feed, "dds", a=1)
        feed.tell("lease", "dds", lambda: Event("lease", "dds", {}))
        feed.add(Event("log", None, {}))
        take(feed, "laser", a=1)
        assert (await of_laser.next())["instrument"] == "laser"
        assert (await of_logs.next())["event"] == "log"
        assert not of_laser.told
        assert not of_logs.told


@on_loop
async def test_what_is_listened_to_is_demanded_once() -> None:
    """And no more when the last listener has gone, whoever closes its subscription twice."""
    async with a_feed("dds", "laser") as (feed, demanded):
        first = feed.listen(Listener(), ["state", "log"], ["dds"])
        second = feed.listen(Listener())
        assert demanded == [("log", None, True), ("state", "dds", True), ("state", "laser", True)]
        demanded.clear()
        first.close()
        first.close()
        assert demanded == [("log", None, False)]
        demanded.clear()
        second.close()
        assert sorted(demanded) == [("state", "dds", False), ("state", "laser", False)]
        assert len(feed) == 0


@on_loop
async def test_states_are_read_for_a_while_after_somebody_has_looked(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("artiq_link.exchanges.feed.LOOK_TIME", 0.01)
    async with a_feed() as (feed, demanded):
        feed.look()
        feed.look()
        assert demanded == [("state", "dds", True)]
        while len(demanded) < 2:
            await asyncio.sleep(0.001)
        assert demanded[1] == ("state", "dds", False)


@on_loop
async def test_a_thousand_listeners_are_told_in_slices() -> None:
    """Everybody else has turns between them, and each listener is told all in order."""
    async with a_feed() as (feed, _):
        listeners = [Listener() for _ in range(1000)]
        for listener in listeners:
            feed.listen(listener)
        turns = 0
        for number in range(2):
            take(feed, "dds", a=number)
            while not all(len(listener.told) > number for listener in listeners):
                turns += 1
                await asyncio.sleep(0)
        assert turns > 10
        for listener in listeners:
            assert [told["version"] for told in listener.told] == [1, 2]
        # All have got the same objects, which are written once.
        assert len({id(listener.events[1]) for listener in listeners}) == 1


@on_loop
async def test_a_listener_that_fails_is_told_nothing_more(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async with a_feed() as (feed, _):

        def fail(events: Sequence[Event]) -> None:
            raise RuntimeError("the bug's text")

        listener = Listener()
        feed.listen(fail)
        feed.listen(listener)
        feed.tell("state", "dds", lambda: 1 / 0)  # type: ignore[arg-type, return-value]
        take(feed, "dds", a=1)
        await listener.next()
        while len(feed) > 1:
            await asyncio.sleep(0)
        assert {record.message for record in caplog.records} <= {
            "a listener failed, and is told nothing more",
            "an event could not be made",
        }


@on_loop
async def test_of_too_much_at_one_time_the_number_is_told() -> None:
    async with a_feed() as (feed, _):
        listener = Listener()
        feed.listen(listener, ["exchange"])
        for number in range(MOST + 5):
            feed.add(Event("exchange", "dds", {"command": str(number)}))
        told = [await listener.next() for _ in range(MOST)]
        assert told[-1] == {
            "event": "exchange",
            "instrument": "dds",
            "command": str(MOST - 1),
            "missed": 5,
        }
        feed.add(Event("exchange", "dds", {"command": "next"}))
        assert "missed" not in await listener.next()


@on_loop
async def test_threads_may_tell_at_once() -> None:
    """Each one's newest is told."""
    async with a_feed(*map(str, range(8))) as (feed, _):
        listener = Listener()
        feed.listen(listener, ["progress"])

        def tell(subject: str) -> None:
            for number in range(500):
                event = Event("progress", subject, {"n": number})
                feed.tell("progress", subject, functools.partial(lambda event: event, event))

        await asyncio.gather(*[asyncio.to_thread(tell, str(n)) for n in range(8)])
        newest = {}
        while newest != {str(n): 499 for n in range(8)}:
            told = await listener.next()
            newest[told["instrument"]] = told["n"]


@on_loop
async def test_a_closed_feed_tells_nothing() -> None:
    async with a_feed() as (feed, demanded):
        listener = Listener()
        subscription = feed.listen(listener)
        feed.look()
        take(feed, "dds", a=1)
        feed.close()
        assert demanded[-1] == ("state", "dds", False)
        subscription.close()
        feed.look()
        take(feed, "dds", a=2)
        for _ in range(10):
            await asyncio.sleep(0)
        assert listener.told == []
        assert demanded[-1] == ("state", "dds", False)


@on_loop
async def test_a_listener_that_comes_is_not_told_what_it_has_as_its_answer() -> None:
    async with a_feed() as (feed, _):
        early, late = Listener(), Listener()
        feed.listen(early, ["state", "log"])
        take(feed, "dds", a=1)
        feed.listen(late, ["state", "log"])
        feed.add(Event("log", None, {}))
        assert {(await early.next())["event"], (await early.next())["event"]} == {"state", "log"}
        assert (await late.next())["event"] == "log"
        assert late.told == []


@on_loop
async def test_many_that_subscribe_while_much_happens_are_told_each_thing_once() -> None:
    async with a_feed() as (feed, _):
        listeners = []
        for number in range(300):
            listeners.append(Listener())
            feed.listen(listeners[-1])
            take(feed, "dds", a=number)
            await asyncio.sleep(0)
        while not all(each.told and each.told[-1]["version"] == 300 for each in listeners):
            await asyncio.sleep(0.001)
        for listener in listeners:
            versions = [told["version"] for told in listener.told]
            assert versions == sorted(set(versions))
            assert len(versions) < 50
