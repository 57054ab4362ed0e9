"""Request and Reply: read from and written to the objects of the JSON dialect."""

from __future__ import annotations

from contextlib import suppress
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from artiq_link.errors import ExchangeError, InvalidParameter, Malformed, OutOfRange
from artiq_link.exchanges.messages import Event, LinkMembers, Reply, Request

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
    ],
)
def test_what_is_no_request_is_refused(
    message: Any, kind: type[ExchangeError], sentence: str, where: str | None
) -> None:
    with pytest.raises(kind) as caught:
        Request.from_object(message)
    assert (type(caught.value), str(caught.value), caught.value.where) == (kind, sentence, where)


@pytest.mark.parametrize(
    ("members", "sentence", "where"),
    [
        (5, "link: expected 'object', got 'int'", "link"),
        ({"timeout": "5"}, "link.timeout: expected 'float | null', got 'str'", "link.timeout"),
        ({"timeout": True}, "link.timeout: expected 'float | null', got 'bool'", "link.timeout"),
        ({"timeout": -1}, "link.timeout: expected 'float' >= 0.0", "link.timeout"),
        ({"timeout": 10**400}, "link.timeout: number out of range", "link.timeout"),
        ({"id": 5}, "link.id: expected 'str | null', got 'int'", "link.id"),
        ({"keep": 1}, "link.keep: expected 'bool', got 'int'", "link.keep"),
        ({"timout": 5}, "link: object contains unknown field 'timout'", "link"),
    ],
)
def test_a_wrong_link_is_refused_under_the_names_that_can_be_read(
    members: Any, sentence: str, where: str
) -> None:
    request = Request.from_object({"command_id": "get", "link": members})
    assert request.refusal is not None
    assert (str(request.refusal), request.refusal.where) == (sentence, where)
    assert (request.refusal.code, request.command_id) == ("invalid_parameter", "get")
    named = Request.from_object({"command_id": "get", "link": {"id": "a", "keep": 1}})
    assert (named.link, named.refusal is None) == (LinkMembers(id="a"), False)


@pytest.mark.parametrize(
    ("keeps", "link", "ends"),
    [(True, {}, False), (False, {}, True), (False, {"keep": True}, False), (False, None, True)],
)
def test_whether_the_connection_ends_is_the_requests(keeps: bool, link: Any, ends: bool) -> None:
    request = Request.from_object({"command_id": "get", "link": link}, keeps=keeps)
    assert request.ends is ends


@given(JSON, JSON, JSON)
def test_any_message_is_a_request_or_refused(message: Any, command_id: Any, link: Any) -> None:
    for candidate in (message, {"command_id": command_id, "link": link, "channel": message}):
        with suppress(ExchangeError):
            request = Request.from_object(candidate)
            assert request.data == {k: v for k, v in candidate.items() if k != "link"}


REQUEST = Request("get", {"channel": 0}, LinkMembers(id="a"))


@pytest.mark.parametrize(
    ("request_", "reply", "message"),
    [
        (
            REQUEST,
            Reply({"frequency": 80e6}),
            {"status": "success", "command_id": "get", "result": {"frequency": 80e6}, "id": "a"},
        ),
        (
            Request("get", {}),
            Reply(),
            {"status": "success", "command_id": "get", "result": None},
        ),
        (
            REQUEST,
            Reply(error=OutOfRange("channel: too many", "channel")),
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
            Request.refused(Malformed("not JSON"), ends=True),
            Reply(error=Malformed("not JSON")),
            {"status": "fail", "code": "malformed", "error": "not JSON"},
        ),
    ],
)
def test_a_reply_is_written_in_the_order_of_the_protocol(
    request_: Request, reply: Reply, message: dict[str, Any]
) -> None:
    assert list(reply.to_object(request_).items()) == list(message.items())


def test_an_event_names_its_kind_and_what_it_is_about() -> None:
    event = Event("state", "dds", {"version": 18})
    assert event.to_object() == {"event": "state", "instrument": "dds", "version": 18}
