"""The dds-sweeper's driver, behind a DDS, on a fake one at the end of a pseudo-terminal."""

from __future__ import annotations

import sys
from dataclasses import replace

import pytest

from artiq_link.dds.dds import DDS
from artiq_link.dds.driver import HardwareRestarted
from artiq_link.dds.types import Step
from artiq_link.drivers import dds_sweeper
from artiq_link.drivers.dds_sweeper import PROTOCOL, DdsSweeperDriver
from artiq_link.errors import ExchangeError, InstrumentError, InvalidParameter
from artiq_link.transports.fake import FakeSerial, Fault, LineDevice
from tests.drivers.fake_dds_sweeper import ABORTED, MANUAL, RUNNING, FakeDdsSweeper

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="needs pseudo-terminals")

MHZ_80 = 0x28F5C28F * 500e6 / 2**32


@pytest.fixture
def line(monkeypatch):
    monkeypatch.setattr(dds_sweeper, "PROTOCOL", replace(PROTOCOL, timeout=0.5, late=0.1))
    with FakeSerial(FakeDdsSweeper()) as made:
        yield made


@pytest.fixture
def device(line):
    return line.device


@pytest.fixture
def dds(line):
    made = DDS(DdsSweeperDriver(line.device_string))
    made.open_hardware()
    line.device.commands.clear()
    yield made
    made.close()


ASKS = {"version", "board", "status", "clkstatus", "getmode"}


def changes(device):
    """What it was told, without what it was asked."""
    return [command for command in device.commands if command not in ASKS]


def test_opening_asks_and_changes_nothing(line, device):
    device.words[1] = [1, 2, 3]
    driver = DdsSweeperDriver(line.device_string)
    dds = DDS(driver)
    dds.open_hardware()
    assert changes(device) == []
    assert device.words[1] == [1, 2, 3]
    assert driver.identity == "a dds-sweeper on a pico1, firmware 0.4.0"
    state = dds.get(1)
    dds.close()
    assert {state[name] for name in ("frequency", "phase", "amplitude", "output")} == {None}
    assert state["activity"] is None
    assert state["limits"]["max_frequency"] == 200e6


def test_a_tone_is_that_of_the_chip_s_words(dds, device):
    assert dds.set(2, 80e6, 0.25, 0.5) == {
        "frequency": MHZ_80,
        "phase": 0.25,
        "amplitude": 512 / 1023,
    }
    assert device.words[2] == [0x28F5C28F, 4096, 512]
    assert changes(device)[:2] == ["debug off", "mode 0 0"]


@pytest.mark.parametrize("word", [0, 1, 511, 512, 1022, 1023])
def test_every_amplitude_word_can_be_reached(dds, device, word):
    """Though the firmware takes fractions of 1024."""
    assert dds.set_amplitude(0, word / 1023) == {"amplitude": word / 1023}
    assert device.words[0][2] == word


@pytest.mark.parametrize(
    ("phase", "word"),
    [(0.0, 0), (1.0, 0), (0.99999, 0), (16382 / 16384, 16382), (16383 / 16384, 0), (-0.25, 12288)],
)
def test_no_phase_wraps_to_another(dds, device, phase, word):
    """The firmware counts modulo 16383, so that 360 degrees would become one step."""
    assert dds.set_phase(0, phase) == {"phase": word / 16384}
    assert device.words[0][1] == word


def test_its_clock_is_asked(line, device):
    device.clock = (1, 10_000_000, 20)
    dds = DDS(DdsSweeperDriver(line.device_string))
    dds.open_hardware()
    assert dds.get(0)["limits"]["max_frequency"] == 80e6
    dds.set_frequency(0, 50e6)
    dds.close()
    assert device.words[0][0] == 1 << 30


