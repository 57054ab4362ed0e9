"""The SCPI driver over fake generators of every make, on TCP."""

from __future__ import annotations

import dataclasses
import math
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from copy import deepcopy

import pytest

from artiq_link import InstrumentError, OutOfRange, ScpiDriver
from artiq_link.dds.channel import Channel
from artiq_link.dds.dds import DDS
from artiq_link.drivers.scpi_profiles import SCPI_PROFILES, ScpiProfile
from artiq_link.errors import HardwareRestarted
from artiq_link.transports.fake import Fake, FakeTcp, Fault
from tests.drivers.fake_scpi import GENERATORS, Panel, ScpiGenerator, SrsSG380

READABLE = [name for name in GENERATORS if name != "aim_tti"]
WITH_AMPLITUDE = [name for name in GENERATORS if name not in {"keysight_rf", "srs_sg380"}]
WITH_LOAD = ["keysight_33500", "rigol_dg", "siglent_sdg"]
WITH_POWER = ["keysight_rf", "srs_sg380"]

every_make = pytest.mark.parametrize("make", GENERATORS)


def hurried(make: str) -> ScpiProfile:
    """The make's profile, which does not wait long for what does not come."""
    profile = SCPI_PROFILES[make]
    protocol = dataclasses.replace(profile.protocol, timeout=0.3, late=0.05)
    return dataclasses.replace(profile, protocol=protocol)


class Bench:
    """A generator, its line, its driver, and a DDS of it that is not open yet."""

    def __init__(self, make: str, fake: Fake) -> None:
        self.make, self.fake = make, fake
        self.generator = fake.device
        assert isinstance(self.generator, ScpiGenerator)
        self.driver = ScpiDriver(fake.device_string, hurried(make))
        self.dds = DDS(self.driver)

    def panel(self, channel: int = 0) -> Panel:
        return self.generator.panels[channel]

    def said(self) -> list[str]:
        """What it was told since this was last called, and not what it was asked."""
        told = self.generator.told()
        self.generator.lines = []
        return told


@contextmanager
def on_the_bench(make: str) -> Iterator[Bench]:
    with FakeTcp(GENERATORS[make]()) as fake, ExitStack() as stack:
        bench = Bench(make, fake)
        stack.callback(bench.dds.close)
        yield bench


@pytest.fixture
def bench(make: str) -> Iterator[Bench]:
    with on_the_bench(make) as made:
        made.dds.open_hardware()
        yield made


@every_make
def test_opening_and_closing_change_nothing(make: str) -> None:
    with on_the_bench(make) as bench:
        panel = bench.panel(-1)
        panel.frequency, panel.output, panel.phase = 12.5e6, True, 90.0
        before = deepcopy(bench.generator.panels)
        bench.dds.open_hardware()
        bench.dds.close()
        assert bench.said() == []
        assert bench.generator.panels == before
        assert bench.generator.lines == []
        assert bench.driver.identity == bench.generator.identity


@pytest.mark.parametrize("make", READABLE)
def test_what_runs_is_adopted(make: str) -> None:
    with on_the_bench(make) as bench:
        panel = bench.panel()
        panel.frequency, panel.phase, panel.power, panel.output = 12.5e6, 90.0, -3.5, True
        panel.emf = 0.5
        bench.dds.open_hardware()
        state = bench.dds.get(0)
    assert (state["frequency"], state["output"], state["activity"]) == (
        12.5e6,
        True,
        "single_tone",
    )
    assert state["phase"] in {0.25, None}
    assert state.get("power", -3.5) == -3.5
    full = 1.0 if make == "red_pitaya" else 20.0
    assert state["amplitude"] == (None if make in WITH_POWER else pytest.approx(0.5 / full))


@pytest.mark.parametrize("make", ["aim_tti"])
def test_what_cannot_be_asked_is_unknown_until_it_is_set(bench: Bench) -> None:
    told = ("frequency", "phase", "amplitude", "output", "activity")
    assert [bench.dds.get(0)[name] for name in told] == [None] * 5
    assert bench.dds.set_frequency(0, 12e6) == {"frequency": 12e6}
    assert [bench.dds.get(0)[name] for name in told] == [12e6, None, None, None, "single_tone"]


