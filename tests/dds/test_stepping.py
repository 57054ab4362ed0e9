"""Ramps that the computer makes, by a clock that the test sets."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import pytest

from artiq_link import Link, serve_in_background
from artiq_link.dds.dds import DDS
from artiq_link.dds.stepping import SystemTimer, ramp_steps
from artiq_link.dds.types import Ramp
from artiq_link.drivers.faults import After, Error
from artiq_link.drivers.simulated import SimulatedDriver
from artiq_link.errors import InstrumentError, OutOfRange
from artiq_link.exchanges.exchange import current_exchange
from tests.conftest import PATIENCE, until
from tests.dds.powered import PoweredDriver


class TestTimer:
    """Time goes on when it is waited for, and by `cost` with each look at it."""

    __test__ = False

    def __init__(self, cost=0.0):
        self.time = 100.0
        self.cost = cost

    def now(self):
        self.time += self.cost
        return self.time

    def wait_until(self, then):
        self.time = max(self.time, then)


def test_steps_are_due_one_after_the_other():
    timer = TestTimer()
    steps = []
    for step in ramp_steps(Ramp("frequency", 10.0, 20.0, 1.0), 0.25, timer):
        steps.append((timer.time - 100.0, step.value, step.fraction))
    assert steps == [
        (0.0, 10.0, 0.0),
        (0.25, 12.5, 0.25),
        (0.5, 15.0, 0.5),
        (0.75, 17.5, 0.75),
        (1.0, 20.0, 1.0),
    ]


def test_a_duration_is_cut_into_equal_steps():
    values = [step.value for step in ramp_steps(Ramp("phase", 0.5, 0.0, 1.0), 0.4, TestTimer())]
    assert values == pytest.approx([0.5, 1 / 3, 1 / 6, 0.0])
    short = [step.value for step in ramp_steps(Ramp("phase", 0.0, 0.5, 0.1), 0.4, TestTimer())]
    assert short == [0.0, 0.5]


def test_a_slow_source_makes_fewer_steps_in_the_same_time():
    timer = TestTimer()
    values = []
    for step in ramp_steps(Ramp("frequency", 0.0, 100.0, 1.0), 0.01, timer):
        values.append(step.value)
        timer.time += 0.3
    assert values == pytest.approx([0.0, 31.0, 62.0, 93.0, 100.0], abs=4.0)
    assert timer.time == pytest.approx(101.5, abs=0.05), "the last one was set late, not early"


def test_the_system_s_timer_waits_for_the_time_that_it_tells():
    timer = SystemTimer()
    then = timer.now() + 0.002
    timer.wait_until(then)
    assert timer.now() >= then
    timer.wait_until(then - 1.0)


def ramped(driver, **parameters):
    dds = DDS(driver, timer=TestTimer())
    dds.open_hardware()
    return dds, dds.interact({"command_id": "software_ramp", "channel": 1, **parameters})


def test_it_ramps_hardware_without_ramps_and_tells_what_was_achieved():
    driver = PoweredDriver()
    dds, achieved = ramped(
        driver, parameter="power", start=-20, stop=-10.2, duration=1, step_time=0.1
    )
    assert achieved == {
        "parameter": "power",
        "start": -20.0,
        "stop": -10.0,
        "step": pytest.approx(1.0),
        "step_time": pytest.approx(0.1),
        "steps": 10,
        "duration": pytest.approx(1.0),
    }
    assert driver.tones[1].power == -10.0
    assert dds.get(1)["activity"] == "single_tone"


def test_each_step_is_written_to_the_hardware():
    writes = []
    driver = SimulatedDriver(record=writes.append)
    ramped(driver, parameter="frequency", start=0, stop=4e6, duration=0.1, step_time=0.025)
    assert [write.register for write in writes] == ["tone"] * 5
    expected = [driver.format.frequency_word(frequency) for frequency in (0, 1e6, 2e6, 3e6, 4e6)]
    assert [write.words[0] for write in writes] == expected


def test_progress_is_told_while_it_goes():
    told = []
    driver = SimulatedDriver()
    update = driver.update

    def watch(updates):
        told.append(current_exchange().describe()["text"])
        return update(updates)

    driver.update = watch
    with serve_in_background({"dds": DDS(driver, timer=TestTimer())}) as server:
        Link(port=server.port).call(
            "software_ramp",
            channel=0,
            parameter="amplitude",
            start=0.0,
            stop=1.0,
            duration=60.0,
            step_time=20.0,
        )
    assert told[1:] == ["0.0 of 60.0 s", "20.0 of 60.0 s", "40.0 of 60.0 s"]


@pytest.mark.parametrize(
    ("accesses", "sentence"),
    [
        (0, "no answer; the ramp had not begun"),
        (1, "no answer; the ramp had come to 0 of full scale in 0 steps, and ended there"),
        (
            3,
            "no answer; the ramp had come to 0.5000305194408838 of full scale in 2 steps, and "
            "ended there",
        ),
    ],
)
def test_where_the_hardware_fails_the_last_value_stays_and_is_named(accesses, sentence):
    driver = SimulatedDriver()
    dds = DDS(driver, timer=TestTimer())
    dds.open_hardware()
    driver.fault = After(accesses, Error("no answer"))
    with pytest.raises(InstrumentError) as failed:
        dds.software_ramp(0, "amplitude", 0.0, 1.0, 1.0, step_time=0.25)
    assert str(failed.value) == sentence
    assert dds.get(0)["amplitude"] is None, "what the failed step did is not known"


@pytest.mark.parametrize(
    ("parameters", "sentence"),
    [
        ({"step_time": 1e-4}, "step_time: 1e-4 s is below the software ramp's limit of 0.001 s"),
        ({"duration": 1e5}, "duration: 1e5 s is above the software ramp's limit of 8.64e4 s"),
        ({"stop": 2.0}, "stop: 2 of full scale is above the channel's limit of 1 of full scale"),
    ],
)
def test_what_is_out_of_range_is_refused_before_the_first_step(parameters, sentence):
    driver = SimulatedDriver(record=lambda write: pytest.fail(f"written: {write}"))
    with pytest.raises(OutOfRange) as refused:
        ramped(
            driver,
            **{"parameter": "amplitude", "start": 0.0, "stop": 1.0, "duration": 1.0} | parameters,
        )
    assert str(refused.value) == sentence


def test_a_software_ramp_is_aborted_between_two_steps(serve):
    """It ends where it is, and says where that is."""
    driver = PoweredDriver()
    server = serve({"dds": DDS(driver)})
    link = Link("127.0.0.1", server.port)
    request = {"command_id": "software_ramp", "channel": 1, "parameter": "power"}
    request |= {"start": -20, "stop": -10, "duration": 3600.0, "link": {"id": "ramp-1"}}
    with ThreadPoolExecutor() as pool:
        ramping = pool.submit(link.send, request)
        until(lambda: link.call("link.status")["instruments"]["dds"].get("fraction") is not None)
        assert link.call("link.abort", id="ramp-1")["state"] == "running"
        reply = ramping.result(PATIENCE)
    assert reply["code"] == "aborted"
    sentence = "software_ramp was aborted while it ran; the ramp had come to"
    assert reply["error"].startswith(sentence)
    assert reply["error"].endswith("steps, and ended there")
