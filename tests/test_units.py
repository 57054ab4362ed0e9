"""Quantities are read as people write them, and written so that they are read as the same."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from artiq_link.units import example_of, known_quantity, read_quantity, write_quantity


@pytest.mark.parametrize(
    ("text", "unit", "value"),
    [
        ("80MHz", "Hz", 80e6),
        ("0.1 MHz", "Hz", 100e3),
        ("80.0000000745058MHz", "Hz", 80000000.0745058),
        ("1.1GHz", "Hz", 1.1e9),
        ("3mHz", "Hz", 3e-3),
        ("80e3kHz", "Hz", 80e6),
        ("+.5Hz", "Hz", 0.5),
        ("25us", "s", 25e-6),
        ("25 \N{MICRO SIGN}s", "s", 25e-6),
        ("25 \N{GREEK SMALL LETTER MU}s", "s", 25e-6),
        ("1.1ns", "s", 1.1e-9),
        ("-3dBm", "dBm", -3.0),
        ("0.25turns", "turns", 0.25),
        ("0.5 of full  scale", "of full scale", 0.5),
        ("5m", "m", 5.0),
        ("5mm", "m", 5e-3),
        ("5um", "mm", 5e-3),
        ("7e3Hz", "MHz", 7e-3),
        ("20°C", "degC", 20.0),
        ("5k\N{OHM SIGN}", "ohm", 5e3),
        ("3 rotations", "rotations", 3.0),
        ("3min", "min", 3.0),
    ],
)
def test_a_quantity_is_the_nearest_float(text: str, unit: str, value: float) -> None:
    assert read_quantity(text, unit) == value


@pytest.mark.parametrize(
    ("text", "unit"),
    [
        ("80", "Hz"),
        ("80M", "Hz"),
        ("80mhz", "Hz"),
        ("80MHz", "s"),
        ("MHz", "Hz"),
        ("", "Hz"),
        ("1,5MHz", "Hz"),
        ("1.2.3Hz", "Hz"),
        ("0x10Hz", "Hz"),
        ("nanHz", "Hz"),
        ("3mdB", "dB"),  # only some units have prefixes
        ("3krotations", "rotations"),
        ("3dB", "dBm"),
        ("5cm", "mm"),
    ],
)
def test_what_is_not_in_that_unit_is_refused(text: str, unit: str) -> None:
    with pytest.raises(ValueError, match="is no quantity such as") as caught:
        read_quantity(text, unit)
    assert str(caught.value) == f"{text!r} is no quantity such as {example_of(unit)}"


@pytest.mark.parametrize("text", ["1e400Hz", "-1e308GHz", "1e999999999Hz"])
def test_what_no_float_holds_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="is beyond floats"):
        read_quantity(text, "Hz")


@pytest.mark.parametrize(
    ("text", "value"), [("80MHz", 80e6), ("-3 dBm", -3.0), ("80", None), ("5 sheep", None)]
)
def test_a_quantity_is_known_by_its_unit(text: str, value: float | None) -> None:
    assert known_quantity(text) == value


@pytest.mark.parametrize(
    ("value", "unit", "text"),
    [
        (80e6, "Hz", "80 MHz"),
        (80000000.0745058, "Hz", "80.0000000745058 MHz"),
        (999.9, "Hz", "999.9 Hz"),
        (1000, "Hz", "1 kHz"),
        (5e12, "Hz", "5000 GHz"),
        (1e-5, "Hz", "0.01 mHz"),
        (0.0, "Hz", "0 Hz"),
        (25e-6, "s", "25 us"),
        (3600.0, "s", "3600 s"),
        (1e-30, "s", "1e-30 s"),
        (-1500, "V", "-1.5 kV"),
        (1.0, "turns", "1 turns"),
        (0.39998779222364644, "of full scale", "0.39998779222364644 of full scale"),
        (5.5, "mm", "5.5 mm"),
        (1e22, "turns", "1e+22 turns"),
    ],
)
def test_a_quantity_is_written_in_engineering_notation(value: float, unit: str, text: str) -> None:
    assert write_quantity(value, unit) == text


@given(
    st.floats(allow_nan=False, allow_infinity=False),
    st.sampled_from(["Hz", "s", "V", "dBm", "turns", "of full scale", "mm", "degC"]),
)
def test_no_digit_is_lost(value: float, unit: str) -> None:
    read = read_quantity(write_quantity(value, unit), unit)
    assert (read, math.copysign(1, read)) == (value, math.copysign(1, value))


@pytest.mark.parametrize("unit", ["Hz", "s", "V", "A", "dBm", "turns", "of full scale", "mm"])
def test_an_example_can_be_typed(unit: str) -> None:
    assert math.isfinite(read_quantity(example_of(unit), unit))
