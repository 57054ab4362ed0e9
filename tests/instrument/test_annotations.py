"""What type hints of parameters say."""

from __future__ import annotations

from typing import Annotated, Any, Literal, Optional, TypedDict

import msgspec
import pytest

from artiq_link.instrument.annotations import (
    alternatives_of,
    choices_of,
    item_hint,
    kinds_of,
    member_hint,
    unit_of,
    value_hint,
)

AT_LEAST = msgspec.Meta(ge=0, extra={"unit": "Hz"})
Frequency = Annotated[float, AT_LEAST]


class Pair(TypedDict):
    high: Frequency


class Steps(msgspec.Struct):
    first: Pair
    others: "list[Steps]"  # noqa: UP037 it names itself


@pytest.mark.parametrize(
    ("annotation", "found"),
    [
        (int, [(int, ())]),
        (Frequency, [(float, (AT_LEAST,))]),
        (Frequency | str | None, [(float, (AT_LEAST,)), (str, ())]),
        (Optional[Frequency], [(float, (AT_LEAST,))]),  # noqa: UP045
    ],
)
def test_alternatives_have_their_notes_and_not_none(annotation: Any, found: list[Any]) -> None:
    assert alternatives_of(annotation) == found


@pytest.mark.parametrize("annotation", [Frequency, Frequency | None, list[Frequency]])
def test_a_unit_may_be_noted_one_level_deeper(annotation: Any) -> None:
    assert unit_of(annotation) == "Hz"


def test_choices_are_those_of_any_alternative() -> None:
    assert choices_of(Literal["up", "down"] | None) == ("up", "down")
    assert choices_of(int) == ()


def test_hints_of_parts_are_found_in_each_alternative() -> None:
    assert member_hint(int | Pair, "high") is Frequency
    assert item_hint(list[int] | None, 5) is int
    assert item_hint(tuple[int, str], 1) is str
    assert value_hint(dict[str, int] | None) is int


def test_what_is_not_declared_is_anything() -> None:
    assert member_hint(Pair, "low") is Any
    assert item_hint(tuple[int, str], 2) is Any
    assert item_hint(list, 0) is Any
    assert value_hint(dict) is Any


def test_kinds_are_found_at_whatever_depth() -> None:
    assert set(kinds_of(Steps | Literal["none"])) >= {Steps, Pair, float, list[Steps]}
