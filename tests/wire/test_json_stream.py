"""The JSON dialect: where requests end, however their bytes are cut."""

from __future__ import annotations

import json
import tracemalloc
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from artiq_link.errors import ExchangeError, InstrumentError, InvalidParameter, Malformed, TooLarge
from artiq_link.exchanges.messages import Reply, Request
from artiq_link.values import MIN_BUFFER, decode, encode, object_of
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
    request = in_turns(tested)
    assert request is not None
    return request


def in_turns(tested: JsonWire) -> Request | None:
    """The next request, where there is one, in as many turns as it takes."""
    request = tested.next_request()
    while tested.unfinished:
        request = tested.next_request()
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
        requests.append(in_turns(tested))
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


# --- buffers beside the object

DOUBLES = np.array([1.0, -0.5, 2.0])
OCTETS = np.array([10, 4, 0x7D, 32], "|u1")
"""A newline, EOT, a closing brace and a space: nothing to look for in the bytes of an array."""


def with_buffers(*arrays: np.ndarray[Any, Any], command_id: str = "a", keep: bool = True) -> bytes:
    """A request with arrays as buffers."""
    places = [
        object_of("nparray", list(array.shape), array.dtype.str, {"buffer": number})
        for number, array in enumerate(arrays)
    ]
    link = {"buffers": [array.nbytes for array in arrays], "keep": keep}
    message = {"command_id": command_id, "arrays": places, "link": link}
    return json.dumps(message).encode() + b"\n" + b"".join(map(np.ndarray.tobytes, arrays))


def arrays_of(request: Request | str) -> list[Any]:
    """The arrays that a request must have, as lists."""
    assert isinstance(request, Request), request
    return [array.tolist() for array in request.parameters["arrays"]]


BUFFERED = b" ".join(
    [
        with_buffers(DOUBLES),
        with_buffers(OCTETS, DOUBLES, OCTETS[:0], OCTETS),
        b'{"command_id": "b", "arrays": [], "link": {"keep": true}}\n',
        with_buffers(OCTETS[:0], keep=False),
    ]
)


def check_buffered(chunks: list[bytes]) -> None:
    outcome = talk(chunks)
    assert outcome.closed
    assert [arrays_of(request) for request in outcome.requests] == [
        [DOUBLES.tolist()],
        [OCTETS.tolist(), DOUBLES.tolist(), [], OCTETS.tolist()],
        [],
        [[]],
    ]


def test_buffers_whole_and_byte_by_byte() -> None:
    """Requests with buffers and without, one behind the other, whatever bytes the arrays have."""
    check_buffered([BUFFERED])
    check_buffered(one_by_one(BUFFERED))


@given(st.lists(st.integers(0, 10**6), max_size=8))
def test_buffers_in_any_pieces(cuts: list[int]) -> None:
    check_buffered(pieces(BUFFERED, cuts))


@pytest.mark.parametrize("cut", [lambda data: [data], one_by_one], ids=["whole", "bytes"])
def test_an_array_from_a_buffer_is_the_commands_own(cut: Callable[[bytes], list[bytes]]) -> None:
    """It can be written to, is aligned, and is the memory of nothing else."""
    outcome = talk(cut(with_buffers(DOUBLES, DOUBLES) + with_buffers(DOUBLES)))
    arrays = [
        array
        for request in outcome.requests
        if isinstance(request, Request)
        for array in request.parameters["arrays"]
    ]
    assert len(arrays) == 3
    for number, array in enumerate(arrays):
        assert array.flags.writeable
        assert array.flags.aligned
        array[:] = number
    assert [array.tolist() for array in arrays] == [[0] * 3, [1] * 3, [2] * 3]


def test_nothing_is_taken_of_memory_before_it_comes() -> None:
    """Announcing the largest buffer costs no more than the words that announce it."""
    tested = wire(max_request=64 << 20)
    tracemalloc.start()
    try:
        tested.receive_data(b'{"command_id": "a", "link": {"buffers": [%d]}}\n' % (60 << 20))
        assert tested.next_request() is None
        tested.receive_data(bytes(100_000))
        assert tested.next_request() is None
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 1 << 20


def test_what_came_counts_until_the_request_is_whole() -> None:
    """The object, too, although it has been read; and the client has to go on in time."""
    data = with_buffers(DOUBLES)
    tested = wire()
    for count, byte in enumerate(one_by_one(data)):
        assert tested.next_request() is None
        assert abs(tested.buffered - count) <= 1, "but for the newline"
        assert tested.awaiting == (count > 0)
        tested.receive_data(byte)
    next_of(tested)
    assert (tested.buffered, tested.awaiting) == (0, False)


def test_object_and_buffers_are_over_the_limit_together() -> None:
    data = with_buffers(DOUBLES)
    size = len(data) - 1  # the newline is neither's
    for limit, refusal in ((size, None), (size - 1, TooLarge)):
        for chunks in ([data], one_by_one(data)):
            outcome = talk(chunks, options=WireOptions(max_request=limit))
            [request] = outcome.requests
            assert isinstance(request, str) == (refusal is not None)
            assert outcome.closed == (refusal is not None)


