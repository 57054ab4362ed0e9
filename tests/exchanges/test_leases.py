"""Leases: who does not hold an instrument cannot act on it, whenever he comes or wakes."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import threading
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from artiq_link import Instrument, command, current_exchange
from artiq_link.exchanges.dispatch import Dispatch
from artiq_link.exchanges.journal import Journal
from artiq_link.exchanges.lease_table import Lease
from artiq_link.exchanges.messages import LinkMembers
from artiq_link.exchanges.registry import Registry
from tests.conftest import PATIENCE
from tests.exchanges.asking import Asked, Laser, ask, busy, dispatching, on_loop

SHORT = 0.1
"""Seconds of a lease that a test waits to run out."""


class Held(Laser):
    """A laser that tells under which lease, and by whom, it is used, and is made safe."""

    lease_policy = "safe"

    def __init__(self) -> None:
        super().__init__()
        self.safe = threading.Event()

    @command
    def who(self) -> list[Any]:
        """Tell."""
        exchange = current_exchange()
        return [exchange.lease, exchange.owner, exchange.rid]

    def safe_state(self) -> None:
        self.executed.append("safe")
        self.threads.append(threading.current_thread().name)
        self.safe.set()


async def acquire(dispatch: Dispatch, owner: str = "scan", **parameters: Any) -> int:
    """The number of a new lease."""
    asked = {"instrument": "laser", "seconds": PATIENCE, "owner": owner, **parameters}
    reply = await ask(dispatch, "link.acquire", **asked)
    assert reply["status"] == "success", reply
    return int(reply["result"]["lease"])


async def under(dispatch: Dispatch, lease: int | None, command_id: str = "who") -> dict[str, Any]:
    """The reply to a request that carries a lease's number."""
    return await Asked(dispatch, command_id, {}, LinkMembers(lease=lease)).reply()


async def status_of(dispatch: Dispatch) -> dict[str, Any]:
    status = await ask(dispatch, "link.status")
    return dict(status["result"]["instruments"]["laser"])


async def until_free(dispatch: Dispatch) -> None:
    """Wait for the end of a lease that runs out."""
    while "lease" in await status_of(dispatch):
        await asyncio.sleep(0.001)


@contextlib.asynccontextmanager
async def with_file(path: Path, laser: Laser) -> AsyncIterator[Dispatch]:
    """A dispatch of one start of the server."""
    registry = Registry({"laser": laser})
    journal = Journal(registry, path)
    async with dispatching({"laser": laser}, registry=registry, journal=journal) as dispatch:
        yield dispatch
    await asyncio.to_thread(journal.close)


@on_loop
async def test_who_does_not_hold_it_is_refused_and_told_who_does() -> None:
    laser = Laser()
    async with dispatching({"laser": laser}) as dispatch:
        number = await acquire(dispatch, "scan of Anna's")
        refused = await ask(dispatch, "set_power", power=1)
        assert refused["code"] == "leased"
        beginning, _, end = refused["error"].partition(" until ")
        assert beginning == """laser is held by "scan of Anna's\""""
        assert end.endswith(" s more); the command was not executed")
        assert laser.executed == []
        link = LinkMembers(lease=number)
        assert (await Asked(dispatch, "set_power", {"power": 1}, link).reply())["result"] == 1.0


@on_loop
async def test_what_the_link_itself_answers_is_not_held_up() -> None:
    async with dispatching({"laser": Laser()}) as dispatch:
        await acquire(dispatch, "scan")
        for command_id in ("link.ping", "link.status", "link.describe"):
            assert (await under(dispatch, 1, command_id))["status"] == "success"
        requests = [{"command_id": "set_power", "power": 1}]
        check = await ask(dispatch, "link.check", requests=requests)
        assert check["result"] == [{"status": "success", "command_id": "set_power"}]


@on_loop
async def test_the_status_says_who_holds_it_and_not_under_which_number() -> None:
    async with dispatching({"laser": Laser()}) as dispatch:
        number = await acquire(dispatch)
        lease = (await status_of(dispatch))["lease"]
        assert lease["owner"] == "scan"
        assert list(lease) == ["owner", "until"]
        assert (await ask(dispatch, "link.release", lease=number))["result"] is None
        assert "lease" not in await status_of(dispatch)


