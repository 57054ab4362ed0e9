"""Tests of the power meter: a real server, the meter simulated at the end of a real line.

python -m pytest test_power_meter.py
"""

import pytest
from power_meter_server import PowerMeter
from power_meter_simulation import SimulatedPowerMeter

from artiq_link import InstrumentError, Link, ServerFailed, serve_in_background
from artiq_link.transports.fake import FakeTcp, Fault


@pytest.fixture
def meter():
    """The simulated meter, to look into."""
    return SimulatedPowerMeter()


@pytest.fixture
def cable(meter):
    """What the meter is attached by, and can be pulled out."""
    with FakeTcp(meter) as cable:
        yield cable


@pytest.fixture
def link(cable):
    """A client of a server on a free port."""
    with serve_in_background({"power_meter": PowerMeter(cable.device_string)}) as server:
        yield Link(port=server.port)


def test_the_power_is_measured_for_the_wavelength(link):
    assert link.call("power") == pytest.approx(1e-3)
    assert link.call("set_wavelength", wavelength=400e-9) == pytest.approx(400e-9)
    assert link.call("power") == pytest.approx(2e-3)
    assert link.call("set_wavelength", wavelength=1100e-9) == pytest.approx(1100e-9)


def test_the_power_is_shown_to_those_who_watch(link, meter):
    with link.watch(timeout=20.0) as states:
        shown = (event["state"]["light"] for event in states)
        assert next(power for power in shown if power is not None) == pytest.approx(1e-3)
        meter.power *= 2
        assert next(shown) == pytest.approx(2e-3)


def test_the_mean_of_many_readings(link, meter):
    link.call("power", readings=100)
    assert meter.averaged == 100


@pytest.mark.parametrize("nanometres", [399.9, 1100.1])
def test_a_wavelength_that_the_sensor_has_not_is_refused(link, meter, nanometres):
    with pytest.raises(ServerFailed) as failure:
        link.call("set_wavelength", wavelength=nanometres * 1e-9)
    assert str(failure.value) == (
        f"out_of_range: wavelength: {nanometres} nm is not from 400 to 1100 nm, as the sensor "
        "needs"
    )
    assert meter.wavelength == 800


def test_too_much_light_is_told(link, meter):
    meter.power = 0.1
    with pytest.raises(ServerFailed, match="instrument_error: the power is beyond the sensor's"):
        link.call("power")


def test_an_error_of_the_meter_is_told_once(link, meter, monkeypatch):
    meter.errors.append('-350,"Queue overflow"')  # from before: it says nothing of this command
    assert link.call("power") == pytest.approx(1e-3)
    monkeypatch.setattr(meter, "_obey", refusing(meter._obey))
    with pytest.raises(ServerFailed, match=r"'SENS:AVER:COUN 5' was answered with '-222,"):
        link.call("power", readings=5)


def refusing(obey):
    """A meter that takes no averaging."""

    def refuse(text):
        if text.startswith("SENS:AVER"):
            return None
        return '-222,"Data out of range"' if text == "SYST:ERR?" else obey(text)

    return refuse


def test_a_meter_that_breaks_off_is_told_and_heard_again(link, cable):
    cable.fault = Fault.RESET
    with pytest.raises(ServerFailed, match="instrument_error: "):
        link.call("get_wavelength")
    cable.fault = None
    assert link.call("get_wavelength") == pytest.approx(800e-9)


def test_opening_and_closing_change_nothing(meter, cable):
    meter.wavelength = 633.0
    with serve_in_background({"power_meter": PowerMeter(cable.device_string)}) as server:
        assert Link(port=server.port).call("get_wavelength") == pytest.approx(633e-9)
    assert meter.wavelength == 633
    assert b"WAV " not in cable.heard


def test_another_device_is_not_taken_for_the_meter(meter, cable, monkeypatch):
    monkeypatch.setattr(meter, "_obey", lambda text: "ACME,VOLTMETER,1,1")
    power_meter = PowerMeter(cable.device_string)
    with pytest.raises(InstrumentError, match="is no power meter: it says 'ACME,VOLTMETER,1,1'"):
        power_meter.open_hardware()
    power_meter.close()
