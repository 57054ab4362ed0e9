"""The SynthHD's driver over a fake one, on a pseudo-terminal."""

from __future__ import annotations

import math
from collections.abc import Iterator
from copy import deepcopy

import pytest

from artiq_link import InstrumentError, OutOfRange, WindfreakDriver
from artiq_link.dds.dds import DDS
from artiq_link.drivers import windfreak_synthhd
from artiq_link.errors import HardwareRestarted
from artiq_link.transports.fake import FakeSerial, Fault
from tests.drivers.fake_windfreak_synthhd import SynthHD, without_questions
from tests.drivers.faulty import faulty, patient


@pytest.fixture(autouse=True)
def unhurried(monkeypatch: pytest.MonkeyPatch) -> None:
    """Wait long for what comes."""
    monkeypatch.setattr(windfreak_synthhd, "PROTOCOL", patient(windfreak_synthhd.PROTOCOL))


@pytest.fixture
def synth() -> SynthHD:
    return SynthHD()


@pytest.fixture
def fake(synth: SynthHD) -> Iterator[FakeSerial]:
    with FakeSerial(synth) as made:
        yield made


@pytest.fixture
def dds(fake: FakeSerial) -> Iterator[DDS]:
    made = DDS(WindfreakDriver(fake.device_string))
    made.open_hardware()
    fake.heard = b""
    yield made
    made.close()


def settings(fake: FakeSerial) -> bytes:
    """What was set since this was last called, and not what was asked."""
    heard, fake.heard = fake.heard, b""
    return without_questions(heard)


def test_opening_and_closing_change_nothing(fake: FakeSerial, synth: SynthHD) -> None:
    before = deepcopy(synth.synthesisers)
    driver = WindfreakDriver(fake.device_string, spacing=0.1)
    dds = DDS(driver)
    dds.open_hardware()
    dds.close()
    assert settings(fake) == b""
    assert synth.synthesisers == before
    assert not synth.saved
    assert driver.identity == "WFT SynthHD, serial number 1042"


def test_what_runs_is_adopted(fake: FakeSerial, synth: SynthHD) -> None:
    b = synth.synthesisers[1]
    b.frequency, b.power, b.pll, b.amplifier, b.unmuted = 2.5e9, -3.25, 1, 1, 1
    dds = DDS(WindfreakDriver(fake.device_string))
    dds.open_hardware()
    told = ("frequency", "phase", "amplitude", "power", "output", "activity")
    assert [dds.get(1)[name] for name in told] == [2.5e9, None, None, -3.25, True, "single_tone"]
    assert dds.get(0)["output"] is False
    assert dds.get(0)["limits"] == {
        "min_frequency": 10e6,
        "max_frequency": 15e9,
        "min_power": -70.0,
        "max_power": 20.0,
    }
    dds.close()


def test_frequencies_snap_to_the_spacing_and_that_is_told(dds: DDS, synth: SynthHD) -> None:
    assert dds.set_frequency(1, 1_234_567_890.0) == {"frequency": 1_234_567_900.0}
    assert synth.synthesisers[1].frequency == 1_234_567_900.0
    assert synth.synthesisers[0].frequency == 1000e6
    assert dds.get(1)["frequency"] == 1_234_567_900.0


def test_the_spacing_is_set_with_the_frequency_where_it_is_asked_for(
    fake: FakeSerial, synth: SynthHD
) -> None:
    driver = WindfreakDriver(fake.device_string, spacing=0.1)
    dds = DDS(driver)
    dds.open_hardware()
    assert driver.channels[0].parameters["frequency"].step == 0.1
    assert dds.set_frequency(0, 1_234_567_890.3) == {"frequency": 1_234_567_890.3}
    assert [one.spacing for one in synth.synthesisers] == [0.1, 100.0]
    assert settings(fake) == b"C0i0.1f1234.56789030"
    dds.close()


def test_a_limit_that_is_not_on_the_spacing_is_not_overstepped(
    fake: FakeSerial, synth: SynthHD
) -> None:
    synth.hardware = "Hardware Version 1.4"
    dds = DDS(WindfreakDriver(fake.device_string))
    dds.open_hardware()
    assert dds.set_frequency(0, 13_999_999_999.0) == {"frequency": 13_999_999_900.0}
    dds.close()


def test_each_channel_is_named_with_every_command(dds: DDS, fake: FakeSerial) -> None:
    """Whoever else talks to it may have chosen the other one."""
    synth = fake.device
    dds.set(0, frequency=2e9, power=-5.0)
    synth.chosen = 1
    dds.set_power(0, -6.0)
    assert [one.power for one in synth.synthesisers] == [-6.0, -10.0]


