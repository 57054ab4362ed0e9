"""The DDS's commands on a simulated driver whose every write is recorded."""

from __future__ import annotations

import itertools
import math
import re
from fractions import Fraction

import msgspec
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from artiq_link.dds.capabilities import Span, Tables
from artiq_link.dds.channel import Channel
from artiq_link.dds.dds import DDS
from artiq_link.dds.types import MAX_REPEAT, MAX_SAMPLES, Setting, Step, Tone, Update
from artiq_link.drivers.clocks import ManualClock
from artiq_link.drivers.faults import After, Error, Fault
from artiq_link.drivers.ramps import ramp_words
from artiq_link.drivers.simulated import SimulatedDriver
from artiq_link.drivers.words import ToneWords
from artiq_link.errors import (
    ExchangeError,
    HardwareRestarted,
    InstrumentError,
    InvalidParameter,
    OutOfRange,
)

MHZ_80 = 80000000.0745058
MHZ_10 = 10000000.009313226


class Bench:
    """A DDS, its driver, the driver's clock, and what was written since it was built."""

    def __init__(self):
        self.clock = ManualClock()
        self.writes = []
        self.driver = SimulatedDriver(clock=self.clock, record=self.writes.append)
        self.dds = DDS(
            self.driver,
            [
                Channel("cooling", max_frequency=300e6, min_frequency=1e6, max_amplitude=0.8),
                Channel("repump"),
                Channel("probe"),
            ],
        )
        self.dds.open_hardware()
        self.writes.clear()

    def interact(self, command_id, **parameters):
        return self.dds.interact({"command_id": command_id, **parameters})

    def cycles(self, number):
        self.clock.advance(Fraction(number, 10**9))


@pytest.fixture
def bench():
    return Bench()


@pytest.fixture
def dds(bench):
    return bench.dds


# Building


def test_without_channels_all_of_the_driver_s_are_there():
    dds = DDS(SimulatedDriver())
    dds.open_hardware()
    states = dds.get_all()
    assert [(state["channel"], state["name"]) for state in states] == [
        (0, "ch0"),
        (1, "ch1"),
        (2, "ch2"),
        (3, "ch3"),
    ]
    assert states[3] == {
        "channel": 3,
        "name": "ch3",
        "frequency": 0.0,
        "phase": 0.0,
        "amplitude": 0.0,
        "phase_mode": "continuous",
        "output": True,
        "activity": "single_tone",
        "limits": {"min_frequency": 0.0, "max_frequency": 400e6, "max_amplitude": 1.0},
    }


def left_running():
    """A source as another program left it: a tone, a ramp, and a table that repeats for ever."""
    clock = ManualClock()
    source = SimulatedDriver(4, clock=clock)
    program = DDS(source)
    program.open_hardware()
    program.set(0, 80e6, 0.25, 0.5)
    program.output(0, False)
    program.ramp(1, "frequency", 0.0, 1e6, 1.0)
    program.play(2, [Step(0.5, frequency=2e6), Step(0.5, amplitude=1.0)], True)
    return source, clock


def test_opening_changes_nothing_and_adopts_what_runs():
    source, clock = left_running()
    writes = []
    source._record = writes.append
    dds = DDS(source, [Channel("only"), Channel("ramped"), Channel("played")])
    assert dds.get(0)["output"] is None, "nothing is known before it is opened"
    dds.open_hardware()
    dds.close()
    assert writes == []
    told = ("frequency", "phase", "amplitude", "output", "activity")
    assert [[state[name] for name in told] for state in dds.get_all()] == [
        [MHZ_80, 0.25, 8192 / 0x3FFF, False, "single_tone"],
        [None, None, None, True, "ramp"],
        [None, None, None, True, "table"],
    ], "how far it is that others have begun is not known"
    assert not any("running" in state for state in dds.get_all())
    assert (dds.activity(), dds.state_period) == (None, None)
    clock.advance(0.25)
    assert source.words(1).frequency == pytest.approx(0x418937 / 4, rel=1e-3), "the ramp went on"


def test_what_was_adopted_can_be_stopped_and_kept():
    source, clock = left_running()
    dds = DDS(source)
    dds.open_hardware()
    clock.advance(0.5)
    assert dds.stop(1)["frequency"] == pytest.approx(5e5, rel=1e-3)
    assert dds.set_phase(2, 0.5) == {"phase": 0.5}
    assert source.words(2) == source.format.words(Tone(2e6, 0.5, 1.0))


@pytest.mark.parametrize(
    ("channels", "sentence"),
    [
        ([Channel("a")] * 5, "5 channels are more than the driver's 4"),
        ([Channel("a"), Channel("a")], "two channels have the same name"),
        (
            [Channel("a", max_frequency=500e6)],
            "channel 'a': the limits of its frequency must lie between the hardware's, 0 and 4e8 "
            "Hz",
        ),
        (
            [Channel("a", max_frequency=1e6, min_frequency=2e6)],
            "channel 'a': the limits of its frequency must lie between the hardware's, 0 and 4e8 "
            "Hz",
        ),
        (
            [Channel("a", max_amplitude=1.5)],
            "channel 'a': the limits of its amplitude must lie between the hardware's, 0 and 1 "
            "of full scale",
        ),
    ],
)
def test_channels_that_do_not_fit_the_driver(channels, sentence):
    with pytest.raises(ValueError, match=f"^{re.escape(sentence)}$"):
        DDS(SimulatedDriver(), channels)


# Setting and reading


def test_setters_return_what_was_achieved(dds):
    assert dds.set_frequency(0, 80e6) == {"frequency": MHZ_80}
    assert dds.set_phase(0, 1.25) == {"phase": 0.25}
    assert dds.set_amplitude(0, 0.5) == {"amplitude": 8192 / 0x3FFF}
    assert dds.set(1, 10e6, 0.5, 1.0) == {"frequency": MHZ_10, "phase": 0.5, "amplitude": 1.0}
    assert dds.output(0, False) == {"output": False}


def test_channels_go_by_number_or_name(bench):
    bench.dds.set_frequency(1, 80e6)
    bench.dds.set_frequency("repump", 10e6)
    assert [write.channel for write in bench.writes] == [1, 1]
    assert bench.dds.get("repump") == bench.dds.get(1)


