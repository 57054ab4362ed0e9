"""Dispatch: requests to workers, deadlines, the one door, and what the server answers itself."""

from __future__ import annotations

import asyncio
import functools
import logging
import re
import threading
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from typing import Annotated, Any

import msgspec
import pytest

from artiq_link import __version__
from artiq_link.errors import OutOfRange
from artiq_link.exchanges.dispatch import (
    MAX_CHECKED,
    Dispatch,
    Exchange,
    Interact,
    check_instruments,
)
from artiq_link.exchanges.messages import LinkMembers, Reply, Request
from artiq_link.exchanges.worker import progress
from artiq_link.instrument.command import command
from artiq_link.instrument.instrument import Instrument
from tests.conftest import PATIENCE

SOON = 0.02
"""Seconds of a timeout that is to run out."""

TIME_TO_START = 0.5
"""Seconds of a timeout that is to run out after its command has started."""


class Laser(Instrument):
    """A laser that waits on request."""

    def __init__(self) -> None:
        self.executed: list[Any] = []
        self.threads: list[str] = []
        self.started = threading.Event()
        self.go_on = threading.Event()
        self.closed = 0

    @command
    def set_power(self, power: Annotated[float, msgspec.Meta(ge=0, extra={"unit": "W"})]) -> float:
        """Set the power."""
        self.executed.append(power)
        self.threads.append(threading.current_thread().name)
        return power

    @set_power.checker
    def _check_set_power(self, power: float) -> None:
        if power == 13:
            raise RuntimeError("the checker's bug")
        if power > 2:
            raise OutOfRange(f"power: {power} W would burn the fibre", "power")

    @command
    def wait(self) -> str:
        """Wait for the test."""
        progress(0.2, "12.0 of 60.0 s")
        self.started.set()
        assert self.go_on.wait(PATIENCE)
        self.executed.append("wait")
        return "waited"

    @command
    async def look(self) -> str:
        """Look on the event loop."""
        return threading.current_thread().name

    @command
    def fail(self) -> None:
        """Have a bug."""
        raise RuntimeError("the bug's text")

    def close(self) -> None:
        self.closed += 1


def on_loop(test: Callable[..., Awaitable[None]]) -> Callable[..., None]:
    """Run a test on an event loop."""

    @functools.wraps(test)
    def run(*args: Any, **kwargs: Any) -> None:
        asyncio.run(asyncio.wait_for(test(*args, **kwargs), 2 * PATIENCE))

    return run


@asynccontextmanager
async def dispatching(
    instruments: Mapping[str, Laser], interact: Interact | None = None, **options: Any
) -> AsyncIterator[Dispatch]:
    """A dispatch, whose commands go on and whose workers end at the block's end."""
    dispatch = Dispatch(instruments, interact, **options)
    try:
        yield dispatch
    finally:
        for laser in instruments.values():
            laser.go_on.set()
        await dispatch.close(PATIENCE)


class Asked:
    """A request that has been submitted, whose reply can be awaited."""

    def __init__(
        self,
        dispatch: Dispatch,
        command_id: str,
        parameters: dict[str, Any] | None = None,
        link: LinkMembers = LinkMembers(),  # noqa: B008 frozen
        arrived: float | None = None,
    ) -> None:
        self.replies: list[Reply] = []
        self._answered = asyncio.Event()
        self._loop = asyncio.get_running_loop()
        self.request = Request(command_id, parameters or {}, link)
        self.exchange: Exchange = dispatch.submit(self.request, self._note, arrived)
        assert self.replies == [], "answered inside submit"

    def _note(self, reply: Reply) -> None:
        assert asyncio.get_running_loop() is self._loop
        self.replies.append(reply)
        self._answered.set()

    async def reply(self) -> dict[str, Any]:
        await self._answered.wait()
        assert len(self.replies) == 1
        return self.replies[0].to_object()


