"""The FlexDDS-NG's driver over TCP: what is written, and what becomes of answers."""

from __future__ import annotations

import re

import pytest

from artiq_link.dds.dds import DDS
from artiq_link.dds.types import Ramp, Reading, Step, Tone, Update
from artiq_link.drivers.flexdds_ng import FlexDdsNgDriver
from artiq_link.drivers.simulated import SimulatedDriver
from artiq_link.errors import InstrumentError, OutOfRange
from artiq_link.transports.device_string import WrongDevice
from artiq_link.transports.fake import FakeTcp, Fault
from tests.drivers.fake_ad9910 import Output
from tests.drivers.fake_flexdds_ng import FakeFlexDdsNg
from tests.drivers.faulty import faulty

TONE = Tone(80e6, 0.0, 1.0)
OUTPUT = Output(0x147AE148, 0, 0x3FFF)
ALL = ("frequency", "phase", "amplitude")


class Bench:
    def __init__(self, fake, device):
        self.fake = fake
        self.device = device
        self.driver = FlexDdsNgDriver(
            fake.device_string, slot=3, clock=lambda: (self.device.chips[0].cycle, 10**9)
        )

    def set(self, channel=0, tone=TONE, *, clear_phase=False):
        return self.driver.update({channel: Update(tone, ALL, clear_phase)})[channel]


@pytest.fixture
def bench():
    device = FakeFlexDdsNg(slot=3)
    with FakeTcp(device) as fake:
        bench = Bench(fake, device)
        bench.driver.open()
        yield bench
        bench.driver.close()


def test_opening_says_the_slot_s_word_and_no_more(bench):
    assert bench.fake.heard == b"75f4a4e10dd4b6b3\n"
    assert bench.driver.read(0) == Reading()


def test_a_tone_is_written_with_all_digits(bench):
    """Small words go wrong without."""
    assert bench.set() == Tone(80000000.0745058, 0.0, 1.0)
    assert bench.fake.heard.decode().splitlines()[1:] == [
        "dcp 0 spi:ASF=0x00000000",
        "dcp 0 spi:STP0=0x3fff0000147ae148",
        "dcp 0 spi:CFR2=0x01400820",
        "dcp 0 spi:CFR1=0x00000002:w",
        "dcp 0 update:u",
        "dcp 0 start",
    ]
    assert bench.device.chips[0].output() == OUTPUT
    bench.set(1, Tone(300e3, 0.0, 0.0))
    assert bench.device.chips[1].output() == (0x0013A92A, 0, 0)


def test_a_phase_that_rounds_to_a_turn_does_not_spill_into_the_amplitude(bench):
    assert bench.set(0, Tone(80e6, 359.9999 / 360, 0.5)).phase == 0.0
    assert bench.device.chips[0].output() == OUTPUT._replace(amplitude=0x2000)


def test_phase_is_cleared_where_it_is_asked_for(bench):
    chip = bench.device.chips[0]
    bench.set()
    chip.run(1001)
    bench.set(clear_phase=True)
    since = chip.cycle - chip.updated_at
    assert chip.accumulator == since * OUTPUT.frequency % 2**32
    bench.set()
    since = chip.cycle - chip.updated_at
    assert chip.accumulator != since * OUTPUT.frequency % 2**32


def test_an_output_is_off_until_it_is_on(bench):
    bench.set()
    bench.driver.set_output(0, False)
    assert bench.device.chips[0].output().amplitude == 0
    bench.set()
    assert bench.device.chips[0].output().amplitude == 0
    bench.driver.set_output(0, True)
    assert bench.device.chips[0].output() == OUTPUT


@pytest.mark.parametrize(
    "ramp",
    [
        Ramp("frequency", 10e6, 11e6, 10e-6),
        Ramp("frequency", 11e6, 10e6, 10e-6),
        Ramp("amplitude", 0.9, 0.1, 10e-6),
    ],
    ids=str,
)
def test_a_ramp_is_that_of_the_simulation(bench, ramp):
    cycle = 0
    simulated = SimulatedDriver(1, clock=lambda: (cycle, 10**9))
    simulated.open()
    simulated.update({0: Update(TONE, ALL)})
    simulated.ramp(0, ramp, TONE, clear_phase=False)
    assert bench.driver.plan_ramp(0, ramp) == simulated.plan_ramp(0, ramp)
    bench.driver.ramp(0, ramp, TONE, clear_phase=False)
    chip = bench.device.chips[0]
    cycle = chip.cycle - chip.updated_at
    for step in [0, 1, 3, 500, 2000, 20_000]:
        chip.run(step)
        cycle += step
        words = simulated.words(0)
        assert chip.output() == (words.frequency, words.phase, words.amplitude)
    assert bench.driver.read(0) == Reading()
    end = bench.driver.stop(0)
    assert getattr(end, ramp.parameter) == bench.driver.plan_ramp(0, ramp)["stop"]


