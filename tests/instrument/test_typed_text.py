"""What people type becomes values: in a field, and after ``NAME=`` in a shell."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Annotated, Any, Literal

import msgspec
import numpy as np
import pytest

from artiq_link.instrument.schemas import describe_type
from artiq_link.instrument.typed_text import read_parameter, read_text, read_unknown


@pytest.mark.parametrize(
    ("text", "kinds", "value"),
    [
        ("80e6", {"number"}, 80e6),
        ("-3", {"number"}, -3),
        ("1e3", {"integer"}, 1000),
        ("7", {"integer", "string"}, 7),
        ("ch0", {"integer", "string"}, "ch0"),
        ("1.5", {"integer", "string"}, "1.5"),
        ("true", {"boolean", "integer"}, True),
        ("3", {"boolean", "integer"}, 3),
        ('{"a": [1]}', {"object"}, {"a": [1]}),
        ("12", {"string"}, "12"),
        ('"12"', set(), "12"),
        ("True", set(), True),
        ("False", {"boolean", "integer"}, False),
        ("None", set(), None),
        (".5", set(), 0.5),
        ("+5", {"integer"}, 5),
        ("2024_05_01", {"number", "string"}, "2024_05_01"),
        ("on", {"boolean"}, True),
        ("Off", {"boolean"}, False),
        ("yes", {"boolean", "integer"}, True),
        ("off", {"string"}, "off"),
    ],
)
def test_text_is_read_as_the_type_says(text: str, kinds: set[str], value: object) -> None:
    read = read_text(text, kinds)
    assert read == value
    assert type(read) is type(value)


@pytest.mark.parametrize(
    ("text", "kinds", "sentence"),
    [
        ("fast", {"number"}, "expected float, got 'fast'"),
        ("nan", {"number"}, "expected float, got 'nan'"),
        ("1e999", {"number"}, "expected float, got '1e999'"),
        ("1.5", {"integer"}, "expected int, got '1.5'"),
        ("1", {"boolean"}, "expected bool: on or off, got '1'"),
        ("maybe", {"boolean", "integer"}, "expected bool or int, got 'maybe'"),
        ("80MHz", {"number"}, "expected float without a unit, such as 8e7, got '80MHz'"),
        ("25us", {"integer", "number"}, "expected int or float without a unit, such as 2.5e-5, "
         "got '25us'"),
        ("1e999Hz", {"number"}, "expected float, got '1e999Hz'"),
        ("1,2,3", {"array"}, "expected a list such as [1, 2, 3]"),
        ("{}", {"array"}, "expected a list such as [1, 2, 3]"),
        ("3", {"object"}, "expected object in JSON, got '3'"),
        ("[1, 2", {"array"}, "not JSON: Expecting ',' delimiter (line 1, column 6)"),
        ("[NaN]", {"array"}, "not JSON: it has no NaN"),
        ("[" * 100_000, {"array"}, "not JSON: nested too deep"),
        ("hello", set(), "not JSON: Expecting value (line 1, column 1)"),
    ],
)  # fmt: skip
def test_text_that_does_not_fit_is_refused_with_what_was_expected(
    text: str, kinds: set[str], sentence: str
) -> None:
    with pytest.raises(ValueError, match=r"^(expected|not JSON)") as caught:
        read_text(text, kinds)
    assert str(caught.value) == sentence


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("80e6", 80e6),
        ("5", 5),
        ("+5", 5),
        ("+5e3", 5000.0),
        (".5", 0.5),
        ("5.", 5.0),
        ("007", 7),
        ("True", True),
        ("None", None),
        ("true", True),
        ('"5"', "5"),
        ("[1, 2]", [1, 2]),
        # what is no value is a text
        ("", ""),
        (".", "."),
        ("1.2.3", "1.2.3"),
        ("1_000", "1_000"),
        ("Truth", "Truth"),
        ("a=b", "a=b"),
        ("[1, 2", "[1, 2"),
        ("[" * 100_000, "[" * 100_000),
        ("9" * 5000, "9" * 5000),
    ],
)
def test_what_is_typed_for_an_unknown_parameter_is_a_value_or_a_text(
    text: str, value: Any
) -> None:
    read = read_unknown(text)
    assert read == value
    assert type(read) is type(value)


@pytest.mark.parametrize("text", ["NaN", "-Infinity", "1e999"])
def test_numbers_that_cannot_be_sent_do_not_become_texts(text: str) -> None:
    """Whoever sends them says so."""
    assert not math.isfinite(read_unknown(text))


@pytest.mark.parametrize(
    ("text", "kinds", "value"),
    [
        ("80MHz", {"number"}, 80e6),
        ("80e6", {"number"}, 80e6),
        ("80", {"number"}, 80),
        ("2kHz", {"integer"}, 2000),
        ("80MHz", {"number", "string"}, 80e6),
        ("ch0", {"number", "string"}, "ch0"),
    ],
)
def test_a_number_may_have_its_unit_behind_it(text: str, kinds: set[str], value: object) -> None:
    read = read_text(text, kinds, "Hz")
    assert read == value
    assert type(read) is type(value)


@pytest.mark.parametrize("text", ["fast", "25us", "80M", "80mhz", "NaN", "1e999Hz"])
def test_a_quantity_that_does_not_fit_is_refused_with_one_that_does(text: str) -> None:
    with pytest.raises(ValueError, match="expected") as caught:
        read_text(text, {"number"}, "Hz")
    assert str(caught.value) == f"expected float such as 80MHz, got {text!r}"


Frequency = Annotated[float, msgspec.Meta(ge=0, extra={"unit": "Hz"})]


def read(text: str, annotation: Any) -> Any:
    """Read a text as a shell's parameter that is declared so."""
    description = describe_type(annotation)
    return read_parameter(text, description["schema"], description.get("unit", ""))