async def ask(dispatch: Dispatch, command_id: str, **parameters: Any) -> dict[str, Any]:
    return await Asked(dispatch, command_id, parameters).reply()


async def busy(dispatch: Dispatch, laser: Laser, command_id: str = "wait") -> Asked:
    """Start the waiting command, and return when it runs."""
    asked = Asked(dispatch, command_id)
    assert await asyncio.to_thread(laser.started.wait, PATIENCE)
    return asked


def failure(command_id: str, code: str, error: str, **more: str) -> dict[str, Any]:
    return {"status": "fail", "command_id": command_id, "code": code, "error": error, **more}


def success(command_id: str, result: Any) -> dict[str, Any]:
    return {"status": "success", "command_id": command_id, "result": result}


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
async def test_nothing_is_answered_inside_submit() -> None:
    """Also a refusal comes later: `Asked` looks."""
    laser = Laser()
    async with dispatching({"laser": laser}, queue_length=1) as dispatch:
        asked = [
            await busy(dispatch, laser),
            Asked(dispatch, "look"),
            Asked(dispatch, "look"),
            Asked(dispatch, "qqq"),
            Asked(dispatch, "link.ping"),
            Asked(dispatch, "link.pong"),
        ]
        laser.go_on.set()
        statuses = [(await one.reply()).get("code") for one in asked]
    assert statuses == [None, None, "busy", "unknown_command", None, "unknown_command"]


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


# The server's own commands


@on_loop
async def test_the_servers_own_commands_are_answered_while_a_command_runs() -> None:
    laser = Laser()
    async with dispatching({"laser": laser}) as dispatch:
        running = await busy(dispatch, laser)
        waiting = Asked(dispatch, "look")
        assert await ask(dispatch, "link.ping") == success("link.ping", True)
        status = (await ask(dispatch, "link.status"))["result"]
        assert "instruments" in (await ask(dispatch, "link.describe"))["result"]
        check = [{"command_id": "set_power", "power": 1}]
        assert (await ask(dispatch, "link.check", requests=check))["status"] == "success"
        assert (running.replies, waiting.replies) == ([], [])

        assert status["version"] == __version__
        assert 0 <= status["uptime"] < PATIENCE
        assert 0 <= status["instruments"]["laser"].pop("seconds") < PATIENCE
        assert status["instruments"] == {
            "laser": {
                "state": "busy",
                "summary": "laser: busy with wait, 12.0 of 60.0 s",
                "waiting": 1,
                "command": "wait",
                "fraction": 0.2,
                "text": "12.0 of 60.0 s",
            }
        }


@on_loop
async def test_an_instrument_is_idle_once_its_command_is_answered() -> None:
    async with dispatching({"laser": Laser()}) as dispatch:
        await ask(dispatch, "look")
        status = await ask(dispatch, "link.status")
        assert status["result"]["instruments"]["laser"] == {
            "state": "idle",
            "summary": "laser: idle",
            "waiting": 0,
        }


@on_loop
async def test_the_description_gives_what_a_client_needs() -> None:
    def interact(data: dict[str, Any]) -> None:
        """Act on one message.

        And more.
        """

    laser = Laser()
    async with dispatching({"laser": laser}, interact) as dispatch:
        result = (await ask(dispatch, "link.describe"))["result"]
    assert list(result) == ["version", "instruments", "interact", "link"]
    assert result["version"] == __version__
    assert result["interact"] == "Act on one message.\n\nAnd more."
    assert result["instruments"]["laser"]["doc"] == "A laser that waits on request."
    assert list(result["instruments"]["laser"]["commands"]) == [
        "set_power",
        "wait",
        "look",
        "fail",
    ]
    assert result["instruments"]["laser"]["commands"]["set_power"] == {
        "doc": "Set the power.",
        "parameters": [
            {
                "name": "power",
                "required": True,
                "schema": {"type": "number", "minimum": 0},
                "unit": "W",
            }
        ],
        "result": {"schema": {"type": "number"}},
    }
    assert list(result["link"]) == ["ping", "status", "describe", "check"]


