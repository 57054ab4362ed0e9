"""The Novatech 409B's driver, behind a DDS, on a fake 409B at the end of a pseudo-terminal."""

from __future__ import annotations

import re
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from artiq_link.dds.dds import DDS
from artiq_link.dds.types import Setting, Step, Tone
from artiq_link.drivers import novatech_409b
from artiq_link.drivers.novatech_409b import PROTOCOL, Novatech409bDriver
from artiq_link.errors import HardwareRestarted, InstrumentError, OutOfRange
from artiq_link.transports.fake import FakeSerial, Fault, LineDevice
from tests.drivers.fake_novatech_409b import FakeNovatech409b
from tests.drivers.faulty import faulty, patient

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="needs pseudo-terminals")


@pytest.fixture
def line():
    with FakeSerial(FakeNovatech409b()) as made:
        yield made


@pytest.fixture
def device(line):
    return line.device


@pytest.fixture
def dds(line):
    made = DDS(Novatech409bDriver(line.device_string))
    made.open_hardware()
    line.device.commands.clear()
    yield made
    made.close()


def test_opening_asks_and_changes_nothing(line, device):
    device.written[2] = device.output[2] = [0x2540BE40, 0x2000, 0x3EB]
    driver = Novatech409bDriver(line.device_string)
    dds = DDS(driver)
    dds.open_hardware()
    dds.close()
    assert set(device.commands) == {"QUE"}
    assert device.updates == 0
    assert driver.identity == "a Novatech 409B, firmware 2.1"
    state = dds.get(2)
    assert state["frequency"] == 62.5e6
    assert state["phase"] == 0.5
    assert state["amplitude"] == 1003 / 1023
    assert state["output"] is None
    assert state["activity"] == "single_tone"
    assert dds.get(0)["activity"] is None, "a table may run there"


def test_one_parameter_leaves_the_others(dds, device):
    assert dds.set_frequency(3, 80000000.06) == {"frequency": 80000000.1}
    assert device.output[3] == [800_000_001, 0, 1023]
    assert "F3 80.0000001" in device.commands
    assert not [command for command in device.commands if command[:1] in "PV"]


def test_several_channels_change_at_one_instant(dds, device):
    told = dds.set_many(
        [Setting(0, 10e6, 0.25, 0.5), Setting(1, phase=0.75), Setting(3, amplitude=0.0)]
    )
    assert device.updates == 1
    assert device.automatic, "as it was"
    assert device.output[0] == [100_000_000, 4096, 512]
    assert device.output[1] == [100_000_000, 12288, 1023]
    assert device.output[3] == [100_000_000, 0, 0]
    assert [tone["amplitude"] for tone in told] == [512 / 1023, 1.0, 0.0]


@given(st.floats(0.1, 171127603.1), st.floats(-3, 3), st.floats(0, 1))
def test_what_it_makes_of_a_tone_is_the_nearest_word(frequency, phase, amplitude):
    driver = Novatech409bDriver("serial:nowhere")
    tone = driver.quantise(0, Tone(frequency, phase, amplitude))
    assert abs(tone.frequency - frequency) <= 0.0500001
    assert (tone.frequency * 10) == pytest.approx(round(tone.frequency * 10), abs=1e-6)
    assert 0 <= tone.phase < 1
    assert abs((tone.phase - phase + 0.5) % 1 - 0.5) <= 0.5 / 16384 + 1e-9
    assert abs(tone.amplitude - amplitude) <= 0.5 / 1023 + 1e-9
    assert driver.quantise(0, tone) == tone


def test_another_clock_scales_the_frequency_both_ways(line, device):
    """The manual's example: 1.544 MHz from a clock of 10 MHz, multiplied by 15."""
    dds = DDS(Novatech409bDriver(line.device_string, clock=150e6))
    dds.open_hardware()
    achieved = dds.set_frequency(0, 1.544e6)["frequency"]
    dds.close()
    assert "F0 4.4209530" in device.commands
    assert achieved == pytest.approx(1.544e6, abs=0.02)


