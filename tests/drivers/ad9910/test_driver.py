"""The AD9910's driver on a chip that is computed from its registers."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from artiq_link.dds.types import Ramp, Reading, Row, Tone, Update
from artiq_link.drivers.ad9910.driver import Ad9910Driver
from artiq_link.drivers.ramps import ramp_words
from artiq_link.drivers.simulated import SimulatedDriver
from artiq_link.errors import HardwareRestarted, InstrumentError
from tests.drivers import fake_ad9910
from tests.drivers.fake_ad9910 import FakeAD9910, Output

TONE = Tone(80e6, 0.25, 0.5)
OUTPUT = Output(0x147AE148, 0x4000, 0x2000)
"""What comes out for it at 1 GHz."""
ACHIEVED = Tone(80000000.0745058, 0.25, 0x2000 / 0x3FFF)
ALL = ("frequency", "phase", "amplitude")
CONTROL = (fake_ad9910.CFR1, fake_ad9910.CFR2, fake_ad9910.CFR3)


class Bench:
    """A driver that has not been opened, and its chip, whose cycles are its time."""

    def __init__(self, *pins: str, **made: object) -> None:
        chip = {name: made.pop(name) for name in list(made) if name in {"osk", "ram_falls"}}
        self.chip = FakeAD9910(*pins, **chip)
        self.driver = Ad9910Driver(self.chip, clock=self.now, **made)

    def now(self) -> tuple[int, int]:
        return self.chip.cycle, 10**9

    def set(self, tone: Tone = TONE, *, clear_phase: bool = False) -> Tone:
        return self.driver.update({0: Update(tone, ALL, clear_phase)})[0]

    def since_update(self) -> int:
        return self.chip.cycle - self.chip.updated_at

    def write(self, register: int, value: int) -> None:
        """As another program does."""
        width = fake_ad9910.WIDTHS[register]
        self.chip.transfer(bytes([register]) + value.to_bytes(width))

    def left_by_another(self, **registers: int) -> None:
        """The chip as another program may leave it."""
        self.write(fake_ad9910.CFR1, 2)
        self.chip.io_update()
        self.write(fake_ad9910.CFR2, 0x01400820)
        self.write(fake_ad9910.CFR3, 0x0807C000)
        self.write(fake_ad9910.PROFILE0, 0x2000_4000_147AE148)
        for name, value in registers.items():
            self.write(getattr(fake_ad9910, name), value)
        self.chip.io_update()
        self.chip.written.clear()
        self.chip.updates = 0


@pytest.fixture
def bench() -> Bench:
    """One whose chip has been set up, with `TONE` on it."""
    made = Bench()
    made.driver.open()
    made.set()
    return made


# Opening


@pytest.mark.parametrize(
    ("registers", "reading"),
    [
        ({}, Reading(ACHIEVED, True, "single_tone")),
        # Without the amplitudes of the profiles, as after a reset, it is full scale.
        (
            {"CFR2": 0x00400820},
            Reading(Tone(80000000.0745058, 0.25, 1.0), True, "single_tone"),
        ),
        # Keyed by OSK: its amplitude is ASF's, and at 0 the output is off.
        (
            {"CFR1": 0x202, "ASF": 0x1000 << 2},
            Reading(Tone(80000000.0745058, 0.25, 0x1000 / 0x3FFF), True, "single_tone"),
        ),
        ({"CFR1": 0x202, "ASF": 0}, Reading(ACHIEVED, False, "single_tone")),
        ({"CFR1": 0x42}, Reading(ACHIEVED, False, "single_tone")),
        # A ramp: DRCTL is low, so it ends at the lower limit.
        (
            {"CFR2": 0x01480820, "LIMITS": 0x1999999A_147AE148},
            Reading(ACHIEVED, True, "ramp"),
        ),
        (
            {"CFR2": 0x014A0820, "LIMITS": 2 << 32},
            Reading(Tone(None, 0.25, 0x2000 / 0x3FFF), True, "ramp"),
        ),
        ({"CFR1": 0x80000002}, Reading(Tone(), True, "table")),
        ({"CFR2": 0x01400830}, Reading(Tone(), True, None)),
    ],
    ids=str,
)
def test_opening_adopts_what_another_program_left(registers, reading):
    bench = Bench()
    bench.left_by_another(**registers)
    before = bench.chip.output()
    bench.driver.open()
    assert bench.driver.read(0) == reading
    bench.driver.close()
    assert (bench.chip.written, bench.chip.updates) == ([], 0)
    assert bench.chip.output() == before


@pytest.mark.parametrize("floating", [0x00, 0xFF])
def test_a_chip_after_power_up_is_unknown_until_a_whole_tone_sets_it_up(floating):
    """It does not answer yet, so that nothing is claimed, and nothing written."""
    bench = Bench()
    bench.chip.floating = floating
    bench.driver.open()
    assert bench.driver.read(0) == Reading()
    assert (bench.chip.written, bench.chip.updates) == ([], 0)
    assert bench.set() == ACHIEVED
    assert bench.chip.output() == OUTPUT
    assert bench.driver.read(0) == Reading(ACHIEVED, True, "single_tone")


def test_another_chip_is_refused_at_opening():
    bench = Bench()
    bench.left_by_another(AUX_DAC=0x00030200)
    sentence = (
        "fake:ad9910: no AD9910 answers: its register AUX_DAC reads 0x00030200, and should be "
        "0x0000007f; is it another chip, or is SDO not wired?"
    )
    with pytest.raises(InstrumentError, match=f"^{re.escape(sentence)}$"):
        bench.driver.open()


def test_a_chip_without_power_is_not_set():
    bench = Bench()
    bench.driver.open()
    bench.chip.powered = False
    with pytest.raises(InstrumentError, match=r"no AD9910 answers: .* reads 0xffffffff"):
        bench.set()


def test_a_clock_that_is_not_the_expected_one():
    """All frequencies would be wrong."""
    bench = Bench(refclk=25e6, multiplier=40)
    bench.left_by_another()
    sentence = (
        "fake:ad9910: the AD9910's system clock is 1 times its reference, and 40 times was "
        "expected: say in the device string what it is, such as &refclk=25e6&multiplier=40"
    )
    with pytest.raises(InstrumentError, match=f"^{re.escape(sentence)}$"):
        bench.driver.open()
    assert bench.chip.written == []


def test_the_pll_is_set_up_as_artiq_does(monkeypatch):
    """ARTIQ's CFR3 for a reference of 25 MHz: band 5, highest current."""
    monkeypatch.setattr("artiq_link.drivers.ad9910.driver.LOCK_TIME", 0)
    bench = Bench(refclk=25e6, multiplier=40)
    bench.driver.open()
    bench.set()
    clocks = [value for register, value in bench.chip.written if register == fake_ad9910.CFR3]
    assert clocks == [0x0D3FC550, 0x0D3FC150, 0x0D3FC150]
    assert bench.chip.output() == OUTPUT


