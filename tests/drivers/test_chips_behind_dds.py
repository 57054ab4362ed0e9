"""A DDS on a chip's registers tells and does what one on the simulation does, to the last bit."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from artiq_link.dds.dds import DDS
from artiq_link.drivers.ad9910.driver import Ad9910Driver
from artiq_link.drivers.ad9959.driver import Ad9959Driver
from artiq_link.drivers.simulated import SimulatedDriver
from artiq_link.errors import ExchangeError
from tests.drivers.fake_ad9910 import FakeAD9910
from tests.drivers.fake_ad9959 import FakeAD9959


class Pair:
    """Two DDS that are told the same: one on a chip, one on the simulation of its words."""

    def __init__(self, chip: Any, driver: Any, sysclk: int, simulated: SimulatedDriver) -> None:
        self.chip = chip
        self.on_chip = DDS(driver(chip, clock=lambda: (chip.cycle, sysclk)))
        self.simulated = simulated
        self.on_simulation = DDS(simulated)
        for dds in (self.on_chip, self.on_simulation):
            dds.open_hardware()
            dds.reset()

    def tell(self, command: str, **parameters: Any) -> Any:
        """What both answer, or refuse with the same sentence."""
        answers = []
        for dds in (self.on_chip, self.on_simulation):
            try:
                answers.append(dds.interact({"command_id": command, **parameters}))
            except ExchangeError as error:
                answers.append((error.code, error.where, str(error)))
        assert answers[0] == answers[1]
        return answers[0]

    def words(self, channel: int) -> tuple[tuple[int, ...], tuple[int, ...]]:
        """The words that come out of both."""
        out = self.chip.output() if self.chip.name == "fake:ad9910" else self.chip.output(channel)
        words = self.simulated.words(channel)
        on = self.on_simulation.get(channel)["output"]
        return out[:3], (words.frequency, words.phase, words.amplitude if on else 0)


def ad9910() -> Pair:
    chip = FakeAD9910()
    simulated = SimulatedDriver(1, clock=lambda: (chip.cycle, 10**9))
    return Pair(chip, Ad9910Driver, 10**9, simulated)


def ad9959() -> Pair:
    simulated = SimulatedDriver(
        4, sysclk=500e6, phase_bits=14, amplitude_bits=10, clock=lambda: (0, 1)
    )
    return Pair(FakeAD9959(), Ad9959Driver, 500_000_000, simulated)


def settings(highest: float) -> st.SearchStrategy[dict[str, Any]]:
    return st.fixed_dictionaries(
        {},
        optional={
            "frequency": st.floats(0, 1.1 * highest),
            "phase": st.floats(-2, 2),
            "amplitude": st.floats(0, 1.1),
            "phase_mode": st.sampled_from(["continuous", "absolute"]),
        },
    )


def commands(channels: int, highest: float) -> st.SearchStrategy[list[Any]]:
    channel = st.integers(0, channels)
    setting = settings(highest)
    return st.lists(
        st.one_of(
            st.tuples(st.just("set"), channel, setting),
            st.tuples(st.just("output"), channel, st.fixed_dictionaries({"on": st.booleans()})),
            st.tuples(st.just("reset"), st.none(), st.just({})),
            st.tuples(st.just("get_all"), st.none(), st.just({})),
            st.tuples(st.just("stop"), channel, st.just({})),
        ),
        max_size=8,
    )


def check(pair: Pair, told: list[Any]) -> None:
    for command, channel, parameters in told:
        where = {} if channel is None else {"channel": channel}
        pair.tell(command, **where, **parameters)
        for state in pair.tell("get_all"):
            on_chip, simulated = pair.words(state["channel"])
            assert on_chip == simulated


@given(commands(1, 400e6))
def test_an_ad9910_answers_as_the_simulation(told):
    check(ad9910(), told)


@given(commands(4, 200e6))
def test_an_ad9959_answers_as_the_simulation(told):
    check(ad9959(), told)


@pytest.mark.parametrize(
    ("parameter", "start", "stop"),
    [("frequency", 1e6, 2e6), ("phase", 0.9, 0.1), ("amplitude", 0.0, 1.0)],
)
def test_ramps_of_an_ad9910_are_told_as_the_simulation_tells(parameter, start, stop):
    pair = ad9910()
    ramp = {"channel": 0, "parameter": parameter, "start": start, "stop": stop}
    pair.tell("ramp", **ramp, duration=1e-3)
    [state] = pair.tell("get_all")
    assert state["activity"] == "ramp"
    assert "ramp's limit" in pair.tell("ramp", **ramp, duration=1e-9)[2]


def test_several_channels_at_once():
    pair = ad9959()
    tones = [
        {"channel": number, "frequency": 1e6 * number, "phase": 0.1 * number, "amplitude": 0.5}
        for number in range(4)
    ]
    before = pair.chip.updates
    pair.tell("set_many", settings=tones)
    assert pair.chip.updates == before + 1
    for number in range(4):
        on_chip, simulated = pair.words(number)
        assert on_chip == simulated
    assert "set twice" in pair.tell("set_many", settings=[*tones, tones[0]])[2]


def test_tables_of_an_ad9910_are_told_as_the_simulation_tells():
    pair = ad9910()
    steps = [{"frequency": 1e6, "dwell": 1e-6}, {"frequency": 2e6, "dwell": 2e-6}]
    assert pair.tell("play", channel=0, steps=steps, repeat=True)["repeat"] is None


def test_what_a_chip_has_not():
    dds = DDS(Ad9959Driver(FakeAD9959()))
    dds.open_hardware()
    with pytest.raises(ExchangeError, match=r"^the AD9959 has no tables on this channel$"):
        dds.interact({"command_id": "play", "channel": 0, "steps": [{"dwell": 1.0}]})


def test_a_power_failure_is_told_and_nothing_is_claimed_any_more():
    chip = FakeAD9910()
    dds = DDS(Ad9910Driver(chip))
    dds.open_hardware()
    dds.set(0, 80e6, 0.25, 0.5)
    chip.power_cycle()
    with pytest.raises(ExchangeError, match=r"lost what it was set to.*nothing was sent$"):
        dds.set_frequency(0, 10e6)
    state = dds.get(0)
    assert (state["frequency"], state["output"], state["activity"]) == (None, None, None)
    with pytest.raises(ExchangeError, match=r"give all of frequency, phase and amplitude at once"):
        dds.interact({"command_id": "set_frequency", "channel": 0, "frequency": 10e6})
    dds.set(0, 80e6, 0.25, 0.5)
    assert chip.output() == (0x147AE148, 0x4000, 0x2000)


@pytest.mark.parametrize(
    ("command", "parameters"),
    [
        ("set", {"frequency": 80e6}),
        ("ramp", {"parameter": "amplitude", "start": 0.5, "stop": 1.0, "duration": 1e-4}),
        ("play", {"steps": [{"frequency": 1e6, "dwell": 1e-6}], "repeat": True}),
    ],
)
def test_the_safe_state_is_silence_whatever_plays(command, parameters):
    chip = FakeAD9910()
    dds = DDS(Ad9910Driver(chip))
    dds.open_hardware()
    dds.set(0, 80e6, 0.25, 0.5)
    dds.interact({"command_id": command, "channel": 0, **parameters})
    assert chip.output().amplitude
    dds.safe_state()
    chip.run(100_000)
    assert chip.output().amplitude == 0
