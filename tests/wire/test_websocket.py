"""WebSocket: the library's protocol with the link's requests in it, and real clients."""

from __future__ import annotations

import contextlib
import json
import resource
import socket
import struct
import subprocess
import sys
import tracemalloc
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from websockets.exceptions import ConnectionClosedOK, InvalidStatus
from websockets.sync.client import ClientConnection, connect

from artiq_link import LinkServer
from artiq_link.exchanges.messages import MAX_BUFFERS, Reply, Request
from artiq_link.values import MIN_BUFFER, object_of
from artiq_link.wire.base import WireOptions
from artiq_link.wire.websocket import FRAMES_AT_ONCE, PIECE, WebSocketWire
from tests.conftest import PATIENCE, Probe
from tests.peers import (
    ACCEPT,
    HANDSHAKE,
    answer_to,
    connected,
    one_by_one,
    pieces,
    read_all,
    server_has_ended,
    talk,
    websocket_frame,
    websocket_messages,
)

Serve = Callable[..., LinkServer]
SET = '{"command_id": "set_frequency", "channel": 0, "frequency": 80e6}'
SET_REPLY = {"status": "success", "command_id": "set_frequency", "result": {"frequency": 80e6}}
TEXT, BINARY, CONTINUED, CLOSE, PING, PONG = 1, 2, 0, 8, 9, 10


def client(server: LinkServer, **options: Any) -> ClientConnection:
    return connect(f"ws://127.0.0.1:{server.port}/", open_timeout=PATIENCE, **options)


def frames_of(sent: bytes) -> list[tuple[int, bytes]]:
    head, _, frames = sent.partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 101 Switching Protocols\r\n"), head
    return websocket_messages(frames)


def closed_with(frames: list[tuple[int, bytes]]) -> int:
    opcode, payload = frames[-1]
    assert opcode == CLOSE
    return int(struct.unpack_from(">H", payload)[0])


def reply(request: Request) -> Reply:
    return Reply(request.parameters)


# --- the wire


MASK = b"\x00\x00\x00\x00"
CONVERSATION = HANDSHAKE + b"".join(
    [
        websocket_frame(b'{"command_id": "a", "x": 1}\n', mask=MASK),
        websocket_frame(b"hi", PING, mask=MASK),
        websocket_frame(b'{"image": {"file": "a.jpg"}}', mask=MASK),
        websocket_frame(b'{"command_id"', fin=False, mask=MASK),
        websocket_frame(b"", CONTINUED, fin=False, mask=MASK),
        websocket_frame(b"now", PING, mask=MASK),
        websocket_frame(b': "b\xc2\xb5"}', CONTINUED, mask=MASK),
        websocket_frame(b'{"command_id": "c"}', BINARY, mask=MASK),
        websocket_frame(b"[1]", mask=MASK),
        websocket_frame(b"quit\n", mask=MASK),
        websocket_frame(b'{"command_id": "late"}', mask=MASK),
    ]
)
ANSWERED = [
    (TEXT, b'{"status":"success","command_id":"a","result":{"x":1}}'),
    (TEXT, b"O.k."),
    (TEXT, '{"status":"success","command_id":"bµ","result":{}}'.encode()),
    (TEXT, b'{"status":"success","command_id":"c","result":{}}'),
    (
        TEXT,
        b'{"status":"fail","code":"malformed","error":"expected one JSON object, got an array"}',
    ),
    (TEXT, b"bye"),
    (CLOSE, b"\x03\xe8"),
]


def check_conversation(chunks: list[bytes]) -> None:
    outcome = talk(chunks, reply)
    assert outcome.closed
    frames = frames_of(outcome.sent)
    assert ACCEPT in outcome.sent
    assert [frame for frame in frames if frame[0] != PONG] == ANSWERED
    assert [frame for frame in frames if frame[0] == PONG] == [(PONG, b"hi"), (PONG, b"now")]


def test_a_conversation_whole_and_byte_by_byte() -> None:
    """Messages in one frame and in several, pings among them, quit, and nothing after it."""
    check_conversation([CONVERSATION])
    check_conversation(one_by_one(CONVERSATION))