@pytest.mark.parametrize(
    ("refclk", "multiplier", "sentence"),
    [
        (25e6, 20.5, "multiplier: 20.5 is no whole number from 12 to 127"),
        (2e9, None, "refclk: 2e+09 Hz is outside 0 to 1e9 Hz, the AD9910's clock"),
        (25e6, 11, "multiplier: 11 is no whole number from 12 to 127"),
        (100e6, 12, "refclk: 1e+08 Hz is outside 3.307e6 to 60e6 Hz, the PLL's input"),
        (
            25e6,
            41,
            "refclk times multiplier: 1.025e+09 Hz is outside 420e6 to 1e9 Hz, the PLL's output",
        ),
    ],
)
def test_clocks_that_cannot_be(refclk, multiplier, sentence):
    with pytest.raises(ValueError, match=f"^{re.escape(sentence)}$"):
        Bench(refclk=refclk, multiplier=multiplier)


# Tones


def test_a_tone_is_written_whole_and_read_back(bench):
    assert bench.set(Tone(100e6, 1.75, 1.0)) == Tone(100000000.09313226, 0.75, 1.0)
    assert bench.chip.output() == Output(0x1999999A, 0xC000, 0x3FFF)


def test_phase_runs_on_or_starts_from_zero(bench):
    bench.chip.run(12345)
    before, cycle = bench.chip.accumulator, bench.chip.cycle
    bench.set(Tone(10e6, 0.0, 0.5))
    gained = (bench.chip.updated_at - cycle) * OUTPUT.frequency
    gained += bench.since_update() * 0x028F5C29
    assert bench.chip.accumulator == (before + gained) % 2**32
    bench.set(clear_phase=True)
    assert bench.chip.accumulator == bench.since_update() * OUTPUT.frequency % 2**32