def test_each_setter_keeps_the_rest(bench):
    bench.dds.set("cooling", frequency=80e6, phase=0.25, amplitude=0.5)
    bench.dds.set_frequency("cooling", 10e6)
    bench.dds.set_phase("cooling", 0.75)
    bench.dds.set_amplitude("cooling", 0.0)
    assert [write.words for write in bench.writes] == [
        (0x147AE148, 0x4000, 8192),
        (0x028F5C29, 0x4000, 8192),
        (0x028F5C29, 0xC000, 8192),
        (0x028F5C29, 0xC000, 0),
    ]
    assert {write.register for write in bench.writes} == {"tone"}


def test_get_tells_the_whole_state(dds):
    dds.set("cooling", frequency=80e6, phase=0.25, amplitude=0.8, phase_mode="absolute")
    dds.output("cooling", False)
    assert dds.get("cooling") == {
        "channel": 0,
        "name": "cooling",
        "frequency": MHZ_80,
        "phase": 0.25,
        "amplitude": 13106 / 0x3FFF,
        "phase_mode": "absolute",
        "output": False,
        "activity": "single_tone",
        "limits": {"min_frequency": 1e6, "max_frequency": 300e6, "max_amplitude": 0.8},
    }
    assert dds.get_all() == [dds.get(0), dds.get(1), dds.get(2)]


def test_set_many_is_one_update_at_one_instant(bench):
    settings = [{"channel": "probe", "frequency": 80e6}, {"channel": 0, "amplitude": 0.5}]
    assert bench.interact("set_many", settings=settings) == [
        {"frequency": MHZ_80, "phase": 0.0, "amplitude": 0.0},
        {"frequency": 0.0, "phase": 0.0, "amplitude": 8192 / 0x3FFF},
    ]
    assert [write.channel for write in bench.writes] == [2, 0]
    assert len({write.cycle for write in bench.writes}) == 1


def test_set_many_of_nothing_touches_nothing(bench):
    assert bench.interact("set_many", settings=[]) == []
    assert bench.writes == []


def test_limits_may_be_asked_for(dds):
    """What is achieved may then be half a step beyond."""
    assert dds.set_frequency("cooling", 300e6)["frequency"] == pytest.approx(300e6, abs=0.12)
    assert dds.set_frequency("cooling", 1e6)["frequency"] == pytest.approx(1e6, abs=0.12)
    assert dds.set_amplitude("cooling", 0.8)["amplitude"] == pytest.approx(0.8, abs=1e-4)


def test_continuous_phase_runs_on_and_absolute_starts_anew(bench):
    dds, driver = bench.dds, bench.driver
    dds.set(0, frequency=80e6)
    bench.cycles(1001)
    reached = driver.accumulator(0)
    dds.set_frequency(0, 10e6)
    assert driver.accumulator(0) == reached != 0
    dds.set(0, phase_mode="absolute")
    assert driver.accumulator(0) == 0
    bench.cycles(1001)
    dds.set_amplitude(0, 0.5)
    assert driver.accumulator(0) != 0, "an amplitude does not disturb the phase"
    dds.set_frequency(0, 20e6)
    assert driver.accumulator(0) == 0
    bench.cycles(1001)
    dds.set_phase(0, 0.5)
    assert driver.accumulator(0) == 0
    bench.cycles(1001)
    dds.set(0, frequency=30e6, phase_mode="continuous")
    assert driver.accumulator(0) != 0


@pytest.mark.parametrize("mode", ["continuous", "absolute"])
def test_ramps_and_tables_follow_the_phase_mode(bench, mode):
    bench.dds.set(0, frequency=80e6, phase_mode=mode)
    bench.cycles(1001)
    bench.dds.ramp(0, "frequency", 10e6, 20e6, 1e-3)
    assert (bench.driver.accumulator(0) == 0) == (mode == "absolute")
    bench.cycles(1001)
    bench.dds.play(0, [Step(1.0)])
    assert (bench.driver.accumulator(0) == 0) == (mode == "absolute")


# Ramps, tables, waveforms


def test_ramp_returns_what_is_made(bench):
    """Also as other dialects call it: by position, with integers for floats."""
    bench.dds.set(1, frequency=10e6, amplitude=1.0)
    achieved = bench.dds.ramp(1, "frequency", 80_000_000, 180_000_000, 1e-3)
    assert achieved == {
        "parameter": "frequency",
        "start": MHZ_80,
        "stop": 179999999.93480742,
        "step": 400.003045797348,
        "step_time": 4e-9,
        "steps": 249999,
        "duration": 0.000999996,
    }
    assert bench.writes[-1].register == "ramp"
    state = bench.dds.get(1)
    assert (state["activity"], state["frequency"]) == ("ramp", achieved["start"])
    bench.clock.advance(1)
    state = bench.dds.get(1)
    assert (state["activity"], state["frequency"]) == ("single_tone", achieved["stop"])
    assert bench.driver.words(1).frequency == 0x2E147AE1
    assert bench.driver.words(1).amplitude == 0x3FFF


def test_a_ramp_is_worked_out_once(bench):
    """To check it, to answer and to make it, the same is asked: it takes longest of all."""
    ramp_words.cache_clear()
    bench.dds.ramp(1, "frequency", 80e6, 180e6, 1e-3)
    assert ramp_words.cache_info().misses == 1


def test_play_returns_what_is_played(bench):
    bench.dds.set(1, phase=0.5, amplitude=1.0)
    steps = [
        {"dwell": 1e-6, "frequency": 80e6},
        {"dwell": 2.001e-6, "amplitude": 0.5},
        {"dwell": 1e-6, "frequency": 10e6},
    ]
    played = bench.interact("play", channel="repump", steps=steps, repeat=2)
    half = 8192 / 0x3FFF
    assert played == {
        "steps": [
            {"frequency": MHZ_80, "phase": 0.5, "amplitude": 1.0, "dwell": 1e-6},
            {"frequency": MHZ_80, "phase": 0.5, "amplitude": half, "dwell": 2e-6},
            {"frequency": MHZ_10, "phase": 0.5, "amplitude": half, "dwell": 1e-6},
        ],
        "repeat": 2,
        "duration": 8e-6,
    }
    state = bench.dds.get(1)
    assert (state["activity"], state["frequency"]) == ("table", MHZ_80)
    bench.clock.advance(7e-6 - 1e-9)
    assert bench.driver.words(1).frequency == 0x147AE148
    bench.clock.advance(1)
    state = bench.dds.get(1)
    assert (state["activity"], state["frequency"]) == ("single_tone", MHZ_10)
    assert bench.driver.words(1).frequency == 0x028F5C29