def test_a_ramp_leaves_an_output_that_is_off(bench):
    bench.set()
    bench.driver.set_output(0, False)
    bench.driver.ramp(0, Ramp("frequency", 11e6, 10e6, 1e-6), TONE, clear_phase=False)
    assert bench.device.chips[0].output().amplitude == 0
    bench.driver.set_output(0, True)
    assert bench.device.chips[0].output().amplitude == 0x3FFF


# Tables


@pytest.fixture
def dds(bench):
    """One whose channel 0 is known."""
    made = DDS(bench.driver)
    made.set(0, 80e6, 0.0, 1.0)
    return made


WORDS = {80e6: 0x147AE148, 10e6: 0x028F5C29}


def heard_since(bench, before):
    return bench.fake.heard[len(before) :].decode().splitlines()


def test_a_table_is_written_whole_and_then_started(bench, dds):
    before = bench.fake.heard
    played = dds.play(0, [Step(20e-6, 80e6, 0.0, 1.0), Step(0.2, 10e6), Step(20e-6, 80e6)])
    assert played["duration"] == pytest.approx(0.20004, abs=1e-9)
    assert heard_since(bench, before) == [
        "dcp 0 stop",
        "dcp 0 spi:ASF=0x00000000",
        "dcp 0 spi:STP0=0x3fff0000147ae148",
        "dcp 0 spi:CFR2=0x01400820",
        "dcp 0 spi:CFR1=0x00000002:w",
        "dcp 0 update:u",
        "dcp 0 spi:STP0=0x3fff0000028f5c29:c",
        "dcp 0 wait:2500h:",
        "dcp 0 update:u",
        "dcp 0 spi:STP0=0x3fff0000147ae148:c",
        "dcp 0 wait:16777215h:",
        "dcp 0 wait:8222785h:",
        "dcp 0 update:u",
        "dcp 0 start",
    ]


def frequencies(bench, cycles, count):
    """The tuning words at so many instants, from now on."""
    for _ in range(count):
        yield bench.device.chips[0].output().frequency
        bench.device.run(0, cycles)


def test_rows_last_as_long_as_they_should_and_the_last_is_held(bench, dds):
    dds.play(0, [Step(20e-6, 80e6, 0.0, 1.0), Step(30e-6, 10e6)], 2)
    # The DCP's own time, some ns a line, is not in the rows' dwells.
    told = list(frequencies(bench, 10_000, 12))
    high, low = WORDS[80e6], WORDS[10e6]
    assert told == [high, high, *[low] * 3, high, high, *[low] * 5]
    assert dds.stop(0)["frequency"] == dds.get(0)["frequency"]
    assert "reset" not in bench.fake.heard.decode()


def test_a_row_may_wait_for_a_trigger(bench, dds):
    assert dds.play(0, [Step(None, 80e6, 0.0, 1.0), Step(20e-6, 10e6)])["duration"] is None
    bench.device.run(0, 10**6)
    assert bench.device.chips[0].output().frequency == WORDS[80e6]
    bench.device.trigger()
    assert bench.device.chips[0].output().frequency == WORDS[10e6]
    with pytest.raises(InstrumentError, match=r"^it is not known what channel 0 of the FlexDDS"):
        dds.stop(0)
    assert dds.set(0, 80e6, 0.0, 1.0)["frequency"] == 80000000.0745058
    assert bench.device.chips[0].output() == OUTPUT


def test_a_table_is_stopped_where_it_is(bench, dds):
    bench.set(1)
    updates = bench.device.chips[1].updates
    dds.play(0, [Step(20e-6, 80e6, 0.0, 1.0), Step(1.0, 10e6, 0.5, 0.5), Step(20e-6, 80e6)])
    bench.device.run(0, 25_000)
    assert dds.stop(0) == {
        "frequency": pytest.approx(10e6, abs=0.2),
        "phase": 0.5,
        "amplitude": pytest.approx(0.5, abs=1e-4),
    }
    assert bench.device.chips[0].output() == (WORDS[10e6], 0x8000, 0x2000)
    bench.device.run(0, 2 * 10**9)
    assert bench.device.chips[0].output() == (WORDS[10e6], 0x8000, 0x2000)
    assert bench.device.chips[1].updates == updates


@pytest.mark.parametrize("dwell", [1.0, None])
def test_what_is_set_does_not_wait_behind_a_table(bench, dds, dwell):
    dds.play(0, [Step(dwell, 10e6, 0.0, 1.0), Step(20e-6, 10e6)])
    dds.set(0, 80e6, 0.0, 1.0)
    assert bench.device.chips[0].output() == OUTPUT


@pytest.mark.parametrize("dwell", [1.0, None])
def test_an_output_that_plays_a_table_is_off_at_once(bench, dds, dwell):
    dds.play(0, [Step(dwell, 10e6, 0.0, 1.0), Step(20e-6, 80e6)])
    dds.output(0, False)
    assert bench.device.chips[0].output().amplitude == 0
    dds.output(0, True)
    assert bench.device.chips[0].output() == OUTPUT
    assert dds.stop(0)["frequency"] == dds.get(0)["frequency"] == 80000000.0745058


