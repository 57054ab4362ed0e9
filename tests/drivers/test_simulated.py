"""The simulated DDS: words, phases and waveforms, against integers counted cycle by cycle."""

from __future__ import annotations

import math
import threading
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from artiq_link.dds.known import given as given_of
from artiq_link.dds.types import Ramp, Row, Tone, Update
from artiq_link.drivers.ad9910.ramps import ramp_words
from artiq_link.drivers.clocks import ManualClock
from artiq_link.drivers.faults import Error, NoAnswer, SlowAnswer
from artiq_link.drivers.simulated import SimulatedDriver, Write
from artiq_link.drivers.words import ToneWords
from artiq_link.errors import InstrumentError, OutOfRange

FS = 10**9
TURN = 2**32
PHASE_TOLERANCE = 2 * math.pi * 1e-12


def whole(tone, clear_phase=False):
    """An update with all that the tone has."""
    return Update(tone, given_of(tone), clear_phase)


@pytest.fixture
def clock():
    return ManualClock()


@pytest.fixture
def writes():
    return []


@pytest.fixture
def driver(clock, writes):
    return SimulatedDriver(clock=clock, record=writes.append, timeout=0.0)


def cycles(number, sysclk=FS):
    return Fraction(number, int(sysclk))


def count(words, accumulator=0):
    """The DAC's output over the words of each cycle: an accumulator and a cosine."""
    output = []
    for word in words:
        phase = (accumulator + (word.phase << 16)) % TURN
        output.append(word.amplitude / 0x3FFF * math.cos(2 * math.pi * phase / TURN))
        accumulator = (accumulator + word.frequency) % TURN
    return np.array(output)


def stepped(ramp, others, number):
    """The words of `number` cycles of a ramp, stepped as the chip does."""
    shift = {"frequency": 0, "phase": 16, "amplitude": 18}[ramp.parameter]
    register, words = ramp.first, []
    for cycle in range(number):
        if cycle and cycle % (4 * ramp.period) == 0:
            if ramp.last > ramp.first:
                register = min(register + ramp.step, ramp.last)
            else:
                register = max(register - ramp.step, ramp.last)
        words.append(ToneWords(**{**others, ramp.parameter: register >> shift}))
    return words


def assert_same(waveform, expected):
    assert waveform.dtype == np.float64
    np.testing.assert_allclose(waveform, expected, rtol=0, atol=PHASE_TOLERANCE)


# Tones


def test_words_of_a_tone(driver, writes):
    driver.update({1: whole(Tone(80e6, 0.25, 1.0))})
    assert driver.words(1) == ToneWords(0x147AE148, 0x4000, 0x3FFF)
    assert writes == [Write(0, 1, "tone", (0x147AE148, 0x4000, 0x3FFF))]


def test_updates_take_effect_at_the_same_cycle():
    """Also by a clock that goes on with every look at it."""
    ticks = iter(range(1000))
    writes = []
    driver = SimulatedDriver(clock=lambda: (next(ticks), FS), record=writes.append)
    driver.update({0: whole(Tone(1e6)), 3: whole(Tone(2e6)), 1: whole(Tone(3e6))})
    assert [write.channel for write in writes] == [0, 3, 1]
    assert len({write.cycle for write in writes}) == 1


def test_real_time_goes_on_by_default():
    driver = SimulatedDriver()
    before = driver.cycle()
    while driver.cycle() == before:
        pass
    assert driver.cycle() > before


def test_waveform_at_the_clock_rate(driver):
    driver.update({0: whole(Tone(80e6, 0.125, 0.5))})
    assert_same(driver.waveform(0, 500, 1e9), count([driver.words(0)] * 500))


