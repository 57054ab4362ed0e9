"""The JSON dialect: where requests end, however their bytes are cut."""

from __future__ import annotations

import itertools
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from artiq_link.errors import ExchangeError, InstrumentError, InvalidParameter, Malformed, TooLarge
from artiq_link.exchanges.messages import Reply
from artiq_link.wire.base import MAX_DEPTH, WireOptions
from artiq_link.wire.json_stream import MAX_MARKS, BrokenText, JsonWire, ObjectScanner

REQUEST = b'{"command_id": "set", "text": "} \\" ] { \\\\", "list": [{}, [1, {"a": "\xc2\xb5"}]]}'
PARAMETERS = {"text": '} " ] { \\', "list": [{}, [1, {"a": "µ"}]]}


def wire(max_request: int = 1 << 20) -> JsonWire:
    return JsonWire(WireOptions(max_request=max_request))


def pieces(data: bytes, cuts: list[int]) -> list[bytes]:
    edges = [0, *sorted(cut % (len(data) + 1) for cut in cuts), len(data)]
    return [data[start:end] for start, end in itertools.pairwise(edges)]


json_values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=10,
)


@pytest.mark.parametrize("end", [b"", b"\n", b"\r\n", b"\x04", b" \n\x04\n"])
def test_whole_and_byte_by_byte(end: bytes) -> None:
    """A request is whole with its last brace, whatever follows and however it comes."""
    at_once = wire()
    at_once.receive_data(REQUEST + end)
    slow = wire()
    for position in range(len(REQUEST)):
        assert slow.next_request() is None
        slow.receive_data(REQUEST[position : position + 1])
    first, second = at_once.next_request(), slow.next_request()
    assert first == second
    assert first is not None
    assert (first.command_id, first.parameters) == ("set", PARAMETERS)
    assert at_once.buffered == slow.buffered == 0


@given(st.dictionaries(st.text(), json_values, max_size=4), st.lists(st.integers(0, 10**6)))
def test_any_object_in_any_pieces(message: dict[str, object], cuts: list[int]) -> None:
    """The end is found at the same byte however the bytes are cut."""
    data = json.dumps(message).encode()
    scanner, buffer, ends = ObjectScanner(), bytearray(), []
    for piece in pieces(data + b" tail", cuts):
        buffer += piece
        if not ends and (end := scanner.find_end(buffer)) is not None:
            ends.append(end)
    assert ends == [len(data)]


@given(st.binary(max_size=200), st.lists(st.integers(0, 10**6), max_size=5), st.booleans())
def test_garbage_raises_only_exchange_errors(data: bytes, cuts: list[int], brace: bool) -> None:
    """No bytes can make the wire raise anything else, and the same bytes end the same way."""
    data = (b"{" if brace else b"") + data
    outcomes = []
    for chunks in ([data], pieces(data, cuts)):
        tested, outcome = wire(), None
        for chunk in chunks:
            tested.receive_data(chunk)
            if outcome is None:
                try:
                    outcome = tested.next_request()
                except ExchangeError as error:
                    outcome = str(error)
        outcomes.append(outcome)
    assert outcomes[0] == outcomes[1]


def test_keep_takes_the_next_request() -> None:
    """After a reply with keep, the next object is the next request; without, the wire closes."""
    tested = wire()
    tested.receive_data(b'{"command_id": "a", "link": {"keep": true}}\n{"command_id": "b"}{"x"')
    first = tested.next_request()
    assert first is not None
    tested.send_reply(Reply(first, result=1))
    assert not tested.closed
    second = tested.next_request()
    assert second is not None
    assert (first.command_id, second.command_id) == ("a", "b")
    tested.send_reply(Reply(second, result=2))
    assert tested.closed
    assert tested.data_to_send() == (
        b'{"status": "success", "command_id": "a", "result": 1}\n'
        b'{"status": "success", "command_id": "b", "result": 2}\n'
    )
    assert tested.data_to_send() == b""