@on_loop
async def test_without_a_door_the_description_has_none() -> None:
    async with dispatching({"laser": Laser()}) as dispatch:
        assert (await ask(dispatch, "link.describe"))["result"]["interact"] is None


CHECKS: list[tuple[dict[str, Any], dict[str, Any]]] = [
    (
        {"command_id": "set_power", "power": 1},
        {"status": "success", "command_id": "set_power"},
    ),
    (
        {"command_id": "laser.set_power", "power": 1},
        {"status": "success", "command_id": "laser.set_power"},
    ),
    ({"command_id": "fail"}, {"status": "success", "command_id": "fail"}),
    (
        {"command_id": "set_power", "power": -1},
        failure(
            "set_power",
            "out_of_range",
            "power: -1 W is below the limit of 0 W",
            where="power",
        ),
    ),
    (
        {"command_id": "set_power", "power": 3},
        failure("set_power", "out_of_range", "power: 3.0 W would burn the fibre", where="power"),
    ),
    (
        {"command_id": "set_power"},
        failure(
            "set_power",
            "invalid_parameter",
            "missing parameter 'power' of 'set_power'",
            where="power",
        ),
    ),
    (
        {"command_id": "set_power", "power": 13},
        failure("set_power", "internal_error", "the checker's bug"),
    ),
    (
        {"power": 1},
        {
            "status": "fail",
            "code": "invalid_parameter",
            "error": "missing parameter 'command_id'",
            "where": "command_id",
        },
    ),
    (
        {"command_id": 5},
        {
            "status": "fail",
            "code": "invalid_parameter",
            "error": "command_id: expected str, got a number",
            "where": "command_id",
        },
    ),
    (
        {"command_id": "look", "link": 5},
        failure("look", "invalid_parameter", "link: expected 'object', got 'int'", where="link"),
    ),
    (
        5,
        {"status": "fail", "code": "malformed", "error": "expected one JSON object, got a number"},
    ),
    ({"command_id": "link.ping"}, {"status": "success", "command_id": "link.ping"}),
    (
        {"command_id": "link.pong"},
        failure(
            "link.pong",
            "unknown_command",
            "there is no command 'link.pong'; did you mean 'link.ping'?",
        ),
    ),
]

UNKNOWN = {"command_id": "set_pwer"}


@on_loop
async def test_each_request_is_checked_and_none_executed() -> None:
    laser = Laser()
    async with dispatching({"laser": laser}) as dispatch:
        requests = [request for request, _ in CHECKS]
        reply = await ask(dispatch, "link.check", requests=[*requests, UNKNOWN])
    assert reply["result"] == [
        *(verdict for _, verdict in CHECKS),
        failure(
            "set_pwer",
            "unknown_command",
            "there is no command 'set_pwer'; did you mean 'set_power'?",
        ),
    ]
    assert laser.executed == []


@on_loop
async def test_the_requests_of_one_check_are_counted() -> None:
    """They are checked on the event loop, where everybody waits for them."""
    async with dispatching({"laser": Laser()}) as dispatch:
        most = await ask(dispatch, "link.check", requests=[1] * MAX_CHECKED)
        more = await ask(dispatch, "link.check", requests=[1] * (MAX_CHECKED + 1))
    assert len(most["result"]) == 10_000
    assert more == failure(
        "link.check",
        "invalid_parameter",
        "requests: expected 'array' of length <= 10000",
        where="requests",
    )


