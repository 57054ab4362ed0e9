"""Request and Reply: read from and written to the objects of the JSON dialect."""

from __future__ import annotations

from contextlib import suppress
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from artiq_link.errors import Busy, ExchangeError, InvalidParameter, Malformed, OutOfRange
from artiq_link.exchanges.messages import LinkMembers, Reply, Request, json_kind, split_refusal

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda values: st.lists(values) | st.dictionaries(st.text(), values),
    max_leaves=10,
)


def test_parameters_stand_beside_the_command() -> None:
    message = {"command_id": "set", "channel": 0, "link": {"id": "a", "timeout": 5, "keep": True}}
    request = Request.from_object(message)
    assert request == Request("set", {"channel": 0}, LinkMembers(id="a", timeout=5.0, keep=True))
    assert request.data == {"command_id": "set", "channel": 0}


def test_reading_leaves_the_message_as_it_was() -> None:
    message = {"command_id": "set", "channel": 0, "link": {}}
    Request.from_object(message)
    assert message == {"command_id": "set", "channel": 0, "link": {}}


@pytest.mark.parametrize("members", [{}, {"link": None}, {"link": {}}])
def test_link_and_each_of_its_members_are_optional(members: dict[str, Any]) -> None:
    assert Request.from_object({"command_id": "get", **members}).link == LinkMembers(
        id=None, timeout=None, rid=None, lease=None, token=None, keep=False
    )


@pytest.mark.parametrize(
    ("message", "kind", "sentence", "where"),
    [
        ([1], Malformed, "expected one JSON object, got an array", None),
        ("x", Malformed, "expected one JSON object, got a string", None),
        (1, Malformed, "expected one JSON object, got a number", None),
        (1.5, Malformed, "expected one JSON object, got a number", None),
        (True, Malformed, "expected one JSON object, got a boolean", None),
        (None, Malformed, "expected one JSON object, got null", None),
        ({}, InvalidParameter, "missing parameter 'command_id'", "command_id"),
        (
            {"command_id": 5},
            InvalidParameter,
            "command_id: expected str, got a number",
            "command_id",
        ),
        (
            {"command_id": None},
            InvalidParameter,
            "command_id: expected str, got null",
            "command_id",
        ),
        (
            {"command_id": "get", "link": 5},
            InvalidParameter,
            "link: expected 'object', got 'int'",
            "link",
        ),
        (
            {"command_id": "get", "link": {"timeout": "5"}},
            InvalidParameter,
            "link.timeout: expected 'float | null', got 'str'",
            "link.timeout",
        ),
        (
            {"command_id": "get", "link": {"timeout": True}},
            InvalidParameter,
            "link.timeout: expected 'float | null', got 'bool'",
            "link.timeout",
        ),
        (
            {"command_id": "get", "link": {"timeout": -1}},
            InvalidParameter,
            "link.timeout: expected 'float' >= 0.0",
            "link.timeout",
        ),
        (
            {"command_id": "get", "link": {"timeout": 10**400}},
            InvalidParameter,
            "link.timeout: number out of range",
            "link.timeout",
        ),
        (
            {"command_id": "get", "link": {"id": 5}},
            InvalidParameter,
            "link.id: expected 'str | null', got 'int'",
            "link.id",
        ),
        (
            {"command_id": "get", "link": {"keep": 1}},
            InvalidParameter,
            "link.keep: expected 'bool', got 'int'",
            "link.keep",
        ),
        (
            {"command_id": "get", "link": {"timout": 5}},
            InvalidParameter,
            "link: object contains unknown field 'timout'",
            "link",
        ),
    ],
)
def test_what_is_no_request_is_refused(
    message: Any, kind: type[ExchangeError], sentence: str, where: str | None
) -> None:
    with pytest.raises(kind) as caught:
        Request.from_object(message)
    assert (type(caught.value), str(caught.value), caught.value.where) == (kind, sentence, where)


@given(JSON, JSON, JSON)
def test_any_message_is_a_request_or_refused(message: Any, command_id: Any, link: Any) -> None:
    for candidate in (message, {"command_id": command_id, "link": link, "channel": message}):
        with suppress(ExchangeError):
            request = Request.from_object(candidate)
            assert request.data == {k: v for k, v in candidate.items() if k != "link"}


REQUEST = Request("get", {"channel": 0}, LinkMembers(id="a"))


@pytest.mark.parametrize(
    ("reply", "message"),
    [
        (
            Reply(REQUEST, {"frequency": 80e6}),
            {
                "status": "success",
                "command_id": "get",
                "result": {"frequency": 80e6},
                "id": "a",
            },
        ),
        (
            Reply(Request("get", {})),
            {"status": "success", "command_id": "get", "result": None},
        ),
        (
            Reply(REQUEST, error=OutOfRange("channel: too many", "channel")),
            {
                "status": "fail",
                "command_id": "get",
                "code": "out_of_range",
                "error": "channel: too many",
                "where": "channel",
                "id": "a",
            },
        ),
        (
            Reply(error=Busy("too many connections")),
            {"status": "fail", "code": "busy", "error": "too many connections"},
        ),
    ],
)
def test_a_reply_is_written_in_the_order_of_the_protocol(
    reply: Reply, message: dict[str, Any]
) -> None:
    assert list(reply.to_object().items()) == list(message.items())


def test_a_kind_that_is_not_jsons_is_named_by_its_class() -> None:
    assert [json_kind({}), json_kind(1j)] == ["an object", "complex"]


@pytest.mark.parametrize(
    ("refusal", "parts"),
    [
        ("Expected `int`, got `str`", ("expected 'int', got 'str'", "")),
        ("Expected `int`, got `str` - at `$[2].a`", ("expected 'int', got 'str'", "[2].a")),
    ],
)
def test_a_refusal_is_split(refusal: str, parts: tuple[str, str]) -> None:
    assert split_refusal(refusal) == parts
