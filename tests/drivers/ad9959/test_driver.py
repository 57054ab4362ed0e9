"""The AD9959's driver on a chip that is computed from its registers."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from artiq_link.dds.types import Ramp, Reading, Tone, Update
from artiq_link.drivers.ad9959.driver import Ad9959Driver
from artiq_link.drivers.simulated import SimulatedDriver
from artiq_link.errors import HardwareRestarted, InstrumentError, OutOfRange
from tests.drivers import fake_ad9959
from tests.drivers.fake_ad9959 import FakeAD9959, Output

TONE = Tone(80e6, 0.25, 0.5)
OUTPUT = Output(0x28F5C28F, 0x1000, 512, 8)
"""What comes out for it at 500 MHz."""
ACHIEVED = Tone(79999999.95809048, 0.25, 512 / 1023)
SILENCE = Output(0, 0, 0, 8)
ALL = ("frequency", "phase", "amplitude")


class Bench:
    """A driver that has not been opened, and its chip, whose cycles are its time."""

    def __init__(self, *pins: str, **made: object) -> None:
        self.chip = FakeAD9959(*pins)
        self.driver = Ad9959Driver(self.chip, clock=self.now, **made)

    def now(self) -> tuple[int, int]:
        return self.chip.cycle, 500_000_000

    def set(self, *channels: int, tone: Tone = TONE, clear_phase: bool = False) -> None:
        self.driver.update({channel: Update(tone, ALL, clear_phase) for channel in channels})

    def outputs(self) -> list[Output]:
        return [self.chip.output(channel) for channel in range(4)]

    def effect(self, writes: list[tuple[int, int, int]]) -> list[tuple[int, int, int]]:
        """Writes but for CSR, which only addresses."""
        return [write for write in writes if write[1] != fake_ad9959.CSR]

    def left_by_another(self, channel: int, fr1: int = 0, **registers: int) -> None:
        """The chip as another program may leave it."""
        values = {
            "FR1": fr1,
            "CFR": 0x000301,
            "CFTW0": 0x28F5C28F,
            "CPOW0": 0x1000,
            "ACR": 0x001200,
            **registers,
        }
        self.chip.transfer(bytes([fake_ad9959.CSR, 0x10 << channel]))
        for name, value in values.items():
            register = getattr(fake_ad9959, name)
            width = fake_ad9959.WIDTHS[register]
            self.chip.transfer(bytes([register]) + value.to_bytes(width))
        self.chip.io_update()
        self.chip.written.clear()
        self.chip.updates = 0


@pytest.fixture
def bench() -> Bench:
    """One whose chip has been set up, with `TONE` on channels 0 and 1."""
    made = Bench()
    made.driver.open()
    made.set(0, 1)
    return made


# Opening


@pytest.mark.parametrize(
    ("registers", "reading"),
    [
        ({}, Reading(ACHIEVED, True, "single_tone")),
        # Without the multiplier the amplitude is full scale.
        ({"ACR": 0x000200}, Reading(Tone(ACHIEVED.frequency, 0.25, 1.0), True, "single_tone")),
        # The chip's own ramp of the amplitude, wherever it is.
        ({"ACR": 0x001A00}, Reading(Tone(ACHIEVED.frequency, 0.25), True, "single_tone")),
        ({"CFR": 0x000341}, Reading(ACHIEVED, False, "single_tone")),
        ({"CFR": 0x000381}, Reading(ACHIEVED, False, "single_tone")),
        # A sweep: its pin is low, so it ends at its start.
        ({"CFR": 0x804301, "CW1": 0x40000000}, Reading(ACHIEVED, True, "ramp")),
        # The frequency is chosen by the profile pin.
        (
            {"CFR": 0x800301, "CW1": 0x40000000},
            Reading(Tone(None, 0.25, 512 / 1023), True, None),
        ),
    ],
    ids=str,
)
def test_opening_adopts_what_another_program_left(registers, reading):
    bench = Bench()
    bench.left_by_another(2, **registers)
    bench.driver.open()
    assert bench.driver.read(2) == reading
    bench.driver.close()
    assert (bench.effect(bench.chip.written), bench.chip.updates) == ([], 0)


def test_a_sweep_that_is_found_ends_where_its_pin_takes_it():
    bench = Bench()
    bench.chip.set_level("p2", True)
    bench.left_by_another(2, CFR=0x804301, CW1=0x33333333)
    bench.driver.open()
    assert bench.driver.read(2).tone.frequency == pytest.approx(100e6, abs=0.1)
    assert bench.chip.level("p2")


def test_a_chip_after_power_up_is_unknown_until_it_is_set_up():
    bench = Bench()
    bench.driver.open()
    assert [bench.driver.read(channel) for channel in range(4)] == [Reading()] * 4
    assert (bench.effect(bench.chip.written), bench.chip.updates) == ([], 0)
    bench.driver.update({1: Update(Tone(80e6), ("frequency",))})
    assert bench.outputs() == [SILENCE, SILENCE._replace(frequency=0x28F5C28F), SILENCE, SILENCE]


@pytest.mark.parametrize("powered", [False, True])
def test_what_does_not_answer_is_refused(powered):
    bench = Bench()
    bench.chip.powered = powered
    bench.chip.transfer = lambda data: bytes(len(data))
    sentence = (
        "fake:ad9959: no AD9959 answers: its register CSR was set to 0x12 and reads 0x00; is it "
        "switched on, and SDIO_2 wired?"
    )
    with pytest.raises(InstrumentError, match=f"^{re.escape(sentence)}$"):
        bench.driver.open()


def test_a_clock_that_is_not_the_expected_one():
    bench = Bench(refclk=25e6, multiplier=20)
    bench.left_by_another(0, fr1=0x280000)
    sentence = (
        "fake:ad9959: the AD9959's system clock is 10 times its reference, and 20 times was "
        "expected: say in the device string what it is, such as &refclk=25e6&multiplier=20"
    )
    with pytest.raises(InstrumentError, match=f"^{re.escape(sentence)}$"):
        bench.driver.open()


def test_the_pll_is_set_up():
    bench = Bench(refclk=25e6, multiplier=20)
    bench.driver.open()
    bench.set(3)
    assert bench.chip.multiplier == 20
    assert bench.chip.active[fake_ad9959.FR1] == 0xD00000
    assert bench.chip.output(3) == OUTPUT


@pytest.mark.parametrize(
    ("refclk", "multiplier", "sentence"),
    [
        (1e9, None, "refclk: 1e+09 Hz is outside 0 to 500e6 Hz, the AD9959's clock"),
        (25e6, 21, "multiplier: 21 is no whole number from 4 to 20"),
        (
            10e6,
            20,
            "refclk times multiplier: 2e+08 Hz is outside 100e6 to 160e6 and 255e6 to 500e6 Hz, "
            "which the AD9959's PLL is good for",
        ),
    ],
)
def test_clocks_that_cannot_be(refclk, multiplier, sentence):
    with pytest.raises(ValueError, match=f"^{re.escape(sentence)}$"):
        Bench(refclk=refclk, multiplier=multiplier)


# Tones


@pytest.mark.parametrize(
    ("frequency", "word"), [(10e6, 0x051EB852), (80e6, 0x28F5C28F), (100e6, 0x33333333)]
)
def test_words_at_500_mhz(bench, frequency, word):
    bench.set(2, tone=Tone(frequency, -0.25, 1.0))
    assert bench.chip.output(2) == (word, 0x3000, 1023, 8)


def test_channels_are_set_at_the_same_instant(bench):
    before = bench.chip.updates
    bench.set(0, 1, 2, 3, tone=Tone(10e6, 0.5, 1.0))
    assert bench.chip.updates == before + 1
    assert bench.outputs() == [Output(0x051EB852, 0x2000, 1023, 8)] * 4


def test_only_what_changes_is_written(bench):
    bench.chip.written.clear()
    achieved = bench.driver.update({1: Update(Tone(80e6, 0.25, 1.0), ("amplitude",))})
    assert achieved == {1: Tone(ACHIEVED.frequency, 0.25, 1.0)}
    written = [
        write for write in bench.chip.written if write[1] >= fake_ad9959.CFR and write[0] == 2
    ]
    assert written == [(2, fake_ad9959.CFR, 0x000300), (2, fake_ad9959.ACR, 0x0013FF)]
    assert bench.outputs()[:2] == [OUTPUT, OUTPUT._replace(amplitude=1023)]


def test_a_channel_s_phase_is_cleared_and_no_other_s(bench):
    """Autoclear acts at each update while it is set, also those of other channels."""
    bench.set(0, clear_phase=True)
    first = bench.chip.accumulator(0)
    cycle = bench.chip.cycle
    bench.set(1, clear_phase=True)
    assert bench.chip.accumulator(0) != bench.chip.accumulator(1)
    gained = (bench.chip.cycle - cycle) * OUTPUT.frequency
    assert bench.chip.accumulator(0) == (first + gained) % 2**32
    bench.set(0, 1, clear_phase=True)
    assert bench.chip.accumulator(0) == bench.chip.accumulator(1)


@pytest.mark.parametrize(("bits", "eighths"), [(0, 1), (1, 4), (2, 2), (3, 8)])
def test_the_dac_s_current_is_kept(bits, eighths):
    """A driver in the field sets it to an eighth by each sweep."""
    bench = Bench("io_update", "p0")
    bench.left_by_another(0, CFR=bits << 8)
    bench.driver.open()
    bench.set(0, clear_phase=True)
    assert bench.chip.output(0).scale == eighths
    bench.driver.ramp(0, RISE, TONE, clear_phase=False)
    assert bench.chip.output(0).scale == eighths
    bench.driver.stop(0)
    bench.driver.set_output(0, False)
    bench.driver.set_output(0, True)
    assert bench.chip.output(0).scale == eighths
    bench.driver.reset()
    assert bench.chip.output(0) == SILENCE._replace(scale=eighths)


def test_what_another_program_clears_at_each_update_runs_on():
    """FR2's bits are of all channels."""
    bench = Bench()
    bench.left_by_another(0, FR2=0xA000)
    bench.driver.open()
    bench.set(0)
    bench.set(1)
    assert bench.chip.active[fake_ad9959.FR2] == 0


