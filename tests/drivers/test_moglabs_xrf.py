"""The MOGLabs XRF's driver, behind a DDS, on a fake XRF at the end of each kind of line."""

from __future__ import annotations

import re
import sys

import pytest

from artiq_link.dds.dds import DDS
from artiq_link.dds.types import Setting, Step
from artiq_link.drivers import moglabs_xrf
from artiq_link.drivers.moglabs_xrf import PROTOCOL, MoglabsXrfDriver
from artiq_link.errors import HardwareRestarted, InstrumentError, OutOfRange
from artiq_link.transports.fake import FakeSerial, FakeTcp, Fault, LineDevice
from tests.drivers.fake_moglabs_xrf import FakeMoglabsXrf
from tests.drivers.faulty import faulty, patient

SERIAL = pytest.param(
    FakeSerial,
    marks=pytest.mark.skipif(sys.platform == "win32", reason="needs pseudo-terminals"),
    id="serial",
)


@pytest.fixture(params=[SERIAL, pytest.param(FakeTcp, id="tcp")])
def line(request, monkeypatch):
    monkeypatch.setattr(moglabs_xrf, "PROTOCOL", patient(PROTOCOL, pauses={}))
    with request.param(FakeMoglabsXrf()) as made:
        yield made


@pytest.fixture
def device(line):
    return line.device


def opened(line, **options):
    dds = DDS(MoglabsXrfDriver(line.device_string, **options))
    dds.open_hardware()
    line.device.commands.clear()
    return dds


@pytest.fixture
def dds(line):
    made = opened(line)
    yield made
    made.close()


def changes(device):
    """What it was told, without what it was asked."""
    return [
        command
        for command in device.commands
        if not re.fullmatch(r"INFO|(FREQ|POW|PHASE|LIMIT|MODE|STATUS),\d", command)
    ]


def test_opening_asks_and_changes_nothing(line, device):
    first, second = device.channels
    first.signal = first.amplifier = True
    second.mode, second.limit = "TSB", 7.0
    driver = MoglabsXrfDriver(line.device_string)
    dds = DDS(driver)
    dds.open_hardware()
    dds.close()
    assert changes(device) == []
    assert driver.identity == "XRF421 A18123 Firmware: v1.5.0"
    state = dds.get(0)
    assert state["frequency"] == 0x147AE148 * 1e9 / 2**32
    assert state["amplitude"] is None
    assert (state["phase"], state["power"], state["output"]) == (0.0, -3.99, True)
    assert state["activity"] == "single_tone"
    assert state["limits"]["max_power"] == 30.0
    table = dds.get(1)
    assert (table["frequency"], table["power"], table["activity"]) == (None, None, None)
    assert table["output"] is False
    assert table["limits"]["max_power"] == 7.0


def test_a_tone_is_sent_in_words_and_read_back(dds, device):
    told = dds.set(1, 100e6, -0.25, power=-12.3456)
    assert changes(device) == ["FREQ,2,0x1999999A", "POW,2,-12.346dBm", "PHASE,2,0xC000"]
    assert told["frequency"] == 0x1999999A * 1e9 / 2**32
    assert told["phase"] == 0.75
    assert told["power"] == round(device.channels[1].power, 2)
    assert dds.get(1)["power"] == told["power"]


def test_one_parameter_leaves_the_others(dds, device):
    dds.set_power(0, -1)
    assert changes(device) == ["POW,1,-1.000dBm"]


def test_outputs_are_switched_and_seen_to_be(dds, device):
    assert dds.output(0, True) == {"output": True}
    assert device.channels[0].signal
    dds.safe_state()
    assert not device.channels[0].signal
    assert changes(device) == ["ON,1,ALL", "OFF,2,ALL", "OFF,1,ALL"]


def test_the_amplifier_is_given_its_time():
    assert PROTOCOL.pause_after(b"ON,1,ALL\r\n") == 2.0
    assert PROTOCOL.pause_after(b"OFF,1,ALL\r\n") == 0.0
    assert PROTOCOL.timeout > 2.0


