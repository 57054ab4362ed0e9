"""A line that is pulled out and plugged in, below a server: told as lost, and opened by itself."""

from __future__ import annotations

import sys
import time

import pytest

from artiq_link import DDS, Link, ServerFailed, serve_in_background
from artiq_link.drivers.novatech_409b import Novatech409bDriver
from artiq_link.transports.fake import FakeSerial
from tests.conftest import PATIENCE
from tests.drivers.fake_novatech_409b import FakeNovatech409b

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="needs pseudo-terminals")


@pytest.fixture
def line():
    with FakeSerial(FakeNovatech409b()) as fake:
        yield fake


@pytest.fixture
def link(line):
    dds = DDS(Novatech409bDriver(line.device_string))
    with serve_in_background({"dds": dds}) as server:
        yield Link(port=server.port)


def state(link):
    return link.call("link.status")["instruments"]["dds"]


def test_it_is_lost_until_it_is_plugged_in_and_opened_by_itself(link, line):
    line.unplug()
    with pytest.raises(ServerFailed, match=r"instrument_error: serial:\S+ .*nothing was sent"):
        link.call("set_frequency", channel=0, frequency=20e6)
    lost = state(link)
    assert lost["state"] == "lost"
    assert lost["lost"]["since"] == pytest.approx(time.time(), abs=PATIENCE)
    assert line.device_string in lost["lost"]["why"]
    line.plug()
    end = time.monotonic() + PATIENCE
    while state(link)["state"] == "lost" and time.monotonic() < end:
        time.sleep(0.02)
    assert state(link)["state"] == "idle"
    assert link.call("set_frequency", channel=0, frequency=20e6) == {"frequency": 20e6}


def test_plugging_it_in_is_enough_for_the_next_command(link, line):
    line.unplug()
    for _ in range(3):
        with pytest.raises(ServerFailed, match="instrument_error: "):
            link.call("set_frequency", channel=0, frequency=20e6)
    line.plug()
    assert link.call("set_frequency", channel=0, frequency=20e6) == {"frequency": 20e6}
    assert state(link)["state"] == "idle"


def test_a_device_that_is_silent_is_not_lost(link, line):
    link.call("set_frequency", channel=0, frequency=20e6)
    line.device.answer = lambda command: None
    with pytest.raises(ServerFailed, match="did not answer"):
        link.call("set_frequency", channel=0, frequency=30e6)
    assert state(link)["state"] != "lost"
