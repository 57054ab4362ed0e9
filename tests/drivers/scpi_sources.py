"""The SCPI driver over a fake generator of each make, for the DDS's tests."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from contextlib import contextmanager

from artiq_link.dds.types import Tone
from artiq_link.drivers.scpi import ScpiDriver
from artiq_link.drivers.scpi_profiles import SCPI_PROFILES
from artiq_link.transports.fake import FakeTcp
from tests.drivers.fake_scpi import EMF, GENERATORS, ScpiGenerator

SLACK = {
    "keysight_33500": {"amplitude": 1e-3},
    "rigol_dg": {"frequency": 1e-6, "amplitude": 1e-3},
    "siglent_sdg": {"frequency": 1e-9, "phase": 1e-5, "amplitude": 1e-4},
    "red_pitaya": {"frequency": 1e-6, "phase": 1e-6, "amplitude": 1e-6},
}
"""How much of a value gets lost in the digits that a make answers with."""


class ScpiSource:
    def __init__(self, make: str, generator: ScpiGenerator, driver: ScpiDriver) -> None:
        self.driver = driver
        self.slack = {"amplitude": 1e-12, **SLACK.get(make, {})}
        self._generator = generator
        self._full_scale = 1.0 if make == "red_pitaya" else EMF

    def tone(self, channel: int) -> Tone:
        panel = self._generator.panels[channel]
        have = self.driver.channels[channel].parameters
        return Tone(
            frequency=panel.frequency,
            phase=panel.phase / 360 if "phase" in have else None,
            amplitude=panel.emf / self._full_scale if "amplitude" in have else None,
            power=panel.power if "power" in have else None,
        )

    def changes(self) -> int:
        return len(self._generator.told())


@contextmanager
def scpi(make: str) -> Iterator[ScpiSource]:
    """A model whose amplitudes do not hang on its frequency."""
    generator, profile = GENERATORS[make](), SCPI_PROFILES[make]
    if make == "rigol_dg":
        generator.highest = profile.level_above[0][0]
    elif make == "siglent_sdg":
        profile = dataclasses.replace(profile, highest_frequency={"": profile.level_above[0][0]})
    # The fake needs none; that it is kept is tested with the transports.
    protocol = dataclasses.replace(profile.protocol, pause=0.0)
    profile = dataclasses.replace(profile, protocol=protocol)
    with FakeTcp(generator) as fake:
        yield ScpiSource(make, generator, ScpiDriver(fake.device_string, profile))