def test_an_update_without_clearing_does_not_clear_what_the_last_one_cleared(bench):
    """Autoclear acts at each update while it is set, the output's switch among them."""
    bench.set(clear_phase=True)
    bench.driver.set_output(0, True)
    assert bench.chip.accumulator != bench.since_update() * OUTPUT.frequency % 2**32


def test_the_board_s_bits_stay():
    """Sine output, inverse sinc filter, SYNC_CLK pin."""
    bench = Bench()
    bench.left_by_another(CFR1=0x00410002, CFR2=0x01000820)
    bench.driver.open()
    bench.set(clear_phase=True)
    assert bench.chip.active[fake_ad9910.CFR1] == 0x00412002
    assert bench.chip.active[fake_ad9910.CFR2] == 0x01000820


def test_the_output_is_switched_behind_which_the_tone_stays(bench):
    bench.driver.set_output(0, False)
    assert bench.chip.output() == OUTPUT._replace(amplitude=0)
    assert bench.driver.read(0) == Reading(ACHIEVED, False, "single_tone")
    bench.set(Tone(10e6, 0.0, 1.0))
    assert bench.chip.output().amplitude == 0
    bench.driver.set_output(0, True)
    assert bench.chip.output() == Output(0x028F5C29, 0, 0x3FFF)


def test_what_keyed_the_amplitude_is_kept_through_off_and_on():
    bench = Bench()
    bench.left_by_another(CFR1=0x202, ASF=0x1000 << 2)
    bench.driver.open()
    bench.driver.set_output(0, False)
    assert bench.chip.output().amplitude == 0
    bench.driver.set_output(0, True)
    assert bench.chip.output() == OUTPUT._replace(amplitude=0x1000)


def test_reset_leaves_silence(bench):
    bench.driver.reset()
    assert bench.chip.output() == Output(0, 0, 0)
    assert bench.chip.accumulator == 0
    assert bench.driver.read(0) == Reading(Tone(0.0, 0.0, 0.0), True, "single_tone")


def test_closing_switches_nothing(bench):
    written = list(bench.chip.written)
    bench.driver.close()
    assert bench.chip.output() == OUTPUT
    assert bench.chip.written == written


# Losing power, and bad wires


@pytest.mark.parametrize(
    "act",
    [
        lambda b: b.set(),
        lambda b: b.driver.set_output(0, False),
        lambda b: b.driver.ramp(0, RISE, TONE, clear_phase=False),
        lambda b: b.driver.play(0, ROWS, 1, clear_phase=False),
        lambda b: b.driver.stop(0),
    ],
)
def test_a_power_failure_is_noticed_before_anything_is_sent(bench, act):
    bench.chip.power_cycle()
    bench.chip.written.clear()
    sentence = (
        "fake:ad9910: the AD9910 has lost what it was set to: its register 0x00 reads 0xffffffff "
        "instead of 0x2; nothing was sent"
    )
    with pytest.raises(HardwareRestarted, match=f"^{sentence}$"):
        act(bench)
    assert bench.chip.written == []
    assert bench.driver.read(0) == Reading()
    assert bench.set() == ACHIEVED
    assert bench.chip.output() == OUTPUT


def test_what_another_program_changed_meanwhile_is_noticed(bench):
    bench.left_by_another(CFR1=0x202, ASF=0)
    with pytest.raises(HardwareRestarted):
        bench.set()
    assert bench.driver.read(0) == Reading(ACHIEVED, False, "single_tone")


def test_an_update_that_does_not_come_is_seen(bench, monkeypatch):
    """The wire of IO_UPDATE has come off."""
    monkeypatch.setattr(bench.chip, "pulse", lambda pin: None)
    sentence = (
        "fake:ad9910: the AD9910's register 0x0e was set to 0x3fff0000028f5c29 and reads "
        "0x20004000147ae148: the chip lost its power, or a wire is bad"
    )
    with pytest.raises(InstrumentError, match=f"^{sentence}$"):
        bench.set(Tone(10e6, 0.0, 1.0))
    monkeypatch.undo()
    assert bench.driver.read(0) == Reading(ACHIEVED, True, "single_tone")
    bench.set(Tone(10e6, 0.0, 1.0))
    assert bench.chip.output() == Output(0x028F5C29, 0, 0x3FFF)