def test_a_table_may_repeat_until_it_is_stopped(bench):
    steps = [Step(1e-6, frequency=80e6), Step(1e-6, frequency=10e6)]
    played = bench.dds.play(1, steps, True)
    assert (played["repeat"], played["duration"]) == (None, None)
    bench.clock.advance(10**6 + Fraction(1, 2 * 10**6))
    assert bench.dds.stop(1)["frequency"] == MHZ_80
    bench.clock.advance(Fraction(1, 10**6))
    assert bench.driver.words(1).frequency == 0x147AE148


@pytest.mark.parametrize("repeat", [1, False])
def test_a_table_is_played_once_unless_told_otherwise(dds, repeat):
    assert dds.play(1, [Step(1.0)]) == dds.play(1, [Step(1.0)], repeat)


def test_a_table_may_repeat_for_ages(bench):
    """The longest and most often repeated; what is answered can be sent."""
    longest = bench.dds.play(1, [Step(4398.0)] * 1024, 10**15)
    assert longest["duration"] == pytest.approx(4398.0 * 1024e15)
    bench.clock.advance(10**6)
    assert bench.dds.get(1)["activity"] == "table"


def test_stop_holds_and_returns_the_tone_of_the_instant(bench):
    bench.dds.ramp(1, "frequency", 0.0, 100e6, 1.0)
    bench.clock.advance(0.5)
    tone = bench.dds.stop("repump")
    assert tone["frequency"] == pytest.approx(50e6, rel=1e-3)
    state = bench.dds.get(1)
    assert (state["activity"], state["frequency"]) == ("single_tone", tone["frequency"])
    bench.writes.clear()
    assert bench.dds.stop("repump") == tone
    assert bench.writes == []


def test_a_setting_ends_a_ramp_and_keeps_the_rest_as_it_is_then(bench):
    bench.dds.ramp(1, "frequency", 0.0, 100e6, 1.0)
    bench.clock.advance(0.5)
    tone = bench.dds.set(1, amplitude=1.0)
    assert tone["frequency"] == pytest.approx(50e6, rel=1e-3)
    assert bench.dds.get(1)["activity"] == "single_tone"
    bench.clock.advance(0.5)
    assert bench.driver.words(1).frequency == bench.driver.format.frequency_word(tone["frequency"])


def test_waveform_is_that_of_the_output(bench):
    bench.dds.set(1, frequency=100e6, phase=0.25, amplitude=0.5, phase_mode="absolute")
    waveform = bench.interact("waveform", channel=1, samples=20, rate=1e9)
    words = 0x1999999A * np.arange(20) % 2**32 / 2**32
    expected = 8192 / 0x3FFF * np.cos(2 * np.pi * (words + 0.25))
    assert waveform.dtype == np.float64
    np.testing.assert_allclose(waveform, expected, rtol=0, atol=2e-15 * 2 * math.pi)
    bench.dds.output(1, False)
    assert not bench.dds.waveform(1, 20, 1e9).any()


def test_reset_is_as_after_building(bench):
    before = bench.dds.get_all()
    bench.dds.set(0, 80e6, 0.5, 0.5, "absolute")
    bench.dds.output(0, False)
    bench.dds.ramp(1, "phase", 0.0, 0.5, 1.0)
    bench.dds.reset()
    assert bench.dds.get_all() == before
    assert bench.driver.waveform(0, 3, 1e9).tolist() == [0.0, 0.0, 0.0]


def test_safe_state_switches_all_outputs_off(bench):
    bench.dds.set(0, frequency=80e6)
    bench.dds.safe_state()
    assert [state["output"] for state in bench.dds.get_all()] == [False] * 3
    assert bench.dds.get(0)["frequency"] == MHZ_80


@pytest.mark.parametrize("kind", [InstrumentError, OSError, ZeroDivisionError])
def test_safe_state_tries_every_output(kind):
    """Channels that fail do not keep the others on, whatever a driver raises."""

    class SomeFail(SimulatedDriver):
        def set_output(self, channel, on):
            if channel in {0, 2}:
                raise kind(f"channel {channel} is stuck")
            super().set_output(channel, on)

    dds = DDS(SomeFail())
    with pytest.raises(kind, match=r"^channel 0 is stuck$"):
        dds.safe_state()
    assert [state["output"] for state in dds.get_all()] == [None, False, None, False]


def test_close_closes_the_driver(bench):
    bench.dds.close()
    assert bench.driver.closed.is_set()


# Refusals

CHANNELS = "the channels are 0 'cooling', 1 'repump', 2 'probe'"
DWELL = {"dwell": 1e-3}