@pytest.mark.parametrize(
    ("command", "parameters", "sentence"),
    [
        (
            "set_frequency",
            {"frequency": 10e6},
            "frequency: 1e7 Hz is below the channel's limit of 2e7 Hz",
        ),
        (
            "set_frequency",
            {"frequency": 400.1e6},
            "frequency: 4.001e8 Hz is above the channel's limit of 4e8 Hz",
        ),
        (
            "set_power",
            {"power": 30.01},
            "power: 30.01 dBm is above the channel's limit of 30 dBm",
        ),
        (
            "set_power",
            {"power": -51},
            "power: -51 dBm is below the channel's limit of -50 dBm",
        ),
        (
            "set_amplitude",
            {"amplitude": 0.5},
            "amplitude: the channel has no amplitude: set its power",
        ),
        (
            "play",
            {"steps": [{"dwell": None}]},
            "steps[0].dwell: the XRF has no trigger: give a time",
        ),
        (
            "play",
            {"steps": [{"dwell": 1e-7}]},
            "steps[0].dwell: 1e-7 s is below the table's limit of 1e-6 s",
        ),
        (
            "play",
            {"steps": [{"dwell": 1.0}], "repeat": 10000},
            "steps: 1e4 times 1 rows are more than the table's 8191; a step takes a row for each "
            "1.04858 s of its dwell",
        ),
        (
            "play",
            {"steps": [{"dwell": 1.0}], "repeat": True},
            "repeat: the XRF ends a table with its last row: give a number",
        ),
        (
            "ramp",
            {"parameter": "power", "start": -10, "stop": 0, "duration": 1.0},
            "the XRF has no ramp of its own: use play, or software_ramp",
        ),
        (
            "set",
            {"phase": 0.5, "phase_mode": "absolute"},
            "phase_mode: the XRF has no absolute phase",
        ),
        ("reset", {}, "the XRF cannot be reset"),
    ],
)
def test_what_it_cannot_is_refused_before_anything_is_sent(
    dds, device, command, parameters, sentence
):
    if command != "reset":
        parameters = {"channel": 0, **parameters}
    with pytest.raises((OutOfRange, InstrumentError)) as refused:
        dds.interact({"command_id": command, **parameters})
    assert str(refused.value) == sentence
    assert changes(device) == []


def test_two_channels_are_not_set_at_one_instant(dds, device):
    with pytest.raises(
        InstrumentError, match="the XRF cannot update several channels at the same instant"
    ):
        dds.interact(
            {
                "command_id": "set_many",
                "settings": [{"channel": 0, "phase": 0}, {"channel": 1, "phase": 0}],
            }
        )
    assert changes(device) == []
    dds.set_many([Setting(0, phase=0.5)])


# Modes and tables


def test_the_mode_is_never_changed_unasked(dds, device):
    device.channels[1].mode = "TSB"
    with pytest.raises(InstrumentError) as refused:
        dds.set_frequency(1, 80e6)
    assert str(refused.value) == (
        "the XRF takes tones in mode NSB or TPA, and CH2 is in TSB; to change it switches its "
        "output off, and so is left to you: 'MODE,2,NSB', or the driver's switch_mode; nothing "
        "was changed"
    )
    device.channels[0].signal = device.channels[0].amplifier = True
    with pytest.raises(InstrumentError, match="plays tables in mode TSB, and CH1 is in NSB"):
        dds.play(0, [Step(1e-3, frequency=90e6)])
    assert not [command for command in changes(device) if command != "TABLE,STOP,1"]


def test_a_table_is_played_from_an_output_that_is_on(line, device):
    channel = device.channels[0]
    channel.mode = "TSB"
    dds = opened(line)
    steps = [Step(1.5, 80e6, 0.25, power=-10.0), Step(2e-6, 100e6)]
    with pytest.raises(InstrumentError, match="CH1 is off: switch it on before"):
        dds.play(0, steps, 2)
    channel.signal = channel.amplifier = True
    played = dds.play(0, steps, 2)
    dds.close()
    assert channel.running
    assert channel.flags == {"REARM": False, "RESTART": False}
    power = channel.table[0][1]
    assert (
        channel.table
        == [
            (0x147AE148, power, 0x4000, 1048575),
            (0x147AE148, power, 0x4000, 451425),
            (0x1999999A, power, 0x4000, 2),
        ]
        * 2
    )
    assert played["duration"] == pytest.approx(3.000004)
    assert dds.get(0)["activity"] == "table"
    assert dds.get(0)["power"] == -10.0


