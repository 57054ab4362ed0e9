"""``link.batch``: checked as a whole, executed in a row, a reply for each."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from artiq_link.exchanges.batch import MAX_BATCH
from artiq_link.exchanges.exchange import Exchange, Moment
from artiq_link.exchanges.messages import LinkMembers
from tests.conftest import PATIENCE
from tests.exchanges.asking import (
    Asked,
    Laser,
    ask,
    busy,
    dispatching,
    end_time,
    failure,
    on_loop,
    success,
)


def power(watts: float, name: str = "set_power") -> dict[str, Any]:
    return {"command_id": name, "power": watts}


def skipped(command_id: str) -> dict[str, Any]:
    return {"status": "skipped", "command_id": command_id}


@on_loop
async def test_requests_are_executed_in_order_with_a_reply_for_each() -> None:
    """Also ``async def`` commands, and what only the template's function knows."""
    laser = Laser()

    def interact(data: dict[str, Any]) -> Any:
        return "own" if data["command_id"] == "own" else laser.interact(data)

    async with dispatching({"laser": laser}, interact) as dispatch:
        requests = [
            power(1),
            {"command_id": "look"},
            power(2, "laser.set_power"),
            {"command_id": "own"},
        ]
        reply = await ask(dispatch, "link.batch", requests=requests)
        assert await ask(dispatch, "link.batch", requests=[]) == success("link.batch", [])
    assert [each["status"] for each in reply["result"]] == ["success"] * 4
    assert reply["result"][2:] == [success("laser.set_power", 2.0), success("own", "own")]
    assert laser.executed == [1.0, 2.0]
    assert set(laser.threads) == {"worker laser"}


@pytest.mark.parametrize(
    ("wrong", "code", "error", "where"),
    [
        (power(3), "out_of_range", "power: 3.0 W would burn the fibre", ".power"),
        (power("x"), "invalid_parameter", "power: expected 'float', got 'str'", ".power"),  # type: ignore[arg-type]
        ({"command_id": "qqq"}, "unknown_command", "there is no command 'qqq'", ""),
        (5, "malformed", "expected one JSON object, got a number", ""),
        ({"command_id": "link.status"}, "invalid_parameter",
         "link.status cannot be part of a batch", ""),
        ({"command_id": "look", "link": 5}, "invalid_parameter",
         "link: expected 'object', got 'int'", ".link"),
    ],
)  # fmt: skip
def test_one_that_would_be_refused_refuses_all(
    wrong: Any, code: str, error: str, where: str
) -> None:
    """Nothing is executed, whichever one it is."""

    @on_loop
    async def test() -> None:
        laser = Laser()
        async with dispatching({"laser": laser}) as dispatch:
            reply = await ask(dispatch, "link.batch", requests=[power(1), wrong, power(2)])
            assert reply == failure(
                "link.batch", code, f"requests[1]: {error}", where=f"requests[1]{where}"
            )
            first = await ask(dispatch, "link.batch", requests=[wrong])
            assert first["code"] == code
        assert laser.executed == []

    test()


@on_loop
async def test_after_a_failure_the_others_are_skipped_or_go_on() -> None:
    laser = Laser()
    async with dispatching({"laser": laser}) as dispatch:
        requests = [power(1), {"command_id": "fail"}, power(2)]
        stopped = await ask(dispatch, "link.batch", requests=requests)
        going_on = await ask(dispatch, "link.batch", requests=requests, on_failure="continue")
        unchecked = await ask(dispatch, "link.batch", requests=[power(3), power(1)], check=False)
    failed = failure("fail", "internal_error", "the bug's text")
    done = success("set_power", 1.0)
    assert stopped["result"] == [done, failed, skipped("set_power")]
    assert going_on["result"] == [done, failed, success("set_power", 2.0)]
    assert [each["status"] for each in unchecked["result"]] == ["fail", "skipped"]
    assert laser.executed == [1.0, 1.0, 2.0]