@on_loop
async def test_the_number_counts_and_not_the_owner() -> None:
    async with dispatching({"laser": Laser()}) as dispatch:
        await acquire(dispatch, "scan")
        link = LinkMembers(owner="scan")
        assert (await Asked(dispatch, "look", {}, link).reply())["code"] == "leased"
        again = await ask(
            dispatch, "link.acquire", instrument="laser", owner="scan", seconds=PATIENCE
        )
        assert again["code"] == "leased"
        assert again["error"].endswith("; it was not given away")


@on_loop
async def test_a_number_that_has_ended_is_stale_also_where_nobody_took_it_over() -> None:
    laser = Held()
    async with dispatching({"laser": laser}) as dispatch:
        number = await acquire(dispatch)
        assert (await under(dispatch, number))["result"] == [number, None, None]
        await ask(dispatch, "link.release", lease=number)
        stale = await under(dispatch, number)
        assert stale["code"] == "stale"
        assert stale["error"] == f"the lease {number} has ended; the command was not executed"
        assert (await under(dispatch, None))["status"] == "success"
        for command_id in ("link.renew", "link.release"):
            reply = await ask(dispatch, command_id, lease=number)
            assert (reply["code"], reply["error"]) == ("stale", f"the lease {number} has ended")
    assert laser.executed == []  # it was released, and has not run out


@on_loop
async def test_who_comes_too_late_is_told_who_has_it_now() -> None:
    async with dispatching({"laser": Laser()}) as dispatch:
        first = await acquire(dispatch, seconds=SHORT)
        await until_free(dispatch)
        second = await acquire(dispatch, "the next scan")
        assert second > first
        stale = await under(dispatch, first, "look")
        assert stale["code"] == "stale"
        assert stale["error"].startswith(
            f"the lease {first} has ended; laser is held by 'the next scan' until "
        )
        assert (await under(dispatch, second, "look"))["status"] == "success"


@on_loop
async def test_a_renewed_lease_goes_on() -> None:
    async with dispatching({"laser": Laser()}) as dispatch:
        number = await acquire(dispatch, seconds=1.0)
        before = (await status_of(dispatch))["lease"]["until"]
        renewed = await ask(dispatch, "link.renew", lease=number, seconds=100.0)
        assert renewed["result"]["until"] > before + 50
        assert (await status_of(dispatch))["lease"]["until"] == renewed["result"]["until"]


@on_loop
async def test_somebody_may_take_it_by_force_and_is_told_from_whom() -> None:
    async with dispatching({"laser": Laser()}) as dispatch:
        first = await acquire(dispatch, "a dead scan")
        asked = {"instrument": "laser", "owner": "Anna", "seconds": PATIENCE, "force": True}
        taken = (await ask(dispatch, "link.acquire", **asked))["result"]
        assert taken["former"]["owner"] == "a dead scan"
        assert taken["lease"] > first
        assert (await under(dispatch, first, "look"))["code"] == "stale"
        assert (await under(dispatch, taken["lease"], "look"))["status"] == "success"


@on_loop
async def test_what_makes_no_sense_is_refused() -> None:
    async with dispatching({"laser": Laser()}) as dispatch:
        good = {"instrument": "laser", "owner": "scan", "seconds": 1}
        for wrong, sentence in (
            ({"instrument": "lasre"}, "there is no instrument 'lasre'; did you mean 'laser'?"),
            ({"instrument": "link"}, "there is no instrument 'link'"),
            ({"owner": ""}, "owner: "),
            ({"owner": "x" * 201}, "owner: "),
            ({"seconds": 0}, "seconds: "),
            ({"seconds": 1e9}, "seconds: "),
        ):
            reply = await ask(dispatch, "link.acquire", **{**good, **wrong})
            assert reply["status"] == "fail"
            assert reply["error"].startswith(sentence)
            assert reply["where"] == next(iter(wrong))
        assert (await ask(dispatch, "link.renew", lease=3))["code"] == "stale"


