"""The FlexDDS-NG's driver over TCP: what is written, and what becomes of answers."""

from __future__ import annotations

import re

import pytest

from artiq_link.dds.types import Ramp, Reading, Tone, Update
from artiq_link.drivers.flexdds_ng import FlexDdsNgDriver
from artiq_link.drivers.simulated import SimulatedDriver
from artiq_link.errors import InstrumentError
from artiq_link.transports.device_string import WrongDevice
from artiq_link.transports.fake import FakeTcp, Fault
from tests.drivers.fake_ad9910 import Output
from tests.drivers.fake_flexdds_ng import FakeFlexDdsNg

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
    bench.fake.fault = fault
    with pytest.raises(InstrumentError):
        bench.set()
    bench.fake.fault = None
    bench.set()
    assert bench.device.chips[0].output() == OUTPUT


@pytest.mark.parametrize("device", ["tcp:192.168.0.45:26006", "tcp:192.168.0.45", "tcp:x:5025"])
def test_what_is_no_slot(device):
    with pytest.raises(WrongDevice):
        FlexDdsNgDriver(device)


def test_the_port_says_the_slot():
    assert FlexDdsNgDriver("tcp:192.168.0.45:26005")._slot == 5