@pytest.mark.parametrize(
    ("text", "annotation", "value"),
    [
        ("80MHz", Frequency, 80e6),
        ("80MHz", Frequency | None, 80e6),
        ("null", Frequency | None, None),
        ("None", Frequency | None, None),
        ("80MHz", str, "80MHz"),
        ("None", str, "None"),
        ("off", bool, False),
        ("off", Literal["on", "off"], "off"),
        ("2", Literal[1, 2], 2),
        ("max", Literal["max"] | float, "max"),
        ("1.5", Literal["max"] | float, 1.5),
        ("slow", Literal["fast", "faster"], "slow"),  # the server names the choices
        ("0", int | str, 0),
        ('"0"', int | str, "0"),
        ("ch0", int | str, "ch0"),
        ("5", str, "5"),
        ('"5"', str, "5"),
        ('"five', str, '"five'),
        ("[1]", str, "[1]"),
        ("[1, 2]", list[int], [1, 2]),
        ('{"a": "80MHz"}', dict[str, Frequency], {"a": "80MHz"}),  # JSON has no quantities
        ('{"__jsonclass__": []}', np.ndarray, {"__jsonclass__": []}),
        ("/tmp/a", Path, "/tmp/a"),
        ("80e6", Any, 80e6),
        ("ch0", Any, "ch0"),
        ('"off"', Any, "off"),
        ('"80MHz"', Any, "80MHz"),
        ("5 sheep", Any, "5 sheep"),
    ],
)
def test_a_shells_parameter_is_read_as_it_is_declared(
    text: str, annotation: Any, value: object
) -> None:
    got = read(text, annotation)
    assert got == value
    assert type(got) is type(value)


@pytest.mark.parametrize(
    ("text", "meant"), [("80MHz", "8e7"), ("-3dBm", "-3"), ("off", "false"), ("YES", "true")]
)
def test_where_nothing_is_declared_a_quantity_or_a_switch_is_no_text(
    text: str, meant: str
) -> None:
    """``if data["on"]`` would take the text ``off`` for true."""
    with pytest.raises(ValueError, match="is a text") as caught:
        read(text, Any)
    assert str(caught.value) == (
        f"{text!r} is a text where no type is declared; "
        f"write {meant}, or '\"{text}\"' if a text is meant"
    )
