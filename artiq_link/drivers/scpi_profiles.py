"""How each make of SCPI generator is talked to: a table, to which a lab can add its own makes.

What is here was read in manuals, in others' drivers, or measured by users; none of it was tried
on an instrument for this table. What was only remembered, and found nowhere, is marked
"unconfirmed": where it is wrong, the generator's error or its read-back says so.

In commands ``{n}`` is the channel's number from 1, ``{value}`` the number to be set.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import NamedTuple

from ..dds.types import ToneParameter
from ..transports.endings import Line
from ..transports.protocol import Protocol

_GROUPS = {
    "{number}": r"\s*(?P<asked>[-+]?(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:E[-+]?[0-9]+)?)\s*",
    "{word}": r'\s*"?(?P<asked>[-+.\w]+)"?\s*',
}


class Question(NamedTuple):
    """A query, and what its answer looks like."""

    ask: str
    """Such as ``:SOUR{n}:FREQ?``."""
    answer: str = "{number}"
    """A regular expression, for the whole answer in either case, in which ``{number}`` or
    ``{word}`` is what was asked for."""

    def of(self, channel: int) -> tuple[str, re.Pattern[bytes]]:
        """The query about a channel, counted from 1, and the pattern of its answer."""
        answer = self.answer.replace("{n}", str(channel))
        for name, pattern in _GROUPS.items():
            answer = answer.replace(name, pattern)
        return self.ask.format(n=channel), re.compile(answer.encode("ascii"), re.IGNORECASE)


class Requirement(NamedTuple):
    """What must be so for a channel's settings to mean what they say."""

    question: Question
    expected: Sequence[str]
    """The words that it may be answered with, in either case."""


@dataclass(frozen=True, kw_only=True)
class ScpiParameter:
    """How one of a tone's parameters is set and read."""

    tell: str
    """Such as ``:SOUR{n}:FREQ {value}``."""
    ask: Question | None = None
    """None: it cannot be read back, and what was sent is taken for what was achieved."""
    lowest: float
    """In the DDS's units: Hz, turns, fractions of full scale, dBm."""
    highest: float
    step: float | None = None
    """The generator's resolution, in the DDS's units. Where what is read back agrees as far as its
    digits go, what was sent is what was achieved; None, unknown: what is read back is."""
    scale: float = 1.0
    """How many of the generator's units the DDS's one is; for an amplitude with a load, with
    nothing connected."""
    decimals: int
    """Digits behind the point that are sent, in the generator's units."""
    digits: int = 12
    """Significant digits of the answer: what is read back may differ by as much."""
    limits: str = ""
    """Asks for the model's own limits, such as ``:FREQ? {end}``, where ``{end}`` is MIN or MAX;
    empty where there is no such query."""
    only_if: Requirement | None = None
    """What must be so for the number to be in the unit that is meant."""


@dataclass(frozen=True, kw_only=True)
class ScpiProfile:
    """One make's commands and habits."""

    model: str
    """What sentences call it: ``the Rigol DG``."""
    identity: str
    """A regular expression that is found in the answer to ``*IDN?``, in either case."""
    protocol: Protocol
    terminator: str = "\n"
    """What ends a command."""
    channels: int = 1
    only_first: str = ""
    """A regular expression for the identities of models that have but one channel."""
    parameters: Mapping[ToneParameter, ScpiParameter]
    highest_frequency: Mapping[str, float] = field(default_factory=dict)
    """In Hz, by regular expressions for identities. The model that none fits has that of its
    parameter."""
    level_above: Sequence[tuple[float, float]] = ()
    """Above so many Hz, at most such an amplitude."""
    load: Question | None = None
    """The load in ohms that the generator reckons with: a number, or a word where it is infinite.
    Its volts are those over this load, behind its own 50 ohms."""
    switch_on: Sequence[str]
    switch_off: Sequence[str]
    output: Question | None = None
    """Answered ``ON`` or ``1``, ``OFF`` or ``0``."""
    tone_if: Sequence[Requirement] = ()
    """What must be so for the channel's output to be a plain sine."""
    done: str = "*OPC?"
    """Answered by 1 once all is done; empty where there is no such query."""
    errors: str = ":SYST:ERR?"
    """Answered by the oldest error, and by 0 where there is none; empty: there is no such list."""
    status: str = "*ESR?"
    """The event status register of IEEE 488.2, whose bit 7 is set by a switching on; empty where
    the make is not known to have it."""
    reset: str = "*RST"


_KEYSIGHT_LINE = Protocol(port=5025, timeout=3.0)