def test_power_falls_before_a_frequency_and_rises_behind_it(dds: DDS, fake: FakeSerial) -> None:
    dds.set(0, frequency=2e9, power=-20.0)
    dds.set(0, frequency=3e9, power=10.0)
    assert settings(fake) == b"C0W-20.00f2000.00000000C0f3000.00000000W10.00"


def test_phases_are_sums_of_steps(dds: DDS, synth: SynthHD, fake: FakeSerial) -> None:
    assert dds.get(0)["phase"] is None
    assert dds.set_phase(0, 0.25) == {"phase": 0.25}
    assert dds.set_phase(0, 0.125) == {"phase": 0.125}
    assert settings(fake) == b"C0~90.000C0~315.000"
    assert synth.synthesisers[0].phase == 45.0
    assert dds.set_phase(0, 1.125) == {"phase": 0.125}
    assert settings(fake) == b"", "it is there already"


def test_a_new_frequency_is_shifted_anew(dds: DDS, synth: SynthHD) -> None:
    a = synth.synthesisers[0]
    assert dds.set(0, frequency=2e9)["phase"] is None, "nobody asked for one"
    dds.set_phase(0, 0.25)
    assert dds.set(0, frequency=3e9)["phase"] == 0.25
    assert a.phase == 90.0
    assert dds.set(0, frequency=4e9, phase=0.5)["phase"] == 0.5
    assert a.phase == 180.0


def test_an_output_that_is_switched_on_is_shifted_anew(dds: DDS, synth: SynthHD) -> None:
    dds.output(0, True)
    dds.set_phase(0, 0.25)
    dds.output(0, True)
    assert synth.synthesisers[0].phase == 90.0
    dds.output(0, False)
    dds.output(0, True)
    assert synth.synthesisers[0].phase == 90.0
    assert dds.set(0, power=-20.0)["phase"] == 0.25


def test_another_power_keeps_the_phase(dds: DDS) -> None:
    dds.set_phase(0, 0.25)
    assert dds.set(0, power=-20.0)["phase"] == 0.25


def test_phases_are_thousandths_of_degrees(dds: DDS, synth: SynthHD) -> None:
    total = 0.0
    for phase in (0.1234567, 0.7654321, 1 - 1e-9, 0.3333333):
        total = dds.set_phase(0, phase)["phase"]
        assert total == pytest.approx(phase % 1 if phase < 0.99 else 0.0, abs=1 / 360_000)
    assert synth.synthesisers[0].phase == pytest.approx(total * 360, abs=1e-6)


def test_outputs_are_switched_whole(dds: DDS, synth: SynthHD) -> None:
    assert dds.output(1, True) == {"output": True}
    b = synth.synthesisers[1]
    assert (b.pll, b.amplifier, b.unmuted) == (1, 1, 1)
    assert dds.get(0)["output"] is False
    dds.safe_state()
    assert (b.pll, b.amplifier, b.unmuted) == (0, 0, 0)


@pytest.mark.parametrize(
    ("pll", "amplifier", "unmuted", "output"),
    [(1, 1, 1, True), (0, 1, 1, False), (1, 1, 0, False), (1, 0, 1, None)],
)
def test_what_is_half_off_is_not_called_off(
    fake: FakeSerial, synth: SynthHD, pll: int, amplifier: int, unmuted: int, output: bool | None
) -> None:
    a = synth.synthesisers[0]
    a.pll, a.amplifier, a.unmuted = pll, amplifier, unmuted
    dds = DDS(WindfreakDriver(fake.device_string))
    dds.open_hardware()
    assert dds.get(0)["output"] is output
    dds.close()


def test_closing_leaves_the_output_on(dds: DDS, synth: SynthHD) -> None:
    dds.output(0, True)
    dds.close()
    assert synth.synthesisers[0].pll == 1


def test_a_pll_that_does_not_lock_is_an_error(dds: DDS, synth: SynthHD) -> None:
    dds.output(0, True)
    synth.synthesisers[0].locks = False
    with pytest.raises(InstrumentError) as failed:
        dds.set_frequency(0, 2e9)
    assert str(failed.value) == (
        "the PLL of channel 0 of the SynthHD does not lock at 2e9 Hz: is its reference there?"
    )
    assert dds.get(0)["frequency"] is None


def test_a_pll_that_is_off_need_not_lock(dds: DDS, synth: SynthHD) -> None:
    synth.synthesisers[0].locks = False
    assert dds.set_frequency(0, 2e9) == {"frequency": 2e9}
    with pytest.raises(InstrumentError, match="does not lock"):
        dds.output(0, True)


