"""The numbers in a state, and how many of them there may be."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

import pytest

from artiq_link.exchanges.state_numbers import MAX_LOOKED_AT, MAX_NUMBERS, MAX_PATH
from artiq_link.exchanges.state_numbers import numbers_of as listed_numbers_of


def numbers_of(state: Any) -> tuple[dict[str, float], bool]:
    """By their paths, of which there are no two the same."""
    listed, is_all = listed_numbers_of(state)
    found = {number.path: number.value for number in listed}
    assert len(found) == len(listed)
    return found, is_all


def test_numbers_have_the_path_of_their_names() -> None:
    state = {
        "power": 1.5,
        "channels": [{"frequency": 80e6, "output": True, "mode": "ramp", "phase": None}],
    }
    assert numbers_of(state) == (
        {"power": 1.5, "channels.0.frequency": 80e6, "channels.0.output": 1.0},
        True,
    )


def test_numbers_know_their_last_name() -> None:
    """By which their units are known."""
    listed, _ = listed_numbers_of({"channels": [{"frequency": 80e6}], "offsets": [[1, 2]]})
    assert [number.name for number in listed] == ["frequency", "offsets", "offsets"]


def test_an_array_in_bytes_is_no_number() -> None:
    array = {"__jsonclass__": ["nparray", [[2], "<f8", "AAAAAAAA8D8AAAAAAAAAQA=="]]}
    assert numbers_of({"trace": array, "power": 1.5}) == ({"power": 1.5}, True)


@pytest.mark.parametrize("state", [None, {}, [], "a text", {"a": {"b": []}}])
def test_a_state_may_have_none(state: Any) -> None:
    assert numbers_of(state) == ({}, True)


def test_names_that_look_like_paths_are_in_quotes() -> None:
    """So that no two members have one path."""
    state = {
        "a": {"b": 1},
        "a.b": 2,
        '"a': {"b": 3},
        "": {"b": 4},
        "new\nline": 5,
        "\\": 6,
        "7": 7,
    }
    found, is_all = numbers_of(state)
    assert found == {
        '"a.b"': 2,
        '"new\\nline"': 5,
        '"\\\\"': 6,
        '"7"': 7,
        "a.b": 1,
        '"\\"a".b': 3,
        '"".b': 4,
    }
    assert is_all


def test_numbers_beyond_floats_are_left_out() -> None:
    found, _ = numbers_of({"huge": 10**400, "nan": math.nan, "inf": math.inf})
    assert found.keys() == {"nan", "inf"}
    assert math.isnan(found["nan"])


def test_of_too_many_the_shallow_ones_are_told() -> None:
    """An array costs the curves beside it nothing."""
    state = {"trace": [0.5] * 100_000, "power": 1.5}
    found, is_all = numbers_of(state)
    assert found["power"] == 1.5
    assert len(found) == MAX_NUMBERS
    assert not is_all


def test_as_many_as_may_be_are_all() -> None:
    assert numbers_of([1] * MAX_NUMBERS)[1]
    assert not numbers_of([1] * (MAX_NUMBERS + 1))[1]


def test_a_large_state_without_numbers_is_not_looked_through() -> None:
    looked_at = 0

    class Names(list[str]):
        def __iter__(self) -> Iterator[str]:
            nonlocal looked_at
            for name in super().__iter__():
                looked_at += 1
                yield name

    assert numbers_of({"names": Names(["x"] * (10 * MAX_LOOKED_AT))}) == ({}, False)
    assert 0 < looked_at <= MAX_LOOKED_AT


def test_long_paths_and_deep_states_end() -> None:
    state: Any = {"deepest": 1}
    for _ in range(100_000):
        state = [state]
    assert numbers_of(state) == ({}, False)
    assert numbers_of({"x" * MAX_PATH: 1}) == ({"x" * MAX_PATH: 1.0}, True)
    assert numbers_of({"x" * (MAX_PATH + 1): 1, "y": 2}) == ({"y": 2.0}, False)
