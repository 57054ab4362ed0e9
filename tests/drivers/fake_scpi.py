"""Fake generators with SCPI commands: what is common, and each make's quirks.

They are made after the manuals and what users measured, not after the driver. They know commands
in their short and long forms, keep what they are set to in the digits that they have, and clamp,
refuse and complain as their make does.
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass, field

import numpy as np

from artiq_link.transports.fake import LineDevice

EMF = 20.0
"""Vpp at most with nothing connected; half of it over 50 ohms."""


class ScpiError(Exception):
    """What goes to the list of errors."""

    def __init__(self, number: int, text: str) -> None:
        super().__init__(f'{number},"{text}"')
        self.number = number


def undefined() -> ScpiError:
    return ScpiError(-113, "Undefined header")


@dataclass
class Panel:
    """One channel as its front panel shows it."""

    frequency: float = 1000.0
    emf: float = 0.2
    """Vpp with nothing connected."""
    phase: float = 0.0
    """Degrees."""
    power: float = -100.0
    output: bool = False
    function: str = "SIN"
    load: float = 50.0
    unit: str = "VPP"
    on: set[str] = field(default_factory=set)
    """What changes the tone: SWE, BURS, AM."""
    is_stuck: bool = False
    """Whether its output stays off whatever it is told, as where it is overloaded."""

    def divider(self) -> float:
        return 1.0 if math.isinf(self.load) else self.load / (self.load + 50.0)


class ScpiGenerator(LineDevice):
    """The common commands, the list of errors, the status; `tell` and `ask` are each make's."""

    identity = ""
    channels = 2
    answer_end = b"\n"
    """What ends its answers."""
    resets_on = False
    """Whether its outputs are on once it was reset."""

    def __init__(self) -> None:
        super().__init__()
        self.lines: list[str] = []
        """What it was told and asked."""
        self.power_cycle()

    def power_cycle(self) -> None:
        self.panels = [Panel() for _ in range(self.channels)]
        self.errors: list[str] = []
        self.status = 128

    def answer(self, line: bytes) -> bytes | None:
        text = line.decode("latin-1").strip()
        self.lines.append(text)
        answers = []
        for part in filter(None, text.split(";")):
            header, _, value = part.strip().partition(" ")
            try:
                answer = self.common(self.header(header), value.strip())
            except ScpiError as error:
                self.complain(error)
                continue
            if answer is not None:
                answers.append(answer)
        return ";".join(answers).encode("latin-1") if answers else None

    def receive(self, data: bytes) -> bytes:
        return super().receive(data).replace(self.terminator, self.answer_end)

    def header(self, text: str) -> str:
        return short(text)

    def common(self, header: str, value: str) -> str | None:
        if header == "*IDN?":
            return self.identity
        if header == "*OPC?":
            return "1"
        if header == "*ESR?":
            status, self.status = self.status, 0
            return str(status)
        if header == "*CLS":
            self.errors, self.status = [], 0
            return None
        if header == "*RST":
            self.panels = [Panel(output=self.resets_on) for _ in range(self.channels)]
            return None
        if header == "SYST:ERR?":
            return self.errors.pop(0) if self.errors else self.no_error()
        if header.endswith("?"):
            return self.ask(header[:-1], value)
        self.tell(header, value)
        return None

    def no_error(self) -> str:
        return '0,"No error"'

    def complain(self, error: ScpiError) -> None:
        self.status |= 0x20
        self.errors.append(str(error))

    def tell(self, header: str, value: str) -> None:
        raise undefined()

    def ask(self, header: str, value: str) -> str:
        raise undefined()

    def told(self) -> list[str]:
        """What it was told, and not what it was asked."""
        return [line for line in self.lines if not line.endswith(("?", " MIN", " MAX"))]

    def panel(self, number: str) -> Panel:
        if not 1 <= int(number or 1) <= self.channels:
            raise ScpiError(-114, "Header suffix out of range")
        return self.panels[int(number or 1) - 1]