@on_loop
async def test_what_waits_while_its_lease_ends_is_not_started() -> None:
    laser = Held()
    async with dispatching({"laser": laser}) as dispatch:
        number = await acquire(dispatch)
        running = Asked(dispatch, "wait", {}, LinkMembers(lease=number))
        assert await asyncio.to_thread(laser.started.wait, PATIENCE)
        waiting = Asked(dispatch, "set_power", {"power": 1}, LinkMembers(lease=number))
        await ask(dispatch, "link.release", lease=number)
        laser.go_on.set()
        assert (await running.reply())["result"] == "waited"
        assert (await waiting.reply())["code"] == "stale"
    assert laser.executed == ["wait"]


@on_loop
async def test_what_waited_before_somebody_took_it_is_not_started_either() -> None:
    laser = Laser()
    async with dispatching({"laser": laser}) as dispatch:
        await busy(dispatch, laser)
        waiting = Asked(dispatch, "set_power", {"power": 1})
        await acquire(dispatch, "the next scan")
        laser.go_on.set()
        assert (await waiting.reply())["code"] == "leased"
    assert laser.executed == ["wait"]


@on_loop
async def test_a_lease_that_runs_out_makes_the_instrument_safe_before_anybody_else() -> None:
    """In its own thread, and ahead of all that waits."""
    laser = Held()
    async with dispatching({"laser": laser}) as dispatch:
        number = await acquire(dispatch, seconds=SHORT)
        running = Asked(dispatch, "wait", {}, LinkMembers(lease=number))
        assert await asyncio.to_thread(laser.started.wait, PATIENCE)
        waiting = Asked(dispatch, "set_power", {"power": 1}, LinkMembers(lease=number))
        await until_free(dispatch)
        following = Asked(dispatch, "set_power", {"power": 2})
        laser.go_on.set()
        await following.reply()
        assert (await waiting.reply())["code"] == "stale"
        assert (await running.reply())["result"] == "waited"
    assert laser.executed == ["wait", "safe", 2.0]
    assert laser.threads == ["worker laser"] * 2


@on_loop
async def test_it_is_safe_before_what_waited_for_longer_than_the_lease_lasted() -> None:
    laser = Held()
    async with dispatching({"laser": laser}) as dispatch:
        await busy(dispatch, laser)
        waiting = Asked(dispatch, "set_power", {"power": 1})
        await acquire(dispatch, seconds=SHORT)
        await until_free(dispatch)
        laser.go_on.set()
        assert (await waiting.reply())["result"] == 1.0
    assert laser.executed == ["wait", "safe", 1.0]


@on_loop
async def test_who_does_not_hold_it_is_told_at_once_also_while_it_is_busy() -> None:
    laser = Held()
    async with dispatching({"laser": laser}) as dispatch:
        link = LinkMembers(lease=await acquire(dispatch))
        running = Asked(dispatch, "wait", {}, link)
        assert await asyncio.to_thread(laser.started.wait, PATIENCE)
        assert (await under(dispatch, None, "look"))["code"] == "leased"
        assert (await under(dispatch, 1, "look"))["code"] == "stale"
        assert running.replies == []


@on_loop
async def test_a_number_is_stale_as_soon_as_its_time_is_up() -> None:
    """Also where nobody has come yet to end it: the loop may be late, and the file slow."""
    async with dispatching({"laser": Laser()}) as dispatch:
        number = await acquire(dispatch, seconds=SHORT)
        dispatch.deadlines.close()
        while (await under(dispatch, number, "look"))["status"] == "success":
            await asyncio.sleep(0.001)
        assert (await under(dispatch, number, "look"))["code"] == "stale"
        assert (await under(dispatch, None, "look"))["code"] == "leased"


@on_loop
async def test_without_another_policy_it_is_left_as_it_is() -> None:
    laser = Held()
    laser.lease_policy = "hold"
    async with dispatching({"laser": laser}) as dispatch:
        await acquire(dispatch, seconds=SHORT)
        await until_free(dispatch)
        await ask(dispatch, "look")
    assert laser.executed == []