def test_the_pin_that_shows_in_a_register_is_not_taken_for_a_loss(bench, monkeypatch):
    """CFR1's bit 3 reads as the level of EXT_PWR_DWN."""
    read = bench.chip._read
    monkeypatch.setattr(
        bench.chip,
        "_read",
        lambda register: read(register) | (8 if register == fake_ad9910.CFR1 else 0),
    )
    bench.set()
    bench.set()


# Ramps

RISE = Ramp("frequency", 10e6, 11e6, 1e-6)

RAMPS = [
    RISE,
    Ramp("frequency", 11e6, 10e6, 1.3e-6),
    Ramp("frequency", 80e6, 80.0001e6, 1e-6),
    Ramp("phase", 0.0, 0.75, 1e-6),
    Ramp("phase", 0.9, 0.1, 0.7e-6),
    Ramp("amplitude", 0.0, 1.0, 1e-6),
    Ramp("amplitude", 0.8, 0.3, 1e-6),
]


@pytest.mark.parametrize("ramp", RAMPS, ids=str)
@pytest.mark.parametrize("clear_phase", [False, True])
def test_a_ramp_is_that_of_the_simulation_in_every_cycle(bench, ramp, clear_phase):
    cycle = 0
    simulated = SimulatedDriver(1, clock=lambda: (cycle, 10**9))
    simulated.open()
    simulated.update({0: Update(TONE, ALL)})
    assert bench.driver.plan_ramp(0, ramp) == simulated.plan_ramp(0, ramp)
    simulated.ramp(0, ramp, TONE, clear_phase=clear_phase)
    bench.driver.ramp(0, ramp, TONE, clear_phase=clear_phase)
    cycle = bench.since_update()
    offset = (bench.chip.accumulator - simulated.accumulator(0)) % 2**32
    if clear_phase:
        assert offset == 0
    for step in [1, 2, 3, 4, 50, 200, 300, 1000, 5000]:
        bench.chip.run(step)
        cycle += step
        words = simulated.words(0)
        assert bench.chip.output() == (words.frequency, words.phase, words.amplitude)
        assert (bench.chip.accumulator - simulated.accumulator(0)) % 2**32 == offset


def test_a_falling_ramp_begins_within_one_unit_of_its_start(bench, monkeypatch):
    """The generator must be filled to fall, and the output must not show how."""
    seen = []
    run = bench.chip.run

    def watch(cycles):
        for _ in range(cycles):
            seen.append(bench.chip.output().frequency)
            run(1)

    bench.set(Tone(11e6, 0.25, 0.5))
    monkeypatch.setattr(bench.chip, "run", watch)
    bench.driver.ramp(0, Ramp("frequency", 11e6, 10e6, 1e-6), TONE, clear_phase=False)
    start = bench.driver.format.frequency_word(11e6)
    before = seen[: seen.index(start - 1) + 4]
    assert set(before) == {start, start - 1}