def test_replies() -> None:
    """A failure has its code, sentence and place; an id is repeated."""
    tested = wire()
    tested.receive_data(b'{"command_id": "a", "link": {"id": "7"}}')
    request = tested.next_request()
    tested.send_reply(Reply(request, error=InstrumentError("no lock", "channel")))
    tested.send_reply(Reply(error=Malformed("not JSON")))
    assert tested.data_to_send() == (
        b'{"status": "fail", "command_id": "a", "code": "instrument_error", '
        b'"error": "no lock", "where": "channel", "id": "7"}\n'
        b'{"status": "fail", "code": "malformed", "error": "not JSON"}\n'
    )


@pytest.mark.parametrize(
    ("data", "kind", "sentence"),
    [
        (b"{]", Malformed, "not JSON: object keys must be strings (byte 1)"),
        (b"{} ", InvalidParameter, "missing parameter 'command_id'"),
        (b'{"a": NaN}', Malformed, "not JSON: invalid character (byte 6)"),
        (b'{"a": 1e400}', Malformed, "a number is too large for a float"),
        (b'{"a": "\xff"}', Malformed, "not UTF-8: byte 0xff"),
        (b'{"broken\x04', BrokenText, "Malformed JSON message."),
        (b'{"a": \x04', BrokenText, "Malformed JSON message."),
        (b'{"a": {"b": tru}}', BrokenText, "Malformed JSON message."),
        (b'{"link": {"b": tru}}', Malformed, "not JSON: invalid character (byte 19)"),
        (
            b'{"a": {"b": tru}, "command_id": 1}',
            Malformed,
            "not JSON: invalid character (byte 16)",
        ),
        (b"x", Malformed, "expected a JSON object, which begins with '{'"),
        (b'{"a":' + b"[" * 100_000, Malformed, f"nested deeper than {MAX_DEPTH} levels"),
        (b'{"a": "' + b"x" * 1000, TooLarge, "the request is over the limit of 999 bytes"),
        (b'{"a": "' + b"x" * 1000 + b'"}', TooLarge, "the request is over the limit of 999 bytes"),
    ],
)
def test_refusals(data: bytes, kind: type[ExchangeError], sentence: str) -> None:
    """Bytes that are no request are refused with a sentence, and nothing more is awaited."""
    tested = wire(max_request=999)
    tested.receive_data(data)
    with pytest.raises(ExchangeError) as caught:
        tested.next_request()
    assert (type(caught.value), str(caught.value)) == (kind, sentence)
    tested.send_reply(Reply(error=caught.value))
    assert tested.closed


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
    refusals = []
    for start in range(0, len(data), chunk):
        tested.receive_data(data[start : start + chunk])
        try:
            assert tested.next_request() is None
        except TooLarge as error:
            refusals.append(str(error))
            tested.send_reply(Reply(error=error))
    assert refusals[0] == (
        "the request holds over 131072 values and brackets; send large data as arrays"
    )
    assert tested.closed


def test_commas_in_a_text_are_no_values() -> None:
    """One text is one value."""
    data = b'{"command_id": "a", "text": "%s"}' % (b"0," * MAX_MARKS)
    tested = wire(max_request=len(data))
    tested.receive_data(data)
    assert tested.next_request() is not None


def test_a_request_of_exactly_the_limit_is_taken() -> None:
    """The limit is the last size that is taken."""
    data = b'{"command_id": "a", "text": "%s"}' % (b"x" * 100)
    tested = wire(max_request=len(data))
    tested.receive_data(data)
    assert tested.next_request() is not None


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
    with pytest.raises(Malformed, match="the connection ended before the JSON object did"):
        half.next_request()


def test_the_scanner_looks_at_each_byte_once() -> None:
    """A request that comes byte by byte is searched from where the last search ended."""
    scanner = ObjectScanner()
    buffer = bytearray(b'{"a": "')
    assert scanner.find_end(buffer) is None
    buffer[:] = b"}" * len(buffer)  # what was looked through is not looked at again
    buffer += b'"}'
    assert scanner.find_end(buffer) == len(buffer)