def _frequency(n: str, lowest: float, highest: float, digits: int = 12) -> ScpiParameter:
    return ScpiParameter(
        tell=f"{n}FREQ {{value}}",
        ask=Question(f"{n}FREQ?"),
        limits=f"{n}FREQ? {{end}}",
        lowest=lowest,
        highest=highest,
        step=1e-6,
        decimals=6,
        digits=digits,
    )


# Vpp into nothing at full scale. Half of it comes to 50 ohms: 10 Vpp.
_OPEN_VOLTS = 20.0

_VPP = Requirement(Question(":SOUR{n}:VOLT:UNIT?", "{word}"), ["VPP"])

_AMPLITUDE = ScpiParameter(
    tell=":SOUR{n}:VOLT {value}",
    ask=Question(":SOUR{n}:VOLT?"),
    lowest=2e-4,
    highest=1.0,
    scale=_OPEN_VOLTS,
    decimals=4,
    digits=4,
    only_if=_VPP,
)

_DEGREES = ScpiParameter(
    tell=":SOUR{n}:PHAS {value}",
    ask=Question(":SOUR{n}:PHAS?"),
    lowest=0.0,
    highest=1.0,
    scale=360.0,
    step=0.001 / 360,
    decimals=3,
)


def _off(*queries: str) -> list[Requirement]:
    """All of these are to be off."""
    return [Requirement(Question(query, "{word}"), ["0", "OFF"]) for query in queries]


KEYSIGHT_33500 = ScpiProfile(
    model="the Keysight 33500",
    identity=r"^(Agilent|Keysight) Technologies, *33[56]\d\d",
    protocol=_KEYSIGHT_LINE,
    channels=2,
    # 33509B, 33511B, 33519B, 33521A, 33611A and so on: unconfirmed as a rule.
    only_first=r", *33[56]\d[13579]",
    parameters={
        # With sines, the lowest model reaches 20 MHz; the others say theirs.
        "frequency": _frequency(":SOUR{n}:", 1e-6, 20e6),
        # Its phase may be counted in radians: unconfirmed.
        "phase": replace(
            _DEGREES, only_if=Requirement(Question(":UNIT:ANGL?", "{word}"), ["DEG"])
        ),
        "amplitude": _AMPLITUDE,
    },
    load=Question(":OUTP{n}:LOAD?", "(?:{number}|INF\\w*\\s*)"),
    switch_on=[":OUTP{n} ON"],
    switch_off=[":OUTP{n} OFF"],
    output=Question(":OUTP{n}?", "{word}"),
    tone_if=[
        Requirement(Question(":SOUR{n}:FUNC?", "{word}"), ["SIN"]),
        Requirement(Question(":SOUR{n}:FREQ:MODE?", "{word}"), ["CW", "FIX"]),
        *_off(
            ":SOUR{n}:BURS:STAT?", ":SOUR{n}:AM:STAT?", ":SOUR{n}:FM:STAT?", ":SOUR{n}:PM:STAT?"
        ),
    ],
)
"""Also the 33600. ``APPL`` is not used: it switches the output on (unconfirmed)."""

RIGOL_DG = ScpiProfile(
    model="the Rigol DG",
    identity=r"^Rigol Technologies, *DG\d",
    # Over the LAN a blank line comes behind each answer, and commands that are closer together
    # than 20 ms get lost.
    protocol=Protocol(port=5555, timeout=3.0, pause=0.03, ending=Line(skip_blank=True)),
    channels=2,
    only_first=r", *DG(811|821|1011|1021|2011)\b",  # unconfirmed
    parameters={
        # Seven digits are read back of eighteen that are kept: unconfirmed.
        "frequency": _frequency(":SOUR{n}:", 1e-6, 10e6, digits=7),
        "phase": _DEGREES,
        "amplitude": _AMPLITUDE,
    },
    # Those of a DG4000: unconfirmed.
    level_above=[(20e6, 0.5), (70e6, 0.25), (120e6, 0.1)],
    load=Question(":OUTP{n}:LOAD?", "(?:{number}|INF\\w*\\s*)"),
    switch_on=[":OUTP{n} ON"],
    switch_off=[":OUTP{n} OFF"],
    output=Question(":OUTP{n}?", "{word}"),
    tone_if=[
        Requirement(Question(":SOUR{n}:FUNC?", "{word}"), ["SIN"]),
        *_off(":SOUR{n}:SWE:STAT?", ":SOUR{n}:MOD:STAT?", ":SOUR{n}:BURS:STAT?"),
    ],
    status="",
)