def test_a_policy_that_there_is_not_is_refused() -> None:
    laser = Laser()
    laser.lease_policy = "off"
    with pytest.raises(ValueError, match=r"lease_policy: expected 'hold' or 'safe', got 'off'$"):
        Registry({"laser": laser})
    with pytest.raises(TypeError, match=r"^Odd\.lease_policy cannot be a command"):

        class Odd(Instrument):
            @command
            def lease_policy(self) -> None:
                """Take the name."""


@on_loop
async def test_who_holds_one_instrument_may_use_others_that_nobody_holds() -> None:
    red, blue = Held(), Held()
    async with dispatching({"red": red, "blue": blue}) as dispatch:
        number = await acquire(dispatch, instrument="red")
        assert (await under(dispatch, number, "blue.who"))["status"] == "success"
        other = await acquire(dispatch, "other", instrument="blue")
        assert (await under(dispatch, number, "blue.who"))["code"] == "leased"
        assert (await under(dispatch, other, "blue.who"))["status"] == "success"
        await ask(dispatch, "link.release", lease=other)
        await ask(dispatch, "link.release", lease=number)
        # Whose lease has ended is stopped, whatever he wants to do.
        assert (await under(dispatch, number, "blue.who"))["code"] == "stale"


@on_loop
async def test_what_only_interact_knows_is_its_instruments() -> None:
    async with dispatching({"laser": Laser()}, lambda data: data["command_id"]) as dispatch:
        await acquire(dispatch)
        assert (await ask(dispatch, "test_command"))["code"] == "leased"


@on_loop
async def test_a_batch_of_who_does_not_hold_it_is_refused_as_a_whole() -> None:
    red, blue = Held(), Held()
    async with dispatching({"red": red, "blue": blue}) as dispatch:
        number = await acquire(dispatch, instrument="blue")
        powers = [{"command_id": f"{name}.set_power", "power": 1} for name in ("red", "blue")]
        whole = await ask(dispatch, "link.batch", requests=powers)
        assert (whole["code"], whole["error"][:28]) == ("leased", "requests[1]: blue is held by")
        first = await ask(dispatch, "link.batch", requests=powers[::-1])
        assert first["code"] == "leased"
        assert red.executed + blue.executed == []
        link = LinkMembers(lease=number)
        done = await Asked(dispatch, "link.batch", {"requests": powers}, link).reply()
        assert [each["status"] for each in done["result"]] == ["success"] * 2


@on_loop
async def test_a_batch_whose_lease_ends_goes_no_further() -> None:
    laser = Laser()
    async with dispatching({"laser": laser}) as dispatch:
        link = LinkMembers(lease=await acquire(dispatch))
        requests = [{"command_id": "wait"}, {"command_id": "set_power", "power": 1}]
        batch = Asked(dispatch, "link.batch", {"requests": requests}, link)
        assert await asyncio.to_thread(laser.started.wait, PATIENCE)
        await ask(dispatch, "link.release", lease=link.lease)
        laser.go_on.set()
        replies = (await batch.reply())["result"]
        assert [each.get("code") for each in replies] == [None, "stale"]
    assert laser.executed == ["wait"]


@on_loop
async def test_a_batch_tells_what_was_executed_before_an_instrument_was_taken() -> None:
    """Its second instrument was free when it was checked."""
    red, blue = Laser(), Laser()
    async with dispatching({"red": red, "blue": blue}) as dispatch:
        requests = [{"command_id": "red.wait"}, {"command_id": "blue.look"}]
        batch = Asked(dispatch, "link.batch", {"requests": requests})
        assert await asyncio.to_thread(red.started.wait, PATIENCE)
        await acquire(dispatch, instrument="blue")
        red.go_on.set()
        replies = (await batch.reply())["result"]
        assert [each.get("code") for each in replies] == [None, "leased"]


@on_loop
async def test_a_command_of_a_batch_sees_the_lease_of_its_batch() -> None:
    async with dispatching({"laser": Held()}) as dispatch:
        number = await acquire(dispatch)
        link = LinkMembers(lease=number, owner="scan", rid=7)
        requests = [{"command_id": "who"}, {"command_id": "who", "link": {"rid": 8}}]
        batch = await Asked(dispatch, "link.batch", {"requests": requests}, link).reply()
        told = [each["result"] for each in batch["result"]]
        assert told == [[number, "scan", 7], [number, "scan", 8]]


