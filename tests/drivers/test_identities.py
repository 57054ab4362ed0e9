"""How makes are recognised: by the fakes of each, and by no other."""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import replace
from importlib import import_module

import pytest

from artiq_link.drivers import DRIVERS
from artiq_link.errors import InstrumentError
from artiq_link.transports.fake import Device, FakeSerial
from tests.drivers.fake_dds_sweeper import FakeDdsSweeper
from tests.drivers.fake_moglabs_xrf import FakeMoglabsXrf
from tests.drivers.fake_novatech_409b import FakeNovatech409b
from tests.drivers.fake_windfreak_synthhd import SynthHD

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="needs pseudo-terminals")

FAKES: dict[str, Callable[[], Device]] = {
    "dds_sweeper": FakeDdsSweeper,
    "moglabs_xrf": FakeMoglabsXrf,
    "novatech_409b": FakeNovatech409b,
    "windfreak_synthhd": SynthHD,
}


def identity_of(name):
    identity = DRIVERS[name].identity
    assert identity is not None
    return identity


def test_all_that_can_be_recognised_are_here():
    assert {name for name, entry in DRIVERS.items() if entry.identity} == FAKES.keys()


@pytest.mark.parametrize("name", FAKES)
def test_the_line_is_the_driver_s(name):
    asked = identity_of(name).protocol
    driver_s = import_module(f"artiq_link.drivers.{DRIVERS[name].module}").PROTOCOL
    assert (asked.baud, asked.port) == (driver_s.baud, driver_s.port)


@pytest.mark.parametrize("name", FAKES)
def test_each_is_recognised(name):
    with FakeSerial(FAKES[name]()) as fake:
        assert identity_of(name).check_at(fake.device_string)
        assert fake.heard == identity_of(name).ask


def test_a_409b_that_echoes_is_recognised():
    device = FakeNovatech409b()
    device.echo = True
    with FakeSerial(device) as fake:
        assert identity_of("novatech_409b").check_at(fake.device_string)


@pytest.mark.parametrize("name", FAKES)
@pytest.mark.parametrize("other", sorted(FAKES.keys() - {"windfreak_synthhd"}))
def test_none_is_taken_for_another(name, other):
    """A SynthHD is asked by nobody else: single letters of a question are commands to it."""
    if name == other:
        return
    identity = identity_of(name)
    hasty = replace(identity, protocol=replace(identity.protocol, timeout=0.2))
    with FakeSerial(FAKES[other]()) as fake, pytest.raises(InstrumentError):
        hasty.check_at(fake.device_string)


@pytest.mark.parametrize("answer", [b"board: pico1\r\n", b"pico1, a laser\n"])
def test_another_pico_is_no_dds_sweeper(answer):
    assert not identity_of("dds_sweeper").answer.search(answer)