@on_loop
async def test_nothing_comes_between_those_of_one_instrument() -> None:
    laser = Laser()
    async with dispatching({"laser": laser}) as dispatch:
        batch = Asked(
            dispatch, "link.batch", {"requests": [{"command_id": "wait"}, power(1), power(2)]}
        )
        assert await asyncio.to_thread(laser.started.wait, PATIENCE)
        other = Asked(dispatch, "set_power", {"power": 0.5})
        assert (await ask(dispatch, "link.ping"))["result"] is True
        laser.go_on.set()
        await batch.reply()
        await other.reply()
    assert laser.executed == ["wait", 1.0, 2.0, 0.5]


@on_loop
async def test_several_instruments_take_their_turns() -> None:
    red, blue = Laser(), Laser()
    async with dispatching({"red": red, "blue": blue}) as dispatch:
        names = ["red", "red", "blue", "red"]
        requests = [power(number, f"{name}.set_power") for number, name in enumerate(names)]
        reply = await ask(dispatch, "link.batch", requests=[{**r, "power": 1} for r in requests])
    assert [each["status"] for each in reply["result"]] == ["success"] * 4
    assert (red.threads, blue.threads) == (["worker red"] * 3, ["worker blue"])


@on_loop
async def test_a_batch_whose_client_has_given_up_goes_no_further() -> None:
    """Whether its time is up or it has gone: what had not begun is never executed."""
    for way in ("timeout", "gone"):
        laser = Laser()
        async with dispatching({"laser": laser}) as dispatch:
            requests = [{"command_id": "wait"}, power(1)]
            link = LinkMembers(timeout=PATIENCE)
            batch = Asked(dispatch, "link.batch", {"requests": requests}, link)
            assert await asyncio.to_thread(laser.started.wait, PATIENCE)
            if way == "timeout":
                end_time(dispatch, batch.exchange)
                assert (await batch.reply())["code"] == "timeout"
            else:
                dispatch.abandon(batch.exchange)
            laser.go_on.set()
            await ask(dispatch, "look")
        assert laser.executed == ["wait"]


@on_loop
async def test_a_batch_that_waits_too_long_is_never_begun() -> None:
    laser = Laser()
    async with dispatching({"laser": laser}) as dispatch:
        await busy(dispatch, laser)
        late = Asked(dispatch, "link.batch", {"requests": [power(1)]}, LinkMembers(timeout=0.05))
        assert (await late.reply())["code"] in {"expired", "timeout"}
        laser.go_on.set()
        await ask(dispatch, "look")
    assert laser.executed == ["wait"]


@on_loop
async def test_a_stop_answers_a_batch() -> None:
    """What runs is finished, what waits is refused."""
    laser = Laser()
    async with dispatching({"laser": laser}) as dispatch:
        await busy(dispatch, laser)
        waiting = Asked(dispatch, "link.batch", {"requests": [power(1)]})
        closing = asyncio.create_task(dispatch.close(PATIENCE))
        await asyncio.sleep(0)
        laser.go_on.set()
        await closing
        assert (await waiting.reply())["code"] == "shutting_down"
    assert laser.executed == ["wait"]


@on_loop
async def test_observers_see_each_command_of_a_batch() -> None:
    seen: list[tuple[str, Moment]] = []

    def note(exchange: Exchange, moment: Moment) -> None:
        seen.append((exchange.request.command_id, moment))

    async with dispatching({"laser": Laser()}, observers=[note]) as dispatch:
        await ask(dispatch, "link.batch", requests=[power(1)])
    run = [Moment.RECEIVED, Moment.QUEUED, Moment.RUNNING, Moment.FINISHED]
    assert [moment for name, moment in seen if name == "set_power"] == run
    assert [moment for name, moment in seen if name == "link.batch"] == run


@on_loop
async def test_the_requests_of_one_batch_are_counted() -> None:
    async with dispatching({"laser": Laser()}) as dispatch:
        more = await ask(dispatch, "link.batch", requests=[1] * (MAX_BATCH + 1))
    assert (more["code"], more["where"]) == ("invalid_parameter", "requests")
