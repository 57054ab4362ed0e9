"""What people type becomes values: in a field, and after ``NAME=`` in a shell."""

from __future__ import annotations

import math
from typing import Any

import pytest

from artiq_link.instrument.typed_text import read_text, read_unknown


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
        ("yes", {"boolean", "integer"}, "expected bool or int in JSON, got 'yes'"),
        ("1,2,3", {"array"}, "expected a list such as [1, 2, 3]"),
        ("{}", {"array"}, "expected a list such as [1, 2, 3]"),
        ("3", {"object"}, "expected object in JSON, got '3'"),
        ("[1, 2", {"array"}, "not JSON: Expecting ',' delimiter (line 1, column 6)"),
        ("[NaN]", {"array"}, "not JSON: it has no NaN"),
        ("[" * 100_000, {"array"}, "not JSON: nested too deep"),
        ("hello", set(), "not JSON: Expecting value (line 1, column 1)"),
    ],
)
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