def test_profile_pins_that_chose_among_many_levels_are_the_sweeps_again():
    bench = Bench()
    bench.left_by_another(0, fr1=0x000320)
    bench.driver.open()
    bench.driver.ramp(0, RISE, TONE, clear_phase=False)
    assert bench.chip.active[fake_ad9959.FR1] == 0x000020


def test_an_output_is_switched_behind_which_the_tone_stays(bench):
    bench.driver.set_output(1, False)
    assert bench.outputs()[:2] == [OUTPUT, OUTPUT._replace(amplitude=0)]
    assert bench.driver.read(1) == Reading(ACHIEVED, False, "single_tone")
    bench.set(1, tone=Tone(10e6, 0.0, 1.0))
    assert bench.chip.output(1).amplitude == 0
    bench.driver.set_output(1, True)
    assert bench.chip.output(1) == Output(0x051EB852, 0, 1023, 8)


def test_reset_leaves_silence(bench):
    bench.driver.reset()
    assert bench.outputs() == [SILENCE] * 4
    assert [bench.chip.accumulator(channel) for channel in range(4)] == [0] * 4
    assert bench.driver.read(0) == Reading(Tone(0.0, 0.0, 0.0), True, "single_tone")


def test_closing_switches_nothing(bench):
    written = list(bench.chip.written)
    bench.driver.close()
    assert bench.chip.written == written
    assert bench.outputs() == [OUTPUT, OUTPUT, SILENCE, SILENCE]