@pytest.mark.parametrize(
    ("command", "parameters", "sentence"),
    [
        (
            "set_frequency",
            {"frequency": 0},
            "frequency: 0 Hz is below the channel's limit of 0.1 Hz",
        ),
        (
            "set_frequency",
            {"frequency": 171.2e6},
            "frequency: 1.712e8 Hz is above the channel's limit of 1.711276031e8 Hz",
        ),
        (
            "output",
            {"on": False},
            "the 409B has no output switch: set the amplitude to 0",
        ),
        (
            "play",
            {"channel": 2, "steps": [{"dwell": 1}]},
            "the 409B has no tables on this channel",
        ),
        (
            "play",
            {"steps": [{"dwell": 1}], "repeat": True},
            "repeat: the 409B ends a table with its last row: give a number",
        ),
        (
            "play",
            {"steps": [{"dwell": 1e-5}]},
            "steps[0].dwell: 1e-5 s is below the table's limit of 1e-4 s",
        ),
        (
            "play",
            {"steps": [{"dwell": 400}], "repeat": 2},
            "steps: 2 times 15749 rows are more than the table's 16384; a step takes a row for "
            "each 0.0254 s of its dwell",
        ),
        (
            "ramp",
            {"parameter": "frequency", "start": 1e6, "stop": 2e6, "duration": 1.0},
            "the 409B has no ramp of its own: use play, or software_ramp",
        ),
        (
            "set",
            {"phase": 0.5, "phase_mode": "absolute"},
            "phase_mode: the 409B has no absolute phase",
        ),
    ],
)
def test_what_it_cannot_is_refused_before_anything_is_sent(
    dds, device, command, parameters, sentence
):
    with pytest.raises((OutOfRange, InstrumentError)) as refused:
        dds.interact({"command_id": command, "channel": 0, **parameters})
    assert str(refused.value) == sentence
    assert device.commands == []


def test_a_409b_that_clears_its_phase_is_left_so(line, device):
    device.clears_phase = True
    dds = DDS(Novatech409bDriver(line.device_string))
    dds.open_hardware()
    assert dds.get(0)["phase_mode"] == "absolute"
    dds.close()
    assert device.clears_phase


# Tables


def test_a_table_is_played_from_its_first_row_and_held(dds, device):
    dds.set(0, 10e6, 0.0, 1.0)
    dds.set(1, 33e6, 0.5, 0.5)
    played = dds.play(
        0, [Step(0.03, frequency=20e6), Step(None, amplitude=0.5), Step(1e-4, phase=0.25)]
    )
    assert device.row == 0
    rows = [device.table[0, row] for row in range(4)]
    assert rows == [
        (200_000_000, 0, 1023, 254),
        (200_000_000, 0, 1023, 46),
        (200_000_000, 0, 512, 255),
        (200_000_000, 4096, 512, 255),
    ]
    assert played["duration"] is None
    assert played["steps"][0]["dwell"] == 0.03
    assert device.output[0] == [200_000_000, 0, 1023]
    device.trigger()
    assert device.output[1] == [330_000_000, 8192, 512], "the other channel holds its tone"
    assert dds.get(0)["activity"] == "table"


def test_a_table_is_left_by_m_0_and_its_row_held(dds, device):
    dds.play(1, [Step(None, 5e6, 0.0, 1.0), Step(None, 6e6)])
    device.trigger()
    assert dds.stop(1) == {"frequency": 6e6, "phase": 0.0, "amplitude": 1.0}
    assert device.row is None
    assert device.commands[-2:] == ["M 0", "QUE"]
    assert dds.set_amplitude(1, 0.0) == {"amplitude": 0.0}
    assert device.output[1] == [60_000_000, 0, 0]


def test_while_a_table_plays_nothing_else_is_set(dds, device):
    dds.play(0, [Step(1.0, 5e6, 0.0, 1.0)])
    device.commands.clear()
    for act in (
        lambda: dds.play(1, [Step(1.0, 5e6, 0.0, 1.0)]),
        lambda: dds.stop(1),
        lambda: dds.set_frequency(1, 1e6),
        lambda: dds.set_frequency(2, 1e6),
    ):
        with pytest.raises(InstrumentError) as refused:
            act()
        assert str(refused.value) == (
            "the 409B plays a table on channel 0, and can set nothing else meanwhile: stop that "
            "first; nothing was sent"
        )
    assert not set(device.commands) - {"QUE"}
    dds.set(0, 7e6, 0.0, 1.0)
    assert device.row is None
    assert device.output[0] == [70_000_000, 0, 1023]


