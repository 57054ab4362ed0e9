"""Instrument: from a request's object to one of its methods."""

from __future__ import annotations

import inspect
from typing import Annotated, Any

import msgspec
import pytest

from artiq_link.errors import (
    ExchangeError,
    InvalidParameter,
    Malformed,
    OutOfRange,
    UnknownCommand,
)
from artiq_link.instrument.command import command
from artiq_link.instrument.instrument import Instrument


class Shutter(Instrument):
    """Four beam shutters."""

    def __init__(self) -> None:
        self.link_name = "shutter"
        self.executed: list[int] = []

    @command
    def open(self, channel: Annotated[int, msgspec.Meta(ge=0)]) -> str:
        """Open one shutter."""
        self.executed.append(channel)
        return f"{channel} is open"

    @open.checker
    def _check_open(self, channel: int) -> None:
        if channel > 3:
            raise OutOfRange(f"channel: there is no shutter {channel}", "channel")

    @command
    async def look(self) -> str:
        """Look at the shutters."""
        return "all closed"


@pytest.mark.parametrize("command_id", ["open", "shutter.open"])
def test_a_request_runs_its_command(command_id: str) -> None:
    shutter = Shutter()
    assert shutter.interact({"command_id": command_id, "channel": 2}) == "2 is open"
    assert shutter.executed == [2]


def test_the_reserved_key_is_no_parameter() -> None:
    data = {"command_id": "open", "channel": 2, "link": {"timeout": 5.0}}
    assert Shutter().interact(data) == "2 is open"


def test_an_async_command_gives_its_coroutine() -> None:
    coroutine = Shutter().interact({"command_id": "look"})
    assert inspect.iscoroutine(coroutine)
    with pytest.raises(StopIteration) as stopped:
        coroutine.send(None)
    assert stopped.value.value == "all closed"


@pytest.mark.parametrize(
    ("data", "kind", "sentence"),
    [
        ([], Malformed, "expected one JSON object, got an array"),
        ({"channel": 1}, InvalidParameter, "missing parameter 'command_id'"),
        (
            {"command_id": "opn"},
            UnknownCommand,
            "there is no command 'opn'; did you mean 'open'?",
        ),
        (
            {"command_id": "dds.open", "channel": 1},
            UnknownCommand,
            "there is no command 'dds.open'; did you mean 'open'?",
        ),
        ({"command_id": "interact"}, UnknownCommand, "there is no command 'interact'"),
        ({"command_id": "_check_open"}, UnknownCommand, "there is no command '_check_open'"),
        ({"command_id": "open"}, InvalidParameter, "missing parameter 'channel' of 'open'"),
        (
            {"command_id": "open", "channel": -1},
            OutOfRange,
            "channel: -1 is below the limit of 0",
        ),
        (
            {"command_id": "open", "channel": 4},
            OutOfRange,
            "channel: there is no shutter 4",
        ),
    ],
)
def test_a_wrong_request_is_refused_and_nothing_executed(
    data: Any, kind: type[ExchangeError], sentence: str
) -> None:
    """`check` must say the same as `interact`."""
    shutter = Shutter()
    for door in (shutter.interact, shutter.check):
        with pytest.raises(kind) as caught:
            door(data)
        assert str(caught.value) == sentence
    assert shutter.executed == []


def test_a_check_executes_nothing() -> None:
    shutter = Shutter()
    shutter.check({"command_id": "open", "channel": 2})
    shutter.check({"command_id": "look"})
    assert shutter.executed == []


@pytest.mark.parametrize("name", ["check", "close", "interact", "ping", "safe_state", "terminate"])
def test_the_links_own_names_cannot_be_commands(name: str) -> None:
    def method(self: Any) -> None: ...

    method.__name__ = name
    with pytest.raises(TypeError) as caught:
        type("Pump", (Instrument,), {name: command(method)})
    assert str(caught.value) == (
        f"Pump.{name} cannot be a command: the name is the link's own; "
        f"choose another, such as '{name}_pump'"
    )


def test_an_instrument_is_described() -> None:
    description = Shutter().describe()
    assert description["doc"] == "Four beam shutters."
    assert list(description["commands"]) == ["open", "look"]
    assert description["commands"]["open"]["doc"] == "Open one shutter."


def test_nothing_needs_to_be_overridden() -> None:
    """Without `__init__`, `close` and `safe_state` of its own an instrument works."""

    class Bare(Instrument):
        pass

    bare = Bare()
    bare.safe_state()
    bare.close()
    assert bare.describe() == {"doc": "", "commands": {}}
    with pytest.raises(UnknownCommand):
        bare.interact({"command_id": "open"})