def test_an_unlocked_pll_is_warned_of_at_opening(
    fake: FakeSerial, synth: SynthHD, caplog: pytest.LogCaptureFixture
) -> None:
    a = synth.synthesisers[0]
    a.pll = a.amplifier = a.unmuted = 1
    a.locks = False
    dds = DDS(WindfreakDriver(fake.device_string))
    dds.open_hardware()
    dds.close()
    assert "the PLL of channel 0 has not locked" in caplog.text


def test_a_power_that_is_not_reached_is_not_claimed(dds: DDS, synth: SynthHD) -> None:
    synth.synthesisers[0].strongest = 10.0
    with pytest.raises(InstrumentError) as failed:
        dds.set_power(0, 12.0)
    assert str(failed.value) == (
        "channel 0 of the SynthHD does not reach 12 dBm at 1e9 Hz: set less"
    )
    assert dds.set_power(0, 9.0) == {"power": 9.0}
    synth.synthesisers[0].strongest = 5.0
    assert dds.set(0, frequency=14e9)["power"] is None, "nobody knows how much comes out"


@pytest.mark.parametrize(
    ("setter", "lowest", "highest"),
    [("set_frequency", 10e6, 15e9), ("set_power", -70.0, 15.0)],
)
def test_what_is_beyond_a_limit_is_refused_before_anything_is_sent(
    dds: DDS, fake: FakeSerial, setter: str, lowest: float, highest: float
) -> None:
    for value in (lowest, highest):
        [achieved] = getattr(dds, setter)(0, value).values()
        assert achieved == value
    fake.heard = b""
    for value in (math.nextafter(lowest, -1e99), 20.001 if highest < 20 else highest + 1e-3):
        with pytest.raises(OutOfRange):
            getattr(dds, setter)(0, value)
    assert fake.heard == b""


@pytest.mark.parametrize(
    ("hardware", "kind", "limits"),
    [
        ("Hardware Version 1.4", "?", (53e6, 13_999_999_999.0, -80.0)),
        ("Hardware Version 2.06", "HD", (10e6, 15e9, -70.0)),
        ("Hardware Version 2.07", "HDPRO", (10e6, 24e9, -70.0)),
    ],
)
def test_the_limits_are_the_models(
    fake: FakeSerial,
    synth: SynthHD,
    hardware: str,
    kind: str,
    limits: tuple[float, float, float],
) -> None:
    synth.hardware, synth.kind = hardware, kind
    dds = DDS(WindfreakDriver(fake.device_string))
    dds.open_hardware()
    told = dds.get(0)["limits"]
    assert (told["min_frequency"], told["max_frequency"], told["min_power"]) == limits
    dds.close()


def test_a_model_that_nobody_knows_is_not_served(fake: FakeSerial, synth: SynthHD) -> None:
    synth.hardware = "Hardware Version 3.00"
    with pytest.raises(InstrumentError) as refused:
        DDS(WindfreakDriver(fake.device_string)).open_hardware()
    assert str(refused.value) == (
        f"{fake.device_string} is a SynthHD whose limits are not known: it says 'Hardware Version "
        "3.00'"
    )


def test_a_spacing_that_cannot_be_set_is_refused(fake: FakeSerial, synth: SynthHD) -> None:
    synth.hardware = "Hardware Version 1.4"
    with pytest.raises(InstrumentError, match=r"is a SynthHD v1\.4, whose spacing is fixed"):
        DDS(WindfreakDriver(fake.device_string, spacing=1.0)).open_hardware()


@pytest.mark.parametrize("flag", ["g", "A", "/", "j"])
def test_what_sweeps_or_is_modulated_is_left_alone(
    fake: FakeSerial, synth: SynthHD, flag: str
) -> None:
    synth.flags[flag] = 1
    dds = DDS(WindfreakDriver(fake.device_string))
    dds.open_hardware()
    assert dds.get(0)["activity"] is None
    with pytest.raises(InstrumentError, match="end that first"):
        dds.set_frequency(0, 2e9)
    assert settings(fake) == b""
    synth.flags[flag] = 0
    assert dds.set_frequency(0, 2e9) == {"frequency": 2e9}
    dds.close()