REFUSED = [
    (
        ("set_frequency", {"channel": 0, "frequency": 5e8}),
        (OutOfRange, "frequency", "5e8 Hz is above the channel's limit of 3e8 Hz"),
    ),
    (
        ("set_frequency", {"channel": 1, "frequency": 5e8}),
        (OutOfRange, "frequency", "5e8 Hz is above the channel's limit of 4e8 Hz"),
    ),
    (
        ("set_frequency", {"channel": 0, "frequency": 1000}),
        (OutOfRange, "frequency", "1000 Hz is below the channel's limit of 1e6 Hz"),
    ),
    (
        ("set_frequency", {"channel": 7, "frequency": 1e6}),
        (OutOfRange, "channel", f"there is no channel 7; {CHANNELS}"),
    ),
    (
        ("set_frequency", {"channel": -1, "frequency": 1e6}),
        (OutOfRange, "channel", f"there is no channel -1; {CHANNELS}"),
    ),
    (
        ("set_frequency", {"channel": "coling", "frequency": 1e6}),
        (InvalidParameter, "channel", f"there is no channel 'coling'; {CHANNELS}"),
    ),
    (
        ("set_amplitude", {"channel": "cooling", "amplitude": 0.81}),
        (
            OutOfRange,
            "amplitude",
            "0.81 of full scale is above the channel's limit of 0.8 of full scale",
        ),
    ),
    (
        ("set", {"channel": 0, "frequency": 80e6, "phase": 0.5, "amplitude": 0.9}),
        (
            OutOfRange,
            "amplitude",
            "0.9 of full scale is above the channel's limit of 0.8 of full scale",
        ),
    ),
    (
        (
            "set_many",
            {"settings": [{"channel": 1, "frequency": 1e6}, {"channel": 0, "frequency": 5e8}]},
        ),
        (
            OutOfRange,
            "settings[1].frequency",
            "5e8 Hz is above the channel's limit of 3e8 Hz",
        ),
    ),
    (
        ("set_many", {"settings": [{"channel": 1}, {"channel": "x"}]}),
        (InvalidParameter, "settings[1].channel", f"there is no channel 'x'; {CHANNELS}"),
    ),
    (
        ("set_many", {"settings": [{"channel": 1}, {"channel": 0}, {"channel": "repump"}]}),
        (
            InvalidParameter,
            "settings[2].channel",
            "'repump' is set twice, first in settings[0]",
        ),
    ),
    (
        (
            "ramp",
            {
                "channel": 0,
                "parameter": "frequency",
                "start": 0.0,
                "stop": 1e6,
                "duration": 1.0,
            },
        ),
        (OutOfRange, "start", "0 Hz is below the channel's limit of 1e6 Hz"),
    ),
    (
        (
            "ramp",
            {"channel": 0, "parameter": "amplitude", "start": 0.0, "stop": 1.0, "duration": 1.0},
        ),
        (
            OutOfRange,
            "stop",
            "1 of full scale is above the channel's limit of 0.8 of full scale",
        ),
    ),
    (
        (
            "ramp",
            {"channel": 1, "parameter": "frequency", "start": 0, "stop": 1e6, "duration": 1e-10},
        ),
        (OutOfRange, "duration", "1e-10 s is below the ramp's limit of 4e-9 s"),
    ),
    (
        ("play", {"channel": 0, "steps": [DWELL, {**DWELL, "frequency": 5e8}]}),
        (OutOfRange, "steps[1].frequency", "5e8 Hz is above the channel's limit of 3e8 Hz"),
    ),
    (
        ("play", {"channel": 0, "steps": [DWELL, DWELL, DWELL, {"dwell": 1e-9}]}),
        (OutOfRange, "steps[3].dwell", "1e-9 s is below the table's limit of 4e-9 s"),
    ),
    *(
        (
            ("play", {"channel": 0, "steps": [DWELL], "repeat": repeat}),
            (OutOfRange, "repeat", f"{shown} is outside 1 to 1e15"),
        )
        for repeat, shown in [
            (10**15 + 1, "1.000000000000001e15"),
            (10**308, "(of 1024 bits)"),
            (10**400, "(of 1329 bits)"),
        ]
    ),
    (("get", {"channel": 3}), (OutOfRange, "channel", f"there is no channel 3; {CHANNELS}")),
    (
        ("output", {"channel": 3, "on": True}),
        (OutOfRange, "channel", f"there is no channel 3; {CHANNELS}"),
    ),
    (("stop", {"channel": 3}), (OutOfRange, "channel", f"there is no channel 3; {CHANNELS}")),
    (
        ("waveform", {"channel": 3, "samples": 1, "rate": 1e6}),
        (OutOfRange, "channel", f"there is no channel 3; {CHANNELS}"),
    ),
]


@pytest.mark.parametrize(("request_", "refusal"), REFUSED)
def test_what_is_refused_never_reaches_the_driver(bench, request_, refusal):
    """Neither as a request, nor checked alone, nor called from Python; and it changes nothing."""
    command_id, parameters = request_
    kind, where, sentence = refusal
    before = bench.dds.get_all()
    data = {"command_id": command_id, **parameters}
    for act in (bench.dds.interact, bench.dds.check):
        with pytest.raises(kind) as refused:
            act(data)
        assert str(refused.value) == f"{where}: {sentence}"
        assert refused.value.where == where
    assert bench.writes == []
    assert bench.dds.get_all() == before


@pytest.mark.parametrize(
    ("call", "kind", "sentence"),
    [
        (
            lambda dds: dds.set_frequency(0, -1.0),
            OutOfRange,
            "frequency: -1 Hz is below the channel's limit of 1e6 Hz",
        ),
        (
            lambda dds: dds.set_phase(0, math.inf),
            OutOfRange,
            "phase: inf is not a finite number",
        ),
        (
            lambda dds: dds.set_amplitude(1, 1.5),
            OutOfRange,
            "amplitude: 1.5 of full scale is above the channel's limit of 1 of full scale",
        ),
        (
            lambda dds: dds.set_many([Setting(1), Setting(0, frequency=math.nan)]),
            OutOfRange,
            "settings[1].frequency: nan is not a finite number",
        ),
        (
            lambda dds: dds.set_frequency(True, 80e6),
            InvalidParameter,
            f"channel: there is no channel True; {CHANNELS}",
        ),
        (
            lambda dds: dds.set(0, phase_mode="tracking"),
            InvalidParameter,
            "phase_mode: 'tracking' is not one of 'continuous', 'absolute'",
        ),
        (
            lambda dds: dds.ramp(0, "volume", 0.0, 1.0, 1.0),
            InvalidParameter,
            "parameter: 'volume' is not one of 'frequency', 'phase', 'amplitude', 'power'",
        ),
        (
            lambda dds: dds.ramp(1, "frequency", 0.0, 1e6, math.nan),
            OutOfRange,
            "duration: nan is not a finite number",
        ),
        (
            lambda dds: dds.play(0, []),
            InvalidParameter,
            "steps: expected at least one step",
        ),
        (
            lambda dds: dds.play(0, [Step(math.inf)]),
            OutOfRange,
            "steps[0].dwell: inf is not a finite number",
        ),
        (
            lambda dds: dds.play(0, [Step(1.0)], 0),
            OutOfRange,
            "repeat: 0 is outside 1 to 1e15",
        ),
        (
            lambda dds: dds.waveform(0, 0, 1e6),
            OutOfRange,
            f"samples: 0 is outside 1 to {MAX_SAMPLES}",
        ),
        (
            lambda dds: dds.waveform(0, 1, 0.0),
            OutOfRange,
            "rate: 0 Hz is below the waveform's limit of 1 Hz",
        ),
    ],
)
def test_calls_from_python_are_checked_too(bench, call, kind, sentence):
    """Type hints check requests only; whatever could reach the hardware is checked always."""
    with pytest.raises(kind) as refused:
        call(bench.dds)
    assert type(refused.value) is kind
    assert str(refused.value) == sentence
    assert bench.writes == []