def short(header: str) -> str:
    """A header with each word in its short form (SCPI-99, volume 1, 6.2.1)."""
    if header.startswith("*"):
        return header.upper()
    words = []
    for word in header.upper().lstrip(":").split(":"):
        name, number, mark = re.fullmatch(r"([A-Z]*)([0-9]*)(\??)", word).groups()
        length = 3 if len(name) > 4 and name[3] in "AEIOU" else 4
        words.append(name[:length] + number + mark)
    return ":".join(words)


def number(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        raise ScpiError(-104, "Data type error") from None


class Keysight33500(ScpiGenerator):
    """A 33522A: beyond a limit it takes the limit, and complains."""

    identity = "Agilent Technologies,33522A,MY50001234,2.03-1.19-2.00-52-00"
    highest = 30e6
    angle = "DEG"

    def no_error(self) -> str:
        return '+0,"No error"'

    def clipped(self, value: float, low: float, high: float) -> float:
        if not low <= value <= high:
            side = "lower" if value < low else "upper"
            self.complain(ScpiError(-222, f"Data out of range; value clipped to {side} limit"))
        return min(max(value, low), high)

    def tell(self, header: str, value: str) -> None:
        if found := re.fullmatch(r"OUTP([12]?)(:LOAD)?", header):
            panel = self.panel(found[1])
            if found[2]:
                panel.load = math.inf if value.upper().startswith("INF") else number(value)
            else:
                panel.output = value.upper() in {"ON", "1"} and not panel.is_stuck
            return
        found = re.fullmatch(r"SOUR([12]?):(FREQ|VOLT|PHAS|FUNC|VOLT:UNIT)", header)
        if not found:
            raise undefined()
        panel, what = self.panel(found[1]), found[2]
        if what == "FREQ":
            panel.frequency = round(self.clipped(number(value), 1e-6, self.highest), 6)
        elif what == "VOLT":
            self.set_volts(panel, number(value))
        elif what == "PHAS":
            panel.phase = round(self.clipped(number(value), -360.0, 360.0), 3)
        elif what == "FUNC":
            panel.function = value.upper()[:3]
        else:
            panel.unit = value.upper()

    def set_volts(self, panel: Panel, value: float) -> None:
        if panel.unit == "DBM":  # into 50 ohms
            value = math.sqrt(8 * 50 * 1e-3 * 10 ** (value / 10))
        volts = self.clipped(value, 1e-3, EMF * panel.divider())
        panel.emf = digits(volts, 4) / panel.divider()

    def ask(self, header: str, value: str) -> str:
        if header == "UNIT:ANGL":
            return self.angle
        if found := re.fullmatch(r"OUTP([12]?)(:LOAD)?", header):
            panel = self.panel(found[1])
            if found[2]:
                return self.written(9.9e37 if math.isinf(panel.load) else panel.load)
            return self.flag(panel.output)
        if found := re.fullmatch(r"SOUR([12]?):(BURS|AM|FM|PM|SWE|MOD):STAT", header):
            return self.flag(found[2] in self.panel(found[1]).on)
        found = re.fullmatch(r"SOUR([12]?):(FREQ|VOLT|PHAS|FUNC|VOLT:UNIT|FREQ:MODE)", header)
        if not found:
            raise undefined()
        panel, what = self.panel(found[1]), found[2]
        if what == "FREQ":
            return self.written(ends(1e-6, self.highest).get(value, panel.frequency))
        if what == "VOLT":
            volts = panel.emf * panel.divider()
            if panel.unit == "DBM":
                volts = 10 * math.log10(volts**2 / (8 * 50 * 1e-3))
            return self.written(volts)
        if what == "PHAS":
            return self.written(panel.phase * (math.pi / 180 if self.angle == "RAD" else 1))
        if what == "FREQ:MODE":
            return "SWE" if "SWE" in panel.on else "CW"
        return panel.function if what == "FUNC" else panel.unit

    def written(self, value: float) -> str:
        return f"{value:+.14E}"

    def flag(self, on: bool) -> str:
        return str(int(on))


class RigolDG(Keysight33500):
    """A DG4162: a blank line behind each answer, and seven digits in it.

    A real one loses commands that come sooner than 20 ms behind the one before; this one hears
    them all, because no computer that runs tests keeps such times.
    """

    identity = "Rigol Technologies,DG4162,DG4E173800123,00.01.12"
    highest = 160e6
    answer_end = b"\n\n"

    def no_error(self) -> str:
        return '0,"No error"'

    def common(self, header: str, value: str) -> str | None:
        if header == "*ESR?":
            raise undefined()
        return super().common(header, value)

    def set_volts(self, panel: Panel, value: float) -> None:
        # Over 50 ohms, by frequency.
        most = next(
            volts
            for above, volts in [(120e6, 1.0), (70e6, 2.5), (20e6, 5.0), (-1.0, 10.0)]
            if panel.frequency > above
        )
        volts = self.clipped(value, 1e-3, 2 * most * panel.divider())
        panel.emf = digits(volts, 4) / panel.divider()

    def written(self, value: float) -> str:
        return "INFINITY" if value > 1e30 else f"{value:.6E}"

    def flag(self, on: bool) -> str:
        return "ON" if on else "OFF"


class SiglentSDG(ScpiGenerator):
    """An SDG2042X with the firmware 2.01.01.23R7: it clamps, and never says so."""

    identity = "Siglent Technologies,SDG2042X,SDG2XCAX1R1234,2.01.01.23R7"
    highest = 40e6

    def power_cycle(self) -> None:
        super().power_cycle()
        for panel in self.panels:
            panel.function, panel.load, panel.emf = "SINE", math.inf, 4.0

    def complain(self, error: ScpiError) -> None:
        pass

    def common(self, header: str, value: str) -> str | None:
        if header == "*RST":
            self.power_cycle()
            return None
        if header == "*ESR?":
            raise undefined()
        return super().common(header, value)

    def tell(self, header: str, value: str) -> None:
        if not (found := re.fullmatch(r"C([12]):(BSWV|OUTP)", header)):
            raise undefined()
        panel = self.panel(found[1])
        words = value.upper().split(",")
        if found[2] == "OUTP":
            if words[0] in {"ON", "OFF"}:
                panel.output = words.pop(0) == "ON"
            if words[:1] == ["LOAD"]:
                panel.load = math.inf if words[1] == "HZ" else number(words[1])
            return
        for name, text in zip(words[::2], words[1::2], strict=False):
            if name == "FRQ":
                panel.frequency = min(max(number(text), 1e-6), self.highest)
                panel.emf = min(panel.emf, self.most(panel))
            elif name == "AMP":
                volts = number(text)
                panel.emf = min(max(volts, 2e-3) / panel.divider(), self.most(panel))
            elif name == "PHSE":
                panel.phase = number(text) % 360.0
            elif name == "WVTP":
                panel.function = text

    def most(self, panel: Panel) -> float:
        return EMF / 2 if panel.frequency > 20e6 else EMF

    def ask(self, header: str, value: str) -> str:
        if not (found := re.fullmatch(r"C([12]):(BSWV|OUTP|SWWV|MDWV|BTWV)", header)):
            raise undefined()
        panel, what = self.panel(found[1]), found[2]
        if what == "OUTP":
            load = "HZ" if math.isinf(panel.load) else f"{panel.load:g}"
            return f"C{found[1]}:OUTP {'ON' if panel.output else 'OFF'},LOAD,{load},PLRT,NOR"
        if what != "BSWV":
            return f"C{found[1]}:{what} STATE,{'ON' if what in panel.on else 'OFF'}"
        volts = panel.emf * panel.divider()
        return (
            f"C{found[1]}:BSWV WVTP,{panel.function},FRQ,{panel.frequency:.10g}HZ,"
            f"PERI,{1 / panel.frequency:.6g}S,AMP,{volts:.6g}V,"
            f"AMPVRMS,{volts / math.sqrt(8):.6g}Vrms,MAX_OUTPUT_AMP,{EMF:g}V,OFST,0V,"
            f"HLEV,{volts / 2:.6g}V,LLEV,{-volts / 2:.6g}V,PHSE,{panel.phase:.6g}"
        )


class KeysightRF(ScpiGenerator):
    """An E8257D: one channel in dBm; beyond a limit it takes the limit, and complains."""

    identity = "Agilent Technologies, E8257D, MY44320001, C.05.20"
    channels = 1
    highest, strongest = 20e9, 16.0
    sweeps = False

    def power_cycle(self) -> None:
        super().power_cycle()
        self.panels[0].frequency, self.panels[0].power = self.highest, -135.0

    def no_error(self) -> str:
        return '+0,"No error"'

    def tell(self, header: str, value: str) -> None:
        [panel] = self.panels
        if header == "OUTP":
            panel.output = value.upper() in {"ON", "1"}
        elif header in {"FREQ", "FREQ:CW"}:
            panel.frequency = round(self.clipped(number(value), 250e3, self.highest), 3)
        elif header in {"POW", "POW:AMPL"}:
            panel.power = round(self.clipped(number(value), -135.0, self.strongest), 2)
        else:
            raise undefined()

    def clipped(self, value: float, low: float, high: float) -> float:
        if not low <= value <= high:
            self.complain(ScpiError(-222, "Data out of range; value clipped"))
        return min(max(value, low), high)

    def ask(self, header: str, value: str) -> str:
        [panel] = self.panels
        answers = {
            "OUTP": str(int(panel.output)),
            "FREQ": f"{ends(250e3, self.highest).get(value, panel.frequency):+.13E}",
            "POW": f"{ends(-135.0, self.strongest).get(value, panel.power):+.8E}",
            "UNIT:POW": "DBM" if panel.unit == "VPP" else panel.unit,
            "FREQ:MODE": "LIST" if self.sweeps else "CW",
            "POW:MODE": "FIX",
        }
        if header not in answers:
            raise undefined()
        return answers[header]


class SrsSG380(ScpiGenerator):
    """An SG384: what it cannot do it leaves, and gives the error's number."""

    identity = "Stanford Research Systems,SG384,s/n002345,ver1.24.0B"
    channels = 1
    answer_end = b"\r\n"

    def power_cycle(self) -> None:
        super().power_cycle()
        self.panels[0].frequency, self.panels[0].power = 10e6, 0.0

    def common(self, header: str, value: str) -> str | None:
        if header == "LERR?":
            return self.errors.pop(0).partition(",")[0] if self.errors else "0"
        if header == "SYST:ERR?":
            raise undefined()
        return super().common(header, value)

    def tell(self, header: str, value: str) -> None:
        [panel] = self.panels
        if header == "ENBR":
            panel.output = value == "1"
        elif header == "FREQ":
            panel.frequency = round(self.legal(number(value), 950e3, 4.05e9), 6)
        elif header == "AMPR":
            panel.power = round(self.legal(number(value), -110.0, 16.5), 2)
        elif header == "PHAS":
            panel.phase = round(self.legal(number(value), -360.0, 360.0), 1)
        else:
            raise undefined()

    def legal(self, value: float, low: float, high: float) -> float:
        if not low <= value <= high:
            raise ScpiError(10, "Illegal value")
        return value

    def ask(self, header: str, value: str) -> str:
        [panel] = self.panels
        answers = {
            "ENBR": str(int(panel.output)),
            "FREQ": f"{panel.frequency:.6f}",
            "AMPR": f"{panel.power:.2f}",
            "PHAS": f"{panel.phase:.1f}",
            "MODL": str(int("MODL" in panel.on)),
        }
        if header not in answers:
            raise undefined()
        return answers[header]


class AimTti(ScpiGenerator):
    """A TGF4242: a channel is chosen first; nothing that was set can be asked."""

    identity = "THURLBY THANDAR, TGF4242, 527758, 1.00-1.00"
    answer_end = b"\r\n"
    highest = 240e6

    def power_cycle(self) -> None:
        super().power_cycle()
        self.chosen = 1

    def header(self, text: str) -> str:
        return text.upper()

    def common(self, header: str, value: str) -> str | None:
        if header == "*RST":
            self.power_cycle()
            return None
        if header == "EER?":
            return self.errors.pop(0).partition(",")[0].lstrip("-") if self.errors else "0"
        if header in {"SYST:ERR?", "*ESR?"}:
            raise undefined()
        return super().common(header, value)

    def tell(self, header: str, value: str) -> None:
        panel = self.panels[self.chosen - 1]
        if header == "CHN":
            self.chosen = int(self.legal(number(value), 1, 2))
        elif header == "OUTPUT":
            panel.output = value == "ON"
        elif header == "WAVE":
            panel.function = value
        elif header == "FREQ":
            panel.frequency = round(self.legal(number(value), 1e-6, self.highest), 6)
        elif header == "PHASE":
            panel.phase = self.legal(number(value), 0.0, 360.0)
        elif header == "AMPUNIT":
            panel.unit = value
        elif header == "ZLOAD":
            panel.load = math.inf if value == "OPEN" else number(value)
        elif header == "AMPL":
            volts = self.legal(number(value), 0.01, EMF * panel.divider())
            panel.emf = volts / panel.divider()
        else:
            raise undefined()

    def legal(self, value: float, low: float, high: float) -> float:
        if not low <= value <= high:
            raise ScpiError(126, "Out of range")
        return value


class RedPitaya(ScpiGenerator):
    """A Red Pitaya: settings are 32-bit floats; a tone starts with its trigger."""

    identity = "REDPITAYA,INSTR2024,0,01-02"
    terminator = b"\r\n"
    answer_end = b"\r\n"

    def power_cycle(self) -> None:
        super().power_cycle()
        self.triggered: set[int] = set()
        for panel in self.panels:
            panel.function, panel.emf, panel.load = "SINE", 1.0, math.inf

    def tell(self, header: str, value: str) -> None:
        if header == "GEN:RST":
            self.power_cycle()
            self.status = 0
            return
        if found := re.fullmatch(r"OUTP([12]):STAT", header):
            self.panel(found[1]).output = value.upper() in {"ON", "1"}
            return
        if not (found := re.fullmatch(r"SOUR([12]):(FREQ:FIX|VOLT|PHAS|FUNC|TRIG:INT)", header)):
            raise undefined()
        panel, what = self.panel(found[1]), found[2]
        if what == "FREQ:FIX":
            panel.frequency = self.legal(value, 0.0, 62.5e6)
        elif what == "VOLT":
            panel.emf = self.legal(value, 0.0, 1.0)
        elif what == "PHAS":
            panel.phase = self.legal(value, -360.0, 360.0)
        elif what == "FUNC":
            panel.function = value.upper()
        else:
            self.triggered.add(int(found[1]))

    def legal(self, text: str, low: float, high: float) -> float:
        value = float(np.float32(number(text)))
        if not low <= value <= high:
            raise ScpiError(-222, "Data out of range")
        return value

    def ask(self, header: str, value: str) -> str:
        if found := re.fullmatch(r"OUTP([12]):STAT", header):
            return "ON" if self.panel(found[1]).output else "OFF"
        if not (found := re.fullmatch(r"SOUR([12]):(FREQ:FIX|VOLT|PHAS|FUNC)", header)):
            raise undefined()
        panel, what = self.panel(found[1]), found[2]
        if what == "FUNC":
            return panel.function
        shown = {"FREQ:FIX": panel.frequency, "VOLT": panel.emf, "PHAS": panel.phase}[what]
        return f"{np.float32(shown):.7g}"


def ends(lowest: float, highest: float) -> dict[str, float]:
    """What is answered about them where MIN or MAX stands behind a query."""
    return {"MIN": lowest, "MAX": highest}


def digits(value: float, count: int) -> float:
    return float(f"{value:.{count - 1}e}")


GENERATORS: dict[str, type[ScpiGenerator]] = {
    "keysight_33500": Keysight33500,
    "rigol_dg": RigolDG,
    "siglent_sdg": SiglentSDG,
    "keysight_rf": KeysightRF,
    "srs_sg380": SrsSG380,
    "aim_tti": AimTti,
    "red_pitaya": RedPitaya,
}
"""By the driver's profiles for them."""
