"""Tests of the shutters: a real server, the Arduino simulated at the end of a real line.

python -m pytest test_shutter.py
"""

import sys

import pytest
from shutter_server import Shutter
from shutter_simulation import SimulatedShutter

from artiq_link import InstrumentError, Link, ServerFailed, serve_in_background
from artiq_link.transports import Protocol
from artiq_link.transports.fake import FakeSerial, FakeTcp, LineDevice

# Windows has no pseudo-terminals.
LINES = [FakeTcp] if sys.platform == "win32" else [FakeTcp, FakeSerial]


@pytest.fixture
def arduino():
    """The simulated Arduino, to look into."""
    return SimulatedShutter()


@pytest.fixture(params=LINES)
def cable(arduino, request):
    """What the Arduino is attached by, and can be pulled out."""
    with request.param(arduino) as cable:
        yield cable


@pytest.fixture
def shutter(cable):
    """The instrument."""
    return Shutter(cable.device_string, Protocol())


@pytest.fixture
def link(shutter):
    """A client of a server on a free port."""
    with serve_in_background({"shutter": shutter}) as server:
        yield Link(port=server.port)


def test_a_shutter_opens_and_closes_and_the_others_stay(link, arduino):
    assert link.call("set_shutter", channel=2, state="open") == "open"
    assert link.call("get_shutters") == ["closed", "closed", "open", "closed"]
    assert link.call("set_shutter", channel=0, state="open") == "open"
    assert link.call("set_shutter", channel=2, state="closed") == "closed"
    assert arduino.is_open == [True, False, False, False]


@pytest.mark.parametrize(
    ("parameters", "sentence"),
    [
        ({"channel": 4, "state": "open"}, "out_of_range: channel: 4 is above the limit of 3"),
        ({"channel": -1, "state": "open"}, "out_of_range: channel: -1 is below the limit of 0"),
        (
            {"channel": 0, "state": "opened"},
            "invalid_parameter: state: 'opened' is not one of 'open', 'closed'",
        ),
        (
            {"channel": True, "state": "open"},
            "invalid_parameter: channel: expected 'int', got 'bool'",
        ),
    ],
)
def test_what_there_is_not_is_refused_and_nothing_moves(link, cable, parameters, sentence):
    link.call("get_shutters")
    heard = cable.heard
    with pytest.raises(ServerFailed) as failure:
        link.call("set_shutter", **parameters)
    assert str(failure.value) == sentence
    assert cable.heard == heard


def test_opening_and_closing_the_instrument_move_nothing(shutter, arduino):
    arduino.is_open = [True, False, True, False]
    with serve_in_background({"shutter": shutter}) as server:
        Link(port=server.port).call("get_shutters")
    assert arduino.is_open == [True, False, True, False]


def test_an_arduino_that_restarts_when_it_is_opened_is_waited_for(cable):
    """Longer than for an answer."""
    shutter = Shutter(cable.device_string, Protocol(wake=1.2, timeout=1.0))
    with serve_in_background({"shutter": shutter}) as server:
        assert Link(port=server.port).call("get_shutters") == ["closed"] * 4


def test_all_are_closed_at_once(link, arduino):
    arduino.is_open = [True] * 4
    link.call("close_all")
    assert arduino.is_open == [False] * 4


def test_after_it_was_pulled_out_its_shutters_are_closed(link, cable):
    link.call("set_shutter", channel=1, state="open")
    cable.unplug()
    with pytest.raises(ServerFailed, match="instrument_error: "):
        link.call("get_shutters")
    cable.plug()
    assert link.call("get_shutters") == ["closed"] * 4


class Other(LineDevice):
    """Something else at the same port."""

    def answer(self, line):
        return b"error: what is that?" if line == b"identify" else b"2"


def test_another_device_is_not_taken_for_the_shutters():
    with FakeTcp(Other()) as cable:
        shutter = Shutter(cable.device_string, Protocol())
        with pytest.raises(InstrumentError, match=r"has no shutters: it says 'error: what is th"):
            shutter.open_hardware()
        with pytest.raises(InstrumentError, match="'get' was answered with '2'"):
            shutter.get_shutters()
        with pytest.raises(InstrumentError, match="'open 0' was answered with '2'"):
            shutter.set_shutter(0, "open")
        shutter.close()