@pytest.mark.parametrize(
    ("command", "parameters", "sentence"),
    [
        (
            "set_frequency",
            {"frequency": 200.1e6},
            "frequency: 2.001e8 Hz is above the channel's limit of 2e8 Hz",
        ),
        (
            "play",
            {"channel": 3, "steps": [{"dwell": 9e-6}]},
            "steps[0].dwell: 9e-6 s is below the table's limit of 1e-5 s",
        ),
        (
            "play",
            {"steps": [{"dwell": 1}], "repeat": 5000},
            "steps: 5000 times 1 rows are more than the table's 4999; a step takes a row for each "
            "34.4 s of its dwell",
        ),
        (
            "play",
            {"steps": [{"dwell": None}]},
            "steps[0].dwell: the dds-sweeper has no trigger: give a time",
        ),
        (
            "output",
            {"on": True},
            "the dds-sweeper has no output switch: set the amplitude to 0",
        ),
        (
            "ramp",
            {"parameter": "amplitude", "start": 0, "stop": 1, "duration": 1.0},
            "the dds-sweeper has no ramp of its own: use play, or software_ramp",
        ),
    ],
)
def test_what_it_cannot_is_refused_before_anything_is_sent(
    dds, device, command, parameters, sentence
):
    with pytest.raises(ExchangeError) as refused:
        dds.interact({"command_id": command, "channel": 0, **parameters})
    assert str(refused.value) == sentence
    assert device.commands == []


# Tables


def test_a_table_is_loaded_whole_and_played(dds, device):
    dds.set(0, 10e6, 0.0, 1.0)
    played = dds.play(1, [Step(1e-3, 80e6, 0.5, 1.0), Step(40.0, amplitude=0.0)], 2)
    held = (0x051EB852, 1023, 0)
    assert device.status == RUNNING
    assert device.ending == (4, 6)
    assert device.table[0] == [(*held, 125_000), (0x28F5C28F, 1023, 8192, 125_000)]
    assert device.table[1] == [
        (*held, 2_500_000_000),
        (0x28F5C28F, 0, 8192, 2_500_000_000),
    ]
    assert device.table[5] == device.table[2]
    assert played["duration"] == 2 * 40.001


def test_a_table_that_ended_holds_its_last_row(dds, device):
    dds.play(0, [Step(1e-3, 80e6, 0.0, 1.0), Step(1e-3, 10e6)])
    device.finish()
    assert device.status == MANUAL
    assert dds.stop(0)["frequency"] == pytest.approx(10e6, abs=0.06)
    assert dds.set_amplitude(0, 0.0) == {"amplitude": 0.0}
    assert device.words[0] == [0x051EB852, 0, 0]


def test_one_that_repeats_is_stopped_where_nobody_knows(dds, device):
    played = dds.play(0, [Step(1e-3, 80e6, 0.0, 1.0)], True)
    assert played["repeat"] is None
    assert device.ending == (5, 1)
    assert dds.stop(0) == {"frequency": None, "phase": None, "amplitude": None}
    assert device.status == ABORTED
    assert dds.set_frequency(0, 80e6) == {"frequency": MHZ_80}


def test_while_a_table_plays_nothing_else_is_set(dds, device):
    dds.play(0, [Step(1e-3, 80e6, 0.0, 1.0)])
    device.commands.clear()
    with pytest.raises(InstrumentError) as refused:
        dds.set_frequency(1, 10e6)
    assert str(refused.value) == (
        "the dds-sweeper plays a table on channel 0, and can set nothing else meanwhile: stop "
        "that first; nothing was sent"
    )
    assert changes(device) == []


def test_channels_below_a_table_s_must_be_known(dds, device):
    with pytest.raises(InvalidParameter) as refused:
        dds.play(1, [Step(1e-3, 80e6, 0.0, 1.0)])
    assert str(refused.value) == (
        "channel: the dds-sweeper plays tables of channels from 0 on, and the tone of channel 0 "
        "below channel 1 is not known: set all of it before"
    )
    assert changes(device) == []


