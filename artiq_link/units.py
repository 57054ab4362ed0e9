"""Quantities as people write them: ``80MHz`` is read as 80e6 Hz, which is written ``80 MHz``.

The prefixes and the first units are those of `artiq.language.units`. What is read is the float
nearest to what was typed, and what is written is read as the same float again.
"""

from __future__ import annotations

import math
import re
import unicodedata
from collections.abc import Mapping
from decimal import Decimal
from typing import NamedTuple

PREFIXES: Mapping[str, int] = {
    "p": -12, "n": -9, "u": -6, "\N{GREEK SMALL LETTER MU}": -6, "m": -3,
    "": 0, "k": 3, "M": 6, "G": 9,
}  # fmt: skip
"""Powers of ten. The micro sign is normalised to the Greek letter when it is read."""

# With each the prefixes that it is written with; where it has any, it is read with all.
_UNITS: Mapping[str, tuple[str, ...]] = {
    "s": ("p", "n", "u", "m", ""),
    "Hz": ("m", "", "k", "M", "G"),
    "V": ("u", "m", "", "k"),
    "A": ("n", "u", "m", ""),
    "W": ("n", "u", "m", ""),
    "dB": (),
    "dBm": (),
    "turns": (),
    "rad": ("u", "m", ""),
    "deg": (),
    "m": ("n", "u", "m", ""),
    "K": ("n", "u", "m", ""),
    "degC": (),
    "T": ("n", "u", "m", ""),
    "G": ("u", "m", "", "k"),
    "ohm": ("m", "", "k", "M", "G"),
    "F": ("p", "n", "u", "m", ""),
    "H": ("n", "u", "m", ""),
    "Pa": ("n", "u", "m", "", "k", "M"),
    "bar": ("n", "u", "m", ""),
}
_SIGNS: Mapping[str, str] = {"\N{GREEK CAPITAL LETTER OMEGA}": "ohm", "°C": "degC", "°": "deg"}

_EXAMPLES: Mapping[str, str] = {"Hz": "80MHz", "s": "25us", "V": "1.5V", "dBm": "-3dBm"}

_QUANTITY = re.compile(
    r"\s*(?P<number>[+-]?(?:[0-9]+\.?[0-9]*|\.[0-9]+))(?:[eE](?P<exponent>[+-]?[0-9]{1,9}))?"
    r"\s*(?P<unit>[^\s0-9.+-].*?)\s*"
)

_DURATION = re.compile(r"(?P<number>[0-9]{1,15}(?:\.[0-9]{1,15})?)\s*(?P<unit>[a-z]+)")
_DURATIONS = {"us": 1e-6, "ms": 1e-3, "s": 1.0, "min": 60.0, "h": 3600.0, "d": 86400.0}

# Beyond these an exponent reads better than zeros: 1e-30 s.
_SMALLEST, _LARGEST = -4, 16


DIGITS = 3
"""Of what was measured; no two exchanges agree in more of their times."""


class _Unit(NamedTuple):
    """A unit without its prefix, and the prefix as a power of ten."""

    base: str
    exponent: int


def read_quantity(text: str, unit: str) -> float:
    """The number of ``unit`` in a text such as ``80MHz`` or ``-3 dBm``.

    The text has that unit with this prefix or another one. Raises ValueError where it has not.
    """
    found = _QUANTITY.fullmatch(text)
    typed, wanted = _unit_of(found["unit"] if found else ""), _unit_of(unit)
    if found is None or typed.base != wanted.base:
        raise ValueError(f"{text!r:.60} is no quantity such as {example_of(unit)}")
    # One reading of digits and exponent together rounds once: 0.1 MHz is 100e3, and no 100000.00…
    exponent = int(found["exponent"] or 0) + typed.exponent - wanted.exponent
    number = float(f"{found['number']}e{exponent}")
    if not math.isfinite(number):
        raise ValueError(f"{text!r:.60} is beyond floats")
    return number


def known_quantity(text: str) -> float | None:
    """What a text such as ``80MHz`` is in Hz; None for what is no number with a unit known here.

    Raises ValueError for what is beyond floats.
    """
    found = _QUANTITY.fullmatch(text)
    base = _unit_of(found["unit"]).base if found else ""
    return read_quantity(text, base) if base in _UNITS else None


def read_duration(text: str) -> float:
    """The seconds of ``15min``; raises ValueError for what is no such time."""
    found = _DURATION.fullmatch(text)
    if found is None or found["unit"] not in _DURATIONS:
        raise ValueError(f"{text!r:.60} is no time such as 100ms, 90s, 15min, 1h, 2d")
    return float(found["number"]) * _DURATIONS[found["unit"]]


def write_quantity(value: float, unit: str) -> str:
    """A number of `unit` in engineering notation, with all its digits: ``80.0000000745058 MHz``.

    Units that are not known here, or that have a prefix already, are written as they are.
    """
    number = Decimal(repr(value))
    prefixes = _UNITS.get(unit) or ("",)
    size = number.adjusted() if number else 0
    # The smallest prefix that leaves no more than three digits; the largest there is otherwise.
    prefix = next((p for p in prefixes if size - PREFIXES[p] < 3), prefixes[-1])
    if not number:
        prefix = ""
    elif not _SMALLEST <= size - PREFIXES[prefix] < _LARGEST:
        return f"{value!r} {unit}"
    scaled = number.scaleb(-PREFIXES[prefix]).normalize()
    return f"{scaled:f} {prefix}{unit}"


def write_rounded(value: float, unit: str, digits: int = DIGITS) -> str:
    """A number of `unit` in engineering notation, for people who compare: ``1.23 ms``."""
    return write_quantity(float(f"{value:.{digits}g}"), unit)


def example_of(unit: str) -> str:
    """How a quantity of `unit` may be typed: ``80MHz``."""
    return _EXAMPLES.get(unit, f"0.5 {unit}" if " " in unit else f"0.5{unit}")


def _unit_of(text: str) -> _Unit:
    """Take a unit apart; one that is not known here has no prefix."""
    text = " ".join(unicodedata.normalize("NFKC", text).split())
    for sign, name in _SIGNS.items():
        if text.endswith(sign):
            text = text.removesuffix(sign) + name
            break
    prefix, base = text[:1], text[1:]
    if text not in _UNITS and _UNITS.get(base) and prefix in PREFIXES:
        return _Unit(base, PREFIXES[prefix])
    return _Unit(text, 0)