@on_loop
async def test_what_only_the_door_knows_is_unchecked() -> None:
    """Everything else is checked as without a door, and the door is not asked."""
    asked: list[dict[str, Any]] = []
    laser = Laser()
    async with dispatching({"laser": laser}, asked.append) as dispatch:
        requests = [request for request, _ in CHECKS]
        known = {"command_id": "laser.set_pwer"}
        reply = await ask(dispatch, "link.check", requests=[*requests, UNKNOWN, known])
        refused = await ask(dispatch, "laser.set_pwer")
    sentence = "there is no command 'set_pwer'; did you mean 'set_power'?"
    assert reply["result"] == [
        *(verdict for _, verdict in CHECKS),
        {"status": "unchecked", "command_id": "set_pwer", "error": sentence},
        refused,
    ]
    assert refused["code"] == "unknown_command"
    assert (asked, laser.executed) == ([], [])


# Several instruments


@on_loop
async def test_a_prefix_chooses_among_instruments() -> None:
    red, blue = Laser(), Laser()
    async with dispatching({"red": red, "blue": blue}) as dispatch:
        assert await ask(dispatch, "blue.set_power", power=1) == success("blue.set_power", 1.0)
        assert await ask(dispatch, "red.set_power", power=2) == success("red.set_power", 2.0)
        assert await ask(dispatch, "set_power", power=1) == failure(
            "set_power",
            "unknown_command",
            "several instruments have 'set_power': say 'red.set_power' or 'blue.set_power'",
        )
        assert await ask(dispatch, "green.set_power", power=1) == failure(
            "green.set_power",
            "unknown_command",
            "there is no command 'green.set_power'; did you mean 'red.set_power'?",
        )
    assert (red.threads, blue.threads) == (["worker red"], ["worker blue"])
    assert (red.executed, blue.executed) == ([2.0], [1.0])


@on_loop
async def test_a_command_of_one_instrument_alone_needs_no_prefix() -> None:
    class Shutter(Laser):
        @command
        def open(self) -> str:
            """Open it."""
            return threading.current_thread().name

    async with dispatching({"laser": Laser(), "shutter": Shutter()}) as dispatch:
        assert await ask(dispatch, "open") == success("open", "worker shutter")


@on_loop
async def test_instruments_do_not_wait_for_each_other() -> None:
    red, blue = Laser(), Laser()
    async with dispatching({"red": red, "blue": blue}) as dispatch:
        running = await busy(dispatch, red, "red.wait")
        assert (await ask(dispatch, "blue.set_power", power=1))["status"] == "success"
        assert running.replies == []


@pytest.mark.parametrize(
    ("names", "sentence"),
    [
        (["link"], "an instrument cannot be named 'link': "),
        (["laser", "link"], "an instrument cannot be named 'link': "),
        (["a.b"], "an instrument cannot be named 'a.b': letters, digits and _ only"),
        ([""], "an instrument cannot be named '': letters, digits and _ only"),
        (["1"], "an instrument cannot be named '1': letters, digits and _ only"),
    ],
)
def test_a_name_that_cannot_stand_before_a_command_is_refused(
    names: list[str], sentence: str
) -> None:
    """Before a thread is started, whoever asks."""
    instruments = {name: Laser() for name in names}
    before = threading.active_count()

    async def dispatch() -> None:
        Dispatch(instruments)

    with pytest.raises(ValueError, match="^" + re.escape(sentence)):
        check_instruments(instruments)
    with pytest.raises(ValueError, match="^" + re.escape(sentence)):
        asyncio.run(dispatch())
    assert threading.active_count() == before


def test_one_instrument_cannot_have_two_names() -> None:
    """It would have two workers, and see two commands at a time."""
    laser = Laser()
    with pytest.raises(
        ValueError, match=r"^'red' and 'blue' are one instrument: give it one name$"
    ):
        check_instruments({"red": laser, "blue": laser})
    check_instruments({"red": laser, "blue": Laser()})


# The template's door


