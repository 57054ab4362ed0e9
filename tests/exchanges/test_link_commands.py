"""``link.*``: what the server answers itself, also while commands run."""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any

import pytest

from artiq_link import __version__
from artiq_link.exchanges.link_commands import MAX_CHECKED
from artiq_link.instrument.activity import Activity
from tests.conftest import PATIENCE
from tests.exchanges.asking import Asked, Laser, ask, busy, dispatching, failure, on_loop, success


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
        assert status["loop"] == "asyncio"
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


class Dryer(Laser):
    """Cools down by itself."""

    cooling: Activity | None = Activity("cools down", 0.25)

    def activity(self) -> Activity | None:
        return self.cooling


class Broken(Laser):
    """Its author was in a hurry."""

    def __init__(self, activity: Callable[[], Any]) -> None:
        super().__init__()
        self.make = activity

    def activity(self) -> Any:
        return self.make()


def no_fraction() -> Any:
    raise KeyError("fraction")


@on_loop
async def test_what_goes_on_after_a_command_is_told() -> None:
    async with dispatching({"dryer": Dryer()}) as dispatch:
        told = (await ask(dispatch, "link.status"))["result"]["instruments"]
        assert told["dryer"] == {
            "state": "idle",
            "summary": "dryer: idle; cools down",
            "waiting": 0,
            "activity": {"text": "cools down", "fraction": 0.25},
        }


@pytest.mark.parametrize(
    ("activity", "told"),
    [
        (no_fraction, "KeyError: 'fraction'"),
        (lambda: sys.exit(3), "SystemExit: 3"),
        (lambda: {"text": "cools down"}, "expected an Activity, got an object"),
        (lambda: Activity(7), "Activity: expected a text, got a number"),  # type: ignore[arg-type]
        (
            lambda: Activity("cools down", float("nan")),
            "Activity: expected a fraction from 0 to 1, got nan",
        ),
    ],
)
@on_loop
async def test_an_activity_that_fails_is_told_and_hides_nothing(
    activity: Callable[[], Any], told: str
) -> None:
    """It is asked on the event loop, where nothing may end the server."""
    async with dispatching({"broken": Broken(activity)}) as dispatch:
        status = (await ask(dispatch, "link.status"))["result"]["instruments"]
        assert status["broken"]["summary"] == f"broken: idle; its activity() failed: {told}"


@on_loop
async def test_what_nobody_can_write_is_told_as_escapes() -> None:
    async with dispatching({"dryer": Broken(lambda: Activity("dries \udcff"))}) as dispatch:
        status = (await ask(dispatch, "link.status"))["result"]["instruments"]
        assert status["dryer"]["activity"] == {"text": r"dries \udcff", "fraction": None}


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
    assert list(result) == ["version", "buffers", "instruments", "interact", "link"]
    assert result["buffers"] is True
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
    own = ["ping", "status", "describe", "check", "batch", "abort", "reopen", "stop"]
    own += [
        "outcome",
        "history",
        "acquire",
        "release",
        "renew",
        "state",
        "subscribe",
        "sign_in",
        "sign_out",
    ]
    own += ["metrics"]
    assert list(result["link"]) == own


@on_loop
async def test_without_a_door_the_description_has_none() -> None:
    async with dispatching({"laser": Laser()}) as dispatch:
        assert (await ask(dispatch, "link.describe"))["result"]["interact"] is None


@on_loop
async def test_one_command_is_described_alone() -> None:
    """By each name that asks for it; what only the door may know is not described."""
    async with dispatching({"laser": Laser(), "other": Laser()}, lambda data: None) as dispatch:
        whole = (await ask(dispatch, "link.describe"))["result"]
        look = whole["instruments"]["laser"]["commands"]["look"]
        for asked in ({"command": "laser.look"}, {"command": "look", "instrument": "laser"}):
            reply = await ask(dispatch, "link.describe", **asked)
            assert reply == success("link.describe", {"command_id": "laser.look", **look})
        reply = await ask(dispatch, "link.describe", command="link.ping")
        ping = {"command_id": "link.ping", **whole["link"]["ping"]}
        assert reply == success("link.describe", ping)
        for name, error in {
            "look": "several instruments have 'look': say 'laser.look' or 'other.look'",
            "laser.luk": "there is no command 'laser.luk'; did you mean 'laser.look'?",
            "": "there is no command ''",
        }.items():
            assert await ask(dispatch, "link.describe", command=name) == failure(
                "link.describe", "unknown_command", error
            )


@on_loop
async def test_what_only_interact_knows_is_not_said_to_be_missing() -> None:
    """Nor is it proposed in its own place."""

    def interact(data: dict[str, Any]) -> Any:
        return "dark" if data["command_id"] == "lasers_off" else None

    error = "only the server's interact knows 'lasers_off', and it declares no parameters"
    async with dispatching({"laser": Laser()}, interact) as dispatch:
        reply = await ask(dispatch, "link.describe", command="lasers_off")
        assert reply == failure("link.describe", "unknown_command", error)
        verdict = {"status": "unchecked", "command_id": "lasers_off", "error": error}
        reply = await ask(dispatch, "link.check", requests=[{"command_id": "lasers_off"}])
        assert reply["result"] == [verdict]


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