@pytest.mark.parametrize(
    ("command_id", "parameters", "where"),
    [
        ("set_frequency", {"channel": True, "frequency": 1e6}, "channel"),
        ("set_frequency", {"channel": 0, "frequency": True}, "frequency"),
        ("set_frequency", {"channel": 0}, "frequency"),
        ("set_many", {"settings": [{"channel": 0, "freq": 1e6}]}, "settings[0]"),
        ("play", {"channel": 0, "steps": []}, "steps"),
        ("play", {"channel": 0, "steps": [{"frequency": 1e6}]}, "steps[0]"),
        ("output", {"channel": 0, "on": 1}, "on"),
    ],
)
def test_requests_of_the_wrong_form(bench, command_id, parameters, where):
    with pytest.raises(InvalidParameter) as refused:
        bench.interact(command_id, **parameters)
    assert refused.value.where == where
    assert bench.writes == []


def test_commands_and_their_parameters_stand_as_documented():
    assert {
        name: [
            f"{parameter.name}{'' if parameter.required else '?'}"
            for parameter in command.parameters.values()
        ]
        for name, command in DDS.commands.items()
    } == {
        "set_frequency": ["channel", "frequency"],
        "set_phase": ["channel", "phase"],
        "set_amplitude": ["channel", "amplitude"],
        "set_power": ["channel", "power"],
        "set": ["channel", "frequency?", "phase?", "amplitude?", "phase_mode?", "power?"],
        "set_many": ["settings"],
        "get": ["channel"],
        "get_all": [],
        "output": ["channel", "on"],
        "ramp": ["channel", "parameter", "start", "stop", "duration"],
        "software_ramp": ["channel", "parameter", "start", "stop", "duration", "step_time?"],
        "play": ["channel", "steps", "repeat?"],
        "stop": ["channel"],
        "reset": [],
        "waveform": ["channel", "samples", "rate"],
    }
    assert all(command.doc for command in DDS.commands.values())


def test_describe_shows_units_and_bounds(dds):
    commands = dds.describe()["commands"]
    units = {
        parameter["name"]: parameter.get("unit") for parameter in commands["set"]["parameters"]
    }
    assert units == {
        "channel": None,
        "frequency": "Hz",
        "phase": "turns",
        "amplitude": "of full scale",
        "phase_mode": None,
        "power": "dBm",
    }
    frequency = commands["set_frequency"]["parameters"][1]["schema"]
    assert frequency == {"type": "number", "minimum": 0}
    members = commands["play"]["parameters"][1]["schema"]["$defs"]["Step"]["properties"]
    assert members["dwell"]["anyOf"] == [
        {"type": "number", "exclusiveMinimum": 0},
        {"type": "null"},
    ]
    assert members["dwell"]["unit"] == "s"
    assert commands["waveform"]["result"]["schema"]["format"] == "nparray"


def test_describe_says_what_depends_on_other_parameters_or_the_channel(dds):
    commands = dds.describe()["commands"]
    ramp = " ".join(commands["ramp"]["doc"].split())
    units = "in Hz, turns, fractions of full scale or dBm, as parameter says"
    assert f"start and stop are {units}" in ramp
    for name in ("set", "ramp", "play"):
        assert "the channel's limits" in " ".join(commands[name]["doc"].split())
    assert "limits are what may be asked for" in " ".join(commands["get"]["doc"].split())
    assert f"to 10**{len(str(MAX_REPEAT)) - 1}" in commands["play"]["doc"]


# Hardware that can do less, or tells less


def changed(driver, **what):
    """Make the hardware that of one that can do less."""
    driver.channels = [msgspec.structs.replace(can, **what) for can in driver.channels]


@pytest.fixture
def silent():
    """Hardware that cannot be read: what it does is unknown until it is set."""
    bench = Bench()
    bench.driver.update({0: Update(Tone(80e6, 0.25, 0.5), ("frequency", "phase", "amplitude"))})
    changed(bench.driver, reads=())
    bench.dds.open_hardware()
    bench.writes.clear()
    return bench


def test_what_cannot_be_read_is_shown_as_unknown(silent):
    state = silent.dds.get(0)
    unknown = ("frequency", "phase", "amplitude", "output", "activity")
    assert [state[name] for name in unknown] == [None] * 5


def test_a_setting_of_part_of_an_unknown_tone_writes_that_part_alone(silent):
    """What else the hardware does, it goes on doing; and nothing is claimed of it."""
    told = silent.dds.set(0, frequency=10e6)
    assert told == {"frequency": MHZ_10, "phase": None, "amplitude": None}
    assert silent.driver.words(0) == silent.driver.format.words(Tone(10e6, 0.25, 0.5))
    state = silent.dds.get(0)
    assert (state["frequency"], state["amplitude"]) == (MHZ_10, None)
    assert state["activity"] == "single_tone", "an update ends what else ran"
    assert silent.dds.set_amplitude(0, 0.5) == {"amplitude": 8192 / 0x3FFF}
    assert silent.dds.get(0)["phase"] is None


WHOLE = "the simulated DDS takes whole tones only"
GIVE = "give all of frequency, phase and amplitude at once"