# Losing power, and bad wires


@pytest.mark.parametrize(
    "act",
    [
        lambda b: b.set(0),
        lambda b: b.driver.set_output(2, False),
        lambda b: b.driver.ramp(0, RISE, TONE, clear_phase=False),
        lambda b: b.driver.stop(0),
    ],
)
def test_a_power_failure_is_noticed_before_anything_is_sent(bench, act):
    bench.chip.power_cycle()
    bench.chip.written.clear()
    sentence = (
        "fake:ad9959: the AD9959 has lost what it was set to: its register CFR of channel 0 reads "
        "0x000302 instead of 0x000300; nothing was sent"
    )
    with pytest.raises(HardwareRestarted, match=f"^{sentence}$"):
        act(bench)
    assert bench.effect(bench.chip.written) == []
    assert bench.driver.read(0) == Reading()
    bench.set(0)
    assert bench.outputs() == [OUTPUT, SILENCE, SILENCE, SILENCE]


def test_an_update_that_does_not_come_is_seen(bench, monkeypatch):
    """The wire of IO_UPDATE has come off."""
    monkeypatch.setattr(bench.chip, "pulse", lambda pin: None)
    with pytest.raises(InstrumentError, match=r"a wire is bad$"):
        bench.set(0, tone=Tone(10e6, 0.0, 1.0))
    monkeypatch.undo()
    assert bench.driver.read(0) == Reading(ACHIEVED, True, "single_tone")