def test_where_it_may_the_driver_changes_modes_and_keeps_the_output_on(line, device):
    channel = device.channels[0]
    dds = opened(line, switch_mode=True)
    dds.output(0, True)
    dds.play(0, [Step(1e-3, 90e6, 0.0, power=0.0)])
    assert (channel.mode, channel.running, channel.signal) == ("TSB", True, True)
    assert dds.stop(0)["frequency"] is None
    dds.set(0, 85e6, 0.0, power=-3.0)
    dds.close()
    assert (channel.mode, channel.running, channel.signal) == ("NSB", False, True)
    assert channel.frequency == round(85e6 / 1e9 * 2**32)


# What goes wrong


@pytest.mark.parametrize(
    "act", [lambda dds: dds.set_power(0, 10), lambda dds: dds.output(1, True)]
)
def test_a_restart_is_noticed_before_anything_is_sent(dds, device, act):
    dds.set_frequency(1, 90e6)
    device.power_up()
    device.commands.clear()
    with pytest.raises(HardwareRestarted, match="nothing was set"):
        act(dds)
    assert changes(device) == []
    assert dds.get(1)["frequency"] == pytest.approx(80e6)
    dds.output(1, False)


def test_its_errors_are_sentences(dds, device):
    device.channels[0].limit = -20.0  # lowered at the instrument
    with pytest.raises(
        InstrumentError, match=r"the XRF refused 'POW,1,10.000dBm': Power 10.00 dBm exceeds limit$"
    ):
        dds.set_power(0, 10)


@pytest.mark.parametrize(
    ("info", "answer", "sentence"),
    [
        ("QRF081 A1", b"", "is a QRF, whose tables are others than those of an XRF"),
        ("*", b"what?", "is no XRF or ARF: it answered 'what?' to 'FREQ,1'"),
    ],
)
def test_another_device_is_told_and_sent_nothing_more(line, device, info, answer, sentence):
    class Other(LineDevice):
        terminator = b"\r\n"

        def answer(self, line):
            return info.encode() if line == b"INFO" else answer

    line.device = Other()
    dds = DDS(MoglabsXrfDriver(line.device_string))
    with pytest.raises(InstrumentError) as refused:
        dds.open_hardware()
    dds.close()
    assert str(refused.value).endswith(sentence)
    assert line.heard in {b"INFO\r\n", b"INFO\r\nFREQ,1\r\n"}


@pytest.mark.parametrize("fault", [Fault.SILENT, Fault.HALF, Fault.GARBAGE, Fault.LATE])
def test_what_goes_wrong_on_the_line_is_one_sentence_and_heals(dds, line, device, fault):
    with (
        faulty(line, dds._driver, fault),
        pytest.raises(InstrumentError, match=r"answer to 'MODE,1\\r\\n'|answer 'MODE,1\\r\\n'"),
    ):
        dds.set_frequency(0, 90e6)
    line.release()
    told = dds.set(0, 90e6, power=-10)
    assert told["frequency"] == pytest.approx(90e6)
    assert device.channels[0].frequency == round(90e6 / 1e9 * 2**32)


def test_an_echo_is_no_answer(dds, line, device):
    with faulty(line, dds._driver, Fault.ECHO), pytest.raises(InstrumentError):
        dds.set_frequency(0, 90e6)
    assert changes(device) == []


def test_a_lost_line_is_opened_again(dds, line):
    line.unplug()
    with pytest.raises(InstrumentError, match=r"^(tcp|serial|connecting|no)|cannot|refused"):
        dds.set_frequency(0, 90e6)
    line.plug()
    assert dds.set_frequency(0, 90e6)["frequency"] == pytest.approx(90e6)