@pytest.mark.parametrize(
    ("act", "where", "sentence"),
    [
        (
            lambda dds: dds.set_frequency(0, 10e6),
            "phase",
            f"{WHOLE}, and phase and amplitude of 'cooling' are not known: {GIVE}",
        ),
        (
            lambda dds: dds.set(0, frequency=10e6, phase=0.0),
            "amplitude",
            f"{WHOLE}, and amplitude of 'cooling' is not known: {GIVE}",
        ),
        (
            lambda dds: dds.set_many([Setting(1, 1e6, 0.0, 0.0), Setting(0, amplitude=0.5)]),
            "settings[1].frequency",
            f"{WHOLE}, and frequency and phase of 'cooling' are not known: {GIVE}",
        ),
        (
            lambda dds: dds.ramp(0, "frequency", 1e6, 2e6, 1.0),
            "phase",
            f"{WHOLE}, and phase and amplitude of 'cooling' are not known: {GIVE}",
        ),
        (
            lambda dds: dds.play(0, [Step(1.0, frequency=1e6)]),
            "steps[0].phase",
            "a table's first row is a whole tone, and phase and amplitude of 'cooling' are not "
            f"known: {GIVE}",
        ),
    ],
)
def test_part_of_an_unknown_tone_is_refused_where_the_hardware_takes_whole_ones(
    silent, act, where, sentence
):
    changed(silent.driver, whole_tones=True)
    with pytest.raises(InvalidParameter) as refused:
        act(silent.dds)
    assert str(refused.value) == f"{where}: {sentence}"
    assert refused.value.where == where
    assert silent.writes == []
    silent.dds.set(0, 10e6, 0.0, 0.5)
    act(silent.dds)


def test_stop_of_what_is_not_known_holds_whatever_there_is(silent):
    assert silent.dds.stop(0) == {"frequency": MHZ_80, "phase": 0.25, "amplitude": 8192 / 0x3FFF}
    assert [write.register for write in silent.writes] == ["stop"]


def test_what_the_hardware_achieved_is_what_it_read_back():
    """Hardware that rounds in ways of its own tells the tone after it was set."""

    class Snapping(SimulatedDriver):
        def update(self, updates):
            return {
                channel: Tone(100.0 * round(tone.frequency / 100.0), tone.phase, tone.amplitude)
                for channel, tone in super().update(updates).items()
            }

    dds = DDS(Snapping())
    dds.open_hardware()
    assert dds.set_frequency(0, 1234.0) == {"frequency": 1200.0}
    assert dds.get(0)["frequency"] == 1200.0


IN_DBM = {"frequency": Span(0.0, 1e6), "power": Span(-60.0, 10.0)}
RAMP = ("ramp", {"parameter": "frequency", "start": 0, "stop": 1e6, "duration": 1})

LESS = [
    (
        {"ramps": ()},
        RAMP,
        "the simulated DDS has no ramp of its own: use play, or software_ramp",
    ),
    (
        {"ramps": (), "tables": None},
        RAMP,
        "the simulated DDS has no ramp of its own: use software_ramp",
    ),
    (
        {"ramps": ("amplitude",)},
        RAMP,
        "the simulated DDS has no frequency ramp of its own: use play, or software_ramp",
    ),
    (
        {"tables": None},
        ("play", {"steps": [{"dwell": 1}]}),
        "the simulated DDS has no tables on this channel",
    ),
    (
        {"tables": Tables(16, ("frequency",), 1e-6, 1e-6)},
        ("play", {"steps": [{"dwell": 1}, {"dwell": 1, "phase": 0.5}]}),
        "steps[1].phase: the tables of the simulated DDS have no phase",
    ),
    (
        {},
        ("play", {"steps": [{"dwell": None}]}),
        "steps[0].dwell: the simulated DDS has no trigger: give a time",
    ),
    (
        {"output": False},
        ("output", {"on": False}),
        "the simulated DDS has no output switch: set the amplitude to 0",
    ),
    (
        {"phase_modes": ("continuous",)},
        ("set", {"phase_mode": "absolute"}),
        "phase_mode: the simulated DDS has no absolute phase",
    ),
    (
        {},
        ("set_power", {"power": -3}),
        "power: the channel has no power without a calibration: set its amplitude",
    ),
    (
        {"parameters": IN_DBM},
        ("set", {"amplitude": 0.5}),
        "amplitude: the channel has no amplitude: set its power",
    ),
    ({"parameters": IN_DBM}, ("set_phase", {"phase": 0.5}), "phase: the channel has no phase"),
]


@pytest.mark.parametrize(("less", "request_", "sentence"), LESS)
def test_what_the_hardware_cannot_do_is_refused_before_it_is_asked(less, request_, sentence):
    driver = SimulatedDriver(record=lambda write: pytest.fail(f"written: {write}"))
    changed(driver, **less)
    dds = DDS(driver)
    dds.open_hardware()
    command_id, parameters = request_
    for act in (dds.interact, dds.check):
        with pytest.raises(InstrumentError) as refused:
            act({"command_id": command_id, "channel": 1, **parameters})
        assert str(refused.value) == sentence


def test_without_a_switch_it_is_safe_at_amplitude_0(bench):
    bench.dds.set(1, 80e6, 0.0, 0.5)
    changed(bench.driver, output=False)
    bench.dds.safe_state()
    assert [write.register for write in bench.writes[1:]] == ["tone"] * 3
    assert bench.dds.get(1)["amplitude"] == 0.0


def test_a_driver_may_find_a_model_that_can_do_less_when_it_opens():
    class Found(SimulatedDriver):
        def open(self):
            super().open()
            changed(self, parameters={"frequency": Span(0.0, 100e6)})

    narrow, wide = DDS(Found()), DDS(Found(), [Channel("a", max_frequency=200e6)])
    narrow.open_hardware()
    assert narrow.get(0)["limits"] == {"min_frequency": 0.0, "max_frequency": 100e6}
    with pytest.raises(InstrumentError) as failed:
        wide.open_hardware()
    assert str(failed.value) == (
        "channel 'a': the limits of its frequency must lie between the hardware's, 0 and 1e8 Hz"
    )


# The driver's errors


class Restarted(Fault):
    """Hardware that has lost its power, as a driver says it."""

    def strike(self, closed, timeout):
        raise HardwareRestarted("the source has restarted; nothing was sent")


class RestartedOnce(Restarted):
    """The same, the first time that it is touched; then it works."""

    def __init__(self, driver):
        self.driver = driver

    def strike(self, closed, timeout):
        self.driver.fault = None
        super().strike(closed, timeout)


