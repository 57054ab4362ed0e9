"""Powers at a channel's output: calibrations, attenuators, and limits of what comes out."""

from __future__ import annotations

import msgspec
import pytest

from artiq_link.dds.calibration import Calibration
from artiq_link.dds.capabilities import Span
from artiq_link.dds.channel import Channel, SetPoint
from artiq_link.dds.dds import DDS
from artiq_link.dds.types import Setting, Step, Tone
from artiq_link.drivers.simulated import SimulatedDriver
from artiq_link.errors import InvalidParameter, OutOfRange
from tests.dds.powered import PoweredDriver

COOLING = Calibration([(60e6, 10.0), (80e6, 12.0), (110e6, 9.0)])


def opened(*channels, driver=None, **can):
    driver = driver or SimulatedDriver()
    driver.channels = [msgspec.structs.replace(each, **can) for each in driver.channels]
    writes = []
    driver._record = writes.append
    dds = DDS(driver, list(channels))
    dds.open_hardware()
    return dds, writes


def test_a_power_is_made_of_an_amplitude_at_the_channel_s_frequency():
    dds, _ = opened(Channel("a", calibration=COOLING))
    dds.set(0, frequency=80e6, phase=0.0)
    assert dds.set_power(0, 12.0)["power"] == pytest.approx(12.0)
    assert dds.get(0)["amplitude"] == 1.0
    told = dds.set(0, frequency=60e6, power=4.0)
    assert told["amplitude"] == pytest.approx(10 ** (-6 / 20), abs=1e-4)
    assert told["power"] == pytest.approx(4.0, abs=1e-3)


def test_a_frequency_alone_keeps_the_amplitude_and_tells_the_power_that_comes_of_it():
    dds, _ = opened(Channel("a", calibration=COOLING))
    dds.set(0, frequency=80e6, power=6.0)
    before = dds.get(0)["amplitude"]
    told = dds.set(0, frequency=110e6)
    assert told["amplitude"] == before
    assert told["power"] == pytest.approx(3.0, abs=1e-3)
    assert dds.set(0, frequency=200e6)["power"] is None, "the calibration does not go so far"


def test_an_attenuator_is_behind_the_calibration():
    dds, _ = opened(Channel("a", calibration=COOLING, attenuator=10.0))
    told = dds.set(0, frequency=80e6, power=2.0)
    assert (told["amplitude"], told["power"]) == (1.0, pytest.approx(2.0))
    limits = dds.get(0)["limits"]
    assert limits["max_power"] == 2.0
    assert limits["min_power"] == pytest.approx(-1.0 - 84.29, abs=0.01)


def test_powers_stand_in_tables_and_in_several_settings():
    dds, _ = opened(Channel("a", calibration=COOLING), Channel("b"))
    played = dds.play(0, [Step(1.0, frequency=80e6, phase=0.0, power=6.0), Step(1.0, phase=0.5)])
    assert [step["power"] for step in played["steps"]] == [pytest.approx(6.0, abs=1e-3)] * 2
    told, plain = dds.set_many([Setting(0, 60e6, power=4.0), Setting(1, 60e6, amplitude=0.5)])
    assert told["power"] == pytest.approx(4.0, abs=1e-3)
    assert "power" not in plain


TOO_MUCH = "with 1 at 8.00000000745058e7 Hz 'a' would put out 12.00 dBm, above its limit of 8 dBm"
LIMITED = Channel("a", calibration=COOLING, min_frequency=60e6, max_frequency=110e6, max_power=8.0)


@pytest.mark.parametrize(
    ("act", "where", "sentence"),
    [
        (
            lambda dds: dds.set_power(0, 8.5),
            "power",
            "8.5 dBm is above the channel's limit of 8 dBm",
        ),
        (
            lambda dds: dds.set_amplitude(0, 1.0),
            "amplitude",
            TOO_MUCH,
        ),
        (
            lambda dds: dds.set_many([Setting(1, 1e6), Setting(0, amplitude=1.0)]),
            "settings[1].amplitude",
            TOO_MUCH,
        ),
        (
            lambda dds: dds.play(0, [Step(1.0, amplitude=0.1), Step(1.0, amplitude=1.0)]),
            "steps[1].amplitude",
            TOO_MUCH,
        ),
        (
            lambda dds: dds.ramp(0, "amplitude", 0.0, 1.0, 1.0),
            "amplitude",
            TOO_MUCH,
        ),
        (
            lambda dds: dds.software_ramp(0, "amplitude", 0.0, 1.0, 1.0),
            "amplitude",
            TOO_MUCH,
        ),
    ],
)
def test_no_way_leads_beyond_a_channel_s_power(act, where, sentence):
    dds, writes = opened(LIMITED, Channel("b"))
    dds.set(0, 80e6, 0.0, power=0.0)
    writes.clear()
    with pytest.raises(OutOfRange) as refused:
        act(dds)
    assert str(refused.value) == f"{where}: {sentence}"
    assert writes == []


def test_a_frequency_ramp_is_refused_for_what_it_passes():
    """Both its ends would be within the limit; in between the calibration is higher."""
    dds, writes = opened(LIMITED)
    dds.set(0, 60e6, 0.0, power=7.5)
    writes.clear()
    with pytest.raises(
        OutOfRange, match=r"^amplitude: with 0\.74.* at 8e7 Hz 'a' would put out 9\.50 dBm"
    ):
        dds.ramp(0, "frequency", 60e6, 110e6, 1.0)
    assert writes == []
    dds.ramp(0, "frequency", 100e6, 110e6, 1.0)


