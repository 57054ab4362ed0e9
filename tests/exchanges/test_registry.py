"""The registry: who has a command, whatever asks."""

from __future__ import annotations

import re
import threading
from typing import Any

import pytest

from artiq_link import Instrument, command, unknown
from artiq_link.exchanges.dispatch import Dispatch
from artiq_link.exchanges.messages import LinkMembers
from artiq_link.exchanges.registry import Registry, check_instruments
from tests.conftest import PATIENCE
from tests.exchanges.asking import Asked, Laser, ask, busy, dispatching, failure, on_loop, success


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

    with pytest.raises(ValueError, match="^" + re.escape(sentence)):
        check_instruments(instruments)
    with pytest.raises(ValueError, match="^" + re.escape(sentence)):
        Registry(instruments)
    assert threading.active_count() == before


def test_one_instrument_cannot_have_two_names() -> None:
    """It would have two workers, and see two commands at a time."""
    laser = Laser()
    with pytest.raises(
        ValueError, match=r"^'red' and 'blue' are one instrument: give it one name$"
    ):
        check_instruments({"red": laser, "blue": laser})
    check_instruments({"red": laser, "blue": Laser()})


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
    dispatch = Dispatch(Registry(instruments, interact))
    await dispatch.open()
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
            "test_command",
            "invalid_parameter",
            "missing parameter 'param1' of 'test_command'",
            where="param1",
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


@on_loop
async def test_a_function_that_falls_off_its_end_has_no_success_with_other_names() -> None:
    opened: list[str] = []

    def interact(data: dict[str, Any]) -> None:
        if data["command_id"] == "open":
            opened.append("shutter")
        elif data["command_id"] == "block":
            opened.clear()

    async with dispatching({}, interact) as dispatch:
        assert await ask(dispatch, "open") == success("open", None)
        assert opened == ["shutter"]
        assert await ask(dispatch, "opn") == failure(
            "opn", "unknown_command", "there is no command 'opn'; did you mean 'open'?"
        )
        requests = [{"command_id": name} for name in ("open", "opn")]
        checked = (await ask(dispatch, "link.check", requests=requests))["result"]
        assert [check["status"] for check in checked] == ["unchecked", "fail"]


@on_loop
async def test_an_instrument_s_command_that_the_function_does_not_hand_on() -> None:
    laser = Laser()

    def interact(data: dict[str, Any]) -> Any:
        name = data["command_id"]
        if name == "wait":
            return laser.interact(data)
        return None

    async with dispatching({"laser": laser}, interact) as dispatch:
        for command_id in ("set_power", "laser.set_power"):
            assert await ask(dispatch, command_id, power=1) == failure(
                command_id,
                "unknown_command",
                "the server's interact does not hand 'set_power' on to 'laser'; its last line "
                "may do so: return laser.interact(data)",
            )
        laser.go_on.set()
        assert await ask(dispatch, "wait") == success("wait", "waited")
    assert laser.executed == ["wait"]


@on_loop
async def test_a_second_instrument_that_the_function_does_not_hand_on() -> None:
    """The first one's own refusal would name one of its commands, and not what is missing."""

    class Shutter(Instrument):
        @command
        def shut(self) -> None:
            """Shut it."""

    first, second = Laser(), Shutter()

    def interact(data: dict[str, Any]) -> Any:
        return first.interact(data)

    async with dispatching({"first": first, "second": second}, interact) as dispatch:
        for command_id in ("shut", "second.shut"):
            assert await ask(dispatch, command_id) == failure(
                command_id,
                "unknown_command",
                "the server's interact does not hand 'shut' on to 'second'; it may do so: "
                "if data['command_id'] in second.commands: return second.interact(data)",
            )
        assert (await ask(dispatch, "set_power", power=1))["status"] == "success"


@on_loop
async def test_the_function_is_judged_by_the_name_that_it_would_see() -> None:
    """That is the whole one where several instruments have the command."""
    red, blue = Laser(), Laser()

    def interact(data: dict[str, Any]) -> Any:
        if data["command_id"] == "red.look":
            return red.interact({**data, "command_id": "look"})
        return None

    async with dispatching({"red": red, "blue": blue}, interact) as dispatch:
        assert (await ask(dispatch, "red.look"))["status"] == "success"
        assert (await ask(dispatch, "blue.look"))["code"] == "unknown_command"
        assert (await ask(dispatch, "look"))["code"] == "unknown_command"
    async with dispatching({"red": Laser()}, interact) as dispatch:
        assert (await ask(dispatch, "red.look"))["code"] == "unknown_command"


@on_loop
async def test_a_function_refuses_what_is_left() -> None:
    """By its last line, where its text alone does not show that nothing is done."""

    def interact(data: dict[str, Any]) -> Any:
        threading.current_thread()
        if data["command_id"] in {"open", "block"}:
            return None
        return unknown(data)

    async with dispatching({"laser": Laser()}, interact) as dispatch:
        assert await ask(dispatch, "block") == success("block", None)
        assert await ask(dispatch, "opn") == failure(
            "opn", "unknown_command", "there is no command 'opn'; did you mean 'open'?"
        )
        assert await ask(dispatch, "setpower") == failure(
            "setpower",
            "unknown_command",
            "there is no command 'setpower'; did you mean 'set_power'?",
        )


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
