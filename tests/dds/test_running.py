"""What a DDS tells of ramps and tables while they run is what its simulation puts out."""

from __future__ import annotations

import math
from fractions import Fraction
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from artiq_link import Link, serve_in_background
from artiq_link.dds.channel import Channel
from artiq_link.dds.dds import DDS
from artiq_link.dds.running import RunningTable
from artiq_link.dds.types import Row, Step, Tone
from artiq_link.drivers.clocks import ManualClock
from artiq_link.drivers.simulated import SimulatedDriver
from artiq_link.errors import HardwareRestarted, InstrumentError
from artiq_link.instrument.activity import Activity


class Bench:
    """A DDS whose driver's clock stands still until it is advanced."""

    def __init__(self) -> None:
        self.clock = ManualClock()
        self.driver = SimulatedDriver(2, clock=self.clock)
        self.dds = DDS(self.driver, [Channel("cooling"), Channel("repump")])
        self.dds.open_hardware()

    def tone(self, channel: int) -> Tone:
        """What it puts out at this instant."""
        return self.driver.format.tone(self.driver.words(channel))


@pytest.fixture
def bench() -> Bench:
    return Bench()


def told(state: Any) -> Tone:
    return Tone(state["frequency"], state["phase"], state["amplitude"])


def test_a_ramp_is_told_as_far_as_it_is(bench: Bench) -> None:
    bench.dds.set(0, 10e6, 0.25, 0.5)
    ramp = bench.dds.ramp(0, "frequency", 80e6, 90e6, 30.0)
    bench.clock.advance(12)
    state = bench.dds.get(0)
    assert state["activity"] == "ramp"
    assert state["frequency"] == pytest.approx(84e6, rel=1e-6)
    assert (state["phase"], state["amplitude"]) == (0.25, 8192 / 0x3FFF)
    assert state["running"] == {
        "elapsed": 12.0,
        "duration": ramp["duration"],
        "fraction": 12.0 / ramp["duration"],
        "parameter": "frequency",
        "start": ramp["start"],
        "stop": ramp["stop"],
    }


def test_a_ramp_that_is_over_is_the_tone_that_it_ended_with(bench: Bench) -> None:
    ramp = bench.dds.ramp(0, "frequency", 80e6, 90e6, 30.0)
    bench.clock.advance(30)
    state = bench.dds.get(0)
    assert (state["activity"], state["frequency"]) == ("single_tone", ramp["stop"])
    assert "running" not in state
    assert bench.dds.set_amplitude(0, 0.5) == {"amplitude": 8192 / 0x3FFF}
    assert bench.tone(0).frequency == ramp["stop"]


ENDS = {
    "frequency": st.floats(0, 400e6),
    "phase": st.floats(0, 0.999),
    "amplitude": st.floats(0, 1),
}


@given(st.data())
def test_the_present_point_of_a_ramp_is_what_comes_out(data: st.DataObject) -> None:
    parameter = data.draw(st.sampled_from(sorted(ENDS)))
    start, stop = data.draw(ENDS[parameter]), data.draw(ENDS[parameter])
    if abs(stop - start) < (1e4 if parameter == "frequency" else 0.01):
        return  # the hardware cannot take 1 s for so little
    bench = Bench()
    ramp = bench.dds.interact(
        {"command_id": "ramp", "channel": 1, "parameter": parameter, "duration": 1.0}
        | {"start": start, "stop": stop}
    )
    bench.clock.advance(Fraction(data.draw(st.integers(0, 11 * 10**8)), 10**9))
    state: Any = bench.dds.get(1)
    out = getattr(bench.tone(1), parameter)
    # Words are coarser than the ramp's steps, or the steps than words.
    word = 2**-13 if parameter != "frequency" else 1.0
    assert state[parameter] == pytest.approx(out, abs=abs(ramp["step"]) + word)


@given(
    st.lists(st.integers(1, 10**6), min_size=1, max_size=5),
    st.one_of(st.none(), st.integers(1, 3)),
    st.integers(0, 10**8),
)
@example([1], None, 7 * 10**7)
def test_the_present_row_of_a_table_is_what_comes_out(
    dwells: list[int], repeat: int | None, when: int
) -> None:
    """In ticks of 4 ns, and looked at in the middle of a tick."""
    bench = Bench()
    steps = [Step(4e-9 * dwell, frequency=1e6 * (index + 1)) for index, dwell in enumerate(dwells)]
    bench.dds.play(0, steps, True if repeat is None else repeat)
    bench.clock.advance(Fraction(2 * when + 1, 5 * 10**8))
    state = bench.dds.get(0)
    assert told(state) == bench.tone(0)
    passes, within = divmod(when, sum(dwells))
    if repeat is not None and passes >= repeat:
        assert (state["activity"], "running" in state) == ("single_tone", False)
        return
    assert state["activity"] == "table"
    running = state["running"]
    assert (running["passes"], running["repeat"]) == (passes, repeat)
    assert running["step"] == sum(sum(dwells[: n + 1]) <= within for n in range(len(dwells)))


