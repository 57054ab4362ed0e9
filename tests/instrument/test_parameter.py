"""A parameter: its declaration is checked at once, its values become the declared type."""

from __future__ import annotations

import enum
import inspect
import math
from contextlib import suppress
from pathlib import Path
from typing import Annotated, Any, Literal

import msgspec
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from artiq_link.errors import ExchangeError, OutOfRange
from artiq_link.instrument.parameter import Parameter

Frequency = Annotated[float, msgspec.Meta(ge=0, le=400e6, extra={"unit": "Hz"})]


class Step(msgspec.Struct):
    dwell: float
    mode: str = "absolute"


class Gain(enum.Enum):
    LOW = 1
    HIGH = 10


@pytest.mark.parametrize(
    ("annotation", "value", "converted"),
    [
        (float, 3, 3.0),
        (int, 10**30, 10**30),
        (Frequency, 0, 0.0),
        (Literal["up", "down"], "up", "up"),
        (Gain, 10, Gain.HIGH),
        (Path, "a/b.csv", Path("a/b.csv")),
        (Path, Path("a"), Path("a")),
        (list[float], (1, 2), [1.0, 2.0]),
        (Any, {"a": [None, True]}, {"a": [None, True]}),
        (Step, {"dwell": 1}, Step(1.0, "absolute")),
        (dict[int, float], {"1": 2}, {1: 2.0}),
    ],
)
def test_right_values_become_the_declared_type(
    annotation: Any, value: Any, converted: Any
) -> None:
    assert repr(Parameter("x", annotation).convert(value)) == repr(converted)


def test_an_array_for_anything_stays_one() -> None:
    array = np.array([1.0])
    assert Parameter("x", Any).convert(array) is array


@pytest.mark.parametrize(
    ("annotation", "value", "sentence"),
    [
        (float, math.nan, "x: nan is not a finite number"),
        (float, -math.inf, "x: -inf is not a finite number"),
        (Any, {"a": (1, [math.nan])}, "x.a[1][0]: nan is not a finite number"),
        (
            list[Step],
            [{"dwell": 1}, {"dwell": math.inf}],
            "x[1].dwell: inf is not a finite number",
        ),
        (np.ndarray, [1.0, math.nan], "x[1]: nan is not a finite number"),
    ],
)
def test_numbers_that_are_none_are_refused_wherever_they_are(
    annotation: Any, value: Any, sentence: str
) -> None:
    with pytest.raises(OutOfRange) as caught:
        Parameter("x", annotation).convert(value)
    assert str(caught.value) == sentence


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda values: (
        st.lists(values)
        | st.dictionaries(st.text(), values)
        | st.lists(st.floats() | st.integers()).map(np.array)
    ),
    max_leaves=10,
)


@given(VALUES)
def test_any_value_for_a_bounded_number_is_within_its_bounds_or_refused(value: Any) -> None:
    with suppress(ExchangeError):
        frequency = Parameter("frequency", Frequency).convert(value)
        assert type(frequency) is float
        assert 0 <= frequency <= 400e6
        assert not isinstance(value, bool)


class Thing:
    """No value of JSON."""


class Limits(msgspec.Struct):
    """A member without a limit."""

    highest: float = math.inf


REQUIRED = inspect.Parameter.empty
NO_INFINITY = (
    "the default of 'x': NaN and infinities can neither be told to clients nor given by them; "
    "take None"
)


@pytest.mark.parametrize(
    ("annotation", "default", "sentence"),
    [
        (Thing, REQUIRED, "parameter 'x': a request cannot give what is declared as 'Thing'"),
        (complex, REQUIRED, "parameter 'x': a request cannot give what is declared as 'complex'"),
        (float, math.inf, NO_INFINITY),
        (Limits, Limits(), NO_INFINITY),
        (Annotated[float, msgspec.Meta(le=3)], 5.0, "the default of 'x': expected 'float' <= 3.0"),
        (float, None, "the default of 'x': expected 'float', got 'null'"),
        (Path, "/tmp", "the default of 'x': expected 'Path', got 'str'"),
        (np.ndarray, [1, 2], "the default of 'x': expected 'ndarray', got 'list'"),
    ],
)
def test_a_declaration_that_no_request_can_satisfy_is_refused(
    annotation: Any, default: Any, sentence: str
) -> None:
    with pytest.raises(TypeError) as caught:
        Parameter("x", annotation, default).check_declaration()
    assert str(caught.value) == sentence


@pytest.mark.parametrize(
    ("parameter", "described"),
    [
        (
            Parameter("x", Frequency | None, None),
            {
                "name": "x",
                "required": False,
                "schema": {
                    "anyOf": [{"type": "number", "minimum": 0, "maximum": 400e6}, {"type": "null"}]
                },
                "unit": "Hz",
                "default": None,
            },
        ),
        (Parameter("x", int), {"name": "x", "required": True, "schema": {"type": "integer"}}),
        (
            Parameter("x", Path, Path("a.csv")),
            {
                "name": "x",
                "required": False,
                "schema": {"type": "string", "format": "path"},
                "default": "a.csv",
            },
        ),
        (
            Parameter("x", np.ndarray, np.zeros(1)),
            {
                "name": "x",
                "required": False,
                "schema": {"type": "array", "items": {"type": "number"}, "format": "nparray"},
                "default": [0.0],
            },
        ),
        (
            Parameter("x", Gain, Gain.LOW),
            {
                "name": "x",
                "required": False,
                "schema": {"$ref": "#/$defs/Gain", "$defs": {"Gain": {"enum": [1, 10]}}},
                "default": 1,
            },
        ),
    ],
)
def test_a_parameter_is_described(parameter: Parameter, described: dict[str, Any]) -> None:
    found = parameter.describe()
    found["schema"].get("$defs", {}).get("Gain", {}).pop("title", None)
    assert found == described