def gained(words, cycles):
    """What the accumulator gains in a ramp's first cycles."""
    return sum(words.at(cycle // 4) for cycle in range(cycles)) % 2**32


def test_a_ramp_is_stopped_where_it_is(bench):
    ramp = Ramp("amplitude", 0.9, 0.1, 100e-6)
    bench.driver.ramp(0, ramp, TONE, clear_phase=False)
    begun, words = bench.chip.updated_at, ramp_words(bench.driver.format, ramp)
    bench.chip.run(50_000)
    first = bench.chip.output().amplitude
    held = bench.driver.stop(0)
    last = words.at((bench.chip.cycle - begun) // 4) >> 18
    assert first >= bench.driver.format.amplitude_word(held.amplitude) > last
    assert (held.frequency, held.phase) == (ACHIEVED.frequency, ACHIEVED.phase)
    after = bench.chip.output()
    assert after.amplitude == bench.driver.format.amplitude_word(held.amplitude)
    bench.chip.run(50_000)
    assert bench.chip.output() == after


def test_a_ramp_that_is_over_is_held_at_its_end(bench):
    bench.driver.ramp(0, RISE, TONE, clear_phase=False)
    bench.chip.run(10_000)
    assert bench.driver.stop(0).frequency == bench.driver.plan_ramp(0, RISE)["stop"]


def test_a_ramp_goes_on_behind_an_output_that_is_off(bench):
    ramp = Ramp("frequency", 10e6, 11e6, 10e-6)
    bench.driver.ramp(0, ramp, TONE, clear_phase=True)
    begun, words = bench.chip.updated_at, ramp_words(bench.driver.format, ramp)
    for on in (False, True):
        bench.driver.set_output(0, on)
        assert bool(bench.chip.output().amplitude) is on
        # Neither does it begin anew, nor its phase.
        assert bench.chip.output().frequency == words.at((bench.chip.cycle - begun) // 4)
        assert bench.chip.accumulator == gained(words, bench.chip.cycle - begun)
    bench.chip.run(begun + 20_000 - bench.chip.cycle)
    assert bench.chip.output() == (bench.driver.format.frequency_word(11e6), 0x4000, 0x2000)


@pytest.mark.parametrize("stop", [9e6, 11e6])
def test_a_ramp_leaves_an_output_that_is_off(bench, stop):
    bench.driver.set_output(0, False)
    bench.driver.ramp(0, Ramp("frequency", 10e6, stop, 1e-6), TONE, clear_phase=False)
    assert bench.chip.output().amplitude == 0
    bench.driver.set_output(0, True)
    assert bench.chip.output() == (bench.driver.format.frequency_word(stop), 0x4000, 0x2000)


def test_a_board_without_drctl_has_no_ramps():
    bench = Bench("io_update")
    sentence = (
        "the AD9910 ramps by its pin DRCTL: add drctl= to the device string, where the pin is "
        "wired"
    )
    with pytest.raises(InstrumentError, match=f"^{sentence}$"):
        bench.driver.plan_ramp(0, RISE)


def test_what_another_program_began_cannot_be_stopped_where_it_is():
    bench = Bench()
    bench.left_by_another(CFR2=0x01480820, LIMITS=0x1999999A_147AE148)
    bench.driver.open()
    with pytest.raises(InstrumentError, match=r"set its frequency, phase and amplitude$"):
        bench.driver.stop(0)
    assert bench.chip.written == []
    bench.set(Tone(10e6, 0.0, 1.0))
    assert bench.chip.output() == Output(0x028F5C29, 0, 0x3FFF)


# Tables

ROWS = [
    Row(Tone(10e6, 0.25, 0.5), 8e-6),
    Row(Tone(20e6, 0.25, 0.5), 4e-6),
    Row(Tone(30e6, 0.25, 0.5), 12e-6),
]


def seen_of(bench, cycles, step=100):
    """What comes out from the update on, each `step` cycles."""
    seen = []
    bench.chip.run(-bench.since_update() % step)
    for _ in range(cycles // step):
        seen.append(bench.chip.output())
        bench.chip.run(step)
    return seen


@pytest.mark.parametrize("ram_falls", [False, True])
@pytest.mark.parametrize("clear_phase", [False, True])
def test_a_table_of_frequencies_plays_from_the_ram(ram_falls, clear_phase):
    """Whichever way the port goes through the RAM: the driver asks it."""
    bench = Bench(ram_falls=ram_falls)
    bench.driver.open()
    bench.set()
    assert [row.dwell for row in bench.driver.plan_table(0, ROWS, 1)] == [8e-6, 4e-6, 12e-6]
    bench.driver.play(0, ROWS, 1, clear_phase=clear_phase)
    if clear_phase:
        first = bench.driver.format.frequency_word(10e6)
        assert bench.chip.accumulator == bench.since_update() * first % 2**32
    behind = -(-bench.since_update() // 100)
    words = [bench.driver.format.frequency_word(row.tone.frequency) for row in ROWS]
    expected = [words[0]] * 80 + [words[1]] * 40 + [words[2]] * 400
    seen = seen_of(bench, 30_000)
    assert [each.frequency for each in seen] == expected[behind : behind + 300]
    assert {each[1:] for each in seen} == {(0x4000, 0x2000)}


def test_a_table_of_phases_and_amplitudes_repeats_until_it_is_stopped(bench):
    rows = [Row(Tone(80e6, 0.0, 1.0), 1e-6), Row(Tone(80e6, 0.5, 0.25), 2e-6)]
    bench.driver.play(0, rows, None, clear_phase=False)
    behind = -(-bench.since_update() // 100)
    one_pass = [(0, 0x3FFF)] * 10 + [(0x8000, 0x1000)] * 20
    expected = (one_pass * 12)[behind : behind + 300]
    seen = seen_of(bench, 30_000)
    assert [each[1:] for each in seen] == expected
    assert {each.frequency for each in seen} == {OUTPUT.frequency}
    assert bench.driver.read(0) == Reading(Tone(), True, "table")


def test_a_table_is_stopped_in_the_row_that_plays(bench):
    bench.driver.play(0, ROWS, None, clear_phase=False)
    bench.chip.run(24_000 + 9_000 - bench.since_update())
    assert bench.driver.stop(0) == bench.driver.quantise(0, ROWS[1].tone)
    assert bench.chip.output().frequency == bench.driver.format.frequency_word(20e6)
    bench.chip.run(100_000)
    assert bench.chip.output().frequency == bench.driver.format.frequency_word(20e6)


def test_a_table_that_is_repeated_takes_as_many_words(bench):
    rows = [Row(Tone(80e6, 0.0, 1.0), 1e-6), Row(Tone(80e6, 0.5, 0.25), 1e-6)]
    bench.driver.play(0, rows, 3, clear_phase=False)
    bench.chip.run(5_500 - bench.since_update())
    assert bench.chip.output().amplitude == 0x1000
    assert bench.chip.ram[:7] == [0x0000FFFC, 0x80004000] * 3 + [0x5A5A5A5A]


def test_all_of_the_ram(bench):
    rows = [Row(Tone(1e5 * index, 0.0, 1.0), 40e-9) for index in range(1024)]
    bench.driver.play(0, rows, 1, clear_phase=False)
    words = [bench.driver.format.frequency_word(row.tone.frequency) for row in rows]
    assert bench.chip.ram == words


def test_the_output_is_silent_while_the_ram_is_loaded(bench, monkeypatch):
    """Its profile then holds addresses, which are no tone."""
    seen = set()
    run = bench.chip.run

    def watch(cycles):
        seen.add(bench.chip.output())
        run(cycles)

    monkeypatch.setattr(bench.chip, "run", watch)
    bench.driver.play(0, ROWS, 1, clear_phase=False)
    first = OUTPUT._replace(frequency=bench.driver.format.frequency_word(10e6))
    assert {each for each in seen if each.amplitude} == {OUTPUT, first}


def test_a_table_behind_an_output_that_is_off(bench):
    bench.driver.set_output(0, False)
    bench.driver.play(0, ROWS, None, clear_phase=False)
    bench.chip.run(5000)
    assert bench.chip.output().amplitude == 0
    sentence = (
        "the AD9910 would begin its table anew with its output: stop it or play it again, then "
        "switch the output on"
    )
    with pytest.raises(InstrumentError, match=f"^{sentence}$"):
        bench.driver.set_output(0, True)
    bench.driver.stop(0)
    assert bench.chip.output().amplitude == 0
    bench.driver.set_output(0, True)
    assert bench.chip.output().amplitude == 0x2000


def test_a_playing_table_can_be_switched_off(bench):
    """For safety, although it begins anew behind."""
    bench.driver.play(0, ROWS, None, clear_phase=False)
    bench.driver.set_output(0, False)
    bench.chip.run(5000)
    assert bench.chip.output().amplitude == 0


def test_a_ram_that_does_not_hold_is_seen(bench):
    bench.chip.ram = Stuck([0] * 1024)
    with pytest.raises(InstrumentError, match=r"RAM does not hold what was written to it$"):
        bench.driver.play(0, ROWS, 1, clear_phase=False)
    assert bench.chip.output().amplitude == 0


class Stuck(list):
    """A RAM that keeps what it has."""

    def __setitem__(self, index, value):
        pass


# Anything after anything

TONES = st.builds(Tone, st.floats(0, 400e6), st.floats(-2, 2), st.floats(0, 1))


@given(st.lists(st.tuples(TONES, st.booleans(), st.booleans()), max_size=6))
def test_any_tones_are_those_of_the_simulation(commands):
    bench = Bench()
    bench.driver.open()
    simulated = SimulatedDriver(1, clock=lambda: (0, 1))
    simulated.open()
    for tone, clear_phase, on in commands:
        update = {0: Update(tone, ALL, clear_phase)}
        assert bench.driver.update(update) == simulated.update(update)
        bench.driver.set_output(0, on)
        simulated.set_output(0, on)
        words = simulated.words(0)
        made = (words.frequency, words.phase, words.amplitude if on else 0)
        assert bench.chip.output() == made
        assert bench.driver.read(0) == simulated.read(0)