def test_what_it_cannot_do_is_said(dds: DDS, fake: FakeSerial) -> None:
    for act, sentence in [
        (lambda: dds.set_amplitude(0, 0.5), "amplitude: the channel has no amplitude: set its po"),
        (lambda: dds.set(0, phase_mode="absolute"), "phase_mode: the SynthHD has no absolute pha"),
        (lambda: dds.ramp(0, "frequency", 1e9, 2e9, 1.0), "the SynthHD has no ramp of its own"),
        (dds.reset, "the SynthHD cannot be reset"),
    ]:
        with pytest.raises(InstrumentError) as refused:
            act()
        assert str(refused.value).startswith(sentence)
    assert fake.heard == b""


# Bad input


def test_another_device_is_asked_what_it_is_and_nothing_else(
    fake: FakeSerial, synth: SynthHD
) -> None:
    synth.model = "Pump 3"
    with pytest.raises(InstrumentError) as refused:
        DDS(WindfreakDriver(fake.device_string)).open_hardware()
    assert str(refused.value) == (
        f"{fake.device_string} is not the SynthHD: it says that it is 'Pump 3'"
    )
    assert fake.heard == b"+"


@pytest.mark.parametrize("fault", Fault)
def test_a_fault_is_one_sentence_and_heals(dds: DDS, fake: FakeSerial, fault: Fault) -> None:
    with faulty(fake, dds._driver, fault):
        for _ in range(2):
            with pytest.raises(InstrumentError) as failed:
                dds.set_frequency(0, 2e9)
            assert "\n" not in str(failed.value)
    assert dds.get(0)["frequency"] is None
    fake.release()
    assert dds.set_frequency(0, 3e9) == {"frequency": 3e9}
    assert fake.device.synthesisers[0].frequency == 3e9


def test_what_it_clamps_all_the_same_is_an_error(dds: DDS, synth: SynthHD) -> None:
    synth.highest = 5e9
    with pytest.raises(InstrumentError) as failed:
        dds.set_frequency(0, 6e9)
    assert str(failed.value) == (
        "the SynthHD was told the frequency 6e9 Hz on channel 0, and made 5e9 Hz of it"
    )


def test_an_adapter_that_was_out_needs_nothing_else_than_to_be_put_back(
    dds: DDS, fake: FakeSerial
) -> None:
    dds.set(0, frequency=2e9, phase=0.25)
    fake.unplug()
    with pytest.raises(InstrumentError):
        dds.set_power(0, -20.0)
    fake.plug()
    assert dds.set_power(0, -20.0) == {"power": -20.0}
    assert (dds.get(0)["frequency"], dds.get(0)["phase"]) == (2e9, 0.25)


def test_nobody_knows_the_phase_after_the_adapter_was_out(dds: DDS, fake: FakeSerial) -> None:
    """Unless it is set."""
    dds.set(0, frequency=2e9, phase=0.25)
    fake.unplug()
    fake.plug()
    assert dds.set(0, power=-20.0)["phase"] is None
    assert dds.set(0, phase=0.5)["phase"] == 0.5


def test_after_its_power_failed_nothing_is_claimed_and_nothing_sent(
    dds: DDS, fake: FakeSerial, synth: SynthHD
) -> None:
    dds.set(1, frequency=2e9, phase=0.25)
    dds.output(1, True)
    fake.unplug()
    synth.power_cycle()
    fake.plug()
    settings(fake)
    with pytest.raises(HardwareRestarted, match="was lost meanwhile, and has restarted"):
        dds.set_power(0, -20.0)
    assert settings(fake) == b""
    assert [dds.get(1)[name] for name in ("frequency", "phase", "output")] == [1e9, None, False]
    assert dds.set_power(0, -20.0) == {"power": -20.0}


def test_what_was_told_to_one_that_restarts_then_is_not_claimed(
    fake: FakeSerial, synth: SynthHD, monkeypatch: pytest.MonkeyPatch
) -> None:
    driver = WindfreakDriver(fake.device_string)
    dds = DDS(driver)
    dds.open_hardware()
    check = driver._check_lock

    def check_and_restart(channel: int, frequency: float) -> None:
        check(channel, frequency)
        fake.unplug()
        synth.power_cycle()
        fake.plug()
        driver.is_locked(channel)

    monkeypatch.setattr(driver, "_check_lock", check_and_restart)
    with pytest.raises(HardwareRestarted):
        dds.set_frequency(0, 2e9)
    assert dds.get(0)["frequency"] == 1e9, "it was read anew"
    dds.close()


def test_another_one_in_its_place_gets_no_command(
    dds: DDS, fake: FakeSerial, synth: SynthHD
) -> None:
    fake.unplug()
    synth.serial = "1043"
    fake.plug()
    with pytest.raises(InstrumentError, match=r"is another one: .*1043, and not .*1042"):
        dds.output(0, True)
    assert settings(fake) == b""