@given(st.lists(st.integers(0, 10**6)))
def test_a_conversation_in_any_pieces(cuts: list[int]) -> None:
    check_conversation(pieces(CONVERSATION, cuts))


@given(
    st.binary(max_size=100),
    st.sampled_from([b"GET ", HANDSHAKE[:-2], HANDSHAKE]),
    st.lists(st.integers(0, 400), max_size=5),
    st.booleans(),
)
def test_garbage(data: bytes, begin: bytes, cuts: list[int], eof: bool) -> None:
    """Nothing but the link's errors is raised, and cuts change nothing that is executed."""
    whole, cut = (
        talk(chunks, reply, eof=eof) for chunks in ([begin + data], pieces(begin + data, cuts))
    )
    assert cut.requests == whole.requests
    assert cut.closed == whole.closed


@given(st.binary(max_size=100), st.integers(0, 15), st.lists(st.integers(0, 400), max_size=5))
def test_garbage_in_frames(data: bytes, opcode: int, cuts: list[int]) -> None:
    stream = HANDSHAKE + websocket_frame(data, opcode, mask=MASK)
    stream += websocket_frame(b'{"command_id": "a"}', mask=MASK)
    assert talk(pieces(stream, cuts), reply).requests == talk([stream], reply).requests


@pytest.mark.parametrize("handshake", ["foreign", "old", "broken"])
def test_frames_behind_a_refused_handshake(handshake: str) -> None:
    """They are not looked at, though they came in the same segment."""
    start = {
        "foreign": HANDSHAKE[:-2] + b"Origin: http://evil.example\r\n\r\n",
        "old": HANDSHAKE.replace(b"Version: 13", b"Version: 8"),
        "broken": b"GET / HTTP/1.1\r\nnonsense\r\n\r\n",
    }[handshake]
    stream = start + websocket_frame(SET.encode())
    for chunks in ([stream], one_by_one(stream)):
        outcome = talk(chunks, reply)
        assert [type(request) for request in outcome.requests] in ([], [str])  # it is refused
        assert outcome.closed


def test_quit_and_close_together() -> None:
    """A client may close at once behind its quit, and behind a request, which is executed."""
    stream = HANDSHAKE + websocket_frame(SET.encode()) + websocket_frame(b"quit\n")
    stream += websocket_frame(b"\x03\xe8", CLOSE)
    outcome = talk([stream], reply)
    assert [type(request) for request in outcome.requests] == [Request]
    assert outcome.closed
    assert closed_with(frames_of(outcome.sent)) == 1000


def test_quit_behind_which_the_client_has_closed() -> None:
    """No frame may follow the close that has been answered."""
    stream = HANDSHAKE + websocket_frame(b"quit\n") + websocket_frame(b"\x03\xe8", CLOSE)
    outcome = talk([stream], reply)
    assert (frames_of(outcome.sent), outcome.closed) == ([(CLOSE, b"\x03\xe8")], True)


def test_empty_frames_take_no_memory_for_ever() -> None:
    """Messages without a byte count as well while they wait; fragments without one do not."""
    wire = WebSocketWire(WireOptions())
    wire.receive_data(HANDSHAKE)
    receive_all(wire, websocket_frame(b"", mask=MASK) * 1000)
    assert wire.buffered == 1000
    receive_all(wire, websocket_frame(b"", fin=False, mask=MASK))
    receive_all(wire, websocket_frame(b"", CONTINUED, fin=False, mask=MASK) * 1000)
    assert wire.buffered == 1000


def receive_all(wire: WebSocketWire, data: bytes) -> None:
    wire.receive_data(data)
    while wire.unfinished:
        wire.receive_data(b"")


