"""The power meter, simulated: a silicon sensor in a laser beam."""

from artiq_link.transports.fake import LineDevice


class SimulatedPowerMeter(LineDevice):
    """A PM100D with a sensor for 400 to 1100 nm, calibrated at 800 nm."""

    def __init__(self):
        super().__init__()
        self.power = 1e-3  # W, of light at 800 nm
        self.wavelength = 800.0  # nm
        self.averaged = 1
        self.errors = []

    def answer(self, line):
        """The answers to one line, on one line; None where nothing was asked."""
        answers = [self._obey(text) for text in line.decode("ascii", "replace").split(";")]
        asked = [answer for answer in answers if answer is not None]
        return ";".join(asked).encode() if asked else None

    def _obey(self, text):
        match text.split():
            case ["*IDN?"]:
                return "Thorlabs,PM100D,P0012345,2.4.0"
            case ["*CLS"]:
                self.errors.clear()
            case ["SYST:ERR?"]:
                return self.errors.pop(0) if self.errors else '+0,"No error"'
            case ["SENS:AVER:COUN", count]:
                self.averaged = int(count)
            case ["SENS:CORR:WAV?"]:
                return f"{self.wavelength:.6E}"
            case ["SENS:CORR:WAV?", "MIN" | "MAX" as end]:
                return "4.000000E+02" if end == "MIN" else "1.100000E+03"
            case ["SENS:CORR:WAV", wavelength]:
                self.wavelength = float(wavelength)
            case ["MEAS:POW?"]:
                # A photon of longer wavelength has less energy, and frees as many electrons.
                power = self.power * 800 / self.wavelength
                return f"{power:.6E}" if power < 0.05 else "9.900000E+37"
            case _:
                self.errors.append('-113,"Undefined header"')
        return None