@on_loop
async def test_every_command_goes_through_the_one_door() -> None:
    """In the thread of the instrument that has it, of the first one otherwise; link.* excepted."""

    class Shutter(Instrument):
        @command
        def open(self) -> None:
            """Open it."""

    seen: list[tuple[dict[str, Any], str]] = []

    def interact(data: dict[str, Any]) -> str:
        seen.append((data, threading.current_thread().name))
        return "from the door"

    instruments: dict[str, Any] = {"laser": Laser(), "shutter": Shutter()}
    dispatch = Dispatch(instruments, interact)
    for command_id in ("set_power", "open", "shutter.open", "test_command", "a.b.c"):
        asked = Asked(dispatch, command_id, {"param1": 1}, LinkMembers(timeout=PATIENCE))
        assert await asked.reply() == success(command_id, "from the door")
    assert await ask(dispatch, "link.ping") == success("link.ping", True)
    assert (await ask(dispatch, "link.pong"))["code"] == "unknown_command"
    await dispatch.close(PATIENCE)
    assert seen == [
        ({"command_id": "set_power", "param1": 1}, "worker laser"),
        ({"command_id": "open", "param1": 1}, "worker shutter"),
        ({"command_id": "open", "param1": 1}, "worker shutter"),
        ({"command_id": "test_command", "param1": 1}, "worker laser"),
        ({"command_id": "a.b.c", "param1": 1}, "worker laser"),
    ]


@on_loop
async def test_the_door_hands_on_or_raises() -> None:
    laser = Laser()

    def interact(data: dict[str, Any]) -> Any:
        if data["command_id"] == "test_command":
            return data["param1"]
        return laser.interact(data)

    async with dispatching({"laser": laser}, interact) as dispatch:
        assert await ask(dispatch, "test_command", param1=[1]) == success("test_command", [1])
        assert await ask(dispatch, "test_command") == failure(
            "test_command", "internal_error", "KeyError: 'param1'"
        )
        assert await ask(dispatch, "set_power", power=1) == success("set_power", 1.0)
        assert await ask(dispatch, "laser.set_power", power=3) == failure(
            "laser.set_power", "out_of_range", "power: 3.0 W would burn the fibre", where="power"
        )
        assert await ask(dispatch, "look") == success("look", threading.current_thread().name)
        assert await ask(dispatch, "set_pwer") == failure(
            "set_pwer",
            "unknown_command",
            "there is no command 'set_pwer'; did you mean 'set_power'?",
        )


@on_loop
async def test_a_function_alone_is_served() -> None:
    def interact(data: dict[str, Any]) -> str:
        return threading.current_thread().name

    async with dispatching({}, interact) as dispatch:
        assert await ask(dispatch, "anything") == success("anything", "worker interact")
        status = (await ask(dispatch, "link.status"))["result"]
        assert list(status["instruments"]) == ["interact"]


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
        slow = Asked(dispatch, "wait", {}, LinkMembers(timeout=TIME_TO_START))
        assert await slow.reply() == failure(
            "wait", "timeout", f"wait has not finished in {TIME_TO_START} s; it goes on"
        )
        assert laser.started.is_set()
        assert laser.executed == []
        laser.go_on.set()
        assert (await ask(dispatch, "look"))["status"] == "success"
        assert laser.executed == ["wait"]
        assert len(slow.replies) == 1
    assert [record.getMessage() for record in caplog.records] == [
        "wait succeeded after its client had been answered or had gone"
    ]


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
def test_a_command_in_time_is_answered_and_its_timer_is_gone(timeout: float) -> None:
    @on_loop
    async def test() -> None:
        async with dispatching({"laser": Laser()}) as dispatch:
            asked = Asked(dispatch, "set_power", {"power": 1}, LinkMembers(timeout=timeout))
            assert await asked.reply() == success("set_power", 1.0)
            assert asked.exchange._timer is not None
            assert asked.exchange._timer.cancelled()

    test()


# Clients that go