# Ramps

RISE = Ramp("frequency", 10e6, 11e6, 1e-6)

RAMPS = [
    RISE,
    Ramp("frequency", 11e6, 10e6, 1.3e-6),
    Ramp("frequency", 80e6, 80.0001e6, 1e-6),
    Ramp("phase", 0.0, 0.75, 1e-6),
    Ramp("phase", 0.9, 0.1, 0.7e-6),
    Ramp("amplitude", 0.0, 1.0, 10e-6),
    Ramp("amplitude", 0.8, 0.3, 1e-6),
]


@pytest.mark.parametrize("ramp", RAMPS, ids=str)
def test_a_ramp_makes_the_steps_that_were_planned(bench, ramp):
    plan = bench.driver.plan_ramp(1, ramp)
    bench.driver.ramp(1, ramp, TONE, clear_phase=False)
    # The pin's edge is the last that happens.
    begun = bench.chip.cycle
    period = round(plan["step_time"] * 500e6)
    chip = bench.driver.format
    first, last = (chip.word(ramp.parameter, plan[end]) for end in ("start", "stop"))
    step = round(plan["step"] / chip.value(ramp.parameter, 1))
    for cycles in [0, 1, period - 1, 1, period, 37, 5 * period, 20_000]:
        bench.chip.run(cycles)
        moved = (bench.chip.cycle - begun) // period * step
        expected = min(first + moved, last) if step > 0 else max(first + moved, last)
        made = bench.chip.output(1)._asdict()
        assert made.pop(ramp.parameter) == expected
        assert made == {
            name: value for name, value in OUTPUT._asdict().items() if name != ramp.parameter
        }
    assert bench.driver.stop(1) == bench.driver.quantise(
        1, Tone(**{**TONE_PARTS, ramp.parameter: plan["stop"]})
    )
    assert bench.chip.output(0) == OUTPUT


TONE_PARTS = {"frequency": 80e6, "phase": 0.25, "amplitude": 0.5}