@pytest.mark.parametrize(
    ("act", "sentence"),
    [
        (
            lambda dds: dds.set_power(0, 0.0),
            "power: the calibration of 'a' needs its frequency, which is not known: give it too",
        ),
        (
            lambda dds: dds.set(0, frequency=80e6, phase=0.0),
            "amplitude: the power of 'a' is limited, and its amplitude is not known: give it too",
        ),
        (
            lambda dds: dds.set(0, amplitude=0.1, power=0.0),
            "power: the amplitude is given too, which says the same",
        ),
    ],
)
def test_what_is_not_known_is_asked_for(act, sentence):
    dds, writes = opened(LIMITED, reads=())
    with pytest.raises(InvalidParameter) as refused:
        act(dds)
    assert str(refused.value) == sentence
    assert writes == []
    dds.set(0, 80e6, 0.0, power=0.0)


def test_a_calibrated_power_keeps_to_the_amplitude_s_limit():
    dds, _ = opened(Channel("a", calibration=COOLING, max_amplitude=0.5))
    dds.set(0, frequency=80e6)
    with pytest.raises(OutOfRange, match=r"^power: 0\.79.* is above the channel's limit of 0\.5"):
        dds.set_power(0, 10.0)


# Hardware that has powers itself


def test_powers_of_hardware_are_those_behind_the_attenuator():
    driver = PoweredDriver()
    dds = DDS(driver, [Channel("a", attenuator=10.0, max_power=0.0), Channel("b")])
    dds.open_hardware()
    assert dds.get(0)["power"] == -60.0
    assert dds.get(0)["amplitude"] is None
    assert dds.set_power(0, -5.0) == {"power": -5.0}
    assert driver.tones[0].power == 5.0
    assert dds.set(1, frequency=1e6, power=-5.0)["power"] == -5.0
    assert driver.tones[1].power == -5.0
    limits = {"min_frequency": 0.0, "max_frequency": 1e9, "min_power": -60.0, "max_power": 0.0}
    assert dds.get(0)["limits"] == limits
    with pytest.raises(OutOfRange, match=r"^power: 1 dBm is above the channel's limit of 0 dBm$"):
        dds.set_power(0, 1.0)


def test_without_switch_and_amplitude_it_is_safe_at_its_lowest_power():
    driver = PoweredDriver()
    dds = DDS(driver, [Channel("a", attenuator=10.0), Channel("b")])
    dds.open_hardware()
    dds.set_power(0, -5.0)
    dds.safe_state()
    assert [tone.power for tone in driver.tones] == [-50.0, -50.0]


# Set-points


def test_reset_puts_channels_to_their_defaults():
    default = SetPoint(frequency=80e6, power=0.0, output=False)
    dds, _ = opened(Channel("a", calibration=COOLING, default=default), Channel("b"))
    assert dds.get(0)["frequency"] == 0.0, "opening changes nothing"
    dds.reset()
    state = dds.get(0)
    assert (state["power"], state["output"]) == (pytest.approx(0.0, abs=1e-3), False)
    assert dds.get(1)["frequency"] == 0.0


def test_safe_state_puts_a_channel_to_its_safe_set_point():
    dds, writes = opened(Channel("a", safe=SetPoint(amplitude=0.25, output=True)), Channel("b"))
    dds.set(0, 80e6, 0.5, 1.0)
    writes.clear()
    dds.safe_state()
    assert [(write.channel, write.register) for write in writes] == [
        (1, "output"),
        (0, "tone"),
        (0, "output"),
    ]
    state = dds.get(0)
    assert (state["amplitude"], state["phase"], state["output"]) == (4096 / 0x3FFF, 0.5, True)


def test_it_can_be_made_safe_where_nothing_is_known():
    """Hardware that takes whole tones gets one."""
    dds, writes = opened(Channel("a"), Channel("b"), reads=(), whole_tones=True, output=False)
    dds.safe_state()
    assert [write.words for write in writes] == [(0, 0, 0)] * 2
    assert dds.get(1)["amplitude"] == 0.0


@pytest.mark.parametrize(
    ("channel", "can", "sentence"),
    [
        (
            Channel("a", max_frequency=1e6, default=SetPoint(frequency=2e6)),
            {},
            "default: frequency: 2e6 Hz is above the channel's limit of 1e6 Hz",
        ),
        (
            Channel("a", safe=SetPoint(power=0.0)),
            {},
            "safe: power: the channel has no power without a calibration: set its amplitude",
        ),
        (
            Channel("a", safe=SetPoint(output=False)),
            {"output": False},
            "safe: the simulated DDS has no output switch: set the amplitude to 0",
        ),
        (Channel("a", attenuator=3.0), {}, "an attenuator needs a calibration in dBm"),
        (Channel("a", max_power=3.0), {}, "the hardware has no power to limit"),
        (
            Channel("a", calibration=COOLING, max_power=3.0),
            {},
            "max_power needs min_frequency and max_frequency within its calibration's, 6e+07 to "
            "1.1e+08 Hz",
        ),
        (
            Channel("a", calibration=COOLING),
            {"parameters": {"frequency": Span(0.0, 1.0), "power": Span(0.0, 1.0)}},
            "its hardware has no amplitude to calibrate",
        ),
    ],
)
def test_channels_that_cannot_be_are_refused(channel, can, sentence):
    with pytest.raises(ValueError, match=r"^channel 'a': .") as refused:
        opened(channel, **can)
    assert str(refused.value) == f"channel 'a': {sentence}"


def test_what_a_tone_is_not_known_to_make_is_not_said():
    dds, _ = opened(Channel("a", calibration=COOLING), reads=())
    assert dds.get(0)["power"] is None
    assert Tone() == Tone(None, None, None, None)
