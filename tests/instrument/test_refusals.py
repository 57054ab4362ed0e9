"""Refused values: what is said of them, and the wordings of msgspec that this leans on."""

from __future__ import annotations

import dataclasses
import enum
from pathlib import Path
from typing import Annotated, Any, Literal, NamedTuple, TypedDict

import msgspec
import numpy as np
import pytest

from artiq_link.errors import ExchangeError, InvalidParameter, OutOfRange
from artiq_link.instrument.parameter import Parameter
from artiq_link.instrument.refusals import explain, lists_are_expected, split_refusal

Frequency = Annotated[float, msgspec.Meta(ge=0, le=400e6, extra={"unit": "Hz"})]
Duration = Annotated[float, msgspec.Meta(gt=0, extra={"unit": "s"})]
Fraction = Annotated[float, msgspec.Meta(ge=0, lt=1)]
Number = Annotated[int, msgspec.Meta(ge=0, le=3)]
Volts = Annotated[float, msgspec.Meta(le=5, extra={"unit": "V"})]
Mode = Literal["continuous", "absolute"]


class Gain(enum.Enum):
    LOW = 1
    HIGH = 10


class Step(msgspec.Struct, forbid_unknown_fields=True):
    dwell: Duration
    mode: Mode = "absolute"


class Renamed(msgspec.Struct, rename="kebab"):
    rise_time: Duration


class Point(NamedTuple):
    x: Volts


class Pair(TypedDict):
    high: Volts


@dataclasses.dataclass
class Ramp:
    stop: Frequency


def refused(annotation: Any, value: Any) -> ExchangeError:
    with pytest.raises(ExchangeError) as caught:
        Parameter("x", annotation).convert(value)
    error = caught.value
    assert str(error).startswith(f"{error.where}: ")
    return error


# --- what is said


@pytest.mark.parametrize(
    ("annotation", "value", "sentence"),
    [
        (int, "0", "expected 'int', got 'str'"),
        (int, None, "expected 'int', got 'null'"),
        (int, True, "expected 'int', got 'bool'"),
        (int, 1.0, "expected 'int', got 'float'"),
        (float, False, "expected 'float', got 'bool'"),
        (Frequency | None, True, "expected 'float | null', got 'bool'"),
        (str, 1, "expected 'str', got 'int'"),
        (bool, 1, "expected 'bool', got 'int'"),
        (Mode, 1, "expected 'str', got 'int'"),
        (Path, 3, "expected 'Path', got a number"),
        (np.ndarray, 1, "expected an array of numbers, got a number"),
        (list[Step], {}, "expected 'array', got 'object'"),
        (Annotated[str, msgspec.Meta(max_length=2)], "abc", "expected 'str' of length <= 2"),
    ],
)
def test_another_type_is_named_with_the_one_that_is_expected(
    annotation: Any, value: Any, sentence: str
) -> None:
    error = refused(annotation, value)
    assert (type(error), str(error)) == (InvalidParameter, f"x: {sentence}")


@pytest.mark.parametrize(
    ("annotation", "value", "sentence"),
    [
        (Frequency, 5e8, "5e8 Hz is above the limit of 4e8 Hz"),
        (Frequency | None, -1, "-1 Hz is below the limit of 0 Hz"),
        (Duration, 0, "0 s is not above 0 s"),
        (Annotated[int, msgspec.Meta(gt=0)], 0, "0 is not above 0"),
        (Fraction, 1.0, "1 is not below 1"),
        (Number, 4, "4 is above the limit of 3"),
        (Number, -(10**30), "-1e30 is below the limit of 0"),
        (Number, 10**400, "(of 1329 bits) is above the limit of 3"),
        (Number | Fraction, 4, "4 is above the limit of 3"),
        (Number | Fraction, 3.5, "3.5 is not below 1"),
        (float, 10**400, "the number is too large for a float"),
        (Frequency, 10**400, "the number is too large for a float"),
    ],
)
def test_a_number_out_of_bounds_is_shown_with_the_declared_bound(
    annotation: Any, value: Any, sentence: str
) -> None:
    error = refused(annotation, value)
    assert (type(error), str(error)) == (OutOfRange, f"x: {sentence}")


@pytest.mark.parametrize(
    ("annotation", "value", "choices"),
    [
        (Mode, "up", "'continuous', 'absolute'"),
        (Mode | None, "up", "'continuous', 'absolute'"),
        (Gain, 5, "1, 10"),
    ],
)
def test_what_is_no_choice_is_shown_with_the_choices(
    annotation: Any, value: Any, choices: str
) -> None:
    error = refused(annotation, value)
    assert (type(error), str(error)) == (
        InvalidParameter,
        f"x: {value!r} is not one of {choices}",
    )


def test_an_objects_unknown_member_is_shown_with_the_nearest_one() -> None:
    error = refused(list[Step] | None, [{"dwell": 1, "dwel": 1}])
    assert str(error) == "x[0]: there is no 'dwel' in it; did you mean 'dwell'?"
    assert type(error) is InvalidParameter


def test_an_objects_missing_member_is_named() -> None:
    assert str(refused(list[Step], [{}])) == "x[0]: object missing required field 'dwell'"