def test_a_flood_of_frames_takes_turns() -> None:
    """Only so many are looked at in one go, of messages and of others; a large one is taken."""
    wire = WebSocketWire(WireOptions())
    wire.receive_data(HANDSHAKE + websocket_frame(b"{}", mask=MASK) * 20_000)
    assert wire.unfinished
    assert sum(1 for _ in iter_refusals(wire)) < FRAMES_AT_ONCE + PIECE
    receive_all(wire, b"")
    wire.data_to_send()
    wire.receive_data(websocket_frame(b"", PING, mask=MASK) * 20_000)
    assert wire.unfinished
    assert len(wire.data_to_send()) < 2 * (FRAMES_AT_ONCE + PIECE)
    receive_all(wire, b"")
    wire.receive_data(websocket_frame(b"x" * (1 << 20), mask=MASK))
    assert not wire.unfinished
    wire.receive_data(websocket_frame(b"", PING, mask=MASK) * 20_000)
    wire.receive_eof()
    assert not wire.unfinished


def test_lines_take_turns_as_frames_do() -> None:
    wire = WebSocketWire(WireOptions())
    wire.receive_data(b"GET / \n" + b"\n" * 20_000)
    assert wire.unfinished


def test_a_large_message_leaves_nothing_behind() -> None:
    """Neither while its connection stays, nor until the garbage collector comes afterwards."""
    size = 1024 * 1024
    frame = websocket_frame(b'{"command_id": "echo", "text": "%b"}' % (b"x" * size), mask=MASK)
    wire = WebSocketWire(WireOptions())
    receive_all(wire, HANDSHAKE)
    tracemalloc.start()
    try:
        receive_all(wire, frame)
        request = wire.next_request()
        while request is None:
            assert wire.unfinished
            wire.receive_data(b"")
            request = wire.next_request()
        assert len(request.parameters["text"]) == size
        del request
        left, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert left < size / 4


def test_what_follows_a_refusal_is_not_read() -> None:
    wire = WebSocketWire(WireOptions())
    wire.receive_data(HANDSHAKE.replace(b"Version: 13", b"Version: 8") + b"\n" * 20_000)
    assert (wire.unfinished, wire.buffered) == (False, 0)
    assert wire.data_to_send().startswith(b"HTTP/1.1 400 Bad Request\r\n")


def iter_refusals(wire: WebSocketWire) -> Iterator[str]:
    while (request := wire.next_request()) is not None:
        assert request.refusal is not None
        yield str(request.refusal)


def test_every_frame_of_a_flood_is_answered(serve: Serve) -> None:
    """Though they take turns, and while the connection's end is already there behind them."""
    flood = (websocket_frame(b"", PING) + websocket_frame(SET.encode())) * 1000
    with connected(serve()) as websocket:
        websocket.sendall(HANDSHAKE + flood + websocket_frame(b"quit"))
        frames = frames_of(read_all(websocket))
    assert [opcode for opcode, _ in frames].count(PONG) == 1000
    assert [json.loads(data) for opcode, data in frames if opcode == TEXT and data != b"bye"] == (
        [SET_REPLY] * 1000
    )
    assert frames[-2:] == [(TEXT, b"bye"), (CLOSE, b"\x03\xe8")]


@pytest.mark.parametrize(
    ("frames", "code"),
    [
        (websocket_frame(b"\xff\xfe"), 1007),
        (websocket_frame(b'{"a": "\xc3', fin=False) + websocket_frame(b'"}', CONTINUED), 1007),
        (websocket_frame(b"x" * 1001), 1009),
        (websocket_frame(b"x" * 600, fin=False) + websocket_frame(b"x" * 600, CONTINUED), 1009),
        (websocket_frame(b"", size=(1 << 63) - 1), 1009),
        (b"\x81\xff" + b"\x80" + bytes(7) + MASK, 1009),  # 2**63 bytes
        (b"\x81\x02hi", 1002),  # not masked
        (websocket_frame(b"", 3), 1002),  # a reserved opcode
        (websocket_frame(b"", CONTINUED), 1002),
        (websocket_frame(b"x" * 126, PING), 1002),
        (b"\xc1\x80" + MASK, 1002),  # compressed, which was not agreed on
    ],
)
def test_frames_that_end_the_connection(
    serve: Serve, probe: Probe, frames: bytes, code: int
) -> None:
    """A broken or too large frame gets the close code of RFC 6455, section 7.4.1, and no more."""
    server = serve(max_request=1000)
    stream = HANDSHAKE + frames
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    assert (
        closed_with(frames_of(answer_to(server, stream + websocket_frame(SET.encode())))) == code
    )
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 16 * 1024
    assert probe.executed == []
    with client(server) as websocket:
        websocket.send(SET)
        assert json.loads(websocket.recv(PATIENCE)) == SET_REPLY