def test_the_last_instant_of_a_table_is_in_its_last_row() -> None:
    """However a float is rounded there."""
    rows = [Row(Tone(1e6), 0.1), Row(Tone(2e6), 0.2)]
    table = RunningTable.of(rows, 3, began=0.0)
    point = table.at(math.nextafter(3 * table.ends[-1], 0.0))
    assert point.tone == rows[-1].tone
    assert point.running is not None
    assert (point.running["passes"], point.running["step"]) == (2, 1)


def test_a_table_that_waits_for_a_trigger_is_known_until_then() -> None:
    rows = [
        Row(Tone(1e6, 0.0, 1.0), 2.0),
        Row(Tone(2e6, 0.5, 1.0), None),
        Row(Tone(3e6, 0.5, 1.0), 1.0),
    ]
    table = RunningTable.of(rows, 1, began=100.0)
    before = table.at(101.0)
    assert before.tone == rows[0].tone
    assert before.running is not None
    assert (before.running["step"], before.running["elapsed"]) == (0, 1.0)
    behind = table.at(500.0)
    assert behind.tone == Tone(None, 0.5, 1.0), "what the rows ahead have in common"
    again = RunningTable.of(rows, 2, began=100.0).at(500.0)
    assert again.tone == Tone(None, None, 1.0), "all rows are ahead"
    assert behind.running == {
        "elapsed": None,
        "duration": None,
        "fraction": None,
        "step": None,
        "steps": 3,
        "passes": None,
        "repeat": 1,
    }


def test_the_state_has_the_channels_by_their_names_and_moves_until_its_end_was_shown(
    bench: Bench,
) -> None:
    assert list(bench.dds.state()) == ["cooling", "repump"]
    assert bench.dds.state()["cooling"] == bench.dds.get("cooling")
    assert bench.dds.state_period is None
    bench.dds.ramp(0, "amplitude", 0.0, 1.0, 1.0)
    assert "running" in bench.dds.state()["cooling"]
    bench.clock.advance(2)
    assert bench.dds.state_period == 0.1, "its end was not shown yet"
    assert "running" not in bench.dds.state()["cooling"]
    assert bench.dds.state_period is None


def test_activity_says_what_runs_and_how_far_the_last_of_it_is(bench: Bench) -> None:
    assert bench.dds.activity() is None
    bench.dds.ramp(0, "frequency", 80e6, 90e6, 30.0)
    bench.clock.advance(5)
    bench.dds.play(1, [Step(2.0, frequency=1e6)], 2)
    bench.clock.advance(1)
    activity = bench.dds.activity()
    assert activity is not None
    assert activity.text == "cooling: ramp, 6.0 of 30.0 s; repump: table, 1.0 of 4.0 s"
    assert activity.fraction == pytest.approx(0.2)
    bench.dds.play(1, [Step(2.0, frequency=1e6)], True)
    activity = bench.dds.activity()
    assert activity == Activity("cooling: ramp, 6.0 of 30.0 s; repump: table, for 0.0 s now", None)
    bench.dds.stop(0)
    bench.dds.stop(1)
    assert bench.dds.activity() is None


def test_stop_ends_what_is_told_to_run(bench: Bench) -> None:
    bench.dds.ramp(0, "frequency", 80e6, 90e6, 30.0)
    bench.clock.advance(10)
    tone = bench.dds.stop(0)
    state = bench.dds.get(0)
    assert (state["frequency"], state["activity"]) == (tone["frequency"], "single_tone")
    assert "running" not in state


@pytest.mark.parametrize("error", [InstrumentError, HardwareRestarted])
def test_nothing_is_known_to_run_once_the_hardware_has_failed(
    bench: Bench, error: type[Exception]
) -> None:
    bench.dds.ramp(0, "frequency", 80e6, 90e6, 30.0)

    def fail(channel: int) -> Tone:
        raise error("no answer")

    bench.driver.stop = fail  # type: ignore[method-assign]
    with pytest.raises(InstrumentError, match="no answer"):
        bench.dds.stop(0)
    state = bench.dds.get(0)
    assert "running" not in state
    assert state["frequency"] is None
    assert bench.dds.activity() is None


def test_what_was_set_last_is_the_end_also_while_it_runs(bench: Bench) -> None:
    ramp = bench.dds.ramp(0, "frequency", 80e6, 90e6, 30.0)
    bench.clock.advance(10)
    bench.dds.get(0)
    [cooling, _] = bench.dds.last_settings()
    assert (cooling["activity"], cooling["frequency"]) == ("ramp", ramp["stop"])


def test_link_status_says_what_goes_on(bench: Bench) -> None:
    with serve_in_background({"dds": bench.dds}) as server:
        link = Link(port=server.port)
        assert "activity" not in link.call("link.status")["instruments"]["dds"]
        link.call("ramp", channel=0, parameter="amplitude", start=0, stop=1, duration=30.0)
        bench.clock.advance(12)
        status = link.call("link.status")["instruments"]["dds"]
        assert status["state"] == "idle"
        assert status["summary"] == "dds: idle; cooling: ramp, 12.0 of 30.0 s"
        assert status["activity"]["text"] == "cooling: ramp, 12.0 of 30.0 s"
        assert status["activity"]["fraction"] == pytest.approx(0.4, rel=1e-3)
