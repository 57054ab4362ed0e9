"""The dds-sweeper's driver, behind a DDS, on a fake one at the end of a pseudo-terminal."""

from __future__ import annotations

import sys
from dataclasses import replace

import pytest

from artiq_link.dds.dds import DDS
from artiq_link.dds.types import Step
from artiq_link.drivers.dds_sweeper import driver
from artiq_link.drivers.dds_sweeper.driver import PROTOCOL, DdsSweeperDriver
from artiq_link.errors import ExchangeError, HardwareRestarted, InstrumentError, InvalidParameter
from artiq_link.transports.fake import FakeSerial, Fault, LineDevice
from tests.drivers.fake_dds_sweeper import (
    ABORTED,
    STARTING,
    STOPPED,
    FakeDdsSweeper,
)

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="needs pseudo-terminals")

MHZ_80 = 0x28F5C28F * 500e6 / 2**32


@pytest.fixture
def line(monkeypatch):
    monkeypatch.setattr(driver, "PROTOCOL", replace(PROTOCOL, timeout=0.5, late=0.1))
    with FakeSerial(FakeDdsSweeper()) as made:
        yield made


@pytest.fixture
def device(line):
    return line.device


def driver_of(line):
    """One that has the chip's time."""
    chip = line.device.chip
    return DdsSweeperDriver(line.device_string, clock=lambda: (chip.cycle, 500_000_000))


@pytest.fixture
def dds(line):
    made = DDS(driver_of(line))
    made.open_hardware()
    line.device.commands.clear()
    yield made
    made.close()


ASKS = {"version", "board", "status", "clkstatus", "getmode", "numtriggers"}


def changes(device):
    """What it was told, without what it was asked."""
    return [command for command in device.commands if command not in ASKS]


def test_opening_asks_and_changes_nothing(line, device):
    device.put(1, 1, 2, 3)
    driver = DdsSweeperDriver(line.device_string)
    dds = DDS(driver)
    dds.open_hardware()
    assert changes(device) == []
    assert device.words(1) == (1, 2, 3)
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
    assert device.words(2) == (0x28F5C28F, 4096, 512)
    assert changes(device)[:2] == ["debug off", "mode 0 0"]


@pytest.mark.parametrize("word", [0, 1, 511, 512, 1022, 1023])
def test_every_amplitude_word_can_be_reached(dds, device, word):
    """Though the firmware takes fractions of 1024."""
    assert dds.set_amplitude(0, word / 1023) == {"amplitude": word / 1023}
    assert device.words(0)[2] == word


@pytest.mark.parametrize(
    ("phase", "word"),
    [(0.0, 0), (1.0, 0), (0.99999, 0), (16382 / 16384, 16382), (16383 / 16384, 0), (-0.25, 12288)],
)
def test_no_phase_wraps_to_another(dds, device, phase, word):
    """The firmware counts modulo 16383, so that 360 degrees would become one step."""
    assert dds.set_phase(0, phase) == {"phase": word / 16384}
    assert device.words(0)[1] == word


