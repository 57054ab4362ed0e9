"""The dictionary that a lab's `interact` gets."""

from __future__ import annotations

import copy
import json
import pickle
from collections.abc import Callable
from typing import Any

import pytest

from artiq_link import InvalidParameter, UnknownCommand, unknown
from artiq_link.instrument.message import Message

OPEN = {"command_id": "open", "channel": 2}


@pytest.mark.parametrize(
    "take",
    [
        lambda data: data["state"],
        lambda data: data.pop("state"),
        "{state}".format_map,
        lambda data: copy.copy(data)["state"],
        lambda data: copy.deepcopy(data)["state"],
        lambda data: pickle.loads(pickle.dumps(data))["state"],
    ],
)
def test_what_is_missing_is_a_parameter_that_is_named(take: Callable[[Any], Any]) -> None:
    with pytest.raises(InvalidParameter) as refused:
        take(Message(OPEN))
    assert str(refused.value) == "missing parameter 'state' of 'open'"
    assert refused.value.where == "state"
    with pytest.raises(KeyError):
        take(Message(OPEN))


@pytest.mark.parametrize("key", [0, None, ("a", "b"), "link"])
def test_what_no_client_can_give_is_a_mistake_of_the_function(key: Any) -> None:
    for take in (Message.__getitem__, Message.pop):
        with pytest.raises(KeyError) as mistaken:
            take(Message(OPEN), key)
        assert not isinstance(mistaken.value, InvalidParameter)


def test_in_all_else_it_is_a_dictionary() -> None:
    data = Message(OPEN)
    assert data == OPEN
    assert repr(data) == repr(OPEN)
    assert json.dumps(data) == json.dumps(OPEN)
    assert copy.deepcopy(data) == pickle.loads(pickle.dumps(data)) == {**data} == OPEN
    assert [*data.items()] == [*OPEN.items()]
    assert (data.get("state"), data.get("state", 1), "state" in data) == (None, 1, False)
    assert (data.setdefault("state", 1), data.pop("state"), data.pop("state", 2)) == (1, 1, 2)
    assert dict(**data) == data | {} == data.copy() == OPEN


def test_unknown_names_the_nearest_of_the_known_names() -> None:
    for data, hint in [
        (Message({"command_id": "opn"}, {"open", "block"}), "; did you mean 'open'?"),
        (Message({"command_id": "opn"}), ""),
        ({"command_id": "opn"}, ""),
    ]:
        with pytest.raises(UnknownCommand) as refused:
            unknown(data)
        assert str(refused.value) == f"there is no command 'opn'{hint}"