def test_after_a_restart_nothing_is_claimed_that_was_set_before(bench):
    """What it does by then is read, and no setting is put back behind the user's back."""
    bench.dds.set(0, 80e6, 0.25, 0.5)
    bench.dds.set(1, 80e6, 0.25, 0.5)
    bench.driver.reset()
    bench.driver.fault = RestartedOnce(bench.driver)
    bench.writes.clear()
    with pytest.raises(InstrumentError, match=r"^the source has restarted; nothing was sent$"):
        bench.dds.set_phase(0, 0.5)
    told = ("frequency", "phase", "amplitude", "activity")
    for state in bench.dds.get_all():
        assert [state[name] for name in told] == [0.0, 0.0, 0.0, "single_tone"]
    bench.dds.set_frequency(0, 10e6)
    assert [write.words for write in bench.writes] == [(0x028F5C29, 0, 0)]


def test_a_restart_is_noticed_also_when_something_had_been_stopped(bench):
    bench.dds.ramp(0, "frequency", 1e6, 9e6, 1.0)
    bench.dds.ramp(1, "frequency", 1e6, 9e6, 1.0)
    bench.driver.fault = After(1, Restarted())
    with pytest.raises(HardwareRestarted, match=r"; nothing was set, but the ramp of 'cooling' "):
        bench.dds.set_many([Setting(0, phase=0.5), Setting(1, phase=0.5)])
    assert [state["frequency"] for state in bench.dds.get_all()] == [None] * 3


def test_after_a_restart_what_cannot_be_read_is_unknown(bench):
    bench.dds.set(1, 80e6, 0.25, 0.5)
    bench.driver.fault = Restarted()
    with pytest.raises(HardwareRestarted):
        bench.dds.output(1, False)
    bench.driver.fault = None
    changed(bench.driver, reads=())
    assert bench.dds.get(1)["frequency"] is None
    assert bench.dds.set_phase(1, 0.5) == {"phase": 0.5}
    assert bench.dds.get(1)["frequency"] is None, "it need not be what it was before"


def test_opening_fails_where_the_hardware_cannot_be_read():
    driver = SimulatedDriver()
    driver.fault = Error("no answer")
    with pytest.raises(InstrumentError, match=r"^no answer$"):
        DDS(driver).open_hardware()


def test_what_was_not_confirmed_is_not_claimed(bench):
    bench.dds.set(1, frequency=80e6, amplitude=0.5)
    bench.driver.fault = Error("PLL not locked")
    with pytest.raises(InstrumentError, match=r"^PLL not locked$"):
        bench.dds.set(1, frequency=10e6, phase_mode="absolute")
    state = bench.dds.get(1)
    unknown = ("frequency", "phase", "amplitude", "activity")
    assert [state[name] for name in unknown] == [None] * 4
    assert (state["output"], state["phase_mode"]) == (True, "continuous")
    assert bench.dds.get(0)["activity"] == "single_tone", "the other channels are known"


def test_the_next_update_makes_all_known_again(bench):
    bench.dds.set(1, frequency=80e6, amplitude=0.5)
    bench.driver.fault = Error("PLL not locked")
    with pytest.raises(InstrumentError):
        bench.dds.set_frequency(1, 10e6)
    bench.driver.fault = None
    bench.dds.set_phase(1, 0.25)
    state = bench.dds.get(1)
    assert (state["frequency"], state["phase"]) == (MHZ_80, 0.25)
    assert state["activity"] == "single_tone"
    assert bench.writes[-1].words == (0x147AE148, 0x4000, 8192)


@pytest.mark.parametrize(
    "start",
    [
        lambda dds: dds.ramp(1, "frequency", 0.0, 1e6, 1.0),
        lambda dds: dds.play(1, [Step(1.0)]),
        lambda dds: dds.set_many([Setting(1, frequency=1e6)]),
    ],
)
def test_stop_after_an_error_writes_the_last_known_tone(bench, start):
    """Whatever the channel does by then: it may have begun what it did not confirm."""
    bench.dds.set(1, frequency=80e6)
    bench.driver.fault = Error("no answer")
    with pytest.raises(InstrumentError):
        start(bench.dds)
    assert bench.dds.get(1)["activity"] is None
    bench.driver.fault = None
    bench.writes.clear()
    assert bench.dds.stop(1)["frequency"] == MHZ_80
    assert [(write.register, write.words) for write in bench.writes] == [
        ("tone", (0x147AE148, 0, 0))
    ]
    assert bench.dds.get(1)["frequency"] == MHZ_80


def test_an_output_that_did_not_switch_is_unknown(bench):
    bench.driver.fault = Error("no answer")
    with pytest.raises(InstrumentError):
        bench.dds.output(1, False)
    assert bench.dds.get(1)["output"] is None
    assert bench.dds.get(1)["activity"] == "single_tone"


def test_after_a_failed_reset_nothing_is_known(bench):
    bench.driver.fault = Error("no answer")
    with pytest.raises(InstrumentError):
        bench.dds.reset()
    assert [(state["activity"], state["output"]) for state in bench.dds.get_all()] == (
        [(None, None)] * 3
    )
    bench.driver.fault = None
    bench.dds.reset()
    assert [(state["activity"], state["output"]) for state in bench.dds.get_all()] == (
        [("single_tone", True)] * 3
    )


def test_set_many_tells_which_channels_it_had_stopped(bench):
    """Nothing was set, but a ramp that was stopped cannot be put back to where it would be."""
    bench.dds.ramp(0, "frequency", 1e6, 9e6, 1.0)
    bench.dds.play(1, [Step(1.0, amplitude=0.5)], True)
    bench.dds.ramp("probe", "amplitude", 0.0, 1.0, 1.0)
    bench.driver.fault = After(2, Error("PLL not locked"))
    with pytest.raises(InstrumentError) as failed:
        bench.dds.set_many([Setting(channel, phase=0.25) for channel in range(3)])
    assert str(failed.value) == (
        "PLL not locked; nothing was set, but the ramp of 'cooling' and the table of 'repump' "
        "had been stopped before"
    )
    assert [state["activity"] for state in bench.dds.get_all()] == ["single_tone"] * 2 + [None]