@every_make
def test_frequencies_are_set_and_what_was_achieved_is_told(bench: Bench) -> None:
    channel = len(bench.generator.panels) - 1
    achieved = bench.dds.set_frequency(channel, 12_345_678.25)["frequency"]
    coarse = bench.make == "red_pitaya"
    assert achieved == pytest.approx(12_345_678.25, rel=1e-6 if coarse else 1e-12)
    assert bench.panel(channel).frequency == pytest.approx(achieved, rel=1e-6 if coarse else 1e-12)
    assert bench.dds.get(channel)["frequency"] == achieved
    assert bench.generator.errors == []


@pytest.mark.parametrize("make", [name for name in GENERATORS if name != "keysight_rf"])
@pytest.mark.parametrize("phase", [0.25, 1.25, -0.75])
def test_phases_are_turns_and_sent_as_degrees(bench: Bench, phase: float) -> None:
    assert bench.dds.set_phase(0, phase) == {"phase": 0.25}
    assert bench.panel().phase == 90.0


@pytest.mark.parametrize("make", ["keysight_33500", "siglent_sdg", "aim_tti", "red_pitaya"])
def test_a_phase_just_below_a_turn_is_none(bench: Bench) -> None:
    """It rounds to a whole turn, which is beyond what some of them take."""
    assert bench.dds.set_phase(0, 1 - 1e-9) == {"phase": 0.0}
    assert bench.panel().phase == 0.0


@pytest.mark.parametrize("make", WITH_LOAD)
@pytest.mark.parametrize(("load", "volts"), [(50.0, 5.0), (math.inf, 10.0), (75.0, 6.0)])
def test_amplitudes_are_what_comes_out_whatever_the_load(
    make: str, load: float, volts: float
) -> None:
    with on_the_bench(make) as bench:
        bench.panel().load = load
        bench.dds.open_hardware()
        assert bench.dds.set_amplitude(0, 0.5)["amplitude"] == pytest.approx(0.5)
        assert bench.panel().emf == pytest.approx(10.0)
        assert bench.panel().load == load, "the load is left alone"
        assert f"{volts:.4f}" in "".join(bench.said())


@pytest.mark.parametrize("make", ["aim_tti", "red_pitaya"])
def test_amplitudes_of_those_without_a_load_to_ask_for(bench: Bench) -> None:
    assert bench.dds.set_amplitude(0, 0.5)["amplitude"] == 0.5
    assert bench.panel().emf == (10.0 if bench.make == "aim_tti" else 0.5)


@pytest.mark.parametrize("make", WITH_POWER)
def test_powers_are_in_dbm(bench: Bench) -> None:
    assert bench.dds.set_power(0, -3.25) == {"power": -3.25}
    assert bench.panel().power == -3.25


@every_make
def test_outputs_are_switched_apart_from_tones(bench: Bench) -> None:
    bench.dds.set_frequency(0, 10e6)
    assert not bench.panel().output, "a tone switches nothing on"
    assert bench.dds.output(0, True) == {"output": True}
    assert bench.panel().output
    if bench.make == "red_pitaya":
        assert bench.generator.triggered == {1}
    bench.dds.close()
    bench.dds.open_hardware()
    assert bench.panel().output, "it stays on"
    bench.dds.safe_state()
    assert not bench.panel().output


@every_make
def test_the_last_of_a_limit_is_taken_and_the_next_is_refused_before_anything_is_sent(
    bench: Bench,
) -> None:
    span = bench.driver.channels[0].parameters
    for name, limits in span.items():
        if name == "phase":
            continue
        setter = {
            "frequency": bench.dds.set_frequency,
            "amplitude": bench.dds.set_amplitude,
            "power": bench.dds.set_power,
        }[name]
        for value, outside in [
            (limits.highest, math.nextafter(limits.highest, math.inf)),
            (limits.lowest, math.nextafter(limits.lowest, -math.inf)),
        ]:
            if name == "amplitude":
                bench.dds.set_frequency(0, 1e6)
            assert setter(0, value)[name] == pytest.approx(value, rel=1e-6)
            bench.said()
            with pytest.raises(OutOfRange):
                setter(0, outside)
            assert bench.generator.lines == []
    assert bench.generator.errors == []


