"""The one list of drivers."""

from __future__ import annotations

import pytest

from artiq_link.dds.driver import Driver
from artiq_link.drivers import DRIVERS, SIMULATED, DriverEntry
from artiq_link.drivers.simulated import SimulatedDriver

DEVICES = {"scpi": "tcp:192.168.0.5", "windfreak_synthhd": "serial:/dev/ttyACM0"}

OPTIONS = {"scpi": {"profile": "rigol_dg"}}
"""Those that are required."""


@pytest.mark.parametrize("name", DRIVERS)
def test_each_entry_makes_its_driver(name: str) -> None:
    """Without hardware: nothing is opened."""
    entry = DRIVERS[name]
    device = None if entry.device is None else DEVICES.get(name, entry.example)
    driver = entry.build(device, **OPTIONS.get(name, {}))
    assert isinstance(driver, Driver)
    driver.close()


def test_the_simulation_is_one_of_them() -> None:
    assert isinstance(DRIVERS[SIMULATED].build(), SimulatedDriver)


def test_a_module_is_not_imported_before_it_is_built() -> None:
    """Its hardware's library may be missing where another driver is used."""
    entry = DriverEntry("nonexistent", "NoDriver")
    with pytest.raises(ModuleNotFoundError):
        entry.build()
