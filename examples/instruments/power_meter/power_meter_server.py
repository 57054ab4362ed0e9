"""The server of a laser power meter of Thorlabs' PM100 series, by SCPI.

python power_meter_server.py                 (Ctrl-C stops it; --help lists the options)
python power_meter_server.py --simulation    without the meter
"""

import contextlib
import math
from typing import Annotated

import msgspec
from power_meter_simulation import SimulatedPowerMeter

import artiq_link
from artiq_link import Instrument, InstrumentError, OutOfRange, command, reading
from artiq_link.transports import Protocol, transport_to
from artiq_link.transports.fake import FakeTcp

# Where it is attached; `artiq-link devices` shows what there is.
DEVICE = "visa:USB0::0x1313::0x8078::P0012345::INSTR"

# 500 readings of 3 ms take 1.5 s. Clients wait 5 s, and so learn what failed.
PROTOCOL = Protocol(timeout=2.5)

Power = Annotated[float, msgspec.Meta(extra={"unit": "W"})]
Wavelength = Annotated[float, msgspec.Meta(gt=0, extra={"unit": "m"})]
Readings = Annotated[int, msgspec.Meta(ge=1, le=500)]

NANOMETRE = 1e-9
INFINITY = 9.9e37  # SCPI-1999 7.2.1.4; 9.91e37 is no number


class PowerMeter(Instrument):
    """A laser power meter."""

    def __init__(self, device=DEVICE):
        self.device = device
        self.transport = None
        self.wavelengths = 0.0, math.inf  # nm; opening asks the sensor for its own

    def open_hardware(self):
        """See that it is a power meter with a sensor, and leave it as it is."""
        self.transport = transport_to(self.device, PROTOCOL)
        self.transport.open()
        identity = self._ask("*IDN?")  # maker, model, serial number, firmware
        if not identity.startswith("Thorlabs,PM10"):
            raise InstrumentError(
                f"{self.transport.name} is no power meter: it says {identity!r:.60}"
            )
        self.wavelengths = (
            self._ask_number("SENS:CORR:WAV? MIN"),
            self._ask_number("SENS:CORR:WAV? MAX"),
        )

    @command
    def power(self, readings: Readings = 1) -> Power:
        """Measure the laser's power, the mean of so many readings."""
        self._tell(f"SENS:AVER:COUN {readings}")
        power = self._ask_number("MEAS:POW?")
        if abs(power) >= INFINITY:
            raise InstrumentError("the power is beyond the sensor's range; attenuate the laser")
        return power

    @reading(period=1.0)
    def light(self) -> Power:
        """Measure the laser's power again and again, for those who watch."""
        return self.power()

    @command
    def set_wavelength(self, wavelength: Wavelength) -> Wavelength:
        """Set the laser's wavelength, which the sensor's calibration depends on."""
        self._tell(f"SENS:CORR:WAV {in_nanometres(wavelength)}")
        return self.get_wavelength()

    @set_wavelength.checker
    def _check_wavelength(self, wavelength):
        least, greatest = self.wavelengths
        nanometres = in_nanometres(wavelength)
        if not least <= nanometres <= greatest:
            raise OutOfRange(
                f"wavelength: {nanometres:g} nm is not from {least:g} to {greatest:g} nm, as the "
                "sensor needs",
                "wavelength",
            )

    @command
    def get_wavelength(self) -> Wavelength:
        """Return the wavelength for which the power is computed."""
        return self._ask_number("SENS:CORR:WAV?") * NANOMETRE

    def close(self):
        """Release the meter, which stays as it is."""
        if self.transport is not None:
            self.transport.close()

    def _ask(self, text):
        return self.transport.query(f"{text}\n".encode()).decode("ascii", "replace").strip()

    def _ask_number(self, text):
        answer = self._ask(text)
        try:
            return float(answer)
        except ValueError:
            raise InstrumentError(f"{text!r} was answered with {answer!r:.60}") from None

    def _tell(self, text):
        self.transport.write(f"*CLS;{text}\n".encode())  # errors from before are not this one's
        error = self._ask("SYST:ERR?")
        if not error.startswith(("0,", "+0,")):
            raise InstrumentError(f"{text!r} was answered with {error!r:.60}")


def in_nanometres(wavelength):
    """A wavelength in m as the meter takes it: 400e-9 m is 400 nm, and not a little less."""
    return round(wavelength / NANOMETRE, 3)


# The instrument. Its hardware is not touched before the server has its port.
power_meter = PowerMeter()


def start_server(host="127.0.0.1", port=65432, debug=False, **options):
    """Listen for ever. With debug, print each message received and sent."""
    artiq_link.start_server(
        {"power_meter": power_meter}, host=host, port=port, debug=debug, **options
    )


if __name__ == "__main__":
    options = artiq_link.parse_server_options(__doc__)
    with contextlib.ExitStack() as simulation:
        if options.simulation:
            device = simulation.enter_context(FakeTcp(SimulatedPowerMeter()))
            power_meter = PowerMeter(device.device_string)
        start_server(options.host, options.port, options.debug, **options.more)
