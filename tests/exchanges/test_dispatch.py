"""Dispatch: requests to workers and back, their time, clients that go, and the end."""

from __future__ import annotations

import asyncio
import logging
import re
import threading
import time
from typing import Any

import pytest

from artiq_link import Instrument, command
from artiq_link.exchanges.dispatch import Dispatch
from artiq_link.exchanges.messages import LinkMembers
from artiq_link.exchanges.registry import Registry
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

SOON = 0.02
"""Seconds of a timeout that is to run out."""


@on_loop
async def test_a_command_runs_in_its_instruments_thread_and_its_result_is_the_reply() -> None:
    laser = Laser()
    async with dispatching({"laser": laser}) as dispatch:
        assert await ask(dispatch, "set_power", power=1) == success("set_power", 1.0)
        assert laser.threads == ["worker laser"]
        assert await ask(dispatch, "look") == success("look", threading.current_thread().name)


@on_loop
async def test_the_reply_repeats_the_requests_id() -> None:
    async with dispatching({"laser": Laser()}) as dispatch:
        for command_id in ("set_power", "link.ping", "nothing"):
            asked = Asked(dispatch, command_id, {}, LinkMembers(id="0192"))
            assert (await asked.reply())["id"] == "0192"


@pytest.mark.parametrize(
    ("command_id", "parameters", "code", "error", "where"),
    [
        (
            "set_pwer",
            {},
            "unknown_command",
            "there is no command 'set_pwer'; did you mean 'set_power'?",
            None,
        ),
        (
            "laser.set_pwer",
            {},
            "unknown_command",
            "there is no command 'laser.set_pwer'; did you mean 'laser.set_power'?",
            None,
        ),
        (
            "link.pong",
            {},
            "unknown_command",
            "there is no command 'link.pong'; did you mean 'link.ping'?",
            None,
        ),
        (
            "lnk.status",
            {},
            "unknown_command",
            "there is no command 'lnk.status'; did you mean 'link.status'?",
            None,
        ),
        ("qqq", {}, "unknown_command", "there is no command 'qqq'", None),
        (
            "set_power",
            {"power": "1"},
            "invalid_parameter",
            "power: expected 'float', got 'str'",
            "power",
        ),
        ("set_power", {"power": 3}, "out_of_range", "power: 3.0 W would burn the fibre", "power"),
        ("set_power", {"power": 13}, "internal_error", "the checker's bug", None),
        ("fail", {}, "internal_error", "the bug's text", None),
        (
            "link.ping",
            {"loud": True},
            "invalid_parameter",
            "'ping' has no parameter 'loud'",
            "loud",
        ),
        (
            "link.check",
            {},
            "invalid_parameter",
            "missing parameter 'requests' of 'check'",
            "requests",
        ),
        (
            "link.check",
            {"requests": 5},
            "invalid_parameter",
            "requests: expected 'array', got 'int'",
            "requests",
        ),
    ],
)
def test_a_refusal_is_the_reply_and_nothing_is_executed(
    command_id: str, parameters: dict[str, Any], code: str, error: str, where: str | None
) -> None:
    @on_loop
    async def test() -> None:
        laser = Laser()
        async with dispatching({"laser": laser}) as dispatch:
            expected = failure(command_id, code, error)
            if where is not None:
                expected["where"] = where
            assert await ask(dispatch, command_id, **parameters) == expected
        assert laser.executed == []

    test()