def test_an_update_of_whole_tones_stops_nothing_before(bench):
    """So it is all or none whatever runs: there is one access."""
    bench.dds.ramp(0, "frequency", 1e6, 9e6, 1.0)
    bench.dds.ramp(1, "frequency", 1e6, 9e6, 1.0)
    bench.writes.clear()
    bench.dds.set_many([Setting(channel, 10e6, 0.0, 0.5) for channel in range(2)])
    assert [write.register for write in bench.writes] == ["tone", "tone"]


def set_up():
    """A ramp, a table and a tone; all that was ever written is known."""
    bench = Bench()
    bench.dds.reset()
    bench.dds.output(0, False)
    bench.dds.ramp(0, "frequency", 1e6, 9e6, 1.0)
    bench.dds.play(1, [Step(0.5, amplitude=0.5), Step(0.5, amplitude=0.25)], 3)
    bench.dds.set(2, 80e6, 0.5, 0.75)
    bench.cycles(123_456_789)
    return bench


def assert_truth(bench):
    """What is claimed of the channels is what was written to them last, and what they put out."""
    bench.clock.advance(1000)  # then all ramps and tables are over
    for state in bench.dds.get_all():
        channel = state["channel"]
        written = [write for write in bench.writes if write.channel == channel]
        if state["activity"] is not None:
            assert state["activity"] == "single_tone"
            tone = Tone(state["frequency"], state["phase"], state["amplitude"])
            assert bench.driver.words(channel) == bench.driver.format.words(tone)
        if state["output"] is not None:
            [*_, last] = [write for write in written if write.register in {"output", "reset"}]
            assert state["output"] == (last.register == "reset" or last.words == (1,))


COMMANDS = {
    "set_frequency": lambda dds: dds.set_frequency(0, 2e6),
    "set_phase": lambda dds: dds.set_phase(1, 0.25),
    "set_amplitude": lambda dds: dds.set_amplitude(2, 0.25),
    "set": lambda dds: dds.set(0, amplitude=0.5, phase_mode="absolute"),
    "set, whole": lambda dds: dds.set(0, 2e6, 0.25, 0.5),
    "set_many": lambda dds: dds.set_many([Setting(channel, phase=0.25) for channel in range(3)]),
    "set_many, whole": lambda dds: dds.set_many(
        [Setting(channel, 2e6, 0.25, 0.5) for channel in range(3)]
    ),
    "output": lambda dds: dds.output(1, False),
    "ramp": lambda dds: dds.ramp(1, "amplitude", 0.0, 1.0, 2.0),
    "ramp of a tone": lambda dds: dds.ramp(2, "amplitude", 0.0, 1.0, 2.0),
    "play": lambda dds: dds.play(0, [Step(0.5, frequency=2e6)], 2),
    "stop": lambda dds: dds.stop(0),
    "reset": lambda dds: dds.reset(),
    "safe_state": lambda dds: dds.safe_state(),
}


def broken_before(bench, accesses):
    """The hardware fails before it takes what is written."""
    bench.driver.fault = After(accesses, Error("no answer"))


def broken_behind(bench, accesses):
    """The hardware takes it, and fails before it says so; of several channels, after each."""
    count = len(bench.writes) + accesses
    keep = bench.writes.append

    def record(write):
        keep(write)
        if len(bench.writes) > count:
            raise InstrumentError("no answer")

    bench.driver._record = record


@pytest.mark.parametrize("act", COMMANDS.values(), ids=COMMANDS)
@pytest.mark.parametrize("broken", [broken_before, broken_behind])
def test_wherever_the_hardware_fails_what_is_claimed_is_true(act, broken):
    """After each of a command's accesses, until it needs no more of them."""
    for accesses in itertools.count():
        bench = set_up()
        broken(bench, accesses)
        try:
            act(bench.dds)
        except InstrumentError:
            assert_truth(bench)
        else:
            break
    assert accesses > 0


def test_a_driver_that_updates_one_channel_at_a_time(bench):
    """It is told before anything is set; one setting alone is no matter."""
    bench.driver.simultaneous = False
    assert bench.interact("set_many", settings=[{"channel": 0, "phase": 0.5}])
    bench.writes.clear()
    with pytest.raises(InstrumentError) as refused:
        bench.interact("set_many", settings=[{"channel": 0}, {"channel": 1}])
    assert str(refused.value) == (
        "the simulated DDS cannot update several channels at the same instant"
    )
    assert bench.writes == []


# Properties

settings = st.fixed_dictionaries(
    {"channel": st.integers(-1, 3) | st.sampled_from(["cooling", "probe", "x"])},
    optional={
        "frequency": st.floats(-1e8, 6e8),
        "phase": st.floats(-10, 10),
        "amplitude": st.floats(-0.2, 1.2),
        "phase_mode": st.sampled_from(["continuous", "absolute"]),
    },
)


@given(st.lists(settings, max_size=3))
def test_set_many_is_all_or_nothing(asked):
    """Either every setting is written, and within the limits, or nothing is."""
    bench = Bench()
    before = bench.dds.get_all()
    try:
        achieved = bench.interact("set_many", settings=asked)
    except ExchangeError:
        assert bench.writes == []
        assert bench.dds.get_all() == before
        return
    assert len(bench.writes) == len(achieved) == len(asked)
    for setting, tone, write in zip(asked, achieved, bench.writes, strict=True):
        limits = bench.dds.get(setting["channel"])["limits"]
        if "frequency" in setting:
            assert limits["min_frequency"] <= setting["frequency"] <= limits["max_frequency"]
            assert abs(tone["frequency"] - setting["frequency"]) <= 0.5000001 * 1e9 / 2**32
        if "amplitude" in setting:
            assert 0 <= setting["amplitude"] <= limits["max_amplitude"]
        assert bench.driver.format.words(Tone(**tone)) == ToneWords(*write.words)
        state = bench.dds.get(write.channel)
        assert {name: state[name] for name in tone} == tone


@given(st.floats(0, 400e6), st.floats(-1e3, 1e3), st.floats(0, 1))
def test_setting_what_was_achieved_changes_nothing(frequency, phase, amplitude):
    bench = Bench()
    achieved = bench.dds.set(1, frequency, phase, amplitude)
    assert bench.dds.set(1, **achieved) == achieved
    assert bench.writes[0].words == bench.writes[1].words