def test_a_falling_ramp_shows_its_end_for_one_tick_before(bench):
    """The sweep has to be taken up before it can come down."""
    seen = []
    run = bench.chip.run

    def watch(cycles):
        for _ in range(cycles):
            seen.append(bench.chip.output(0).frequency)
            run(1)

    bench.set(0, tone=Tone(11e6, 0.25, 0.5))
    bench.chip.run = watch
    bench.driver.ramp(0, Ramp("frequency", 11e6, 10e6, 1e-6), TONE, clear_phase=False)
    start, stop = (bench.driver.format.frequency_word(f) for f in (11e6, 10e6))
    assert set(seen) == {start, stop}
    assert seen.count(stop) == 4


def test_a_ramp_is_stopped_where_it_is_while_others_run_on(bench):
    slow = Ramp("frequency", 10e6, 20e6, 200e-6)
    bench.driver.ramp(0, slow, TONE, clear_phase=False)
    begun = bench.chip.cycle
    bench.driver.ramp(1, slow, TONE, clear_phase=False)
    bench.chip.run(50_000)
    held = bench.driver.stop(1)
    assert held.frequency == pytest.approx(15e6, rel=0.05)
    assert bench.chip.output(1).frequency == bench.driver.format.frequency_word(held.frequency)
    bench.chip.run(begun + 100_000 - bench.chip.cycle)
    assert bench.chip.output(0).frequency == bench.driver.format.frequency_word(20e6)


def test_a_ramp_leaves_an_output_that_is_off(bench):
    bench.driver.set_output(0, False)
    bench.driver.ramp(0, RISE, TONE, clear_phase=False)
    assert bench.chip.output(0).amplitude == 0
    bench.driver.set_output(0, True)
    bench.chip.run(5000)
    assert bench.chip.output(0).amplitude == 512


def test_a_ramp_that_is_too_long_for_its_steps(bench):
    with pytest.raises(OutOfRange, match=r"^duration: 1 s is above the ramp's limit of"):
        bench.driver.plan_ramp(0, Ramp("amplitude", 0.0, 1.0, 1.0))


def test_a_channel_without_its_profile_pin_has_no_ramps():
    bench = Bench("io_update", "p0")
    bench.driver.plan_ramp(0, RISE)
    sentence = (
        "channel 1 of the AD9959 ramps by its profile pin: add p1= to the device string, where "
        "the pin is wired"
    )
    with pytest.raises(InstrumentError, match=f"^{sentence}$"):
        bench.driver.plan_ramp(1, RISE)


def test_what_another_program_began_cannot_be_stopped_where_it_is():
    bench = Bench()
    bench.left_by_another(0, CFR=0x804301, CW1=0x40000000)
    bench.driver.open()
    with pytest.raises(InstrumentError, match=r"set its frequency, phase and amplitude$"):
        bench.driver.stop(0)
    bench.set(0, tone=Tone(10e6, 0.0, 1.0))
    assert bench.chip.output(0) == Output(0x051EB852, 0, 1023, 8)


# Anything after anything

TONES = st.builds(Tone, st.floats(0, 200e6), st.floats(-2, 2), st.floats(0, 1))


@given(
    st.lists(
        st.tuples(st.dictionaries(st.integers(0, 3), TONES), st.booleans(), st.booleans()),
        max_size=5,
    )
)
def test_any_tones_are_those_of_the_simulation(commands):
    bench = Bench()
    bench.driver.open()
    bench.driver.reset()
    simulated = SimulatedDriver(
        4, sysclk=500e6, phase_bits=14, amplitude_bits=10, clock=lambda: (0, 1)
    )
    simulated.open()
    for tones, clear_phase, on in commands:
        updates = {number: Update(tone, ALL, clear_phase) for number, tone in tones.items()}
        assert bench.driver.update(updates) == simulated.update(updates)
        for number in updates:
            bench.driver.set_output(number, on)
            simulated.set_output(number, on)
            words = simulated.words(number)
            made = (words.frequency, words.phase, words.amplitude if on else 0, 8)
            assert bench.chip.output(number) == made
            assert bench.driver.read(number) == simulated.read(number)