def test_too_deep(serve: Serve, probe: Probe) -> None:
    """The depth limit of the JSON dialect holds here, and the connection goes on."""
    with client(serve()) as websocket:
        for depth, answer in ((98, "success"), (99, "fail"), (100_000, "fail")):
            websocket.send('{"command_id": "echo", "value": [' + "[" * depth + "]" * depth + "]}")
            answered = json.loads(websocket.recv(PATIENCE))
            assert answered["status"] == answer
        assert answered["error"] == "nested deeper than 100 levels"
    assert probe.executed == ["echo"]


# --- the server


def handshake(server: LinkServer, *headers: str) -> bytes:
    lines = "".join(f"{header}\r\n" for header in headers).encode()
    with connected(server) as raw:
        raw.sendall(HANDSHAKE[:-2] + lines + b"\r\n")
        raw.shutdown(socket.SHUT_WR)
        return read_all(raw).partition(b"\r\n")[0]


def test_origins(serve: Serve) -> None:
    """Of web pages only those that the keeper allowed are served, and the server's own.

    Programs send no Origin."""
    server = serve(origins=["http://lab-pc:8080"])
    assert handshake(server, "Origin: http://evil.example") == b"HTTP/1.1 403 Forbidden"
    assert handshake(server, "Origin: null") == b"HTTP/1.1 403 Forbidden"
    assert handshake(server, "Origin: http://lab-pc") == b"HTTP/1.1 403 Forbidden"
    assert handshake(server, "Origin: http://lab-pc:8080").startswith(b"HTTP/1.1 101 ")
    assert handshake(server).startswith(b"HTTP/1.1 101 ")
    other_port = handshake(serve(), "Origin: http://localhost:8080")
    assert other_port == b"HTTP/1.1 403 Forbidden"
    assert handshake(server, "Origin: http://localhost").startswith(b"HTTP/1.1 101 ")


@pytest.mark.parametrize(
    ("request_", "status"),
    [
        (HANDSHAKE.replace(b"Version: 13", b"Version: 8"), b"HTTP/1.1 400 "),
        (HANDSHAKE.replace(b"dGhlIHNhbXBsZSBub25jZQ==", b"short"), b"HTTP/1.1 400 "),
        (HANDSHAKE.replace(b"Upgrade: websocket", b"Upgrade: websocket, h2c"), b"HTTP/1.1 426 "),
        (HANDSHAKE.replace(b"/ ", b"/" + b"a" * 10_000 + b" "), b"HTTP/1.1 414 "),
        (HANDSHAKE[:-2] + b"A: " + b"a" * 10_000 + b"\r\n\r\n", b"HTTP/1.1 431 "),
        (HANDSHAKE[:-2] + b"A: a\r\n" * 1000 + b"\r\n", b"HTTP/1.1 431 "),
        (HANDSHAKE[:-2] + b"A: " + b"a" * 20_000 + b"\r\n\r\n", b"HTTP/1.1 431 "),
        (HANDSHAKE[:-2] + b"broken\r\n\r\n", b"HTTP/1.1 400 "),
        (HANDSHAKE[:-2] + b"Content-Length: 5\r\n\r\n", b"HTTP/1.1 400 "),
    ],
)
def test_handshakes_that_fail(serve: Serve, request_: bytes, status: bytes) -> None:
    """HTTP's own answers, and always the end."""
    assert answer_to(serve(), request_).startswith(status)