SIGLENT_SDG = ScpiProfile(
    model="the Siglent SDG",
    identity=r"^Siglent Technologies, *SDG\d",
    # Its output takes up to 0.3 s to switch. Port 5025 was found closed on one unit, with VXI-11
    # open; 5024 is for people.
    protocol=Protocol(port=5025, timeout=3.0),
    channels=2,
    parameters={
        "frequency": ScpiParameter(
            tell="C{n}:BSWV FRQ,{value}",
            ask=Question("C{n}:BSWV?", r"C{n}:BSWV .*\bFRQ,{number}HZ(,.*)?"),
            lowest=1e-6,
            highest=30e6,
            step=1e-6,
            decimals=6,
            digits=10,
        ),
        "phase": ScpiParameter(
            tell="C{n}:BSWV PHSE,{value}",
            ask=Question("C{n}:BSWV?", r"C{n}:BSWV .*\bPHSE,{number}(,.*)?"),
            lowest=0.0,
            highest=1.0,
            scale=360.0,
            decimals=3,
            digits=6,
        ),
        "amplitude": ScpiParameter(
            tell="C{n}:BSWV AMP,{value}",
            ask=Question("C{n}:BSWV?", r"C{n}:BSWV .*\bAMP,{number}V(,.*)?"),
            lowest=2e-4,
            highest=1.0,
            scale=_OPEN_VOLTS,
            decimals=4,
            digits=6,
        ),
    },
    # What is beyond is clamped, and no error says so. The numbers of models: unconfirmed.
    highest_frequency={
        r", *SDG10[36]2X": 30e6,
        r", *SDG2042X": 40e6,
        r", *SDG2082X": 80e6,
        r", *SDG2122X": 120e6,
        r", *SDG6022X": 200e6,
        r", *SDG6032X": 350e6,
        r", *SDG6052X": 500e6,
    },
    level_above=[(20e6, 0.5)],
    load=Question("C{n}:OUTP?", r"C{n}:OUTP .*\bLOAD,(?:{number}|HZ)(,.*)?"),
    switch_on=["C{n}:OUTP ON"],
    switch_off=["C{n}:OUTP OFF"],
    output=Question("C{n}:OUTP?", r"C{n}:OUTP {word}(,.*)?"),
    tone_if=[
        Requirement(Question("C{n}:BSWV?", r"C{n}:BSWV .*\bWVTP,{word}(,.*)?"), ["SINE"]),
        *(  # unconfirmed
            Requirement(
                Question(f"C{{n}}:{mode}?", rf"C{{n}}:{mode} STATE,{{word}}(,.*)?"), ["OFF"]
            )
            for mode in ("SWWV", "MDWV", "BTWV")
        ),
    ],
    errors="",  # SYST:ERR? is answered, but never by an error
    status="",
)

KEYSIGHT_RF = ScpiProfile(
    model="the RF generator",
    identity=(
        r"^(Agilent|Keysight) Technologies, *(E44|E82|E86|N51|N93)"
        r"|^Rohde *& *Schwarz, *S[GM]"
    ),
    protocol=_KEYSIGHT_LINE,
    parameters={
        # The coarsest have steps of 0.01 Hz.
        "frequency": replace(_frequency(":", 250e3, 3e9), step=None, decimals=2),
        "power": ScpiParameter(
            tell=":POW {value}",
            ask=Question(":POW?"),
            limits=":POW? {end}",
            lowest=-110.0,
            highest=10.0,
            step=0.01,
            decimals=2,
            only_if=Requirement(Question(":UNIT:POW?", "{word}"), ["DBM"]),
        ),
    },
    switch_on=[":OUTP 1"],
    switch_off=[":OUTP 0"],
    output=Question(":OUTP?", "{word}"),
    tone_if=[
        Requirement(Question(":FREQ:MODE?", "{word}"), ["CW", "FIX", "FIXED"]),
        Requirement(Question(":POW:MODE?", "{word}"), ["CW", "FIX", "FIXED"]),
    ],
)
"""E4400, E8200 and N5100 of Keysight, and what of Rohde & Schwarz has the same commands."""