def test_waveform_of_long_times_keeps_its_phase(driver, clock):
    """After three years, and for samples a millisecond apart."""
    driver.update({0: whole(Tone(399.999e6, 0.1, 1.0))})
    clock.advance(10**8)
    words = driver.words(0)
    phases = [
        ((10**17 + 10**6 * n) * words.frequency + (words.phase << 16)) % TURN for n in range(4000)
    ]
    expected = np.cos(2 * np.pi * np.array(phases) / TURN)
    assert_same(driver.waveform(0, 4000, 1e3), expected)
    assert driver.accumulator(0) == 10**17 * words.frequency % TURN


@given(
    st.integers(1, 0x66666666),
    st.integers(0, 0xFFFF),
    st.fractions(Fraction(1, 1000), 10**6, max_denominator=1000),
    st.integers(0, 10**16),
)
def test_waveform_agrees_with_the_accumulator(frequency, phase, per_sample, start):
    """At any rate, the sample is that of the cycle it falls in, counted in integers."""
    clock = ManualClock()
    driver = SimulatedDriver(1, clock=clock)
    tone = driver.format.tone(ToneWords(frequency, phase, 0x3FFF))
    driver.update({0: whole(tone)})
    clock.advance(cycles(start))
    phases = [
        ((start + math.floor(n * per_sample)) * frequency + (phase << 16)) % TURN
        for n in range(50)
    ]
    expected = np.cos(2 * np.pi * np.array(phases) / TURN)
    assert_same(driver.waveform(0, 50, float(FS / per_sample)), expected)


def test_faster_rates_show_the_held_output(driver):
    driver.update({0: whole(Tone(100e6, 0.0, 1.0))})
    assert_same(driver.waveform(0, 40, 4e9), np.repeat(driver.waveform(0, 10, 1e9), 4))


def test_a_rate_that_no_float_holds_falls_on_its_cycles(driver):
    """1e9/7 is a little more than a seventh as a float; its samples are 7 cycles apart."""
    driver.update({0: whole(Tone(390e6, 0.0, 1.0))})
    assert_same(driver.waveform(0, 10000, 1e9 / 7), driver.waveform(0, 70000, 1e9)[::7])


