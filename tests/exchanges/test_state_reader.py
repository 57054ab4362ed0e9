"""What is fetched and published into a state, over real connections."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from artiq_link import (
    HardwareLost,
    Instrument,
    InstrumentError,
    LinkServer,
    command,
    exchange,
    publish,
    reading,
)
from artiq_link.exchanges import state_reader
from artiq_link.exchanges.state_reader import AHEAD, MAX_MEMBERS, MAX_STATE, SHARE, StateReader
from tests.conftest import PATIENCE, until
from tests.exchanges.asking import on_loop

Serve = Callable[..., LinkServer]


def state_of(server: LinkServer, name: str = "meter") -> Any:
    return exchange({"command_id": "link.state"}, port=server.port)["instruments"][name]["state"]


class Meter(Instrument):
    """Reads its power, which may fail, and counts how often."""

    def __init__(self) -> None:
        self.power_now: Any = 1e-3
        self.count = 0
        self.read_in: set[str] = set()
        self.go_on = threading.Event()
        self.go_on.set()
        self.started = threading.Event()
        self.is_there = True

    def open_hardware(self) -> None:
        if not self.is_there:
            raise HardwareLost("no answer")

    @reading(period=0.01)
    def power(self) -> float:
        """Measure the power."""
        self.count += 1
        self.read_in.add(threading.current_thread().name)
        self.started.set()
        assert self.go_on.wait(PATIENCE)
        if isinstance(self.power_now, BaseException):
            raise self.power_now
        return self.power_now  # type: ignore[no-any-return]

    @command
    def zero(self) -> None:
        """Set it to zero."""
        self.power_now = 0.0

    @command
    def look(self) -> None:
        """Publish what it sees."""
        publish({"spot": {"x": 1, "y": 2}})
        publish({"spot": {"y": None}, "lost": [1]})

    @command
    async def look_later(self) -> None:
        """Publish on the event loop."""
        await asyncio.sleep(0)
        publish({"later": True})


@pytest.fixture
def meter() -> Meter:
    return Meter()


def test_a_reading_stands_in_the_state_under_its_name(serve: Serve, meter: Meter) -> None:
    """It is taken in the instrument's thread, again and again while somebody looks."""
    server = serve({"meter": meter})
    assert meter.count == 0
    assert state_of(server) == {"power": 1e-3}
    meter.power_now = 2e-3
    until(lambda: state_of(server) == {"power": 2e-3})
    count = meter.count
    until(lambda: meter.count > count + 3)
    assert meter.read_in == {"worker meter"}


