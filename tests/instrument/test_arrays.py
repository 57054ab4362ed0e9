"""Arrays of numbers as parameters: from lists, to lists, and to the dtype that is declared."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from artiq_link.errors import ExchangeError, InvalidParameter, OutOfRange
from artiq_link.instrument.arrays import MAX_LISTED, as_array, as_lists
from artiq_link.instrument.parameter import Parameter


@pytest.mark.parametrize(
    ("value", "array"),
    [
        ([1, 2], np.array([1, 2])),
        (((1.0,), (2.0,)), np.array([[1.0], [2.0]])),
        ([np.array([1.0]), [2.0]], np.array([[1.0], [2.0]])),
        ([], np.array([])),
        (np.array([1, 2], ">i2"), np.array([1, 2], ">i2")),
        (np.array([1j]), np.array([1j])),
        (np.array(3.0), np.array(3.0)),
    ],
)
def test_lists_and_arrays_become_arrays(value: Any, array: np.ndarray[Any, Any]) -> None:
    converted = as_array(value, None)
    assert converted.dtype == array.dtype
    np.testing.assert_array_equal(converted, array, strict=True)


@pytest.mark.parametrize(
    ("value", "got"),
    [
        (1, "a number"),
        ({}, "an object"),
        ([[1], [1, 2]], "rows of different lengths"),
        ([1, "a"], "other values among them"),
        ([1, None], "other values among them"),
        ([1.5, True], "other values among them"),
        ([1.5, 10**400], "other values among them"),
        (np.array([object()]), "other values among them"),
    ],
)
def test_what_is_no_array_of_numbers_is_refused(value: Any, got: str) -> None:
    with pytest.raises(ValueError, match=rf"^Expected an array of numbers, got {got}$"):
        as_array(value, None)


@pytest.mark.parametrize("value", [np.array([0, np.nan]), np.array(np.inf), [1.0, np.nan]])
def test_numbers_that_are_none_are_refused(value: Any) -> None:
    with pytest.raises(ValueError, match=r"^Expected finite numbers, got NaN or infinity among"):
        as_array(value, None)


@pytest.mark.parametrize(
    ("element", "value", "converted"),
    [
        (np.float64, [1, 2], [1.0, 2.0]),
        (np.float32, np.array([0.5, 1.5]), [0.5, 1.5]),
        (np.int16, [1, -2], [1, -2]),
        (np.complex128, [1.0, 2.0], [1, 2]),
        (np.uint8, [1, 255], [1, 255]),
        (np.int8, np.array([1], np.uint64), [1]),
        (np.int16, [], []),
        (np.bool_, [True, False], [True, False]),
    ],
)
def test_an_array_gets_the_dtype_that_is_declared(
    element: Any, value: Any, converted: list[Any]
) -> None:
    array = Parameter("x", npt.NDArray[element]).convert(value)
    assert (array.dtype, array.tolist()) == (np.dtype(element), converted)


@pytest.mark.parametrize(
    ("element", "value", "sentence"),
    [
        (np.float64, [1j], "x: expected an array of float64, got one of complex128"),
        (np.int32, [0.5], "x: expected an array of int32, got one of float64"),
        (np.int16, [70_000], "x: expected an array of int16, got numbers beyond it"),
        (np.uint8, [-1], "x: expected an array of uint8, got numbers beyond it"),
        (np.float32, [1e300], "x: expected an array of float32, got numbers beyond it"),
        (np.float64, [True], "x: expected an array of float64, got one of bool"),
        (np.bool_, [1, 0], "x: expected an array of bool, got one of int64"),
    ],
)
def test_an_array_of_another_kind_is_refused(element: Any, value: Any, sentence: str) -> None:
    with pytest.raises(InvalidParameter) as caught:
        Parameter("x", npt.NDArray[element]).convert(value)
    assert (str(caught.value), caught.value.where) == (sentence, "x")


def test_texts_are_never_made_an_array() -> None:
    """NumPy would give each element the room of the longest one: a hundred gigabytes."""
    with pytest.raises(ValueError, match=r"got other values among them$"):
        as_array(["a"] * 100_000 + ["b" * 1_000_000], None)


# --- arrays where lists are declared


@pytest.mark.parametrize(
    ("annotation", "value", "converted"),
    [
        (float, np.array(2.5), 2.5),
        (int, np.array(2), 2),
        (list[float], np.array([1, 2], "<i2"), [1.0, 2.0]),
        (list[list[float]], [np.array([1.0, 2.0]), [3.0]], [[1.0, 2.0], [3.0]]),
        (dict[str, list[float]], {"a": np.array([1.0])}, {"a": [1.0]}),
    ],
)
def test_an_array_is_taken_where_a_list_is_declared(
    annotation: Any, value: Any, converted: Any
) -> None:
    assert repr(Parameter("x", annotation).convert(value)) == repr(converted)


@pytest.mark.parametrize(
    ("annotation", "value", "kind", "sentence"),
    [
        (float, np.array([1.0]), InvalidParameter, "x: expected 'float', got 'array'"),
        (dict[str, int], np.array([1]), InvalidParameter, "x: expected 'object', got 'array'"),
        (float, np.array(np.nan), OutOfRange, "x: nan is not a finite number"),
        (
            list[list[float]],
            [np.array([1.0, np.nan])],
            OutOfRange,
            "x[0][1]: nan is not a finite number",
        ),
    ],
)
def test_numbers_in_arrays_are_checked_as_those_in_lists(
    annotation: Any, value: Any, kind: type[ExchangeError], sentence: str
) -> None:
    with pytest.raises(ExchangeError) as caught:
        Parameter("x", annotation).convert(value)
    assert (type(caught.value), str(caught.value)) == (kind, sentence)


@pytest.mark.parametrize("shape", [(40_000_000, 0), (33_000,) + 31 * (1,), (MAX_LISTED, 2)])
def test_a_shape_is_not_made_more_lists_than_there_is_room_for(shape: tuple[int, ...]) -> None:
    for annotation, value in (
        (float, np.zeros(shape, "i1")),
        (list[int], [np.zeros(shape, "i1")]),
    ):
        with pytest.raises(InvalidParameter, match=r"^x: more than 1048576 values and rows in an"):
            Parameter("x", annotation).convert(value)


def test_arrays_are_listed_wherever_they_are() -> None:
    listed = as_lists({"a": (np.array([1]), {"b": np.array(2.0)}), "c": "d"})
    assert listed == {"a": [[1], {"b": 2.0}], "c": "d"}