@every_make
def test_a_reset_leaves_everything_off(bench: Bench) -> None:
    bench.dds.set_frequency(0, 10e6)
    for channel in range(len(bench.generator.panels)):
        bench.dds.output(channel, True)
    bench.dds.reset()
    assert [panel.output for panel in bench.generator.panels] == [False] * len(
        bench.generator.panels
    )
    assert bench.dds.get(0)["frequency"] != 10e6
    bench.dds.set_frequency(0, 10e6)
    assert bench.panel().frequency == 10e6


@pytest.mark.parametrize("make", ["keysight_33500"])
def test_a_reset_switches_off_first_and_whatever_it_switched_on(bench: Bench) -> None:
    bench.generator.resets_on = True
    bench.said()
    bench.dds.reset()
    off = [":OUTP1 OFF", ":OUTP2 OFF"]
    assert bench.said() == [*off, "*RST", *off]


@pytest.mark.parametrize("make", ["keysight_33500"])
def test_an_output_that_does_not_switch_is_an_error(bench: Bench) -> None:
    bench.panel().is_stuck = True
    with pytest.raises(InstrumentError) as failed:
        bench.dds.output(0, True)
    assert str(failed.value) == "channel 0 of the Keysight 33500 was switched on, and is off"
    assert bench.dds.get(0)["output"] is None


@every_make
def test_two_channels_at_the_same_instant_are_refused(bench: Bench) -> None:
    if len(bench.generator.panels) < 2:
        return
    bench.said()
    settings = [{"channel": 0, "frequency": 1e6}, {"channel": 1, "frequency": 1e6}]
    with pytest.raises(InstrumentError, match="cannot update several channels at the same inst"):
        bench.dds.interact({"command_id": "set_many", "settings": settings})
    assert bench.generator.lines == []


# What the makes are like


@pytest.mark.parametrize("make", ["siglent_sdg"])
def test_what_a_siglent_would_clamp_silently_is_refused_first(bench: Bench) -> None:
    bench.dds.set_amplitude(0, 0.8)
    before = bench.dds.get(0)
    bench.said()
    with pytest.raises(OutOfRange) as refused:
        bench.dds.set_frequency(0, 30e6)
    assert bench.dds.get(0) == before
    assert str(refused.value) == (
        "amplitude: 0.8 of full scale is above the limit of 0.5 that the Siglent SDG has above "
        "2e7 Hz"
    )
    assert bench.generator.lines == []
    assert bench.dds.set(0, frequency=30e6, amplitude=0.4)["amplitude"] == pytest.approx(0.4)
    assert bench.dds.set(0, frequency=10e6, amplitude=1.0)["amplitude"] == pytest.approx(1.0)
    assert bench.panel().emf == pytest.approx(20.0)


@pytest.mark.parametrize("make", ["siglent_sdg"])
def test_what_was_clamped_all_the_same_is_an_error(make: str) -> None:
    """A model that is less than its name promises."""
    with on_the_bench(make) as bench:
        bench.dds.open_hardware()
        bench.generator.highest = 25e6
        with pytest.raises(InstrumentError) as failed:
            bench.dds.set_frequency(0, 30e6)
        assert str(failed.value) == (
            "the Siglent SDG was told the frequency 3e7 Hz on channel 0, and made 2.5e7 Hz of it"
        )
        assert bench.dds.get(0)["frequency"] is None


@pytest.mark.parametrize("make", ["keysight_33500", "keysight_rf"])
def test_what_a_keysight_complains_of_is_told_and_its_list_is_empty(bench: Bench) -> None:
    bench.generator.highest = 15e6
    with pytest.raises(InstrumentError, match="reports error -222,"):
        bench.dds.set_frequency(0, 16e6)
    assert bench.generator.errors == []
    assert bench.dds.set_frequency(0, 14e6) == {"frequency": 14e6}


@pytest.mark.parametrize("make", ["srs_sg380", "aim_tti"])
def test_numbers_of_errors_are_told(bench: Bench) -> None:
    bench.generator.errors += ["113,x", "42,y"]
    with pytest.raises(InstrumentError) as failed:
        bench.dds.set_frequency(0, 10e6)
    assert str(failed.value).endswith(" reports error 113; error 42")