def test_samples_stay_on_their_cycles_over_hours(driver):
    """Three samples a second: every third falls on a whole number of cycles, also the last."""
    driver.update({0: whole(Tone(390e6, 0.0, 1.0))})
    tuning = driver.words(0).frequency
    phases = np.array([n * FS // 3 * tuning % TURN for n in range(100_000)])
    assert_same(driver.waveform(0, 100_000, 3.0), np.cos(2 * np.pi * phases / TURN))


def test_output_off_is_silent_and_the_phase_goes_on(driver, clock):
    driver.update({0: whole(Tone(80e6, 0.0, 1.0))})
    driver.set_output(0, False)
    assert driver.waveform(0, 10, 1e9).tolist() == [0.0] * 10
    clock.advance(cycles(1000))
    driver.set_output(0, True)
    assert driver.accumulator(0) == 1000 * 0x147AE148 % TURN
    assert_same(driver.waveform(0, 10, 1e9), count([driver.words(0)] * 10, driver.accumulator(0)))


def test_silence_is_zero_and_not_minus_zero(driver):
    driver.update({0: whole(Tone(80e6, 0.0, 0.0))})
    assert not np.signbit(driver.waveform(0, 100, 1e9)).any()


def test_continuous_update_keeps_the_accumulator(driver, clock):
    driver.update({0: whole(Tone(80e6, 0.0, 1.0))})
    clock.advance(cycles(12345))
    reached = 12345 * 0x147AE148 % TURN
    driver.update({0: whole(Tone(10e6, 0.5, 1.0))})
    assert driver.accumulator(0) == reached
    clock.advance(cycles(7))
    assert driver.accumulator(0) == (reached + 7 * 0x028F5C29) % TURN


def test_clearing_starts_at_the_phase_word(driver, clock):
    driver.update({0: whole(Tone(80e6, 0.0, 1.0))})
    clock.advance(cycles(12345))
    driver.update({0: whole(Tone(10e6, 0.5, 1.0), clear_phase=True)})
    assert driver.accumulator(0) == 0
    assert driver.waveform(0, 1, 1e9).tolist() == [-1.0]


def test_reset_puts_everything_to_zero(driver, clock, writes):
    driver.update({0: whole(Tone(80e6, 0.3, 1.0))})
    driver.set_output(0, False)
    clock.advance(cycles(9))
    writes.clear()
    driver.reset()
    assert driver.words(0) == ToneWords(0, 0, 0)
    assert driver.accumulator(0) == 0
    assert writes == [Write(9, channel, "reset", (0, 0, 0)) for channel in range(4)]
    driver.update({0: whole(Tone(0.0, 0.0, 1.0))})
    assert driver.waveform(0, 1, 1e9).tolist() == [1.0]


def test_other_widths_and_clocks():
    """An AD9912 has 48 bits, an AD9959 shorter words; all scales follow."""
    clock = ManualClock()
    wide = SimulatedDriver(1, frequency_bits=48, phase_bits=14, amplitude_bits=10, clock=clock)
    wide.update({0: whole(Tone(123456789.123, 0.25, 1.0))})
    words = wide.words(0)
    assert words == ToneWords(round(Fraction(123456789.123) * 2**48 / FS), 1 << 12, 1023)
    clock.advance(10**6)
    assert wide.accumulator(0) == words.frequency * 10**15 % 2**48
    ramp = Ramp("frequency", 1e6, 300e6, 1000.0)
    end = wide.plan_ramp(0, ramp)
    wide.ramp(0, ramp, Tone(), clear_phase=True)
    clock.advance(Fraction(end["duration"]))
    made, steps = ramp_words(wide.format, ramp), end["steps"]
    before_last = steps * made.first + made.step * steps * (steps - 1) // 2
    assert wide.accumulator(0) == 4 * made.period * before_last % 2**48
    assert wide.words(0).frequency == made.last


def test_the_clock_is_that_of_the_chip():
    clock = ManualClock()
    driver = SimulatedDriver(1, sysclk=122.88e6, clock=clock)
    assert driver.channels[0].parameters["frequency"].highest == 49.152e6
    driver.update({0: whole(Tone(41e6))})
    assert driver.words(0).frequency == 0x556AAAAB
    clock.advance(1)
    assert driver.cycle() == 122_880_000


@pytest.mark.parametrize(
    "arguments",
    [
        {"frequency_bits": 49},
        {"frequency_bits": 12},
        {"max_frequency": 500e6},
        {"max_frequency": 0.0},
    ],
)
def test_what_no_chip_has_is_refused(arguments):
    with pytest.raises(ValueError, match=r"^(the frequency word|max_frequency)"):
        SimulatedDriver(**arguments)


# Ramps

RAMPS = [
    Ramp("frequency", 80e6, 180e6, 1e-6),
    Ramp("frequency", 180e6, 80e6, 1.3e-6),
    Ramp("frequency", 100.0, 300.0, 1.2e-6),
    Ramp("phase", 0.0, 0.75, 1e-6),
    Ramp("phase", 0.9, 0.1, 0.7e-6),
    Ramp("amplitude", 0.0, 1.0, 1e-6),
    Ramp("amplitude", 0.8, 0.3, 1e-6),
]


@pytest.mark.parametrize("clear", [False, True])
@pytest.mark.parametrize("ramp", RAMPS, ids=str)
def test_ramp_goes_in_steps_and_dwells(driver, clock, ramp, clear):
    """Cycle by cycle as the chip steps, and beyond its end."""
    driver.update({2: whole(Tone(70e6, 0.3, 0.9))})
    clock.advance(cycles(1001))
    others = {"frequency": 0x11EB851F, "phase": 19661, "amplitude": 14745}
    accumulator = 0 if clear else 1001 * others["frequency"] % TURN
    driver.ramp(2, ramp, Tone(), clear_phase=clear)
    words = stepped(ramp_words(driver.format, ramp), others, 2000)
    assert_same(driver.waveform(2, 2000, 1e9), count(words, accumulator))
    assert words[-1] == words[1900], "the ramp must have ended for its dwelling to be seen"
    clock.advance(cycles(777))
    assert driver.words(2) == words[777]
    assert driver.accumulator(2) == (
        (accumulator + sum(word.frequency for word in words[:777])) % TURN
    )
    assert_same(driver.waveform(2, 100, 1e9), count(words[777:877], driver.accumulator(2)))


def test_a_long_ramp_is_exact_without_counting(driver, clock):
    """Half an hour in 0.2 Hz steps, with the closed sum of its 429,496,730 steps."""
    ramp = Ramp("frequency", 0.0, 100e6, 1800.0)
    words = ramp_words(driver.format, ramp)
    driver.ramp(0, ramp, Tone(), clear_phase=True)
    clock.advance(1000)
    steps, rest = divmod(10**12, 4 * words.period)
    expected = 4 * words.period * words.step * steps * (steps - 1) // 2 + rest * words.step * steps
    assert driver.accumulator(0) == expected % TURN
    clock.advance(10**6)
    assert driver.words(0).frequency == 0x1999999A


@given(st.floats(0, 400e6), st.floats(0, 400e6), st.floats(1e-7, 10.0), st.integers(0, 10**10))
def test_ramps_meet_their_duration(start, stop, duration, cycle):
    clock = ManualClock()
    driver = SimulatedDriver(1, clock=clock)
    ramp = Ramp("frequency", start, stop, duration)
    try:
        plan = driver.plan_ramp(0, ramp)
    except OutOfRange as refusal:
        assert refusal.where in {"stop", "duration"}  # noqa: PT017
        first, last = map(driver.format.frequency_word, (start, stop))
        assert abs(last - first) * 65535 * 4e-9 < duration
        return
    assert abs(plan["duration"] - duration) <= max(3.01 * plan["step_time"], 0.02 * duration)
    driver.ramp(0, ramp, Tone(), clear_phase=False)
    clock.advance(cycles(cycle))
    low, high = sorted([plan["start"], plan["stop"]])
    assert low <= driver.format.frequency(driver.words(0).frequency) <= high


def test_what_the_chip_cannot_make_is_not_begun(driver, writes):
    with pytest.raises(OutOfRange, match="there is nothing to ramp"):
        driver.ramp(0, Ramp("frequency", 80e6, 80e6, 1.0), Tone(), clear_phase=False)
    assert writes == []


# Tables

ROWS = [
    Row(Tone(80e6, 0.0, 1.0), 40e-9),
    Row(Tone(10e6, 0.25, 0.5), 100e-9),
    Row(Tone(300e6, 0.9, 0.1), 4e-9),
]
LENGTHS = [40, 100, 4]


@pytest.mark.parametrize("clear", [False, True])
@pytest.mark.parametrize("repeat", [1, 3, None])
def test_table_is_played_and_its_last_row_held(driver, clock, repeat, clear):
    driver.update({0: whole(Tone(70e6))})
    clock.advance(cycles(1001))
    accumulator = 0 if clear else driver.accumulator(0)
    driver.play(0, ROWS, repeat, clear_phase=clear)
    once = [
        driver.format.words(row.tone)
        for row, length in zip(ROWS, LENGTHS, strict=True)
        for _ in range(length)
    ]
    words = once * (repeat or 10)
    words += [words[-1]] * (1440 - len(words))
    assert_same(driver.waveform(0, 1440, 1e9), count(words, accumulator))
    clock.advance(cycles(333))
    assert driver.words(0) == words[333]
    assert driver.accumulator(0) == (
        (accumulator + sum(word.frequency for word in words[:333])) % TURN
    )


def test_table_that_repeats_for_years_keeps_its_phase(driver, clock):
    driver.play(0, ROWS, None, clear_phase=True)
    once = sum(
        driver.format.words(row.tone).frequency * length
        for row, length in zip(ROWS, LENGTHS, strict=True)
    )
    clock.advance(cycles(144 * 10**15 + 39))
    first = driver.format.words(ROWS[0].tone)
    assert driver.accumulator(0) == (10**15 * once + 39 * first.frequency) % TURN


def test_table_words_are_recorded(driver, writes):
    driver.play(0, ROWS[:2], 1, clear_phase=False)
    assert writes == [
        Write(
            0,
            0,
            "table",
            (0x147AE148, 0, 0x3FFF, 40, 0x028F5C29, 0x4000, 8192, 100),
        )
    ]


@pytest.mark.parametrize(
    "start",
    [
        lambda driver: driver.ramp(0, RAMPS[0], Tone(), clear_phase=False),
        lambda driver: driver.play(0, ROWS, None, clear_phase=False),
    ],
)
def test_stop_holds_the_tone_of_the_instant(driver, clock, start):
    start(driver)
    clock.advance(cycles(50))
    words, accumulator = driver.words(0), driver.accumulator(0)
    assert driver.stop(0) == driver.format.tone(words)
    clock.advance(cycles(10**6))
    assert driver.words(0) == words
    assert driver.accumulator(0) == (accumulator + 10**6 * words.frequency) % TURN


# Faults

ACTS = [
    lambda driver: driver.update({0: whole(Tone(1e6))}),
    lambda driver: driver.set_output(0, False),
    lambda driver: driver.ramp(0, RAMPS[0], Tone(), clear_phase=False),
    lambda driver: driver.play(0, ROWS, 1, clear_phase=False),
    lambda driver: driver.stop(0),
    lambda driver: driver.reset(),
]


@pytest.mark.parametrize(
    ("fault", "sentence"),
    [
        (Error("PLL not locked"), "PLL not locked"),
        (NoAnswer(), "the DDS did not answer within 0.0 s"),
    ],
)
@pytest.mark.parametrize("act", ACTS)
def test_a_fault_strikes_whatever_touches_the_hardware(driver, writes, act, fault, sentence):
    driver.fault = fault
    with pytest.raises(InstrumentError, match=f"^{sentence}$"):
        act(driver)
    assert writes == []
    driver.fault = None
    act(driver)
    assert writes != []


def in_thread(act):
    """Start `act` in a thread; its outcome comes by `join` and the list."""
    outcome = []

    def run():
        try:
            outcome.append(act())
        except InstrumentError as error:
            outcome.append(str(error))

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    return thread, outcome


def test_a_slow_answer_comes_when_released(driver, writes):
    driver.fault = slow = SlowAnswer()
    thread, outcome = in_thread(lambda: driver.set_output(0, False))
    assert slow.reached.wait(10)
    assert writes == []
    slow.release.set()
    thread.join(10)
    assert outcome == [None]
    assert writes == [Write(0, 0, "output", (0,))]


def test_a_slow_answer_comes_by_itself_after_its_time(driver, writes):
    driver.fault = SlowAnswer(seconds=0.001)
    driver.set_output(0, False)
    assert len(writes) == 1


def test_closing_ends_the_wait_for_an_answer(clock):
    driver = SimulatedDriver(clock=clock, timeout=3600.0)
    driver.fault = NoAnswer()
    thread, outcome = in_thread(driver.reset)
    driver.close()
    thread.join(10)
    assert not thread.is_alive()
    assert len(outcome) == 1


def test_a_closed_driver_says_so(driver):
    driver.close()
    with pytest.raises(InstrumentError, match=r"^the simulated DDS is closed$"):
        driver.reset()


def test_a_closed_driver_may_be_opened_again(driver):
    """As the template's, whose server a test starts more than once."""
    driver.close()
    driver.open()
    driver.set_output(0, False)