def test_no_reading_is_taken_while_nobody_looks(
    serve: Serve, meter: Meter, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("artiq_link.exchanges.feed.LOOK_TIME", 0.01)
    server = serve({"meter": meter})
    state_of(server)
    reader = server.dispatch._readers["meter"]
    until(lambda: not reader._is_wanted)
    exchange({"command_id": "zero"}, port=server.port)
    count = meter.count
    exchange({"command_id": "zero"}, port=server.port)
    assert meter.count == count


@pytest.mark.parametrize(
    ("fault", "told"),
    [
        (InstrumentError("no light"), "no light"),
        (RuntimeError("the bug's text"), "the bug's text"),
        (SystemExit(3), "SystemExit: 3"),
        (float("nan"), "it holds NaN or an infinity, which JSON does not have"),
        (object(), "an object of type object is not JSON's"),
    ],
)
def test_a_reading_that_fails_is_null_and_one_warning(
    serve: Serve, meter: Meter, fault: Any, told: str, caplog: pytest.LogCaptureFixture
) -> None:
    server = serve({"meter": meter})
    meter.power_now = fault
    assert state_of(server) == {"power": None}
    count = meter.count
    until(lambda: meter.count > count + 3)
    warning = f"meter.power cannot be read: {told}"
    assert [record.getMessage() for record in caplog.records] == [warning]
    exchange({"command_id": "zero"}, port=server.port)
    until(lambda: state_of(server) == {"power": 0.0})
    meter.power_now = fault
    until(lambda: len(caplog.records) == 2)


def test_a_reading_finds_out_that_the_hardware_is_lost(serve: Serve, meter: Meter) -> None:
    """It is opened again, and then read again; meanwhile nothing is known."""
    server = serve({"meter": meter})
    assert state_of(server) == {"power": 1e-3}
    meter.is_there, meter.power_now = False, OSError(5, "no such device")

    def state() -> Any:
        status = exchange({"command_id": "link.status"}, port=server.port)
        return status["instruments"]["meter"]["state"]

    until(lambda: state() == "lost")
    until(lambda: state_of(server) == {"power": None})
    meter.is_there, meter.power_now = True, 3e-3
    exchange({"command_id": "link.reopen", "instrument": "meter"}, port=server.port)
    until(lambda: state_of(server) == {"power": 3e-3})


def test_the_status_tells_of_a_reading_that_blocks(
    serve: Serve, meter: Meter, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is asked meanwhile is told what was known before."""
    monkeypatch.setattr("artiq_link.exchanges.state_reader.SHOWN_AFTER", 0.0)
    server = serve({"meter": meter})
    meter.go_on.clear()
    assert state_of(server) == {"power": None}
    assert meter.started.wait(PATIENCE)
    status = exchange({"command_id": "link.status"}, port=server.port)["instruments"]["meter"]
    assert (status["state"], status["command"]) == ("busy", "power")
    assert status["summary"].startswith("meter: busy with power, for ")
    meter.go_on.set()
    until(lambda: state_of(server) == {"power": 1e-3})


def test_what_is_published_is_merged_into_the_state(serve: Serve, meter: Meter) -> None:
    server = serve({"meter": meter})
    for command_id in ("look", "look_later"):
        exchange({"command_id": command_id}, port=server.port)
    assert state_of(server) == {"spot": {"x": 1}, "lost": [1], "later": True, "power": 1e-3}


def test_an_interact_without_instruments_publishes_under_its_workers_name(serve: Serve) -> None:
    def interact(data: dict[str, Any]) -> None:
        publish({"last": data["command_id"]})

    server = serve({}, interact=interact)
    assert state_of(server, "interact") is None
    for command_id in ("open", "shut"):
        exchange({"command_id": command_id}, port=server.port)
        assert state_of(server, "interact") == {"last": command_id}


def test_where_no_server_runs_publishing_does_nothing() -> None:
    publish({"power": 1})
    with pytest.raises(TypeError, match="publish: expected a dict, such as"):
        publish(1)  # type: ignore[arg-type]
    Meter().changed()
    Meter().look()


def test_a_state_that_is_no_object_has_no_place_for_readings(serve: Serve) -> None:
    class Odd(Meter):
        def state(self) -> Any:
            return [1]

    server = serve({"meter": Odd()})
    told = exchange({"command_id": "link.state"}, port=server.port)["instruments"]["meter"]
    why = "expected an object, beside what was read, got an array"
    assert told["error"] == f"the state of meter cannot be shown: {why}"


class Full(Instrument):
    """Shows whatever a test gives it."""

    def __init__(self, shown: Any) -> None:
        self.shown = shown

    def state(self) -> Any:
        return self.shown


@pytest.mark.parametrize(
    ("shown", "problem"),
    [
        ({"a": [{str(n): n} for n in range(MAX_MEMBERS - 1)]}, None),
        ({"a": [{str(n): n} for n in range(MAX_MEMBERS)]},
         f"it has {MAX_MEMBERS + 1} members, of {MAX_MEMBERS} at most"),
        ({"a": ": " * MAX_MEMBERS, "b": list(range(2 * MAX_MEMBERS))}, None),
        ({"a": "x" * MAX_STATE}, f"it has {MAX_STATE + 8} characters, of {MAX_STATE} at most"),
        ({"a": np.zeros(MAX_STATE // 16)}, None),
    ],
    ids=["members", "too many members", "none of them", "too long", "an array"],
)  # fmt: skip
def test_a_state_that_would_hold_others_up_is_told_as_its_error(
    serve: Serve, shown: Any, problem: str | None
) -> None:
    server = serve({"full": Full(shown)})
    told = exchange({"command_id": "link.state"}, port=server.port)
    error = told["instruments"]["full"].get("error")
    assert error == (problem and f"the state of full cannot be shown: {problem}")


class Slow(Instrument):
    """Takes long to tell of its state, by a clock of its own."""

    def __init__(self, seconds: float) -> None:
        self.seconds = seconds
        self.now = 0.0
        self.readings = 0

    def monotonic(self) -> float:
        return self.now

    def state(self) -> int:
        self.readings += 1
        self.now += self.seconds
        return self.readings


def watched(slow: Slow, monkeypatch: pytest.MonkeyPatch) -> StateReader:
    """Its reader, which has read it once and goes by its clock; this thread is the worker's."""
    monkeypatch.setattr(state_reader, "time", slow)
    reader = StateReader("slow", slow, lambda found: None)
    reader.begin(lambda: None, lambda error: None)
    reader.want(True)
    reader.tend(lambda: True, is_lost=False)
    assert slow.readings == 1
    return reader


@on_loop
async def test_a_state_that_was_read_slowly_is_read_again_within_a_command(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The command says once that it has changed, and goes on for long: nobody else reads it."""
    slow = Slow(AHEAD * SHARE / 2)
    reader = watched(slow, monkeypatch)
    reader.changed()
    assert slow.readings == 2


@on_loop
async def test_a_slow_state_takes_its_share_of_the_thread_and_no_more(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """However often it changes, within a command and between them."""
    slow = Slow(0.02)
    reader = watched(slow, monkeypatch)
    for step in range(100_000):
        slow.now += 0.001
        reader.changed() if step % 2 else reader.tend(lambda: True, is_lost=False)
    share, ahead = SHARE * slow.now, SHARE * AHEAD
    assert share - slow.seconds < slow.readings * slow.seconds < share + ahead + slow.seconds
