"""The JSON dialect: where requests end, however their bytes are cut."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from artiq_link.errors import ExchangeError, InstrumentError, InvalidParameter, Malformed, TooLarge
from artiq_link.exchanges.messages import Reply, Request
from artiq_link.wire.base import WireOptions
from artiq_link.wire.json_stream import JSON, TEXT, BrokenText, JsonWire
from artiq_link.wire.scanner import MAX_MARKS
from tests.peers import one_by_one, pieces, talk

REQUEST = b'{"command_id": "set", "text": "} \\" ] { \\\\", "list": [{}, [1, {"a": "\xc2\xb5"}]]}'
PARAMETERS = {"text": '} " ] { \\', "list": [{}, [1, {"a": "µ"}]]}


def wire(max_request: int = 1 << 20) -> JsonWire:
    return JsonWire(WireOptions(max_request=max_request))


def next_of(tested: JsonWire) -> Request:
    """The request that must be there."""
    request = tested.next_request()
    assert request is not None
    return request


@pytest.mark.parametrize("end", [b"", b"\n", b"\r\n", b"\x04", b" \n\x04\n"])
def test_whole_and_byte_by_byte(end: bytes) -> None:
    """A request is whole with its last brace, whatever follows and however it comes."""
    at_once = wire()
    at_once.receive_data(REQUEST + end)
    slow = wire()
    for byte in one_by_one(REQUEST):
        assert slow.next_request() is None
        slow.receive_data(byte)
    first, second = next_of(at_once), next_of(slow)
    assert first == second
    assert (first.command_id, first.parameters) == ("set", PARAMETERS)
    assert at_once.buffered == slow.buffered == 0


@given(st.binary(max_size=200), st.lists(st.integers(0, 10**6), max_size=5), st.booleans())
def test_garbage(data: bytes, cuts: list[int], brace: bool) -> None:
    """No bytes can make the wire raise, and the same bytes end the same way."""
    data = (b"{" if brace else b"") + data
    assert talk(pieces(data, cuts)) == talk([data])


def test_keep_takes_the_next_request() -> None:
    """After a request with keep, the next object is the next one; without, the connection ends."""
    outcome = talk(
        [b'{"command_id": "a", "link": {"keep": true}}\n{"command_id": "b"}{"command_id": "c"}'],
        lambda request: Reply(request.command_id),
    )
    assert outcome.closed
    assert outcome.sent == (
        b'{"status":"success","command_id":"a","result":"a"}\n'
        b'{"status":"success","command_id":"b","result":"b"}\n'
    )


def test_replies() -> None:
    """A failure has its code, sentence and place; an id is repeated."""
    tested = wire()
    tested.receive_data(b'{"command_id": "a", "link": {"id": "7"}}')
    reply = Reply(error=InstrumentError("no lock", "channel"))
    assert tested.encode_reply(next_of(tested), reply) == (
        b'{"status":"fail","command_id":"a","code":"instrument_error",'
        b'"error":"no lock","where":"channel","id":"7"}\n'
    )
    broken = Malformed("not JSON")
    assert tested.encode_reply(tested.refuse(broken), Reply(error=broken)) == (
        b'{"status":"fail","code":"malformed","error":"not JSON"}\n'
    )


@pytest.mark.parametrize(
    ("data", "kind", "form"),
    [
        (b"{]", Malformed, JSON),
        (b"{} ", InvalidParameter, JSON),
        (b'{"a": NaN}', Malformed, JSON),
        (b'{"a": 1e400}', Malformed, JSON),
        (b'{"a": "\xff"}', Malformed, JSON),
        (b'{"broken\x04', BrokenText, TEXT),
        (b'{"a": \x04', BrokenText, TEXT),
        (b'{"a": {"b": tru}}', BrokenText, TEXT),
        (b'{"link": {"b": tru}}', Malformed, JSON),
        (b'{"a": {"b": tru}, "command_id": 1}', Malformed, JSON),
        (b"x", Malformed, JSON),
        (b'{"a":' + b"[" * 100_000, Malformed, JSON),
        (b'{"a": "' + b"x" * 1000, TooLarge, JSON),
        (b'{"a": "' + b"x" * 1000 + b'"}', TooLarge, JSON),
    ],
)
def test_refusals(data: bytes, kind: type[ExchangeError], form: str) -> None:
    """Bytes that are no request are refused in the dialect of which they are, and the end."""
    tested = wire(max_request=999)
    tested.receive_data(data)
    request = next_of(tested)
    assert type(request.refusal) is kind
    assert (request.form, request.ends) == (form, True)


def test_a_link_that_is_wrong_is_refused_by_name() -> None:
    """The reply still says which command and which id it is for."""
    outcome = talk([b'{"command_id": "a", "link": {"id": "7", "timeout": -1}}'])
    assert outcome.sent.startswith(
        b'{"status":"fail","command_id":"a","code":"invalid_parameter",'
    )
    assert outcome.sent.endswith(b'"where":"link.timeout","id":"7"}\n')


@pytest.mark.parametrize(
    "value",
    [b"[%s0]" % (b"0," * MAX_MARKS), b"{%s}" % b",".join([b'"":0'] * MAX_MARKS)],
    ids=["numbers", "members"],
)
@pytest.mark.parametrize("chunk", [1 << 30, 1 << 16])
def test_too_many_values(value: bytes, chunk: int) -> None:
    """They would take long to read; they are refused alike however they come."""
    data = b'{"command_id": "a", "value": %s}' % value
    tested = wire(max_request=len(data))
    requests = []
    for start in range(0, len(data), chunk):
        tested.receive_data(data[start : start + chunk])
        requests.append(tested.next_request())
    refused = next(filter(None, requests))
    assert type(refused.refusal) is TooLarge
    assert refused.ends


@pytest.mark.parametrize("text", [b"0," * MAX_MARKS, b"x" * 100], ids=["commas", "limit"])
def test_a_request_of_exactly_the_limit_is_taken(text: bytes) -> None:
    """The limit is the last size that is taken; commas in a text are no values."""
    data = b'{"command_id": "a", "text": "%s"}' % text
    for limit, refusal in ((len(data), None), (len(data) - 1, TooLarge)):
        tested = wire(max_request=limit)
        tested.receive_data(data)
        assert type(next_of(tested).refusal) is (refusal or type(None))


def test_eof() -> None:
    """The client's end of writing closes an idle wire and refuses half a request."""
    idle = wire()
    idle.receive_data(b" \n")
    idle.receive_eof()
    assert idle.next_request() is None
    assert idle.closed
    half = wire()
    half.receive_data(b'{"command_id"')
    half.receive_eof()
    assert str(next_of(half).refusal) == "the connection ended before the JSON object did"