@pytest.mark.parametrize(
    ("annotation", "value", "where", "sentence"),
    [
        (list[Step], [{"dwell": 1}, {"dwell": -2}], "x[1].dwell", "-2 s is not above 0 s"),
        (list[Step], [{"dwell": "1"}], "x[0].dwell", "expected 'float', got 'str'"),
        (
            list[Step],
            [{"dwell": 10**400}],
            "x[0].dwell",
            "the number is too large for a float",
        ),
        (
            Step | None,
            {"dwell": 1, "mode": "up"},
            "x.mode",
            "'up' is not one of 'continuous', 'absolute'",
        ),
        (Renamed, {"rise-time": 0}, "x.rise-time", "0 s is not above 0 s"),
        (Pair, {"high": 6}, "x.high", "6 V is above the limit of 5 V"),
        (Ramp, {"stop": 5e8}, "x.stop", "5e8 Hz is above the limit of 4e8 Hz"),
        (tuple[int, Volts], [1, 6], "x[1]", "6 V is above the limit of 5 V"),
        (tuple[Volts, ...], [1, 6], "x[1]", "6 V is above the limit of 5 V"),
        (set[Volts], [6], "x[0]", "6 V is above the limit of 5 V"),
        (list[Volts], np.array([1, 6]), "x[1]", "6 V is above the limit of 5 V"),
        # Its hint is not found: the bound is that of the words, and the unit is not known.
        (Point, [6], "x[0]", "6 is above the limit of 5"),
    ],
)
def test_what_is_wrong_inside_has_its_place(
    annotation: Any, value: Any, where: str, sentence: str
) -> None:
    error = refused(annotation, value)
    assert (error.where, str(error)) == (where, f"{where}: {sentence}")


@pytest.mark.parametrize(
    ("annotation", "value", "where", "sentence"),
    [
        (dict[str, Volts], {"a": 1, "b": 6}, "x.b", "6 V is above the limit of 5 V"),
        (dict[str, Volts], {"a": "1"}, "x.a", "expected 'float', got 'str'"),
        (dict[str, list[Volts]], {"a": [1, 6]}, "x.a[1]", "6 V is above the limit of 5 V"),
        (list[dict[str, Volts]], [{"a": 6}], "x[0].a", "6 V is above the limit of 5 V"),
        (
            Annotated[dict[str, float], msgspec.Meta(min_length=2)],
            {"a": 1.0, "b": "x"},
            "x.b",
            "expected 'float', got 'str'",
        ),
        (dict[int, Volts], {"1": 6}, "x.1", "6 V is above the limit of 5 V"),
        (dict[int, float], {"a": 1.0}, "x", "expected 'int', got 'str' as a key"),
        (dict[str, float], {"k" * 100: "1"}, "x." + "k" * 60, "expected 'float', got 'str'"),
    ],
)
def test_a_dictionarys_key_is_named(
    annotation: Any, value: Any, where: str, sentence: str
) -> None:
    error = refused(annotation, value)
    assert (error.where, str(error)) == (where, f"{where}: {sentence}")


def test_a_value_that_is_not_found_is_a_number() -> None:
    """As where msgspec counts otherwise than its path says."""
    error = explain("x", list[Volts], [], "Expected `float` <= 5.0 - at `$[3]`", msgspec.convert)
    assert str(error) == "x[3]: a number is above the limit of 5 V"


# --- the canary: msgspec's own words


@pytest.mark.parametrize(
    ("annotation", "value", "refusal"),
    [
        # where it is: `split_refusal` and the steps of a path
        (list[int], ["a"], "Expected `int`, got `str` - at `$[0]`"),
        (Step, {"dwell": "a"}, "Expected `float`, got `str` - at `$.dwell`"),
        (dict[str, int], {"a": "b"}, "Expected `int`, got `str` - at `$[...]`"),
        (dict[int, int], {"a": 1}, "Expected `int`, got `str` - at `key` in `$`"),
        # an array where a list is declared: `lists_are_expected`
        (list[float], np.zeros(1), "Expected `array`, got `numpy.ndarray`"),
        (float, np.zeros(1), "Expected `float`, got `numpy.ndarray`"),
        # a bound whose hint is not found
        (Annotated[float, msgspec.Meta(ge=1)], 0, "Expected `float` >= 1.0"),
        (Annotated[float, msgspec.Meta(gt=1)], 0, "Expected `float` > 1.0"),
        (Annotated[float, msgspec.Meta(le=1)], 2, "Expected `float` <= 1.0"),
        (Annotated[float, msgspec.Meta(lt=1)], 2, "Expected `float` < 1.0"),
        # a whole number that no float holds
        (float, 10**400, "Number out of range"),
    ],
)
def test_msgspec_words_it_so(annotation: Any, value: Any, refusal: str) -> None:
    """Where this fails with a new msgspec, refusals.py has to learn the new words."""
    with pytest.raises(msgspec.ValidationError) as caught:
        msgspec.convert(value, annotation, str_keys=True)
    assert str(caught.value) == refusal


@pytest.mark.parametrize(
    ("refusal", "parts"),
    [
        ("Expected `int`, got `str`", ("expected 'int', got 'str'", "")),
        ("Expected `int`, got `str` - at `$[2].a`", ("expected 'int', got 'str'", "[2].a")),
        (
            "Expected `int`, got `str` - at `key` in `$.a`",
            ("expected 'int', got 'str' as a key", ".a"),
        ),
    ],
)
def test_a_refusal_is_split(refusal: str, parts: tuple[str, str]) -> None:
    assert split_refusal(refusal) == parts


def test_an_array_in_a_lists_place_is_known_by_the_words() -> None:
    assert lists_are_expected("Expected `array`, got `numpy.ndarray` - at `$.a`")
    assert not lists_are_expected("Expected `array`, got `object`")
