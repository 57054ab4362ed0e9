"""The seam that all wires share: requests out of bytes, replies and events into bytes, no more."""

from __future__ import annotations

import json
import random
import re
from typing import Any, NamedTuple

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from artiq_link.errors import ExchangeError, InternalError, failure_of
from artiq_link.exchanges.messages import Event, Reply, Request
from artiq_link.exchanges.registry import Registry
from artiq_link.wire import DIALECTS, select_wire
from artiq_link.wire.base import Wire, WireOptions
from artiq_link.wire.json_stream import JsonWire
from artiq_link.wire.ndsp import NdspWire
from artiq_link.wire.refusal import RefusalWire
from artiq_link.wire.sync_struct import SyncStructWire
from artiq_link.wire.websocket import WebSocketWire
from tests.conftest import Probe
from tests.peers import (
    HANDSHAKE,
    Talk,
    comet_frame,
    pieces,
    posted,
    talk,
    websocket_frame,
    websocket_messages,
)

OPTIONS = WireOptions(registry=Registry({"dds": Probe()}, fallback=lambda action, value: value))

CALLS_V1 = (
    b'{"action": "call", "name": "count", "args": (), "kwargs": {}}\n'
    b'{"action": "call", "name": "ping", "args": (), "kwargs": {}}\n'
    b'{"action": "call", "name": "cuont", "args": (), "kwargs": {}}\n'
    b'{"action": "call", "name": "echo", "args": (1j, ), "kwargs": {}}\n'
    b'{"action": "get_rpc_method_list"}\n'
    b'{"action": "call"}\n'
    b"broken\n"
)
CALLS_V2 = CALLS_V1.replace(b"()", b"[]").replace(
    b"(1j, )", b'[{"__jsonclass__": ["complex", [0.0, 1.0]]}]'
)

CONNECTIONS: dict[str, list[bytes]] = {
    "json": [
        b'{"command_id": "count"}',
        b'{"command_id": "count", "link": {"keep": true, "id": "7"}}\n{"command_id": "fail"}',
        b'{"command_id": "count", "link": {"id": "8", "timeout": "long"}}',
        b'{"command_id": 5}',
        b"{broken}",
    ],
    "eot text": [b'{"count": {}}\x04', b'{"count": \x04', b'{"a": {"b": tru}}'],
    "websocket": [
        HANDSHAKE
        + websocket_frame(b'{"command_id": "count", "link": {"id": "9"}}')
        + websocket_frame(b'{"count": {}}')
        + websocket_frame(b"{broken}")
        + websocket_frame(b'{"command_id": "fail", "link": 5}')
        + websocket_frame(b"quit")
    ],
    "http": [
        b"GET /metrics HTTP/1.1\r\nHost: localhost\r\n\r\n",
        b"GET /metrics HTTP/1.1\r\nHost: evil.example\r\n\r\n",
        b"GET /history.csv HTTP/1.1\r\nHost: localhost\r\n\r\n",
        b"GET /history.csv?since=1h HTTP/1.0\r\n\r\n",
        b"GET /history.csv?colour=red HTTP/1.0\r\n\r\n",
        posted(b'{"token": "0123456789abcdef"}'),
        posted(b'{"token": null}'),
        posted(b"{}"),
        b"HEAD / HTTP/1.1\r\nContent-Length: 5\r\n\r\n",
    ],
    "comet": [
        comet_frame({"action": "echo", "value": {"value": 1}}),
        comet_frame({"action": "count", "value": {}}),
        comet_frame({"action": "plot", "value": [1]}),
        comet_frame({"action": "", "value": 1}),
        comet_frame(b"broken"),
    ],
    "ndsp, pyon v1": [b"ARTIQ pc_rpc\ndds\n" + CALLS_V1],
    "ndsp, pyon v2": [b"ARTIQ pc_rpc\ndds pyon_v2\n" + CALLS_V2],
    "ndsp, refused": [b"ARTIQ pc_rpc\nlaser\n"],
    "sync_struct": [b"ARTIQ sync_struct\ndatasets\n", b"ARTIQ sync_struct\nlink\n"],
    "sync_struct, refused": [b"ARTIQ sync_struct\nlog\n"],
    "unknown dialect": [b"POST / HTTP/1.1\r\n", b"\x16\x03\x01", b"[1]"],
}
"""What clients send, a list of connections for each dialect and form: every kind of request."""