@on_loop
async def test_a_repeated_request_gets_the_lease_that_it_got() -> None:
    async with dispatching({"laser": Laser()}) as dispatch:
        asked = {"instrument": "laser", "owner": "scan", "seconds": PATIENCE}
        first, again = [
            await Asked(dispatch, "link.acquire", asked, LinkMembers(id="a1")).reply()
            for _ in range(2)
        ]
        assert first == again


@on_loop
async def test_a_repeated_command_is_answered_also_when_its_lease_has_ended() -> None:
    laser = Held()
    async with dispatching({"laser": laser}) as dispatch:
        link = LinkMembers(lease=await acquire(dispatch), id="a1")
        first = await Asked(dispatch, "set_power", {"power": 1}, link).reply()
        await ask(dispatch, "link.release", lease=link.lease)
        assert await Asked(dispatch, "set_power", {"power": 1}, link).reply() == first
    assert laser.executed == [1.0]


@on_loop
async def test_a_restart_keeps_leases_and_their_numbers(tmp_path: Path) -> None:
    path = tmp_path / "journal.sqlite"
    async with with_file(path, Laser()) as dispatch:
        number = await acquire(dispatch)
        until = (await status_of(dispatch))["lease"]["until"]
    async with with_file(path, Laser()) as dispatch:
        assert (await status_of(dispatch))["lease"] == {"owner": "scan", "until": until}
        assert (await under(dispatch, None, "look"))["code"] == "leased"
        assert (await under(dispatch, number, "look"))["status"] == "success"
        assert (await ask(dispatch, "link.renew", lease=number))["status"] == "success"
        await ask(dispatch, "link.release", lease=number)
    async with with_file(path, Laser()) as dispatch:
        assert "lease" not in await status_of(dispatch)
        assert await acquire(dispatch) > number


@on_loop
async def test_one_that_ran_out_while_the_server_was_away_is_ended_once(tmp_path: Path) -> None:
    path = tmp_path / "journal.sqlite"
    async with with_file(path, Laser()) as dispatch:
        number = await acquire(dispatch, seconds=SHORT)
        dispatch.deadlines.close()  # as where it was killed: nobody ends it
    lasers = [Held() for _ in range(2)]
    for laser in lasers:
        async with with_file(path, laser) as dispatch:
            await until_free(dispatch)
            assert (await under(dispatch, number, "look"))["code"] == "stale"
            await ask(dispatch, "look")
    assert [laser.executed for laser in lasers] == [["safe"], []]


@on_loop
async def test_numbers_grow_also_where_no_file_keeps_them() -> None:
    numbers = []
    for _ in range(3):
        async with dispatching({"laser": Laser()}) as dispatch:
            numbers += [await acquire(dispatch, force=True) for _ in range(2)]
    assert all(first < second for first, second in itertools.pairwise(numbers))


@on_loop
async def test_a_clock_that_is_set_back_prolongs_no_lease(tmp_path: Path) -> None:
    """And its number is not given again: the file has the highest."""
    path = tmp_path / "journal.sqlite"
    async with with_file(path, Laser()) as dispatch:
        later = await acquire(dispatch)
        entry = Lease("laser", later + 3_600_000_000, "scan", SHORT, 4e9)
        await asyncio.to_thread(dispatch.leases._journal.keep_lease, entry)
    async with with_file(path, Laser()) as dispatch:
        await until_free(dispatch)
        assert await acquire(dispatch) == later + 3_600_000_001


@on_loop
async def test_a_file_that_fails_does_not_stand_in_the_way(tmp_path: Path) -> None:
    (tmp_path / "journal.sqlite").write_text("no database, and long enough to be taken for one")
    async with with_file(tmp_path / "journal.sqlite", Laser()) as dispatch:
        number = await acquire(dispatch)
        assert (await under(dispatch, number, "look"))["status"] == "success"
