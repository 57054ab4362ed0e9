"""COMET frames: the recorded peer's bytes, and what is no frame."""

from __future__ import annotations

import json
import resource
import struct
import sys
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from artiq_link import LinkServer
from artiq_link.exchanges.messages import Reply, Request
from artiq_link.exchanges.registry import Registry
from artiq_link.values import array_to_object
from artiq_link.wire.base import WireOptions
from tests.conftest import Probe
from tests.peers import (
    answer_to,
    comet_content,
    comet_frame,
    connected,
    conversations,
    one_by_one,
    pieces,
    read_all,
    talk,
)

Serve = Callable[..., LinkServer]
RECORDED = conversations("comet")
SET = {"action": "set_frequency", "value": {"channel": 0, "frequency": 80e6}}
ACHIEVED = {"result": {"frequency": 80e6}}


def respond(action: str, value: Any) -> str | None:
    """Answer as the recorded program does, in its own spelling."""
    return None if action == "silent" else f"Recieved: {action} {value}"


def answer(request: Request) -> Reply:
    assert request.is_message
    return Reply(respond(request.command_id, request.parameters["value"]))


WITH_FALLBACK = WireOptions(registry=Registry(fallback=respond))


@pytest.mark.skipif(sys.byteorder == "big", reason="the recording is a little-endian machine's")
@pytest.mark.parametrize(("asked", "answered"), RECORDED)
@pytest.mark.parametrize("rest", [b"", b"\n", b'\x00\x02{}{"action"'])
def test_transcripts(asked: bytes, answered: bytes, rest: bytes) -> None:
    """Each recorded frame gets the recorded bytes, header and all, whatever follows it."""
    for chunks in ([asked + rest], one_by_one(asked + rest)):
        outcome = talk(chunks, answer, WITH_FALLBACK)
        assert (outcome.sent, outcome.closed) == (answered, True)
        assert len(outcome.requests) == 1


@given(st.sampled_from(RECORDED), st.lists(st.integers(0, 300)))
def test_transcripts_in_any_pieces(recorded: tuple[bytes, bytes], cuts: list[int]) -> None:
    asked, answered = recorded
    outcome = talk(pieces(asked, cuts), answer, WITH_FALLBACK)
    assert comet_content(outcome.sent) == comet_content(answered)


def test_transcripts_on_a_server(serve: Serve) -> None:
    """The fallback is asked for what is no command."""

    def nobody(data: dict[str, Any]) -> None:
        raise AssertionError(data)

    server = serve({}, interact=nobody, fallback=respond)
    for asked, answered in RECORDED:
        assert comet_content(answer_to(server, asked)) == comet_content(answered)


def test_binary_content(serve: Serve) -> None:
    """Its reply repeats ten bytes, under the server's content type."""
    frame = comet_frame(
        b"0123456789ABC",
        **{"content-type": "binary/custom-client-binary-type", "content-encoding": "binary"},
    )
    reply = answer_to(serve(), frame)
    (length,) = struct.unpack_from(">H", reply)
    assert json.loads(reply[2 : 2 + length]) == {
        "byteorder": sys.byteorder,
        "content-type": "binary/custom-server-binary-type",
        "content-encoding": "binary",
        "content-length": 37,
    }
    assert reply[2 + length :] == b"First 10 bytes of request: 0123456789"


def test_commands_and_values(serve: Serve, probe: Probe) -> None:
    """A known command with an object runs; a value that is no object is not its parameters."""
    server = serve()
    assert comet_content(answer_to(server, comet_frame(SET))) == ACHIEVED
    prefixed = {**SET, "action": "dds.set_frequency"}
    assert comet_content(answer_to(server, comet_frame(prefixed))) == ACHIEVED
    refused = comet_frame({**SET, "value": [0, 80e6]})
    assert comet_content(answer_to(server, refused)) == {
        "result": "Error: 'set_frequency' has no parameter 'value'"
    }
    assert probe.executed == [(0, 80e6)] * 2


