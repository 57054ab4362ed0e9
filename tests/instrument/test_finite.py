"""NaN and infinities: where they are found, and which hints are looked at for them."""

from __future__ import annotations

import enum
import math
from pathlib import Path
from typing import Annotated, Any, Literal, NamedTuple

import msgspec
import numpy as np
import pytest

from artiq_link.instrument.finite import can_hold_floats, is_float, not_finite


@pytest.mark.parametrize(
    ("value", "paths"),
    [
        (1.5, []),
        (math.nan, [""]),
        (np.float64("inf"), [""]),
        ([0, -math.inf, math.nan], ["[1]", "[2]"]),
        ({"a": (1, [math.nan])}, [".a[1][0]"]),
        ("nan", []),
        (10**400, []),
        (np.array([math.nan]), []),
    ],
)
def test_each_has_its_path(value: Any, paths: list[str]) -> None:
    assert [path for path, _ in not_finite(value)] == paths


class Level(enum.Enum):
    LOW = 1
    HIGH = "high"


class Odd(enum.Enum):
    NEVER = math.inf


class Point(NamedTuple):
    x: float


class Counts(msgspec.Struct):
    """Other members than this one may come with it."""

    n: int


Bounded = Annotated[float, msgspec.Meta(ge=0)]


@pytest.mark.parametrize(
    ("annotation", "expected"),
    [(float, True), (Bounded | None, True), (int | float, False), (list[float], False)],
)
def test_a_plain_float_is_known_as_such(annotation: Any, expected: bool) -> None:
    assert is_float(annotation) is expected


@pytest.mark.parametrize(
    "annotation",
    [
        int | str | None,
        bool,
        bytes,
        Path,
        np.ndarray[Any, Any],
        Literal["up", 1],
        Level,
        list[int],
        tuple[int, ...],
        dict[str, list[bool]],
        Annotated[list[Annotated[int, msgspec.Meta(ge=0)]], msgspec.Meta(min_length=1)],
    ],
)
def test_what_can_hold_no_float_is_not_looked_at(annotation: Any) -> None:
    assert not can_hold_floats(annotation)


@pytest.mark.parametrize(
    "annotation",
    [
        float,
        Bounded | None,
        int | float,
        list[float],
        tuple[int, float],
        dict[str, Any],
        list,
        dict,
        Any,
        object,
        Odd,
        Point,
        Counts,
    ],
)
def test_everything_else_is(annotation: Any) -> None:
    assert can_hold_floats(annotation)
