"""`link.abort`: a command that waits is not started, one that looks ends early."""

from __future__ import annotations

import asyncio
import threading
from pathlib import Path

from artiq_link import Instrument, command, current_exchange
from artiq_link.exchanges.journal import Journal
from artiq_link.exchanges.messages import LinkMembers
from artiq_link.exchanges.registry import Registry
from tests.conftest import PATIENCE
from tests.exchanges.asking import Asked, Laser, ask, busy, dispatching, failure, on_loop, success


class Sleeper(Instrument):
    """An instrument of long commands."""

    def __init__(self) -> None:
        self.started = threading.Event()
        self.steps = 0

    @command
    def sleep(self) -> None:
        """Sleep until somebody ends it."""
        self.started.set()
        current_exchange().sleep(PATIENCE)
        raise AssertionError("nobody ended it")

    @command
    def look(self) -> int:
        """Go on, and look now and then."""
        self.started.set()
        while not current_exchange().aborted:
            self.steps += 1
        return 42

    @command
    def rest(self) -> bool:
        """Sleep a little, undisturbed."""
        current_exchange().sleep(0.001)
        return current_exchange().aborted


NAMED = LinkMembers(id="a1")


@on_loop
async def test_a_command_that_sleeps_ends_at_once() -> None:
    sleeper = Sleeper()
    async with dispatching({"sleeper": sleeper}) as dispatch:
        asleep = Asked(dispatch, "sleep", {}, NAMED)
        assert await asyncio.to_thread(sleeper.started.wait, PATIENCE)
        status = (await ask(dispatch, "link.status"))["result"]
        told = await ask(dispatch, "link.abort", id=status["instruments"]["sleeper"]["id"])
        assert told["result"] == {"command_id": "sleep", "state": "running"}
        sentence = "sleep was aborted while it ran"
        assert await asleep.reply() == failure("sleep", "aborted", sentence, id="a1")
        outcome = (await ask(dispatch, "link.outcome", id="a1"))["result"]
        assert (outcome["outcome"], outcome["reply"]["code"]) == ("failed", "aborted")
        assert await ask(dispatch, "rest") == success("rest", False)


@on_loop
async def test_a_command_that_looks_ends_as_it_likes() -> None:
    sleeper = Sleeper()
    async with dispatching({"sleeper": sleeper}) as dispatch:
        looking = Asked(dispatch, "look", {}, NAMED)
        assert await asyncio.to_thread(sleeper.started.wait, PATIENCE)
        await ask(dispatch, "link.abort", id="a1")
        assert (await looking.reply())["result"] == 42


@on_loop
async def test_a_command_that_waits_is_not_started() -> None:
    laser = Laser()
    async with dispatching({"laser": laser}) as dispatch:
        await busy(dispatch, laser)
        waiting = Asked(dispatch, "set_power", {"power": 1}, NAMED)
        told = await ask(dispatch, "link.abort", id="a1")
        assert told["result"] == {"command_id": "set_power", "state": "refused"}
        sentence = "set_power was not started: it was aborted"
        assert await waiting.reply() == failure("set_power", "aborted", sentence, id="a1")
    assert laser.executed == ["wait"]


@on_loop
async def test_a_client_that_repeats_it_does_not_have_it_executed(tmp_path: Path) -> None:
    """Neither meanwhile, nor afterwards, nor after a restart."""
    for start in range(2):
        laser = Laser()
        registry = Registry({"laser": laser})
        journal = Journal(registry, tmp_path / "journal.sqlite")
        async with dispatching({"laser": laser}, registry=registry, journal=journal) as dispatch:
            repeats = []
            if start == 0:
                await busy(dispatch, laser)
                repeats = [Asked(dispatch, "set_power", {"power": 1}, NAMED) for _ in range(2)]
                await ask(dispatch, "link.abort", id="a1")
            repeats.append(Asked(dispatch, "set_power", {"power": 1}, NAMED))
            assert [(await each.reply())["code"] for each in repeats] == ["aborted"] * len(repeats)
            laser.go_on.set()
            await ask(dispatch, "look")
        await asyncio.to_thread(journal.close)
        assert 1.0 not in laser.executed


@on_loop
async def test_a_batch_ends_in_the_middle() -> None:
    sleeper = Sleeper()
    async with dispatching({"sleeper": sleeper}) as dispatch:
        requests = [{"command_id": name} for name in ("rest", "sleep", "rest")]
        asked = {"requests": requests, "on_failure": "continue"}
        batch = Asked(dispatch, "link.batch", asked, NAMED)
        assert await asyncio.to_thread(sleeper.started.wait, PATIENCE)
        await ask(dispatch, "link.abort", id="a1")
        codes = [each.get("code") for each in (await batch.reply())["result"]]
        assert codes == [None, "aborted", "aborted"]


@on_loop
async def test_what_has_ended_or_never_came_cannot_be_aborted() -> None:
    async with dispatching({"laser": Laser()}) as dispatch:
        await Asked(dispatch, "look", {}, NAMED).reply()
        for name in ("a1", "a2"):
            reply = await ask(dispatch, "link.abort", id=name)
            sentence = f"id: no request '{name}' waits or runs"
            assert reply == failure("link.abort", "invalid_parameter", sentence, where="id")


@on_loop
async def test_what_runs_under_a_lease_its_holder_alone_aborts() -> None:
    sleeper = Sleeper()
    async with dispatching({"sleeper": sleeper}) as dispatch:
        asked = {"instrument": "sleeper", "owner": "scan", "seconds": PATIENCE}
        number = (await ask(dispatch, "link.acquire", **asked))["result"]["lease"]
        asleep = Asked(dispatch, "sleep", {}, LinkMembers(id="a1", lease=number))
        assert await asyncio.to_thread(sleeper.started.wait, PATIENCE)
        assert (await ask(dispatch, "link.abort", id="a1"))["code"] == "leased"
        mine = LinkMembers(lease=number)
        assert (await Asked(dispatch, "link.abort", {"id": "a1"}, mine).reply())["result"]
        assert (await asleep.reply())["code"] == "aborted"


@on_loop
async def test_a_lease_that_runs_out_ends_the_command_that_keeps_it_from_being_safe() -> None:
    sleeper = Sleeper()
    sleeper.lease_policy = "safe"
    async with dispatching({"sleeper": sleeper}) as dispatch:
        asked = {"instrument": "sleeper", "owner": "scan", "seconds": 0.1}
        number = (await ask(dispatch, "link.acquire", **asked))["result"]["lease"]
        asleep = Asked(dispatch, "sleep", {}, LinkMembers(lease=number))
        assert (await asleep.reply())["code"] in {"aborted", "stale"}


def test_outside_of_an_exchange_nobody_aborts() -> None:
    assert not current_exchange().aborted
    current_exchange().sleep(0.001)