ALL = [data for connections in CONNECTIONS.values() for data in connections]


WRITTEN_ALONE: dict[str, Any] = {
    "link.describe": Probe().describe(),  # NDSP's list of methods is made of it
    "link.metrics": "# EOF\n",
    "link.history": [{"n": 7, "command": "count", "parameters": {"channel": 1}}],
    "link.sign_in": {"session": "artiq-link-session-7", "seconds": 60.0},
    "link.sign_out": None,
}


class Asked(NamedTuple):
    """A request, and the class that read it and writes its reply."""

    wire: type[Wire]
    request: Request

    def write(self, reply: Reply) -> bytes:
        # What these answer is written in a form that nothing else has.
        if self.request.command_id in WRITTEN_ALONE and reply.error is None:
            reply = Reply(WRITTEN_ALONE[self.request.command_id])
        if self.request.command_id == "link.subscribe" and reply.error is None:
            reply = subscribed(reply.result)
        return self.wire.encode_reply(self.request, reply)


def subscribed(state: object) -> Reply:
    """What `link.subscribe` answers where an instrument is in a state."""
    return Reply({"instruments": {"dds": {"version": 1, "state": state}}})


def requests_of(data: bytes) -> list[Asked]:
    """All requests and refusals of one connection."""
    wire = select_wire(data, OPTIONS)
    assert wire is not None
    wire.receive_data(data)
    asked: list[Asked] = []
    while not wire.closed:
        request = wire.next_request()
        wire = wire.successor or wire
        if request is None:
            request = wire.next_request()
        if request is None:
            break
        asked.append(Asked(type(wire), request))
        wire.closed |= request.ends
    return asked


ASKED = [asked for data in ALL for asked in requests_of(data)]

REPLIES = [
    *map(Reply, (None, True, 80e6, "µ", {"frequency": [1, 2.5]}, np.arange(3))),
    *(Reply(error=kind("why", "channel")) for kind in ExchangeError.__subclasses__()),
    Reply(error=InternalError("why")),
    Reply(error=failure_of(ZeroDivisionError("by 0"))),
]

WRITTEN = [[asked.write(reply) for reply in REPLIES] for asked in ASKED]


def test_every_kind_of_request_is_here() -> None:
    """Those of each wire, taken and refused, ending their connection and not."""
    wires = {dialect.wire for dialect in DIALECTS} | {RefusalWire, WebSocketWire}
    assert {asked.wire for asked in ASKED} == wires
    for wire in wires - {RefusalWire}:
        refused = {asked.request.refusal is not None for asked in ASKED if asked.wire is wire}
        assert refused == {True, False}
    assert {asked.request.ends for asked in ASKED} == {True, False}


@settings(max_examples=30)
@given(
    st.lists(
        st.tuples(
            st.integers(0, len(ASKED) - 1),
            st.integers(0, len(REPLIES) - 1),
        ),
        max_size=50,
    )
)
def test_a_reply_depends_on_its_request_alone(order: list[tuple[int, int]]) -> None:
    """Written again, in any order and among those of all dialects, its bytes are the same."""
    for which, reply in order:
        assert ASKED[which].write(REPLIES[reply]) == WRITTEN[which][reply]


@pytest.mark.parametrize("asked", ASKED)
def test_a_refusal_and_a_success_are_told_apart(asked: Asked) -> None:
    """Wherever the dialect has words at all; a refused connection has its one answer."""
    success, failure = asked.write(Reply(1)), asked.write(Reply(error=InternalError("why")))
    if asked.request.command_id in WRITTEN_ALONE:
        assert success != failure
    elif asked.wire is RefusalWire:
        assert success == failure == asked.request.form
    elif asked.wire is NdspWire and asked.request.form is None:
        assert success == failure == b""
    elif asked.wire is SyncStructWire:
        assert failure == b""
        assert (success == b"") is (asked.request.refusal is not None)
    else:
        assert b"why" in failure
        assert b"why" not in success