@pytest.mark.parametrize("make", ["keysight_33500"])
def test_errors_from_before_are_logged_and_nobody_s(
    make: str, caplog: pytest.LogCaptureFixture
) -> None:
    with on_the_bench(make) as bench:
        bench.generator.errors.append('-410,"Query INTERRUPTED"')
        bench.dds.open_hardware()
        bench.dds.set_frequency(0, 10e6)
    assert 'had these errors before: error -410,"Query INTERRUPTED"' in caplog.text


@pytest.mark.parametrize("make", ["keysight_33500"])
def test_a_list_of_errors_without_an_end_is_not_read_for_ever(bench: Bench) -> None:
    bench.generator.no_error = lambda: '-113,"Undefined header"'
    with pytest.raises(InstrumentError, match="reports error -113"):
        bench.dds.set_frequency(0, 10e6)


@pytest.mark.parametrize("make", WITH_LOAD)
def test_what_is_no_sine_is_left_alone(make: str) -> None:
    with on_the_bench(make) as bench:
        bench.panel().function = "SQU"
        bench.dds.open_hardware()
        assert bench.dds.get(0)["activity"] is None
        bench.said()
        with pytest.raises(InstrumentError) as refused:
            bench.dds.set_frequency(0, 10e6)
        assert str(refused.value).startswith(f"channel 0 of {bench.driver.model} puts out no plai")
        assert " is SQU, not SIN" in str(refused.value)
        assert bench.said() == []
        bench.panel().function = "SINE" if make == "siglent_sdg" else "SIN"
        assert bench.dds.set_frequency(0, 10e6) == {"frequency": 10e6}


@pytest.mark.parametrize(
    ("make", "mode"),
    [
        ("keysight_33500", "BURS"),
        ("keysight_33500", "AM"),
        ("rigol_dg", "SWE"),
        ("siglent_sdg", "SWWV"),
        ("srs_sg380", "MODL"),
    ],
)
def test_what_sweeps_or_is_modulated_is_left_alone(make: str, mode: str) -> None:
    with on_the_bench(make) as bench:
        bench.panel().on.add(mode)
        bench.dds.open_hardware()
        with pytest.raises(InstrumentError, match="puts out no plain sine"):
            bench.dds.set_frequency(0, 10e6)
        assert bench.said() == []


@pytest.mark.parametrize("make", ["keysight_33500", "rigol_dg"])
def test_an_amplitude_in_other_units_is_unknown_and_not_set(make: str) -> None:
    with on_the_bench(make) as bench:
        bench.panel().unit = "DBM"
        bench.dds.open_hardware()
        assert bench.dds.get(0)["amplitude"] is None
        bench.said()
        with pytest.raises(InstrumentError, match=r"VOLT:UNIT\? is DBM, not VPP"):
            bench.dds.set_amplitude(0, 0.1)
        assert bench.said() == []
        assert bench.dds.set_frequency(0, 10e6) == {"frequency": 10e6}


@pytest.mark.parametrize("make", ["keysight_33500"])
def test_a_model_with_one_channel_says_so(make: str) -> None:
    with on_the_bench(make) as bench:
        bench.generator.identity = bench.generator.identity.replace("33522A", "33521A")
        bench.generator.channels = 1
        with pytest.raises(InstrumentError, match=r"33521A.*one channel only: name that one alo"):
            bench.dds.open_hardware()
        dds = DDS(bench.driver, [Channel("only")])
        dds.open_hardware()
        dds.safe_state()
        assert bench.said() == [":OUTP1 OFF"]


@pytest.mark.parametrize("make", ["keysight_33500"])
def test_a_channel_that_is_not_used_is_not_asked(make: str) -> None:
    with on_the_bench(make) as bench:
        dds = DDS(bench.driver, [Channel("only", max_frequency=20e6)])
        dds.open_hardware()
        assert not any("2" in line for line in bench.generator.lines if line.startswith(":"))


