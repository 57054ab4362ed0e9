"""The refusal of first bytes that begin no dialect: one answer, and nothing is parsed after it."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from artiq_link import LinkServer
from artiq_link.errors import Malformed
from artiq_link.exchanges.messages import Reply
from artiq_link.wire.base import WireOptions
from artiq_link.wire.refusal import RefusalWire
from tests.conftest import Probe
from tests.peers import answer_to

SET = b'{"command_id": "set_frequency", "channel": 0, "frequency": 80e6}'


@given(st.binary(), st.booleans())
def test_it_answers_once_and_keeps_nothing(data: bytes, eof: bool) -> None:
    """Whatever follows, the answer is its own, and no byte is kept."""
    refusal = Malformed("no")
    wire = RefusalWire(WireOptions(), refusal, b"go away\n")
    wire.receive_data(data + SET)
    if eof:
        wire.receive_eof()
    assert wire.buffered == 0
    assert not wire.awaiting
    request = wire.next_request()
    assert request is not None
    assert request.refusal is refusal
    assert request.ends
    assert wire.encode_reply(request, Reply(error=refusal)) == b"go away\n"
    assert wire.data_to_send() == b""


@pytest.mark.parametrize(
    "first", [b"POST / HTTP/1.1\r\n\r\n", b"SSH-2.0\r\n", b"\x16\x03\x01", b"[1"]
)
def test_nothing_behind_it_is_executed(
    serve: Callable[..., LinkServer], probe: Probe, first: bytes
) -> None:
    """A command that follows refused bytes is thrown away, and the next client is served."""
    server = serve()
    for end in (b"", b"\n", b"\x04", b"\r\n\r\n"):
        answer_to(server, first + end + SET)
    assert probe.executed == []
    assert answer_to(server, SET).startswith(b'{"status":"success"')