def test_a_table_begins_once_at_phase_zero(bench, dds):
    chip = bench.device.chips[0]
    dds.set(0, 80e6, 0.0, 1.0, phase_mode="absolute")
    chip.run(1001)
    dds.play(0, [Step(20e-6, 80e6, 0.0, 1.0), Step(20e-6, 80e6)])
    assert chip.accumulator == (chip.cycle - chip.updated_at) * WORDS[80e6] % 2**32
    bench.device.run(0, 30_000)
    assert chip.accumulator != (chip.cycle - chip.updated_at) * WORDS[80e6] % 2**32


@pytest.mark.parametrize(
    ("steps", "repeat", "sentence"),
    [
        (
            [{"dwell": 9e-6}],
            1,
            "steps[0].dwell: 9e-6 s is below the table's limit of 1e-5 s",
        ),
        (
            [{"dwell": 1e-3}],
            True,
            "repeat: the FlexDDS-NG ends a table with its last row: give a number",
        ),
        (
            [{"dwell": 1e-3}],
            129,
            "steps: 129 times 1 rows are more than the table's 128; a step takes a row for each "
            "0.134218 s of its dwell",
        ),
    ],
)
def test_a_table_that_it_cannot_play_is_refused_before_anything_is_sent(
    bench, dds, steps, repeat, sentence
):
    before = bench.fake.heard
    with pytest.raises(OutOfRange) as refused:
        dds.interact({"command_id": "play", "channel": 0, "steps": steps, "repeat": repeat})
    assert str(refused.value) == sentence
    assert bench.fake.heard == before


def test_the_longest_table_is_within_its_room(bench, dds):
    dds.play(0, [Step(None, 80e6, 0.0, 1.0)] + [Step(20e-6, 80e6)] * 127)
    assert dds.get(0)["activity"] == "table"


@pytest.mark.parametrize("fault", [Fault.GARBAGE, Fault.RESET, Fault.HALF])
def test_after_half_a_table_what_is_set_comes_out(bench, dds, fault):
    with faulty(bench.fake, bench.driver, fault), pytest.raises(InstrumentError):
        dds.play(0, [Step(None, 10e6, 0.0, 1.0), Step(20e-6, 10e6)])
    dds.set(0, 80e6, 0.0, 1.0)
    assert bench.device.chips[0].output() == OUTPUT


def test_a_line_that_breaks_in_a_table_leaves_nothing_waiting_behind_it(bench, dds):
    dds.play(0, [Step(None, 10e6, 0.0, 1.0), Step(20e-6, 10e6)])
    bench.driver.close()
    dds.open_hardware()
    assert dds.get(0)["activity"] is None
    dds.set(0, 80e6, 0.0, 1.0)
    assert bench.device.chips[0].output() == OUTPUT


def test_a_reset_ends_what_another_program_left(bench):
    other = FlexDdsNgDriver(bench.fake.device_string, slot=3)
    other.open()
    playing = DDS(other)
    playing.set(0, 80e6, 0.0, 1.0)
    playing.play(0, [Step(None, 10e6, 0.0, 1.0), Step(20e-6, 10e6)])
    other.close()
    bench.driver.reset()
    bench.set()
    assert bench.device.chips[0].output() == OUTPUT


# What goes wrong


def test_what_was_never_set_cannot_be_stopped(bench):
    with pytest.raises(
        InstrumentError, match=r"^it is not known what channel 1 of the FlexDDS-NG"
    ):
        bench.driver.stop(1)


def test_another_slot_s_word_is_refused():
    with FakeTcp(FakeFlexDdsNg(slot=3)) as fake:
        driver = FlexDdsNgDriver(fake.device_string, slot=2)
        sentence = (
            f"{fake.device_string}: slot 2 of the FlexDDS-NG answered 'Auth error' to "
            "'75f4a4e10dd4b6b2'"
        )
        with pytest.raises(InstrumentError, match=f"^{re.escape(sentence)}$"):
            driver.open()
        driver.close()


def test_a_line_that_is_refused_is_told_and_the_next_command_begins_anew(bench):
    bench.device.power_cycle()
    with pytest.raises(InstrumentError, match=r"answered 'Auth error' to 'dcp 0 spi:ASF="):
        bench.set()
    assert bench.driver.read(0) == Reading()
    bench.set()
    assert bench.device.chips[0].output() == OUTPUT


@pytest.mark.parametrize("fault", [Fault.GARBAGE, Fault.RESET])
def test_after_what_went_wrong_the_next_command_begins_anew(bench, fault):
    with faulty(bench.fake, bench.driver, fault), pytest.raises(InstrumentError):
        bench.set()
    bench.set()
    assert bench.device.chips[0].output() == OUTPUT


@pytest.mark.parametrize("device", ["tcp:192.168.0.45:26006", "tcp:192.168.0.45", "tcp:x:5025"])
def test_what_is_no_slot(device):
    with pytest.raises(WrongDevice):
        FlexDdsNgDriver(device)


def test_the_port_says_the_slot():
    assert FlexDdsNgDriver("tcp:192.168.0.45:26005")._slot == 5