def test_a_lab_may_have_a_make_of_its_own() -> None:
    """As server.py would have it: what is different is replaced."""
    profile = dataclasses.replace(
        SCPI_PROFILES["srs_sg380"], model="our source", identity="^OurLab", status=""
    )
    generator = SrsSG380()
    generator.identity = "OurLab,1"
    with FakeTcp(generator) as fake:
        dds = DDS(ScpiDriver(fake.device_string, profile))
        dds.open_hardware()
        assert dds.set_frequency(0, 2e6) == {"frequency": 2e6}
        assert dds.describe()["driver"]["model"] == "our source"
        dds.close()


@pytest.mark.parametrize("make", ["rigol_dg"])
def test_a_rigol_has_its_pauses(bench: Bench) -> None:
    bench.said()
    start = time.monotonic()
    bench.dds.set(0, frequency=10e6, phase=0.5)
    took = time.monotonic() - start
    assert took >= 0.02 * (len(bench.generator.lines) - 1)  # no slow computer breaks it


# Bad input


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (
            ("tcp:host", "keysight_335"),
            "there is no profile 'keysight_335'; did you mean 'keysight_33500'?; the profiles are "
            "keysight_33500, rigol_dg, siglent_sdg, keysight_rf, srs_sg380, aim_tti, red_pitaya",
        ),
        (("192.168.0.5", "rigol_dg"), "'192.168.0.5' is no device: write tcp:192.168.0.5"),
    ],
)
def test_what_there_cannot_be_is_a_value_error(arguments: tuple[str, str], sentence: str) -> None:
    with pytest.raises(ValueError) as raised:  # noqa: PT011 the text is compared
        ScpiDriver(*arguments)
    assert str(raised.value) == sentence


@every_make
def test_another_device_is_asked_what_it_is_and_nothing_else(make: str) -> None:
    with on_the_bench(make) as bench:
        bench.generator.identity = "ACME,Power supply,1,2"
        with pytest.raises(InstrumentError) as refused:
            bench.dds.open_hardware()
        assert str(refused.value) == (
            f"{bench.fake.device_string} is not {bench.driver.model}: it says that it is "
            "'ACME,Power supply,1,2'"
        )
        assert bench.generator.lines == ["*IDN?"]


@pytest.mark.parametrize("make", ["keysight_33500", "rigol_dg", "aim_tti"])
@pytest.mark.parametrize("fault", Fault)
def test_a_fault_is_one_sentence_and_heals(bench: Bench, fault: Fault) -> None:
    bench.dds.set_frequency(0, 10e6)
    bench.fake.fault = fault
    for _ in range(2):
        with pytest.raises(InstrumentError) as failed:
            bench.dds.set_frequency(0, 11e6)
        assert "\n" not in str(failed.value)
    assert bench.dds.get(0)["frequency"] is None
    bench.fake.fault = None
    bench.fake.release()
    try:
        bench.dds.set_frequency(0, 12e6)
    except HardwareRestarted:  # where it cannot be asked whether it still does what it did
        assert bench.make == "aim_tti"
    assert bench.dds.set_frequency(0, 12e6) == {"frequency": 12e6}
    assert bench.panel().frequency == 12e6


@pytest.mark.parametrize("make", ["keysight_33500"])
@pytest.mark.parametrize("answer", ["NAN", "1E999", "", "0x10", "1,2", "--1", "\xb5"])
def test_what_is_no_number_is_not_taken_for_one(bench: Bench, answer: str) -> None:
    bench.generator.written = lambda value: answer
    with pytest.raises(InstrumentError):
        bench.dds.set_frequency(0, 10e6)
    assert bench.dds.get(0)["frequency"] is None


@pytest.mark.parametrize("make", ["keysight_33500"])
def test_errors_in_other_alphabets_are_told(bench: Bench) -> None:
    bench.generator.no_error = lambda: '-1,"\xb5"'
    with pytest.raises(InstrumentError, match="reports error -1"):
        bench.dds.set_frequency(0, 10e6)


@pytest.mark.parametrize("make", ["keysight_33500"])
def test_a_load_that_cannot_be_is_an_error(bench: Bench) -> None:
    bench.panel().load = 1e-320
    bench.generator.written = lambda value: "0"
    with pytest.raises(InstrumentError, match="reckons with a load of 0 ohms"):
        bench.dds.set_amplitude(0, 0.5)