def test_its_clock_is_asked(line, device):
    device.clock = (1, 10e6, 20)
    dds = DDS(DdsSweeperDriver(line.device_string))
    dds.open_hardware()
    assert dds.get(0)["limits"]["max_frequency"] == 80e6
    dds.set_frequency(0, 50e6)
    dds.close()
    assert device.words(0)[0] == 1 << 30


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
            {"steps": [{"dwell": 1}], "repeat": 5001},
            "steps: 5001 times 1 rows are more than the table's 5000; a step takes a row for each "
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
            "duration: 1 s is above the ramp's limit of 0.00208692 s",
        ),
        (
            "ramp",
            {"parameter": "amplitude", "start": 1, "stop": 0, "duration": 1e-3},
            "duration: 0.001 s is above the ramp's limit of 8.184e-6 s: the dds-sweeper falls by "
            "a step with each tick of its chip; a longer ramp goes with software_ramp",
        ),
        (
            "ramp",
            {"parameter": "phase", "start": 0, "stop": 1.25, "duration": 1e-3},
            "stop: 1.25 turns is above the ramp's limit of 0.99993896484375 turns",
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
    assert device.status == STARTING
    assert not device.repeats()
    table = device.rows()
    assert len(table) == 6
    assert table[0] == [(*held, 125_000), (0x28F5C28F, 1023, 8192, 125_000)]
    assert table[1] == [
        (*held, 2_500_000_000),
        (0x28F5C28F, 0, 8192, 2_500_000_000),
    ]
    assert table[5] == table[2]
    assert played["duration"] == 2 * 40.001


def test_a_table_that_ended_holds_its_last_row(dds, device):
    dds.play(0, [Step(1e-3, 80e6, 0.0, 1.0), Step(1e-3, 10e6)])
    device.finish()
    assert device.status == STOPPED
    assert dds.stop(0)["frequency"] == pytest.approx(10e6, abs=0.06)
    assert dds.set_amplitude(0, 0.0) == {"amplitude": 0.0}
    assert device.words(0) == (0x051EB852, 0, 0)


def test_one_that_repeats_is_stopped_where_nobody_knows(dds, device):
    played = dds.play(0, [Step(1e-3, 80e6, 0.0, 1.0)], True)
    assert played["repeat"] is None
    assert device.repeats()
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
    monkeypatch.setattr(device, "_take_rows", lambda start, data: None)
    with pytest.raises(
        InstrumentError, match="took 52 bytes for a table of 12; it was not played"
    ):
        dds.play(0, [Step(1e-3, 80e6, 0.0, 1.0)])
    assert device.status == STOPPED
    assert dds.set_frequency(0, 80e6) == {"frequency": MHZ_80}


# Sweeps


def outputs(device):
    return [device.words(channel) for channel in range(4)]


def swept(device, channel, index, ticks):
    """The words that a channel comes to at each of `ticks` of SYNC_CLK after another."""
    for _ in range(ticks):
        device.chip.run(4)
        yield device.words(channel)[index]


TONES = [(10e6, 0.25, 0.5), (20e6, 0.0, 1.0), (30e6, 0.5, 0.0), (40e6, 0.75, 0.3)]

INDEX = {"frequency": 0, "phase": 1, "amplitude": 2}


@pytest.fixture
def tones(dds, device):
    """All channels put something out."""
    for channel, tone in enumerate(TONES):
        dds.set(channel, *tone)
    device.commands.clear()
    return outputs(device)


@pytest.mark.parametrize("channel", [0, 2])
@pytest.mark.parametrize(
    ("parameter", "start", "stop", "duration"),
    [
        ("frequency", 10e6, 10.001e6, 2e-3),
        ("frequency", 10.001e6, 10e6, 30e-6),
        ("phase", 0.1, 0.9, 1e-3),
        ("phase", 0.9, 0.0, 50e-6),
        ("amplitude", 0.0, 1.0, 1e-3),
        ("amplitude", 1.0, 0.0, 5e-6),
        ("amplitude", 0.2, 0.201, 1e-7),
    ],
)
def test_a_sweep_goes_to_its_end_and_holds_it(
    dds, device, tones, channel, parameter, start, stop, duration
):
    achieved = dds.ramp(channel, parameter, start, stop, duration)
    device.chip.run(int(achieved["duration"] * 500e6))
    index = INDEX[parameter]
    expected = list(tones)
    word = dds._driver.format.word(parameter, achieved["stop"])
    expected[channel] = (*tones[channel][:index], word, *tones[channel][index + 1 :])
    assert outputs(device) == expected
    # And so it does when it is set to anything else, and once it is left.
    other = "amplitude" if parameter == "phase" else "phase"
    dds.interact({"command_id": f"set_{other}", "channel": channel, other: TONES[channel][1]})
    assert device.words(channel)[index] == word
    assert dds.get(channel)[parameter] == achieved["stop"]
    for each in {0, 1, 2, 3} - {channel}:
        assert device.words(each) == tones[each]


def test_a_rising_sweep_is_that_of_its_words(dds, device, tones, monkeypatch):
    """From the trigger on, which the driver only hears of a millisecond later."""
    heard = []
    go_on = device._go_on

    def followed():
        go_on()
        heard.extend(swept(device, 0, 0, 5000))

    monkeypatch.setattr(device, "_go_on", followed)
    achieved = dds.ramp(0, "frequency", 10e6, 10.0001e6, 1e-3)
    first = dds._driver.format.word("frequency", 10e6)
    step = round(achieved["step"] / dds._driver.format.frequency(1))
    period = round(achieved["step_time"] * 125e6)
    # The Pico's pulse is 4 ticks long.
    assert heard == [first + (tick + 5) // period * step for tick in range(5000)]


def test_a_falling_sweep_begins_at_its_start(dds, device, tones, monkeypatch):
    heard = []
    go_on = device._go_on

    def followed():
        go_on()
        heard.extend(swept(device, 1, 1, 100))

    monkeypatch.setattr(device, "_go_on", followed)
    dds.ramp(1, "phase", 0.5, 0.25, 32.768e-6)
    assert heard == [8192 - (tick + 1) for tick in range(100)]


def test_a_sweep_is_stopped_where_it_is(dds, device, tones):
    dds.ramp(1, "frequency", 10e6, 10.001e6, 16e-3)
    assert dds.get(1)["activity"] == "ramp"
    held = dds.stop(1)
    assert 10e6 < held["frequency"] < 10.0005e6
    assert device.words(1)[0] == dds._driver.format.word("frequency", held["frequency"])
    device.chip.run(10**7)
    assert device.words(1)[0] == dds._driver.format.word("frequency", held["frequency"])
    assert outputs(device)[0] == tones[0]


def test_while_a_sweep_runs_nothing_else_is_set(dds, device, tones):
    dds.ramp(1, "frequency", 10e6, 10.001e6, 16e-3)
    device.commands.clear()
    with pytest.raises(InstrumentError) as refused:
        dds.set_frequency(0, 10e6)
    assert str(refused.value) == (
        "the dds-sweeper makes a ramp on channel 1, and can set nothing else meanwhile: stop "
        "that first; nothing was sent"
    )
    assert changes(device) == []
    device.chip.run(20 * 500_000)
    dds.set_frequency(0, 11e6)
    assert dds.stop(1)["frequency"] == dds.get(1)["frequency"] == pytest.approx(10.001e6, abs=0.1)
    assert outputs(device)[2:] == tones[2:]


def test_all_channels_are_made_safe_while_one_sweeps(dds, device, tones):
    dds.ramp(1, "frequency", 10e6, 10.001e6, 16e-3)
    dds.safe_state()
    assert [words[2] for words in outputs(device)] == [0, 0, 0, 0]


def test_a_sweep_needs_the_parameter_of_channels_below(dds, device):
    dds.set_frequency(0, 10e6)
    device.commands.clear()
    with pytest.raises(InvalidParameter) as refused:
        dds.ramp(1, "amplitude", 0.0, 1.0, 1e-3)
    assert str(refused.value) == (
        "channel: the dds-sweeper ramps the amplitude of channels from 0 on, and that of channel "
        "0 below channel 1 is not known: set it before"
    )
    assert changes(device) == []
    assert dds.ramp(1, "frequency", 10e6, 11e6, 1e-4)["steps"]


# What goes wrong


def test_a_restart_in_a_sweep_is_noticed(dds, device, tones):
    dds.ramp(0, "frequency", 10e6, 10.001e6, 16e-3)
    device.power_up()
    device.commands.clear()
    with pytest.raises(HardwareRestarted):
        dds.set_phase(0, 0.5)
    assert changes(device) == []
    assert dds.get(0)["frequency"] is None


def test_a_restart_within_a_sweep_of_the_mode_that_it_starts_in_is_noticed(
    dds, device, line, tones, monkeypatch
):
    answer = device._answer

    def once_started(command):
        told = answer(command)
        if command == "start":
            device.power_up()
            line.fault = Fault.SILENT
        return told

    monkeypatch.setattr(device, "_answer", once_started)
    with pytest.raises(InstrumentError, match="did not answer"):
        dds.ramp(0, "amplitude", 0.0, 1.0, 1e-3)
    line.fault = None
    device.commands.clear()
    with pytest.raises(HardwareRestarted):
        dds.set_phase(0, 0.5)
    assert changes(device) == []


COMMANDS_OF_A_RAMP = 22
"""Of the ramp below, and some more."""


PROGRAMS = [
    ("ramp", {"parameter": "amplitude", "start": 0.0, "stop": 1.0, "duration": 1e-4}),
    ("ramp", {"parameter": "frequency", "start": 10e6, "stop": 10.001e6, "duration": 1e-4}),
    ("play", {"steps": [{"dwell": 1e-3, "frequency": 1e6}, {"dwell": 1e-3}]}),
]


@pytest.mark.parametrize(("command", "parameters"), PROGRAMS)
@pytest.mark.parametrize("is_heard", [True, False])
def test_wherever_a_ramp_or_a_table_fails_no_channel_is_left_elsewhere(
    dds, device, tones, monkeypatch, command, parameters, is_heard
):
    """Neither at full scale nor where a sweep began, nor waiting for the rest of a table."""
    receive, failed = device.receive, 0
    for failing in range(1, COMMANDS_OF_A_RAMP):
        asked = 0

        def broken(data, failing=failing):
            nonlocal asked
            asked += 1
            if asked != failing:
                return receive(data)
            if is_heard:
                receive(data)
            return b"?\n"

        with monkeypatch.context() as patch:
            patch.setattr(device, "receive", broken)
            try:
                dds.interact({"command_id": command, "channel": 1, **parameters})
            except InstrumentError:
                failed += 1
        dds.set(1, *TONES[1])
        assert outputs(device) == tones
    assert 8 < failed < COMMANDS_OF_A_RAMP - 1


def test_one_that_waits_for_a_table_can_be_reset(dds, device, tones, monkeypatch):
    answer = device._answer

    def garbled(command):
        told = answer(command)
        return "?" if command.startswith("setb") else told

    with monkeypatch.context() as patch:
        patch.setattr(device, "_answer", garbled)
        with pytest.raises(InstrumentError, match="expected to be ready for the table"):
            dds.ramp(1, "frequency", 10e6, 11e6, 1e-4)
    dds.reset()
    assert outputs(device) == [(0, 0, 0)] * 4


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
    assert [device.words(channel) for channel in range(4)] == [(0, 0, 0)] * 4
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