def test_arrays(serve: Serve) -> None:
    """Arrays travel as in JSON, also those that have no truth of their own."""
    array = array_to_object(np.arange(3.0))
    server = serve(fallback=lambda action, value: type(value).__name__)
    echoed = comet_frame({"action": "echo", "value": {"value": array}})
    assert comet_content(answer_to(server, echoed)) == {"result": array}
    bare = comet_frame({"action": "plot", "value": array})
    assert comet_content(answer_to(server, bare)) == {"result": "ndarray"}
    named = comet_frame({"action": array, "value": 1})
    assert comet_content(answer_to(server, named))["result"].startswith("Error: invalid action")


def test_commands_without_parameters(serve: Serve) -> None:
    """Their value is empty, which COMET's own peers refuse for their actions."""
    server = serve(fallback=lambda action, value: "asked")
    for action, result in {
        "count": 0,
        "dds.count": 0,
        "link.ping": True,
        "plot_data": "Error: invalid action and or value plot_data, {}",
        "other.count": "Error: invalid action and or value other.count, {}",
    }.items():
        sent = answer_to(server, comet_frame({"action": action, "value": {}}))
        assert comet_content(sent) == {"result": result}


@pytest.mark.parametrize(
    ("action", "value", "is_message"),
    [
        ("count", {"a": 1}, False),
        ("dds.count", {}, False),
        ("count", "x", True),
        ("plot_data", {"a": 1}, True),
        ("link.ping", {}, False),
        ("link.ping", "x", False),
        ("link.pong", {}, False),
    ],
)
def test_which_are_messages(action: str, value: Any, is_message: bool) -> None:
    """What names no command is the fallback's; what begins with ``link.`` never is."""
    options = WireOptions(registry=Registry({"dds": Probe()}, fallback=respond))
    [request] = talk([comet_frame({"action": action, "value": value})], options=options).requests
    assert isinstance(request, Request)
    assert request.is_message is is_message
    is_object = isinstance(value, dict) and not is_message
    assert request.parameters == (value if is_object else {"value": value})


@pytest.mark.parametrize(
    ("content", "shown"),
    [
        ({"action": "get", "value": False}, "get, False"),
        ({"action": "get", "value": 0}, "get, 0"),
        ({"action": "get", "value": ""}, "get, "),
        ({"action": "get", "value": []}, "get, []"),
        ({"action": "get"}, "get, None"),
        ({"action": "", "value": "x"}, ", x"),
        ({"action": 5, "value": "x"}, "5, x"),
        ({"action": ["a"], "value": "x"}, "['a'], x"),
        ({}, "None, None"),
        ({"action": "", "value": "x" * 1000}, ", " + "x" * 60),
    ],
)
def test_falsy_action_or_value(content: Any, shown: str) -> None:
    """They get COMET's own sentence, in which nothing long is repeated."""
    sent = talk([comet_frame(content)]).sent
    assert comet_content(sent) == {"result": f"Error: invalid action and or value {shown}"}


def header(**changed: Any) -> bytes:
    return comet_frame(SET, **{name.replace("_", "-"): value for name, value in changed.items()})


def raw(text: bytes) -> bytes:
    return struct.pack(">H", len(text)) + text


DEEP = b'{"action": "echo", "value": {"value": ' + b"[" * 99 + b"]" * 99 + b"}}"

BAD = [
    (raw(b"{}"), "the frame's header lacks 'byteorder'"),
    (raw(b'{"byteorder": "little"}'), "the frame's header lacks 'content-type'"),
    (raw(b"{nonsense}"), "not JSON: "),
    (raw(b'{"a": "\xff"}'), "not UTF-8: byte 0xff"),
    (raw(b'{"a": ' + b"[" * 200), "nested deeper than 100 levels"),
    (header(content_length=1 << 32), "the frame announces 4294967296 bytes, over the limit of "),
    (header(content_length=-1), "content-length: expected a count of bytes, got -1"),
    (header(content_length=5.0), "content-length: expected a count of bytes, got 5.0"),
    (header(content_length=True), "content-length: expected a count of bytes, got True"),
    (header(content_length="5"), "content-length: expected a count of bytes, got '5'"),
    (header(content_length=[]), "content-length: expected a count of bytes, got []"),
    (header(content_type="text/plain"), "content-type: expected 'text/json', got 'text/plain'"),
    (header(content_type=[]), "content-type: expected 'text/json', got []"),
    (header(content_type={}), "content-type: expected 'text/json', got {}"),
    (header(content_type=array_to_object(np.arange(3))), "content-type: expected 'text/json', go"),
    (header(content_encoding="utf-16"), "content-encoding: expected 'utf-8', got 'utf-16'"),
    (comet_frame(b"[1]"), "the frame's content is not an object"),
    (comet_frame(b"5"), "the frame's content is not an object"),
    (comet_frame(b"{broken"), "not JSON: "),
    (comet_frame(b""), "not JSON: "),
    (comet_frame(b'{"action": "\xff"}'), "not UTF-8: byte 0xff"),
    (comet_frame(DEEP), "nested deeper than 100 levels"),
]