@pytest.mark.parametrize("fault", Fault)
@pytest.mark.parametrize("make", ["keysight_33500", "aim_tti"])
def test_opening_over_a_fault_asks_what_it_is_and_nothing_else(make: str, fault: Fault) -> None:
    with on_the_bench(make) as bench:
        bench.fake.fault = fault
        with pytest.raises(InstrumentError):
            bench.dds.open_hardware()
        assert bench.generator.lines == ["*IDN?"]


@every_make
def test_a_cable_that_was_out_needs_nothing_else_than_to_be_put_back(bench: Bench) -> None:
    bench.dds.set_frequency(0, 10e6)
    bench.dds.output(0, True)
    bench.fake.unplug()
    with pytest.raises(InstrumentError):
        bench.dds.set_frequency(0, 11e6)
    bench.fake.plug()
    if bench.make == "aim_tti":
        with pytest.raises(HardwareRestarted):
            bench.dds.set_frequency(0, 11e6)
        assert bench.dds.get(0)["output"] is None
    assert bench.dds.set_frequency(0, 11e6) == {"frequency": 11e6}
    assert bench.panel().output


@every_make
def test_after_its_power_failed_nothing_is_claimed_and_nothing_sent(bench: Bench) -> None:
    bench.dds.set_frequency(0, 12e6)
    bench.dds.output(0, True)
    bench.fake.unplug()
    bench.generator.power_cycle()
    bench.fake.plug()
    bench.said()
    with pytest.raises(HardwareRestarted) as failed:
        bench.dds.set_frequency(0, 11e6)
    assert f"at {bench.fake.device_string} was lost meanwhile" in str(failed.value)
    assert bench.said() == []
    assert bench.dds.get(0)["output"] is (None if bench.make == "aim_tti" else False)
    assert bench.dds.get(0)["frequency"] != 12e6
    assert bench.dds.set_frequency(0, 11e6) == {"frequency": 11e6}


@pytest.mark.parametrize("make", ["keysight_33500", "keysight_rf", "srs_sg380", "red_pitaya"])
def test_a_power_failure_that_the_line_survives_is_noticed(bench: Bench) -> None:
    """Behind a serial or GPIB adapter, which has a power supply of its own."""
    bench.dds.set_frequency(0, 12e6)
    bench.generator.power_cycle()
    bench.said()
    with pytest.raises(HardwareRestarted):
        bench.dds.set_frequency(0, 11e6)
    assert bench.said() == []


@pytest.mark.parametrize("make", ["siglent_sdg"])
def test_what_was_told_to_one_that_restarts_then_is_not_claimed(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    finish = bench.driver._finish

    def finish_and_restart() -> None:
        finish()
        bench.fake.unplug()
        bench.generator.power_cycle()
        bench.fake.plug()

    monkeypatch.setattr(bench.driver, "_finish", finish_and_restart)
    with pytest.raises(HardwareRestarted):
        bench.dds.set_phase(0, 0.0)
    assert bench.dds.get(0)["frequency"] == 1000.0, "it was read anew"


@pytest.mark.parametrize("make", ["keysight_33500"])
def test_another_device_in_its_place_gets_no_command(bench: Bench) -> None:
    bench.fake.unplug()
    bench.generator.identity = "ACME,Power supply,1,2"
    bench.fake.plug()
    bench.said()
    with pytest.raises(InstrumentError, match="it says that it is 'ACME,Power supply,1,2'"):
        bench.dds.output(0, True)
    assert bench.said() == []


@pytest.mark.parametrize("make", ["keysight_33500"])
def test_what_was_turned_at_the_panel_is_told_and_logged(
    bench: Bench, caplog: pytest.LogCaptureFixture
) -> None:
    bench.dds.set(0, frequency=1e6, amplitude=0.25)
    bench.panel().emf = 2.0
    tone = bench.dds.set(0, frequency=2e6)
    assert tone["amplitude"] == pytest.approx(0.1)
    assert "had the amplitude 0.25 of full scale on channel 0, and made 0.1 of" in caplog.text