@pytest.mark.parametrize(
    "begun", [b"GET ", HANDSHAKE[:40], HANDSHAKE[:-2], HANDSHAKE[:-1], b"GET /" + b"a" * 100]
)
def test_a_handshake_that_is_not_finished(serve: Serve, begun: bytes) -> None:
    """It is given up after its time, in HTTP's words: what it would have become, nobody knows."""
    answered = answer_to(serve(request_time=0.05), begun)
    assert answered.startswith(b"HTTP/1.1 400 Bad Request\r\n")
    assert answered.endswith(b"the request was not whole after 0.05 s\n")


def test_half_a_message(serve: Serve, probe: Probe) -> None:
    """A message that does not become whole is given up after its time, and says why."""
    server = serve(request_time=0.05)
    for part in (websocket_frame(SET.encode())[:-1], websocket_frame(SET.encode(), fin=False)):
        [(opcode, text), closing] = frames_of(answer_to(server, HANDSHAKE + part))
        assert closed_with([closing]) == 1008
        assert opcode == TEXT
        assert json.loads(text)["error"] == "the request was not whole after 0.05 s"
    assert probe.executed == []


def test_half_close_in_every_state(serve: Serve, probe: Probe) -> None:
    """The client's end ends the connection, whatever it had begun."""
    server = serve()
    for data in (b"GET ", HANDSHAKE[:-2], HANDSHAKE, HANDSHAKE + b"\x81", HANDSHAKE + b"\x01\x80"):
        answer_to(server, data, eof=True)
    assert probe.executed == []


def test_a_byte_at_a_time(serve: Serve) -> None:
    """A slow sender is served."""
    with connected(serve()) as raw:
        for byte in one_by_one(
            HANDSHAKE + websocket_frame(SET.encode()) + websocket_frame(b"quit")
        ):
            raw.sendall(byte)
        frames = frames_of(read_all(raw))
    assert json.loads(frames[0][1]) == SET_REPLY
    assert (frames[1], closed_with(frames)) == ((TEXT, b"bye"), 1000)


def test_nothing_is_sent_behind_a_close(serve: Serve, probe: Probe) -> None:
    """A client that has closed gets no reply; its command was whole and has been executed."""
    stream = HANDSHAKE + websocket_frame(SET.encode()) + websocket_frame(b"\x03\xe8", CLOSE)
    frames = frames_of(answer_to(serve(), stream))
    assert closed_with(frames) == 1000
    assert probe.executed == [(0, 80e6)]


# --- buffers


DOUBLES = np.array([1.0, -0.5, 2.0])
QUITTING = np.frombuffer(b"quit", "|u1")
"""As a message of its own it would end the connection."""


def with_buffers(*arrays: np.ndarray[Any, Any]) -> list[bytes]:
    """The messages of a request with arrays as buffers."""
    message = {
        "command_id": "echo",
        "value": [
            object_of("nparray", list(array.shape), array.dtype.str, {"buffer": number})
            for number, array in enumerate(arrays)
        ],
        "link": {"buffers": [array.nbytes for array in arrays]},
    }
    return [json.dumps(message).encode(), *map(np.ndarray.tobytes, arrays)]


def frames_with_buffers(*arrays: np.ndarray[Any, Any]) -> bytes:
    text, *buffers = with_buffers(*arrays)
    return websocket_frame(text) + b"".join(websocket_frame(each, BINARY) for each in buffers)


def sums_of(request: Request) -> Reply:
    """What was sent, as numbers, so that a test sees them in the reply."""
    return Reply([array.sum() for array in request.parameters["value"]])


BUFFERED = b"".join(
    [
        HANDSHAKE,
        frames_with_buffers(QUITTING, DOUBLES[:0], DOUBLES),
        websocket_frame(b"hi", PING),
        frames_with_buffers(DOUBLES)[:-12],
        frames_with_buffers(DOUBLES)[-12:],
        websocket_frame(b'{"command_id": "b", "value": []}'),
    ]
)


