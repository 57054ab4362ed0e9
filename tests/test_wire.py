"""The choice of the dialect by a connection's first bytes."""

from __future__ import annotations

import pytest

from artiq_link.errors import Malformed
from artiq_link.messages import Reply
from artiq_link.wire import WireOptions, select_wire

OPTIONS = WireOptions()


@pytest.mark.parametrize(
    ("first", "name"),
    [(b"{", "json"), (b"\r\n\t {", "json"), (b"\x04{", "json"), (b'{"image": {}}', "json")],
)
def test_dialects(first: bytes, name: str) -> None:
    """The first bytes that tell choose the dialect, also when they come one by one."""
    wire = select_wire(first, OPTIONS)
    assert wire is not None
    assert wire.name == name
    for length in range(len(first)):
        begun = select_wire(first[:length], OPTIONS)
        assert begun is None or begun.name == name


@pytest.mark.parametrize(
    ("first", "answer"),
    [
        (b"POST / HTTP/1.1\r\n\r\n{}", b"HTTP/1.1 405 Method Not Allowed\r\n"),
        (b"OPTIONS ", b"HTTP/1.1 405 Method Not Allowed\r\n"),
        (b"\x16\x03\x01\x02\x00", b""),
        (b"[1, 2]", b'{"status": "fail", "code": "malformed"'),
        (b"42", b'{"status": "fail", "code": "malformed"'),
        (b"SSH-2.0-OpenSSH", b'{"status": "fail", "code": "malformed"'),
        (b"\xff\xfe", b'{"status": "fail", "code": "malformed"'),
        (b"\n\nPOST / ", b'{"status": "fail", "code": "malformed"'),
    ],
)
def test_refusals(first: bytes, answer: bytes) -> None:
    """What begins no dialect is answered in its own words and never parsed further."""
    wire = select_wire(first, OPTIONS)
    assert wire is not None
    wire.receive_data(first + b'{"command_id": "set_frequency"}')
    with pytest.raises(Malformed) as caught:
        wire.next_request()
    wire.send_reply(Reply(error=caught.value))
    assert wire.data_to_send().startswith(answer)
    assert wire.closed
    assert wire.buffered == 0


@pytest.mark.parametrize("first", [b"", b" \n", b"P", b"GET", b"\x16"])
def test_undecided(first: bytes) -> None:
    """First bytes that may still become something are waited for."""
    assert select_wire(first, OPTIONS) is None