@on_loop
async def test_an_error_of_the_system_is_the_instruments(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """As serial libraries raise it for an adapter that was pulled out; the log has more."""

    class Unplugged(Instrument):
        @command
        def read(self) -> None:
            """Read."""
            raise OSError(5, "Input/output error")

        @command
        async def read_on_loop(self) -> None:
            """Read on the event loop."""
            raise ConnectionResetError("the adapter is gone")

    async with dispatching({"meter": Unplugged()}) as dispatch:
        assert await ask(dispatch, "read") == failure(
            "read", "instrument_error", "[Errno 5] Input/output error"
        )
        assert await ask(dispatch, "read_on_loop") == failure(
            "read_on_loop", "instrument_error", "the adapter is gone"
        )
    assert [record.exc_info is not None for record in caplog.records] == [True, True]


@on_loop
async def test_a_full_queue_is_busy() -> None:
    laser = Laser()
    async with dispatching({"laser": laser}, queue_length=1) as dispatch:
        await busy(dispatch, laser)
        Asked(dispatch, "look")
        assert await ask(dispatch, "set_power", power=1) == failure(
            "set_power", "busy", "laser: its queue of 1 is full"
        )
    assert laser.executed == ["wait"]


# Time


@on_loop
async def test_a_command_that_waited_too_long_is_expired_and_never_executed() -> None:
    laser = Laser()
    async with dispatching({"laser": laser}) as dispatch:
        running = await busy(dispatch, laser)
        late = Asked(dispatch, "set_power", {"power": 1}, LinkMembers(timeout=SOON))
        reply = await late.reply()
        assert reply == failure(
            "set_power",
            "expired",
            f"set_power was not started: its time of {SOON} s was up",
        )
        assert running.replies == []
        laser.go_on.set()
        assert await ask(dispatch, "look") == success("look", threading.current_thread().name)
    assert laser.executed == ["wait"]


@on_loop
async def test_a_command_that_overruns_is_a_timeout_and_goes_on(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """The client is answered once; how the command ended is in the log."""
    laser = Laser()
    async with dispatching({"laser": laser}) as dispatch:
        slow = Asked(dispatch, "wait", {}, LinkMembers(timeout=PATIENCE))
        assert await asyncio.to_thread(laser.started.wait, PATIENCE)
        end_time(dispatch, slow.exchange)
        assert await slow.reply() == failure(
            "wait", "timeout", f"wait has not finished in {PATIENCE:g} s; it goes on"
        )
        assert laser.executed == []
        laser.go_on.set()
        assert (await ask(dispatch, "look"))["status"] == "success"
        assert laser.executed == ["wait"]
        assert len(slow.replies) == 1
    [line] = caplog.messages
    assert re.fullmatch(r"nobody: wait: done in .*s, after its time was up", line)


@pytest.mark.parametrize("timeout", [5.0, 0.0, -1.0])
def test_a_time_that_was_up_on_arrival_is_expired_and_never_executed(timeout: float) -> None:
    """Time counts from the request's first byte; an idle instrument does not start it either."""

    @on_loop
    async def test() -> None:
        laser = Laser()
        async with dispatching({"laser": laser}) as dispatch:
            arrived = time.monotonic() - max(0.0, timeout)
            asked = [
                Asked(dispatch, "set_power", {"power": 1}, LinkMembers(timeout=timeout), arrived)
                for _ in range(20)
            ]
            assert {(await one.reply())["code"] for one in asked} == {"expired"}
            await ask(dispatch, "look")
        assert laser.executed == []

    test()


@pytest.mark.parametrize("timeout", [PATIENCE, 1e300])
def test_a_command_in_time_is_answered_and_its_deadline_is_gone(timeout: float) -> None:
    @on_loop
    async def test() -> None:
        async with dispatching({"laser": Laser()}) as dispatch:
            asked = Asked(dispatch, "set_power", {"power": 1}, LinkMembers(timeout=timeout))
            assert await asked.reply() == success("set_power", 1.0)
            assert len(dispatch.deadlines) == 0

    test()


# Clients that go


@on_loop
async def test_a_command_whose_client_has_gone_is_never_started(
    caplog: pytest.LogCaptureFixture,
) -> None:
    laser = Laser()
    async with dispatching({"laser": laser}) as dispatch:
        caplog.set_level(logging.INFO, "artiq_link")
        await busy(dispatch, laser)
        gone = Asked(dispatch, "set_power", {"power": 1}, LinkMembers(timeout=PATIENCE))
        dispatch.abandon(gone.exchange)
        assert len(dispatch.deadlines) == 0
        laser.go_on.set()
        await ask(dispatch, "look")
    assert laser.executed == ["wait"]
    assert gone.replies == []
    assert caplog.messages[0] == (
        "nobody: set_power: refused, expired: set_power was not started: its client has gone"
    )


@on_loop
async def test_a_running_command_goes_on_without_its_client(
    caplog: pytest.LogCaptureFixture,
) -> None:
    laser = Laser()
    async with dispatching({"laser": laser}) as dispatch:
        gone = await busy(dispatch, laser)
        dispatch.abandon(gone.exchange)
        laser.go_on.set()
        await ask(dispatch, "look")
    assert (laser.executed, gone.replies) == (["wait"], [])
    assert len(caplog.messages) == 1
    assert re.fullmatch(
        r"nobody: wait: done in .*s, after its client had gone", caplog.messages[0]
    )


# The end


@on_loop
async def test_closing_refuses_what_waits_finishes_what_runs_and_closes_instruments() -> None:
    red, blue = Laser(), Laser()
    dispatch = Dispatch(Registry({"red": red, "blue": blue}))
    await dispatch.open()
    running = await busy(dispatch, red, "red.wait")
    waiting = Asked(dispatch, "red.set_power", {"power": 1})
    closing = asyncio.create_task(dispatch.close(PATIENCE))
    assert await waiting.reply() == failure(
        "red.set_power",
        "shutting_down",
        "the server is stopping; the command was not started",
    )
    assert await ask(dispatch, "blue.look") == failure(
        "blue.look", "shutting_down", "the server is stopping"
    )
    assert (running.replies, red.closed, closing.done()) == ([], 0, False)
    red.go_on.set()
    await closing
    assert await running.reply() == success("red.wait", "waited")
    assert (red.closed, blue.closed, red.executed) == (1, 1, ["wait"])


@on_loop
async def test_an_instrument_whose_command_does_not_end_is_not_closed(
    caplog: pytest.LogCaptureFixture,
) -> None:
    red, blue = Laser(), Laser()
    dispatch = Dispatch(Registry({"red": red, "blue": blue}))
    await dispatch.open()
    await busy(dispatch, red, "red.wait")
    try:
        await dispatch.close(SOON)
        assert (red.closed, blue.closed) == (0, 1)
        assert [(record.levelname, record.getMessage()) for record in caplog.records] == [
            (
                "WARNING",
                f"stopping: red: busy with red.wait, 12.0 of 60.0 s; it has {SOON} s to finish",
            ),
            (
                "ERROR",
                f"red: busy with red.wait, 12.0 of 60.0 s: not closed, {SOON} s were not enough",
            ),
        ]
    finally:
        red.go_on.set()
        await dispatch.close(PATIENCE)


@on_loop
async def test_nothing_starts_before_all_instruments_are_open() -> None:
    """What comes meanwhile waits behind the opening, for as long as its timeout allows."""

    class SlowLaser(Laser):
        def open_hardware(self) -> None:
            self.started.set()
            assert self.go_on.wait(PATIENCE)
            self.executed.append("open")

    slow, quick = SlowLaser(), Laser()
    dispatch = Dispatch(Registry({"slow": slow, "quick": quick}))
    opening = dispatch.open()
    assert await asyncio.to_thread(slow.started.wait, PATIENCE)
    late = Asked(dispatch, "quick.set_power", {"power": 1}, LinkMembers(timeout=SOON))
    patient = Asked(dispatch, "quick.set_power", {"power": 2})
    assert (await ask(dispatch, "link.status"))["result"]["instruments"]["slow"]["command"] == (
        "open_hardware"
    )
    assert (await late.reply())["code"] == "expired"
    assert (opening.done(), quick.executed) == (False, [])
    slow.go_on.set()
    await opening
    assert (await patient.reply())["status"] == "success"
    assert quick.executed == [2.0]
    await dispatch.close(PATIENCE)


@on_loop
async def test_a_stop_while_an_instrument_opens() -> None:
    """It is given up after the grace, and its commands are refused."""

    class StuckLaser(Laser):
        def open_hardware(self) -> None:
            self.started.set()
            assert self.go_on.wait(PATIENCE)

    laser = StuckLaser()
    dispatch = Dispatch(Registry({"laser": laser}))
    opening = dispatch.open()
    assert await asyncio.to_thread(laser.started.wait, PATIENCE)
    waiting = Asked(dispatch, "look")
    await dispatch.close(0)
    assert (await waiting.reply())["code"] == "shutting_down"
    opening.cancel()
    laser.go_on.set()
    await dispatch.close(PATIENCE)


def test_a_command_may_end_after_the_event_loop() -> None:
    """It has overrun the server's stop: its client is told at the stop, and nothing fails."""
    laser = Laser()
    asked: list[Asked] = []

    @on_loop
    async def stop_too_soon() -> None:
        dispatch = Dispatch(Registry({"laser": laser}))
        await dispatch.open()
        asked.append(await busy(dispatch, laser))
        await dispatch.close(0)

    stop_too_soon()
    [thread] = [thread for thread in threading.enumerate() if thread.name == "worker laser"]
    laser.go_on.set()
    thread.join(PATIENCE)
    assert not thread.is_alive()
    assert (laser.executed, laser.closed) == (["wait"], 0)
    assert asked[0].replies == [
        failure("wait", "timeout", "wait has not finished; the server stops without it")
    ]