def test_a_table_of_another_size_is_not_left_half_taken(dds, device, monkeypatch):
    """It waits for the bytes that it named, for ever, and would take commands for them."""
    answer = device._answer

    def longer_rows(command):
        told = answer(command)
        if command.startswith("setb"):
            device._awaited += 40
            told = f"ready for {device._awaited} bytes"
        return told

    monkeypatch.setattr(device, "_answer", longer_rows)
    monkeypatch.setattr(device, "_take_rows", lambda data: None)
    with pytest.raises(
        InstrumentError, match="took 52 bytes for a table of 12; it was not played"
    ):
        dds.play(0, [Step(1e-3, 80e6, 0.0, 1.0)])
    assert device.status == MANUAL
    assert dds.set_frequency(0, 80e6) == {"frequency": MHZ_80}


# What goes wrong


def test_a_restart_is_noticed_before_anything_is_sent(dds, device):
    dds.set(0, 80e6, 0.0, 0.5)
    device.power_up()
    device.commands.clear()
    with pytest.raises(HardwareRestarted, match="was restarted, or set by somebody else"):
        dds.set_phase(0, 0.5)
    assert changes(device) == []
    assert dds.get(0)["frequency"] is None
    assert dds.set_frequency(0, 80e6) == {"frequency": MHZ_80}


def test_a_restart_is_no_table_s_end(dds, device):
    dds.play(0, [Step(1e-3, 80e6, 0.0, 1.0)])
    device.power_up()
    with pytest.raises(HardwareRestarted):
        dds.stop(0)
    assert dds.get(0)["frequency"] is None


def test_a_reset_ends_with_nothing_coming_out(dds, device):
    dds.set(0, 80e6, 0.0, 0.5)
    dds.reset()
    assert device.words == [[0, 0, 0]] * 4
    assert dds.get(3)["amplitude"] == 0.0


def test_an_error_and_the_ok_behind_it_are_one_answer(dds, device, monkeypatch):
    answer = device._answer

    def failing(command):
        return "Invalid Channel\nok" if command.startswith("setfreq") else answer(command)

    monkeypatch.setattr(device, "_answer", failing)
    with pytest.raises(InstrumentError, match=r"answered 'Invalid Channel.*expected 'ok'"):
        dds.set_frequency(0, 80e6)
    monkeypatch.undo()
    assert dds.set_amplitude(0, 1.0) == {"amplitude": 1.0}


@pytest.mark.parametrize("words", [b"Unrecognized", b"ok"])
def test_another_device_is_told_and_sent_nothing_more(words):
    class Other(LineDevice):
        def answer(self, line):
            return words

    with FakeSerial(Other()) as line:
        dds = DDS(DdsSweeperDriver(line.device_string))
        with pytest.raises(InstrumentError, match=r"is no dds-sweeper with firmware 0.4 or later"):
            dds.open_hardware()
        dds.close()
        assert line.heard == b"version\nboard\n"


def test_a_clock_beyond_the_chip_s_is_told(line, device):
    device.clock = (0, 133_000_000, 20)
    dds = DDS(DdsSweeperDriver(line.device_string))
    with pytest.raises(InstrumentError, match=r"is 2.66e9 Hz, and its chip takes 5e8 Hz at most"):
        dds.open_hardware()
    dds.close()
    assert changes(device) == []


@pytest.mark.parametrize(
    "fault", [Fault.SILENT, Fault.HALF, Fault.GARBAGE, Fault.LATE, Fault.ECHO]
)
def test_what_goes_wrong_on_the_line_is_one_sentence_and_heals(dds, line, device, fault):
    dds.set(0, 10e6, 0.0, 1.0)
    line.fault = fault
    with pytest.raises(InstrumentError, match=r"^serial:\S+"):
        dds.set_frequency(0, 80e6)
    line.fault = None
    line.release()
    assert dds.set_frequency(0, 80e6) == {"frequency": MHZ_80}


def test_an_unplugged_adapter_is_enough_to_plug_in(dds, line):
    dds.set(0, 10e6, 0.0, 1.0)
    line.unplug()
    with pytest.raises(InstrumentError, match=r"^serial:\S+"):
        dds.set_frequency(0, 80e6)
    line.plug()
    with pytest.raises(HardwareRestarted):  # the Pico lives on USB's power
        dds.set_frequency(0, 80e6)
    assert dds.set_frequency(0, 80e6) == {"frequency": MHZ_80}