@pytest.mark.parametrize(("data", "sentence"), BAD)
def test_bad_frames(data: bytes, sentence: str) -> None:
    """What is no frame is refused in one, as soon as it is seen, however it is cut."""
    outcome = talk([data])
    assert comet_content(outcome.sent)["result"].startswith(f"Error: {sentence}")
    assert outcome.closed
    assert talk(one_by_one(data)) == outcome


def test_bad_frames_on_a_server(serve: Serve, probe: Probe) -> None:
    """Each is answered, nothing is executed, and the next client is served."""
    server = serve()
    for data, sentence in BAD:
        assert comet_content(answer_to(server, data))["result"].startswith(f"Error: {sentence}")
    assert probe.executed == []
    assert comet_content(answer_to(server, comet_frame(SET))) == ACHIEVED


def test_four_gigabytes_announced(serve: Serve) -> None:
    """No memory is taken for what is only announced."""
    server = serve()
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    assert b"over the limit" in answer_to(server, header(content_length=4 << 30))
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 16 * 1024


def test_limit() -> None:
    """A content of exactly the limit is taken, one byte more is not."""
    frame = comet_frame(SET)
    size = len(json.dumps(SET))
    assert isinstance(talk([frame], options=WireOptions(max_request=size)).requests[0], Request)
    refused = talk([frame], options=WireOptions(max_request=size - 1))
    assert refused.requests == [
        f"the frame announces {size} bytes, over the limit of {size - 1} bytes"
    ]


@settings(max_examples=50)
@given(
    st.one_of(
        st.binary(max_size=300),
        st.binary(max_size=80).map(comet_frame),
        st.dictionaries(
            st.sampled_from(["byteorder", "content-type", "content-encoding", "content-length"]),
            st.none()
            | st.booleans()
            | st.integers(0, 90)
            | st.text()
            | st.lists(st.integers())
            | st.just("text/json"),
        ).map(lambda members: comet_frame(SET, **members)),
    ),
    st.lists(st.integers(0, 400), max_size=5),
    st.booleans(),
)
def test_garbage(data: bytes, cuts: list[int], eof: bool) -> None:
    """Nothing but the link's errors is raised, and cuts change nothing."""
    data = b"\x00g{" + data[3:]
    assert talk(pieces(data, cuts), eof=eof) == talk([data], eof=eof)


def test_a_byte_at_a_time(serve: Serve) -> None:
    """A slow sender is served."""
    with connected(serve()) as client:
        for byte in one_by_one(comet_frame(SET)):
            client.sendall(byte)
        assert comet_content(read_all(client)) == ACHIEVED


def test_half_close_in_every_state(serve: Serve, probe: Probe) -> None:
    """A frame that is cut off is refused; one that is whole is answered."""
    server = serve()
    frame = comet_frame(SET)
    for length in (3, 20, 2 + frame[1], len(frame) - 1):
        assert comet_content(answer_to(server, frame[:length], eof=True)) == {
            "result": "Error: the connection ended before the frame did"
        }
    assert probe.executed == []
    assert comet_content(answer_to(server, frame, eof=True)) == ACHIEVED


@pytest.mark.parametrize("length", [1, 3, 20, 105])
def test_only_a_part(serve: Serve, probe: Probe, length: int) -> None:
    """A frame that does not become whole is given up after its time."""
    server = serve(request_time=0.05)
    reply = answer_to(server, comet_frame(SET)[:length])
    if length < 3:
        assert reply == b""
    else:
        assert comet_content(reply)["result"] == "Error: the request was not whole after 0.05 s"
    assert probe.executed == []