@pytest.mark.parametrize(
    ("link", "code", "sentence"),
    [
        ('"buffers": [8, -1]', "malformed", "link.buffers: expected a list of lengths in bytes"),
        ('"buffers": [true]', "malformed", "link.buffers: expected a list of lengths in bytes"),
        ('"buffers": [1e3]', "malformed", "link.buffers: expected a list of lengths in bytes"),
        (f'"buffers": [{10**30}]', "too_large", "the request with its buffers is over the"),
        ('"buffers": "8"', "invalid_parameter", "link.buffers: expected 'bool | array', got"),
        ('"buffers": 8', "invalid_parameter", "link.buffers: expected 'bool | array', got 'int'"),
        ('"buffers": null', "invalid_parameter", "link.buffers: expected 'bool | array', got"),
        (f'"buffers": [{2**63}]', "too_large", "the request with its buffers is over the limit"),
        (f'"buffers": [{1 << 30}]', "too_large", "the request with its buffers is over the limit"),
        (f'"buffers": {[0] * 1025}', "too_large", "link.buffers: more than 1024 buffers"),
    ],
)
def test_wrong_announcements(link: str, code: str, sentence: str) -> None:
    """Nobody knows where the next request begins, so the connection ends."""
    outcome = talk([b'{"command_id": "a", "link": {"keep": true, %s}}\n{"comm' % link.encode()])
    assert outcome.closed
    reply = json.loads(outcome.sent)
    assert reply["code"] == code
    assert reply["error"].startswith(sentence)


@pytest.mark.parametrize(
    "follows", [b"xyz", b"\r\nxyz", b" \nxyz", b"\x04xyz", b'{"command_id": ']
)
def test_a_missing_newline(follows: bytes) -> None:
    outcome = talk([b'{"command_id": "a", "link": {"keep": true, "buffers": [3]}}', follows])
    assert outcome.requests == ["expected a newline between the object and its buffers"]
    assert outcome.closed


@pytest.mark.parametrize("end", [-1, -8, -28, -29])
def test_eof_before_the_buffers_end(end: int) -> None:
    """Also right behind the newline, and before it."""
    outcome = talk([with_buffers(OCTETS, DOUBLES)[:end]], eof=True)
    assert outcome.requests == ["the connection ended before the buffers did"]
    assert outcome.closed


def test_buffers_that_fit_no_array() -> None:
    """What is wrong is said, and the bytes are no request."""
    data = with_buffers(DOUBLES).replace(b"[3]", b"[4]") + b'{"command_id": "b"}'
    outcome = talk([data])
    assert outcome.requests == ["nparray: 24 bytes do not fill shape [4] of <f8"]
    assert outcome.closed


def test_a_request_that_fails_takes_its_buffers_with_it() -> None:
    """The next kept request is read, whatever becomes of the one before."""
    outcome = talk(
        [with_buffers(OCTETS, command_id="unknown") + with_buffers(DOUBLES)],
        lambda request: Reply(error=InstrumentError("no")),
    )
    assert [arrays_of(request) for request in outcome.requests] == [
        [OCTETS.tolist()],
        [DOUBLES.tolist()],
    ]
    assert not outcome.closed


@pytest.mark.parametrize("after", [b"", b"\n"])
@pytest.mark.parametrize("value", ["true", "[]"])
def test_no_buffers_take_no_newline(value: str, after: bytes) -> None:
    """The request is whole with its object, and its reply may still have buffers."""
    array = np.arange(MIN_BUFFER / 8)
    outcome = talk(
        [b'{"command_id": "a", "link": {"buffers": %s}}' % value.encode() + after],
        lambda request: Reply(array),
    )
    text, _, data = outcome.sent.partition(b"\n")
    assert json.loads(text)["link"] == {"buffers": [MIN_BUFFER]}
    assert data == array.tobytes()


@pytest.mark.parametrize("link", ['{"buffers": false}', "{}"])
def test_who_does_not_ask_gets_no_buffers(link: str) -> None:
    array = np.arange(MIN_BUFFER / 8)
    outcome = talk([b'{"command_id": "a", "link": %s}' % link.encode()], lambda _: Reply(array))
    message = decode(outcome.sent)
    assert "link" not in message
    assert message["result"].tolist() == array.tolist()


def test_eot_text_has_no_buffers() -> None:
    """They are for what the JSON dialect says of arrays; the reply stays a text."""
    outcome = talk(
        [b'{"set": {"link": {"buffers": [3]}}}\x04'], lambda _: Reply(np.arange(MIN_BUFFER))
    )
    [request] = outcome.requests
    assert isinstance(request, Request)
    assert request.parameters == {}
    assert outcome.sent == b"O.k.\r\n"


@given(
    st.lists(st.one_of(st.integers(-1, 30), st.booleans(), st.text(max_size=2)), max_size=3),
    st.binary(max_size=60),
    st.lists(st.integers(0, 10**6), max_size=5),
    st.booleans(),
)
def test_any_bytes_behind_an_announcement(
    lengths: list[Any], data: bytes, cuts: list[int], eof: bool
) -> None:
    """They are taken or refused alike however they come."""
    link = {"buffers": lengths, "keep": True}
    data = json.dumps({"command_id": "a", "link": link}).encode() + b"\n" + data
    assert talk(pieces(data, cuts), eof=eof) == talk([data], eof=eof)


@pytest.mark.parametrize(
    ("message", "where"),
    [
        ({"command_id": "a" * 201}, "command_id"),
        ({"command_id": "a", "link": {"id": "7" * 201}}, "link.id"),
        ({"command_id": "a", "link": {"owner": "x" * 201}}, "link.owner"),
        ({"command_id": "a", "link": {"id": "7", "x" * 100_000: 1}}, "link"),
    ],
    ids=["command", "id", "owner", "member"],
)
def test_long_names_are_not_repeated(message: dict[str, Any], where: str) -> None:
    """Neither a reply nor the log has to carry what a client made up."""
    tested = wire(max_request=2 << 20)
    tested.receive_data(encode(message))
    request = next_of(tested)
    assert type(request.refusal) is InvalidParameter
    assert request.refusal.where == where
    assert len(str(request.refusal)) < 300
    assert len(tested.encode_reply(request, Reply(error=request.refusal))) < 600
