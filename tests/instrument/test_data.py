"""The object of one exchange, taken apart."""

from __future__ import annotations

from typing import Any

import pytest

from artiq_link.errors import ExchangeError, InvalidParameter, Malformed
from artiq_link.instrument.data import take_apart


def test_parameters_stand_beside_the_command() -> None:
    message = {"command_id": "set", "channel": 0, "link": {"id": "a"}}
    assert take_apart(message) == ("set", {"channel": 0}, {"id": "a"})
    assert message == {"command_id": "set", "channel": 0, "link": {"id": "a"}}


@pytest.mark.parametrize("link", [{}, {"link": None}])
def test_link_is_optional(link: dict[str, Any]) -> None:
    assert take_apart({"command_id": "get", **link}) == ("get", {}, None)


def test_link_is_not_looked_at() -> None:
    assert take_apart({"command_id": "get", "link": 5}).link == 5


@pytest.mark.parametrize(
    ("message", "kind", "sentence", "where"),
    [
        ([1], Malformed, "expected one JSON object, got an array", None),
        (None, Malformed, "expected one JSON object, got null", None),
        ({}, InvalidParameter, "missing parameter 'command_id'", "command_id"),
        (
            {"command_id": None},
            InvalidParameter,
            "command_id: expected str, got null",
            "command_id",
        ),
    ],
)
def test_what_has_no_command_is_refused(
    message: Any, kind: type[ExchangeError], sentence: str, where: str | None
) -> None:
    with pytest.raises(kind) as caught:
        take_apart(message)
    assert (type(caught.value), str(caught.value), caught.value.where) == (kind, sentence, where)