def check_buffered(chunks: list[bytes]) -> None:
    outcome = talk(chunks, sums_of)
    assert not outcome.closed
    said = [json.loads(data) for opcode, data in frames_of(outcome.sent) if opcode == TEXT]
    assert [reply["result"] for reply in said] == [[sum(b"quit"), 0.0, 2.5], [2.5], []]
    assert [reply.get("link") for reply in said] == [{"buffers": True}, {"buffers": True}, None]


def test_buffers_whole_and_byte_by_byte() -> None:
    """A binary message for each, whatever it holds; then the next request."""
    check_buffered([BUFFERED])
    check_buffered(one_by_one(BUFFERED))


@given(st.lists(st.integers(0, 10**6), max_size=8))
def test_buffers_in_any_pieces(cuts: list[int]) -> None:
    check_buffered(pieces(BUFFERED, cuts))


def test_a_buffer_in_several_frames() -> None:
    text, buffer = with_buffers(DOUBLES)
    frames = [
        websocket_frame(text),
        websocket_frame(buffer[:5], BINARY, fin=False),
        websocket_frame(buffer[5:], CONTINUED),
    ]
    [request] = talk([HANDSHAKE, *frames]).requests
    assert isinstance(request, Request)
    [array] = request.parameters["value"]
    assert array.tolist() == DOUBLES.tolist()
    assert array.flags.writeable
    assert array.flags.aligned


def test_a_reply_with_buffers() -> None:
    """The text message, and behind it a binary one for each; small arrays stay in the text."""
    large = np.arange(MIN_BUFFER / 8)
    for link, numbers in (("true", [0, 1]), ("[]", [0, 1]), ("false", [])):
        request = b'{"command_id": "a", "link": {"buffers": %s}}' % link.encode()
        outcome = talk(
            [HANDSHAKE, websocket_frame(request)], lambda _: Reply([large, -large, large[:2]])
        )
        (opcode, text), *binary = frames_of(outcome.sent)
        message = json.loads(text)
        assert opcode == TEXT
        assert binary == [(BINARY, each.tobytes()) for each in (large, -large)][: len(numbers)]
        places = [each["__jsonclass__"][1][2] for each in message["result"]]
        assert [each for each in places if isinstance(each, dict)] == [
            {"buffer": number} for number in numbers
        ]
        assert message.get("link") == ({"buffers": [MIN_BUFFER] * 2} if numbers else None)


B = b'{"command_id": "b"}'
REFUSED = b'{"status":"fail","code":"malformed","error":"%s"}'
B_EXECUTED = (TEXT, b'{"status":"success","command_id":"b","result":null}')


@pytest.mark.parametrize("sizes", [[23, 4], [25, 4], [24, 3], [0, 0], [4, 24]])
def test_messages_of_other_lengths(sizes: list[int]) -> None:
    """Nothing is executed, and the next request begins behind as many as were announced."""
    text, *_ = with_buffers(DOUBLES, QUITTING)
    frames = [websocket_frame(b"quit".ljust(size)[:size], BINARY) for size in sizes]
    outcome = talk([HANDSHAKE, websocket_frame(text), *frames, websocket_frame(B)])
    [refusal, request] = outcome.requests
    number = 0 if sizes[0] != 24 else 1
    announced = (24, 4)[number]
    assert refusal == (
        f"link.buffers[{number}]: {announced} bytes were announced, and {sizes[number]} came"
    )
    assert isinstance(request, Request)
    assert request.command_id == "b"
    assert frames_of(outcome.sent) == [(TEXT, REFUSED % refusal.encode()), B_EXECUTED]


@pytest.mark.parametrize("come", [0, 1])
def test_a_text_in_the_place_of_a_buffer(come: int) -> None:
    """The request is refused at once; the text is the next one."""
    text, *buffers = with_buffers(DOUBLES, DOUBLES)
    frames = [websocket_frame(each, BINARY) for each in buffers[:come]]
    outcome = talk([HANDSHAKE, websocket_frame(text), *frames, websocket_frame(B)])
    refusal = "expected a binary message for each of link.buffers, got a text"
    assert outcome.requests[0] == refusal
    assert frames_of(outcome.sent) == [(TEXT, REFUSED % refusal.encode()), B_EXECUTED]
    assert not outcome.closed