def test_repeats_are_rows(dds, device):
    played = dds.play(0, [Step(1e-3, 5e6, 0.0, 1.0), Step(2e-3, 6e6)], 3)
    assert played["duration"] == pytest.approx(9e-3)
    assert [device.table[0, row][3] for row in range(6)] == [10, 20, 10, 20, 10, 255]


# What goes wrong


def test_a_restart_is_noticed_before_anything_is_sent(dds, device):
    dds.set(0, 80e6, 0.0, 0.25)
    device.power_up()
    device.commands.clear()
    with pytest.raises(HardwareRestarted) as refused:
        dds.set_phase(0, 0.5)
    assert str(refused.value) == (
        "the 409B has other values than it was left with: it was switched off meanwhile, or set "
        "by somebody else; nothing was set"
    )
    assert set(device.commands) == {"QUE"}
    assert dds.get(0)["frequency"] == 10e6, "what it does now is known"
    assert dds.set_frequency(0, 80e6) == {"frequency": 80e6}


def test_a_reset_ends_with_nothing_coming_out(dds, device):
    dds.set(0, 80e6, 0.0, 0.25)
    dds.reset()
    assert device.output == [[100_000_000, 0, 0]] * 4
    assert dds.get(0)["amplitude"] == 0.0


def test_an_echo_is_no_answer(line, device):
    device.echo = True
    dds = DDS(Novatech409bDriver(line.device_string))
    dds.open_hardware()
    assert dds.set_frequency(0, 80e6) == {"frequency": 80e6}
    dds.close()
    assert device.echo, "as it was"


def test_another_device_is_told_and_sent_nothing_more():
    class Other(LineDevice):
        terminator = b"\r\n"

        def answer(self, line):
            return b"ERROR 7"

    with FakeSerial(Other()) as line:
        dds = DDS(Novatech409bDriver(line.device_string))
        with pytest.raises(
            InstrumentError,
            match=r"^serial:\S+ is no 409B: it answered 'ERROR 7' to an empty line; if it is one, "
            r"its baud rate may be another: write it such as \?baud=115200$",
        ):
            dds.open_hardware()
        dds.close()
        assert line.heard == b"\r\n\r\n"


@pytest.mark.parametrize(
    ("fault", "sentence"),
    [
        (Fault.SILENT, "did not answer 'QUE\\r\\n' within 0.5 s; is it switched on?"),
        (Fault.LATE, "did not answer 'QUE\\r\\n' within 0.5 s; is it switched on?"),
        (Fault.HALF, "gave no whole answer to 'QUE\\r\\n' within 0.5 s, only"),
        (Fault.GARBAGE, "gave no whole answer to 'QUE\\r\\n' within 0.5 s, only '00 ff fe 80'"),
    ],
)
def test_what_goes_wrong_on_the_line_is_one_sentence_and_heals(
    monkeypatch, line, device, fault, sentence
):
    monkeypatch.setattr(novatech_409b, "PROTOCOL", patient(PROTOCOL))
    dds = DDS(Novatech409bDriver(line.device_string))
    dds.open_hardware()
    with (
        faulty(line, dds._driver, fault),
        pytest.raises(InstrumentError, match=re.escape(sentence)),
    ):
        dds.set_frequency(0, 80e6)
    assert dds.get(0)["frequency"] is None
    line.release()
    assert dds.set_frequency(0, 80e6) == {"frequency": 80e6}
    assert device.output[0][0] == 800_000_000
    dds.close()


def test_an_unplugged_adapter_is_enough_to_plug_in(dds, line, device):
    line.unplug()
    with pytest.raises(InstrumentError, match=r"^serial:\S+"):
        dds.set_frequency(0, 80e6)
    line.plug()
    assert dds.set_frequency(0, 80e6) == {"frequency": 80e6}


@pytest.mark.parametrize(
    ("answer", "why"),
    [
        ("?1", "it does not take this frequency"),
        ("?f", "it does not take this byte"),
        ("?9", "it answered '?9'"),
    ],
)
def test_its_errors_are_sentences(dds, device, monkeypatch, answer, why):
    monkeypatch.setattr(device, "_set", lambda *_: answer)
    with pytest.raises(InstrumentError) as refused:
        dds.set_frequency(0, 80e6)
    assert str(refused.value).endswith(f": the 409B refused 'F0 80.0000000': {why}")
