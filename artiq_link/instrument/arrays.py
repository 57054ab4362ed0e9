"""Arrays of numbers as parameters: lists become arrays, and arrays lists, as is declared."""

from __future__ import annotations

import itertools
import operator
from collections.abc import Iterator
from typing import Any, get_args, get_origin

import numpy as np

from ..text import json_kind

MAX_LISTED = 1 << 20
"""Values and rows of an array that may become lists: a tenth of a second and 50 MB. A shape says
more of them than there are bytes: one of [40000000, 0] has none."""

_NUMBERS = (bool, int, float, complex, np.number, np.bool_)


def dtype_of(annotation: Any) -> np.dtype[Any] | None:
    """The dtype of ``NDArray[numpy.float64]``; None for any, and for what is no array."""
    match get_args(annotation):
        case _, dtype if get_origin(dtype) is np.dtype:
            (element,) = get_args(dtype)
            return np.dtype(element) if element in np.sctypeDict.values() else None
    return None


def as_array(value: Any, dtype: np.dtype[Any] | None) -> np.ndarray[Any, Any]:
    """Make an array of finite numbers of a list or an array, of `dtype` where one is given.

    Raises ValueError where it has other values, rows of different lengths, or numbers that
    `dtype` does not hold as they are; a float may lose digits.
    """
    if not isinstance(value, (np.ndarray, list, tuple)):
        raise ValueError(f"Expected an array of numbers, got {json_kind(value)}")
    # NumPy would make numbers of booleans among numbers, and as many copies of the longest text as
    # there are elements.
    kinds = set() if isinstance(value, np.ndarray) else set(_element_types(value))
    mixed = bool in kinds and len(kinds) > 1
    if mixed or not all(issubclass(kind, (*_NUMBERS, np.ndarray)) for kind in kinds):
        raise ValueError("Expected an array of numbers, got other values among them")
    try:
        array = np.asarray(value)
    except ValueError:
        raise ValueError("Expected an array of numbers, got rows of different lengths") from None
    if array.dtype.kind not in "biufc":
        raise ValueError("Expected an array of numbers, got other values among them")
    if not np.isfinite(array).all():
        raise ValueError("Expected finite numbers, got NaN or infinity among them")
    return array if dtype is None or dtype == array.dtype else _as_dtype(array, dtype)


def as_lists(value: Any) -> Any:
    """The value with lists in the place of arrays, wherever they are.

    Raises ValueError where that would be more than `MAX_LISTED` lists and numbers.
    """
    if isinstance(value, np.ndarray):
        if sum(itertools.accumulate(value.shape, operator.mul)) > MAX_LISTED:
            raise ValueError(f"more than {MAX_LISTED} values and rows in an array")
        return value.tolist()
    if isinstance(value, dict):
        return {key: as_lists(item) for key, item in value.items()}
    return [as_lists(item) for item in value] if isinstance(value, (list, tuple)) else value


def _as_dtype(array: np.ndarray[Any, Any], dtype: np.dtype[Any]) -> np.ndarray[Any, Any]:
    sorts = {array.dtype.kind, dtype.kind}
    fits = np.can_cast(array.dtype, dtype, "same_kind") or sorts == {"i", "u"}
    if array.size and (not fits or "b" in sorts):
        raise ValueError(f"Expected an array of {dtype}, got one of {array.dtype}")
    with np.errstate(over="ignore"):
        converted = array.astype(dtype)
    is_whole = dtype.kind in "iu"
    if not (np.array_equal(converted, array) if is_whole else np.isfinite(converted).all()):
        raise ValueError(f"Expected an array of {dtype}, got numbers beyond it")
    return converted


def _element_types(rows: list[Any] | tuple[Any, ...]) -> Iterator[type]:
    for item in rows:
        if isinstance(item, (list, tuple)):
            yield from _element_types(item)
        else:
            yield type(item)