@pytest.mark.parametrize(
    ("lengths", "code"),
    [
        ([24, -1], "malformed"),
        ([24, True], "malformed"),
        ([1 << 20], "too_large"),
        ([0] * (MAX_BUFFERS + 1), "too_large"),
    ],
)
def test_wrong_announcements(lengths: list[Any], code: str) -> None:
    """What follows are no requests, so the connection ends, with a close frame."""
    text = json.dumps({"command_id": "a", "link": {"buffers": lengths}}).encode()
    data = HANDSHAKE + websocket_frame(text) + websocket_frame(B, BINARY)
    outcome = talk([data], options=WireOptions(max_request=1 << 20))
    (opcode, reply), closing = frames_of(outcome.sent)
    assert opcode == TEXT
    assert json.loads(reply)["code"] == code
    assert closed_with([closing]) == 1008
    assert outcome.closed
    assert len(outcome.requests) == 1


def test_object_and_buffers_are_limited_together() -> None:
    text, buffer = with_buffers(DOUBLES)
    size = len(text) + len(buffer)
    for limit, is_taken in ((size, True), (size - 1, False)):
        options = WireOptions(max_request=limit)
        outcome = talk([HANDSHAKE, frames_with_buffers(DOUBLES)], options=options)
        [request] = outcome.requests
        assert isinstance(request, Request) == is_taken


def test_what_came_counts_until_the_request_is_whole() -> None:
    """The client has to go on in time, also with empty buffers."""
    wire = WebSocketWire(WireOptions())
    receive_all(wire, HANDSHAKE)
    text, *buffers = with_buffers(DOUBLES, DOUBLES[:0])
    assert (wire.buffered, wire.awaiting) == (0, False)
    held = len(text)
    for part in (websocket_frame(text), *(websocket_frame(each, BINARY) for each in buffers)):
        assert wire.next_request() is None
        receive_all(wire, part)
        assert wire.awaiting
        assert wire.buffered >= held
    assert wire.next_request() is not None
    assert (wire.buffered, wire.awaiting) == (0, False)


def test_arrays_there_and_back(serve: Serve) -> None:
    """Through a real server, with a real client, several at once and large."""
    arrays = [np.arange(200_000.0), np.arange(5000, dtype=">i4").reshape(50, 100)]
    with client(serve(), max_size=None) as websocket:
        for _ in range(2):
            text, *buffers = with_buffers(*arrays)
            websocket.send(text.decode())
            for buffer in buffers:
                websocket.send(buffer)
            reply = json.loads(websocket.recv(PATIENCE))
            assert reply["link"] == {"buffers": [array.nbytes for array in arrays]}
            for number, array in enumerate(arrays):
                place = object_of(
                    "nparray", list(array.shape), array.dtype.str, {"buffer": number}
                )
                assert reply["result"][number] == place
                assert websocket.recv(PATIENCE) == array.tobytes()


def test_buffers_that_do_not_come(serve: Serve, probe: Probe) -> None:
    """They are given up after their time, and nothing is executed."""
    text, *_ = with_buffers(DOUBLES)
    data = HANDSHAKE + websocket_frame(text)
    (opcode, reply), closing = frames_of(answer_to(serve(request_time=0.05), data))
    assert opcode == TEXT
    assert json.loads(reply)["error"] == "the request was not whole after 0.05 s"
    assert closed_with([closing]) == 1008
    assert probe.executed == []


# --- real clients