@on_loop
async def test_a_command_whose_client_has_gone_is_never_started(
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.INFO, "artiq_link")
    laser = Laser()
    async with dispatching({"laser": laser}) as dispatch:
        await busy(dispatch, laser)
        gone = Asked(dispatch, "set_power", {"power": 1}, LinkMembers(timeout=PATIENCE))
        gone.exchange.abandon()
        laser.go_on.set()
        await ask(dispatch, "look")
    assert laser.executed == ["wait"]
    assert gone.replies == []
    assert [record.getMessage() for record in caplog.records] == [
        "set_power was not started: its client has gone"
    ]
    assert gone.exchange._timer is not None
    assert gone.exchange._timer.cancelled()


@on_loop
async def test_a_running_command_goes_on_without_its_client(
    caplog: pytest.LogCaptureFixture,
) -> None:
    laser = Laser()
    async with dispatching({"laser": laser}) as dispatch:
        gone = await busy(dispatch, laser)
        gone.exchange.abandon()
        laser.go_on.set()
        await ask(dispatch, "look")
    assert (laser.executed, gone.replies) == (["wait"], [])
    assert [record.getMessage() for record in caplog.records] == [
        "wait succeeded after its client had been answered or had gone"
    ]


# The end


@on_loop
async def test_closing_refuses_what_waits_finishes_what_runs_and_closes_instruments() -> None:
    red, blue = Laser(), Laser()
    dispatch = Dispatch({"red": red, "blue": blue})
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
    dispatch = Dispatch({"red": red, "blue": blue})
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


def test_a_stop_before_an_instrument_has_begun_to_open() -> None:
    laser = Laser()

    @on_loop
    async def stop_at_once() -> None:
        dispatch = Dispatch({"laser": laser})
        await busy(dispatch, laser)
        opening = dispatch.open()
        await asyncio.sleep(0)
        opening.cancel()
        await dispatch.close(0)

    stopping = threading.Thread(target=stop_at_once, daemon=True)
    stopping.start()
    stopping.join(PATIENCE)
    laser.go_on.set()
    assert not stopping.is_alive()


def test_a_command_may_end_after_the_event_loop() -> None:
    """It has overrun the server's stop: its client is told at the stop, and nothing fails."""
    laser = Laser()
    asked: list[Asked] = []

    @on_loop
    async def stop_too_soon() -> None:
        dispatch = Dispatch({"laser": laser})
        asked.append(await busy(dispatch, laser))
        await dispatch.close(0)

    stop_too_soon()
    [thread] = [thread for thread in threading.enumerate() if thread.name == "worker laser"]
    laser.go_on.set()
    thread.join(PATIENCE)
    assert not thread.is_alive()
    assert (laser.executed, laser.closed) == (["wait"], 0)
    assert [str(reply.error) for reply in asked[0].replies] == [
        "wait has not finished; the server stops without it"
    ]


def without(attribute: str) -> Laser:
    laser = Laser()
    setattr(laser, attribute, None)
    return laser


@pytest.mark.parametrize(
    ("instruments", "sentence"),
    [
        ([Laser()], 'instruments: expected a dictionary, such as {"dds": dds}'),
        ({"laser": 5}, "'laser': expected an Instrument, got 5"),
        ({"laser": without("interact")}, "'laser': its attribute 'interact' must not be replaced"),
        ({"laser": without("close")}, "'laser': its attribute 'close' must not be replaced"),
    ],
)
def test_what_is_no_instrument_is_refused(instruments: Any, sentence: str) -> None:
    with pytest.raises(TypeError) as caught:
        check_instruments(instruments)
    assert str(caught.value) == sentence


def test_a_class_is_no_instrument() -> None:
    with pytest.raises(TypeError, match=r"Laser'>; did you forget the \(\)\?$"):
        check_instruments({"laser": Laser})  # type: ignore[dict-item]


def test_replaced_commands_are_refused() -> None:
    laser = Laser()
    laser.commands = []  # type: ignore[assignment]
    with pytest.raises(TypeError, match=r"^'laser': its attribute 'commands' must not be"):
        check_instruments({"laser": laser})