def carries_results(asked: Asked) -> bool:
    """Whether what the command returned can be seen in the reply."""
    return asked.write(Reply(1)) != asked.write(Reply(2))


@pytest.mark.parametrize("asked", [*filter(carries_results, ASKED)])
def test_what_no_dialect_carries(asked: Asked) -> None:
    """A result that cannot be written is told to the caller."""
    with pytest.raises(TypeError):
        asked.write(Reply(object()))


@pytest.mark.parametrize("data", ALL)
def test_writing_replies_changes_no_wire(data: bytes) -> None:
    """A wire whose requests are answered gives the same ones as one that answers nothing."""
    first, second = select_wire(data, OPTIONS), select_wire(data, OPTIONS)
    assert first is not None
    assert second is not None
    for wire in (first, second):
        wire.receive_data(data)
    while (request := first.next_request()) is not None:
        for reply in REPLIES:
            Asked(type(first), request).write(reply)
        other = second.next_request()
        assert other is not None
        assert (other.command_id, other.parameters) == (request.command_id, request.parameters)
        assert (other.ends, second.closed) == (request.ends, first.closed)
        assert undated(first.data_to_send()) == undated(second.data_to_send())
        if request.ends:
            return
    assert second.next_request() is None
    assert (first.closed, first.buffered) == (second.closed, second.buffered)


def undated(sent: bytes) -> bytes:
    """What was sent, without the second in which a WebSocket's handshake was answered."""
    return re.sub(rb"\r\nDate: [^\r]*", b"", sent)


def told(request: Request) -> Reply:
    """An answer that says what was asked."""
    if request.parameters.get("after") == 7:
        return Reply([])  # behind the last row
    if request.command_id in WRITTEN_ALONE:
        return Reply(WRITTEN_ALONE[request.command_id])
    if request.command_id == "link.subscribe":
        return subscribed({"frequency": 80e6})
    return Reply([request.command_id, request.parameters.get("value")])


@settings(max_examples=50)
@given(
    st.lists(st.sampled_from(ALL), min_size=2, max_size=4),
    st.lists(st.integers(0, 500), max_size=6),
    st.randoms(use_true_random=False),
)
def test_connections_do_not_mix(
    connections: list[bytes], cuts: list[int], turns: random.Random
) -> None:
    """Fed in turns, piece by piece, each connection comes to what it comes to alone."""
    talks = [Talk(told, OPTIONS) for _ in connections]
    left = [pieces(data, cuts) for data in connections]
    while any(left):
        which = turns.choice([index for index, each in enumerate(left) if each])
        talks[which].receive_data(left[which].pop(0))
    for data, each in zip(connections, talks, strict=True):
        alone = talk(pieces(data, cuts), told, OPTIONS)
        assert undated(each.outcome.sent) == undated(alone.sent)
        assert (each.outcome.requests, each.outcome.closed) == (alone.requests, alone.closed)


EVENT = Event("state", "dds", {"version": 18, "patch": {"frequency": 80e6}})
AS_OBJECT = {
    "event": "state",
    "instrument": "dds",
    "version": 18,
    "patch": {"frequency": 80e6},
}


def test_events() -> None:
    """The dialects that can be pushed to write them, once and again; the others have no words.

    What is an event to a subscriber of sync_struct hangs on what it was told before.
    """
    for wire in {dialect.wire for dialect in DIALECTS} | {RefusalWire, WebSocketWire}:
        if wire is SyncStructWire:
            continue
        written = wire.encode_event(EVENT)
        assert wire.encode_event(EVENT) == written
        if wire is JsonWire:
            assert written is not None
            assert written.endswith(b"}\n")
            assert json.loads(written) == AS_OBJECT
        elif wire is WebSocketWire:
            assert written is not None
            [(opcode, text)] = websocket_messages(written)
            assert (opcode, json.loads(text)) == (1, AS_OBJECT)
        else:
            assert written is None