def test_many_messages_on_one_connection(serve: Serve, probe: Probe) -> None:
    """Requests of both shapes, each answered in its own; compression is not offered."""
    with client(serve()) as websocket:
        assert websocket.response is not None
        assert "Sec-WebSocket-Extensions" not in websocket.response.headers
        for _ in range(100):
            websocket.send(SET)
            assert json.loads(websocket.recv(PATIENCE)) == SET_REPLY
        websocket.send('{"set_frequency": {"channel": 1, "frequency": 5}}\n')
        assert websocket.recv(PATIENCE) == "O.k."
        websocket.send('{"set_frequency": {"channel": 1}}')
        assert websocket.recv(PATIENCE) == (
            "Error: missing parameter 'frequency' of 'set_frequency'"
        )
        websocket.send([SET[:10], SET[10:20], SET[20:]])
        assert json.loads(websocket.recv(PATIENCE)) == SET_REPLY
        websocket.send(SET.encode())
        assert json.loads(websocket.recv(PATIENCE)) == SET_REPLY
    assert len(probe.executed) == 103


def test_large_messages(serve: Serve) -> None:
    """Beyond the library's own default limit of 1 MiB, both ways."""
    value = "µ" * (1 << 20)
    with client(serve(), max_size=None) as websocket:
        websocket.send(json.dumps({"command_id": "echo", "value": value}))
        assert json.loads(websocket.recv(PATIENCE))["result"] == value


def test_pong_while_a_command_runs(serve: Serve, probe: Probe) -> None:
    """A client that checks the connection's life is answered at once."""
    with client(serve()) as websocket:
        websocket.send('{"command_id": "wait"}')
        assert probe.started.wait(PATIENCE)
        assert websocket.ping().wait(PATIENCE)
        probe.go_on.set()
        assert json.loads(websocket.recv(PATIENCE))["result"] == "waited"


def test_replies_keep_the_order_of_requests(serve: Serve, probe: Probe) -> None:
    """Messages that wait behind a running command are answered after it."""
    with client(serve()) as websocket:
        websocket.send('{"command_id": "wait"}')
        for number in range(20):
            websocket.send(json.dumps({"command_id": "echo", "value": number}))
        assert probe.started.wait(PATIENCE)
        probe.go_on.set()
        replies = [json.loads(websocket.recv(PATIENCE))["result"] for _ in range(21)]
    assert replies == ["waited", *range(20)]


@pytest.mark.parametrize("quit_stops", [False, True])
def test_quit(serve: Serve, probe: Probe, quit_stops: bool) -> None:
    """``quit`` is answered ``bye`` and closes; the server ends only where that was asked for."""
    server = serve(quit_stops=quit_stops)
    with client(server) as websocket:
        websocket.send("quit\n")
        assert websocket.recv(PATIENCE) == "bye"
        with pytest.raises(ConnectionClosedOK) as closed:
            websocket.recv(PATIENCE)
        assert closed.value.rcvd is not None
        assert closed.value.rcvd.code == 1000
    if quit_stops:
        server_has_ended()
    else:
        with client(server) as websocket:
            websocket.send(SET)
            assert json.loads(websocket.recv(PATIENCE)) == SET_REPLY


def test_a_foreign_page_is_refused(serve: Serve) -> None:
    with pytest.raises(InvalidStatus, match="403"):
        client(serve(), origin="http://evil.example")


def test_a_server_without_eot_text(serve: Serve) -> None:
    """Its shape is then no request."""
    with client(serve(dialects={"websocket"})) as websocket:
        websocket.send('{"set_frequency": {"channel": 1}}')
        assert json.loads(websocket.recv(PATIENCE))["error"] == "missing parameter 'command_id'"


def test_the_librarys_command_line_client(serve: Serve, probe: Probe) -> None:
    """``python -m websockets URI``, the documented way to try it by hand."""
    with subprocess.Popen(
        [sys.executable, "-m", "websockets", f"ws://127.0.0.1:{serve().port}/"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        encoding="utf-8",
    ) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        try:
            for typed, shown in [(SET, '"status":"success"'), ("quit", "bye")]:
                process.stdin.write(typed + "\n")
                process.stdin.flush()
                while shown not in (line := process.stdout.readline()):
                    assert line
            with contextlib.suppress(BrokenPipeError):
                process.stdin.close()
            assert "1000" in process.stdout.read()
        finally:
            process.kill()
    assert probe.executed == [(0, 80e6)]
