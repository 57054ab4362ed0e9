"""Merge patches: what they can say, and that whoever applies one has what is new."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from artiq_link.exchanges.merge_patch import difference
from artiq_link.link_client import patched

leaves = st.none() | st.booleans() | st.integers(-3, 3) | st.floats(-2, 2) | st.sampled_from("ab")
values = st.recursive(
    leaves, lambda inner: st.lists(inner) | st.dictionaries(st.sampled_from("abc"), inner)
)
objects = st.dictionaries(st.sampled_from("abc"), values)


@pytest.mark.parametrize(
    ("old", "new", "patch"),
    [
        ({"a": 1, "b": 2}, {"a": 1, "b": 3}, {"b": 3}),
        ({"a": {"x": 1, "y": 2}}, {"a": {"x": 1, "y": 3}}, {"a": {"y": 3}}),
        ({"a": 1}, {}, {"a": None}),
        ({"a": None}, {"a": 1}, {"a": 1}),
        ({"a": None, "b": 1}, {"a": None, "b": 2}, {"b": 2}),
        ({"a": [1, None]}, {"a": [2, None]}, {"a": [2, None]}),
        ({"a": 1}, {"a": True}, {"a": True}),
        ({"a": 1}, {"a": 1}, {}),
        # What no patch can say.
        ({"a": 1}, {"a": None}, None),
        ({}, {"a": {"b": None}}, None),
        ({"a": {"b": 1}}, {"a": {"b": None}}, None),
        ({}, None, None),
        ([1], [2], None),
        (None, {"a": 1}, None),
    ],
)
def test_the_difference_of_two_states(old: Any, new: Any, patch: Any) -> None:
    assert json.dumps(difference(old, new)) == json.dumps(patch)


@given(objects, objects)
def test_a_patch_makes_the_new_of_the_old(old: Any, new: Any) -> None:
    """Or there is none, which is so only where something becomes null."""
    before = json.dumps([old, new])
    patch = difference(old, new)
    if patch is None:
        assert "null" in json.dumps(new)
    else:
        assert patched(old, patch) == new
    assert json.dumps([old, new]) == before