SRS_SG380 = ScpiProfile(
    model="the SRS SG380",
    identity=r"^Stanford Research Systems, *SG38[246]",
    protocol=Protocol(port=5025, timeout=3.0),
    parameters={
        "frequency": ScpiParameter(
            tell="FREQ {value}",
            ask=Question("FREQ?"),
            lowest=950e3,  # of the type N output
            highest=2.025e9,
            step=1e-6,
            decimals=6,
        ),
        "phase": ScpiParameter(  # unconfirmed
            tell="PHAS {value}",
            ask=Question("PHAS?"),
            lowest=0.0,
            highest=1.0,
            scale=360.0,
            step=0.1 / 360,
            decimals=1,
            digits=6,
        ),
        "power": ScpiParameter(
            tell="AMPR {value}",
            ask=Question("AMPR?"),
            lowest=-110.0,
            highest=16.5,
            step=0.01,
            decimals=2,
        ),
    },
    highest_frequency={", *SG382": 2.025e9, ", *SG384": 4.05e9, ", *SG386": 6.075e9},
    switch_on=["ENBR 1"],
    switch_off=["ENBR 0"],
    output=Question("ENBR?", "{word}"),
    tone_if=_off("MODL?"),
    errors="LERR?",
)
"""Its type N output. The BNC's has commands of its own: ``AMPL``, ``ENBL``."""

AIM_TTI = ScpiProfile(
    model="the Aim-TTi TGF",
    identity=r"^Thurlby[ -]Thandar, *TGF[34]\d\d\d",
    protocol=Protocol(port=9221, timeout=4.0),
    channels=2,
    # It has no queries for what it was set to, so that each command says all: which channel,
    # that it is a sine, in which units and for which load.
    parameters={
        "frequency": ScpiParameter(
            tell="CHN {n};WAVE SINE;FREQ {value}",
            lowest=1e-6,
            highest=40e6,
            step=1e-6,
            decimals=6,
        ),
        "phase": ScpiParameter(
            tell="CHN {n};PHASE {value}",
            lowest=0.0,
            highest=1.0,
            scale=360.0,
            step=0.001 / 360,
            decimals=3,
        ),
        "amplitude": ScpiParameter(
            tell="CHN {n};AMPUNIT VPP;ZLOAD 50;AMPL {value}",  # AMPUNIT: unconfirmed
            lowest=1e-3,
            highest=1.0,
            step=1e-4,
            scale=_OPEN_VOLTS / 2,
            decimals=3,
        ),
    },
    # Unconfirmed, as is what its levels are above 50 MHz.
    highest_frequency={
        r"TGF\d04\d": 40e6,
        r"TGF\d08\d": 80e6,
        r"TGF\d16\d": 160e6,
        r"TGF\d24\d": 240e6,
    },
    switch_on=["CHN {n};OUTPUT ON"],
    switch_off=["CHN {n};OUTPUT OFF"],
    done="",
    errors="EER?",
    status="",
)

RED_PITAYA = ScpiProfile(
    model="the Red Pitaya",
    identity=r"^Red *Pitaya,",
    protocol=Protocol(port=5000, timeout=3.0, ending=Line(b"\r\n")),
    terminator="\r\n",
    channels=2,
    # It keeps them in 32-bit floats.
    parameters={
        "frequency": ScpiParameter(
            tell="SOUR{n}:FREQ:FIX {value}",
            ask=Question("SOUR{n}:FREQ:FIX?"),
            lowest=1.0,
            highest=50e6,
            decimals=3,
            digits=6,
        ),
        "phase": ScpiParameter(
            tell="SOUR{n}:PHAS {value}",
            ask=Question("SOUR{n}:PHAS?"),
            lowest=0.0,
            highest=1.0,
            scale=360.0,
            decimals=3,
            digits=6,
        ),
        # In volts of the peak, of which it has one.
        "amplitude": ScpiParameter(
            tell="SOUR{n}:VOLT {value}",
            ask=Question("SOUR{n}:VOLT?"),
            lowest=0.0,
            highest=1.0,
            decimals=6,
            digits=6,
        ),
    },
    # Newer systems start a tone by its trigger only. Older ones do not know it: leave it out.
    # The commands change with the system; from 2.04-35 on, SYSTem:Help? lists them.
    switch_on=["OUTPUT{n}:STATE ON", "SOUR{n}:TRig:INT"],
    switch_off=["OUTPUT{n}:STATE OFF"],
    output=Question("OUTPUT{n}:STATE?", "{word}"),
    tone_if=[Requirement(Question("SOUR{n}:FUNC?", "{word}"), ["SINE"])],
    reset="GEN:RST",
)

SCPI_PROFILES: dict[str, ScpiProfile] = {
    "keysight_33500": KEYSIGHT_33500,
    "rigol_dg": RIGOL_DG,
    "siglent_sdg": SIGLENT_SDG,
    "keysight_rf": KEYSIGHT_RF,
    "srs_sg380": SRS_SG380,
    "aim_tti": AIM_TTI,
    "red_pitaya": RED_PITAYA,
}
"""The makes, by the names that ``--profile`` has for them; `dataclasses.replace` varies one."""
