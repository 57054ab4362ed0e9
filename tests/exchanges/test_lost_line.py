"""A line that is pulled out and plugged in, below a server: told as lost, and opened by itself."""

from __future__ import annotations

import contextlib
import sys
import time

import pytest

from artiq_link import DDS, Link, ServerFailed, serve_in_background
from artiq_link.artiq_device import DeviceFailed, LinkDevice
from artiq_link.drivers.novatech_409b import Novatech409bDriver
from artiq_link.transports.fake import FakeSerial
from tests.conftest import PATIENCE
from tests.drivers.fake_novatech_409b import POWER_UP, FakeNovatech409b

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


def come_back(link, line, *, is_restored=False):
    """The device loses its power, somebody else notices, and it is there again."""
    line.unplug()
    with pytest.raises(ServerFailed, match="instrument_error: dds cannot be opened again: "):
        link.call("link.reopen", instrument="dds")
    line.plug()
    link.call("link.reopen", instrument="dds")
    assert (line.device.output[0] != list(POWER_UP)) is is_restored


@pytest.fixture
def scan(link):
    """A function that makes the link of an experiment that has set a frequency."""

    def make(on_restart, **options):
        scan = Link(port=link.port, timeout=PATIENCE, on_restart=on_restart, **options)
        scan.call("set_frequency", channel=0, frequency=20e6)
        return scan

    return make


def frequency_of(line):
    return line.device.output[0][0] * 0.1


def test_an_experiment_does_not_go_on_upon_what_is_gone(link, line, scan):
    experiment = scan("raise", retries=3)
    come_back(link, line)
    for _ in range(2):
        with pytest.raises(
            ServerFailed,
            match=r"^restarted: dds: its hardware was opened again at \d\d:\d\d:\d\d, and what "
            r"was set before may be gone; the command was not executed$",
        ):
            experiment.call("set_phase", channel=0, phase=0.25)
    assert line.device.output[0] == list(POWER_UP)
    with pytest.raises(ServerFailed, match=r"^restarted: dds: "):
        experiment.batch([{"command_id": "set_phase", "channel": 0, "phase": 0.25}])


def test_an_experiment_that_sets_everything_up_again_goes_on(link, line, scan):
    experiment = scan(lambda: experiment.call("set_frequency", channel=0, frequency=30e6))
    come_back(link, line)
    experiment.call("set_phase", channel=0, phase=0.25)
    assert frequency_of(line) == pytest.approx(30e6)
    come_back(link, line)
    (reply,) = experiment.batch([{"command_id": "set_phase", "channel": 0, "phase": 0.25}])
    assert reply["status"] == "success"
    assert frequency_of(line) == pytest.approx(30e6)


def test_an_experiment_that_wants_to_be_warned_is(link, line, scan, caplog):
    experiment = scan("warn")
    come_back(link, line)
    for _ in range(2):
        experiment.call("set_phase", channel=0, phase=0.25)
    (warning,) = [each for each in caplog.messages if each.endswith("; it is sent again")]
    assert warning.startswith("dds: its hardware was opened again at ")


def test_an_experiment_that_does_not_mind_is_not_asked(link, line, scan):
    experiment = scan("ignore")
    come_back(link, line)
    experiment.call("set_phase", channel=0, phase=0.25)


def test_a_device_of_artiq_is_told_also_of_its_posted_commands(link, line):
    told = "set_phase: dds: its hardware was opened again at "
    with contextlib.closing(LinkDevice({}, "127.0.0.1", link.port, PATIENCE)) as device:
        device.call("set_frequency", channel=0, frequency=20e6)
        come_back(link, line)
        device.post("set_phase", channel=0, phase=0.25)
        with pytest.raises(DeviceFailed, match=told) as failed:
            device.flush()
        assert failed.value.code == "restarted"
        with pytest.raises(DeviceFailed, match=told):
            device.call("set_phase", channel=0, phase=0.25)
    assert line.device.output[0] == list(POWER_UP)


def test_a_device_that_was_without_power_while_nobody_asked_is_a_restart(link, line, scan):
    """Its line is there before the next command, whose driver finds that it has forgotten."""
    experiment = scan("raise")
    line.unplug()
    line.plug()
    with pytest.raises(ServerFailed, match="instrument_error"):
        link.call("set_phase", channel=1, phase=0)
    with pytest.raises(ServerFailed, match=r"^restarted: dds: its hardware was "):
        experiment.call("set_phase", channel=0, phase=0.25)


def test_what_the_server_has_set_again_is_not_gone(line, tmp_path):
    dds = DDS(Novatech409bDriver(line.device_string))
    options = {"journal": tmp_path / "journal.sqlite", "restore": True}
    with serve_in_background({"dds": dds}, **options) as server:
        experiment = Link(port=server.port, timeout=PATIENCE, on_restart="raise")
        for channel in range(4):
            experiment.call("set_frequency", channel=channel, frequency=20e6)
        come_back(Link(port=server.port), line, is_restored=True)
        experiment.call("set_phase", channel=0, phase=0.25)
        assert frequency_of(line) == pytest.approx(20e6)
