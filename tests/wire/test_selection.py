"""The choice of the dialect by a connection's first bytes."""

from __future__ import annotations

import pytest

from artiq_link.errors import Malformed
from artiq_link.exchanges.messages import Reply
from artiq_link.wire import DIALECT_NAMES, select_wire
from artiq_link.wire.base import Wire, WireOptions

OPTIONS = WireOptions()

FIRST = {
    "json": b'{"command_id"',
    "eot": b'{"image": {',
    "websocket": b"GET / HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\n\r\n",
    "http": b"HEAD / HTTP/1.1\r\n\r\n",
    "comet": b'\x00g{"byteorder',
    "ndsp": b"ARTIQ pc_rpc\n",
    "sync_struct": b"ARTIQ sync_struct\n",
}
"""How a connection begins in each dialect."""


def refusal_of(wire: Wire) -> tuple[str, bytes]:
    """The sentence, and the answer, of bytes that are refused as malformed; the end follows."""
    request = wire.next_request()
    assert request is not None
    assert type(request.refusal) is Malformed
    assert request.ends
    return str(request.refusal), wire.encode_reply(request, Reply(error=request.refusal))


@pytest.mark.parametrize(
    ("first", "name"),
    [
        (b"{", "json"),
        (b"\r\n\t {", "json"),
        (b"\x04{", "json"),
        (b'{"image": {}}', "json"),
        (b" " * 1024 + b"{", "json"),
        (b"GET ", "http"),
        (b"GET / HTTP/1.1\r\n", "http"),
        (b"HEAD ", "http"),
        (b"POST /session HTTP/1.1", "http"),
        (b"\x00g{", "comet"),
        (b"\x00{{", "comet"),
        (b"\x00\n{", "comet"),
        (b"\x16\x03{", "comet"),
        (b"\x1f\xff{", "comet"),
        (b"ARTIQ pc_rpc\n", "ndsp"),
        (b"ARTIQ pc_rpc\ndds\n", "ndsp"),
    ],
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
        (b"POST /sessions HTTP/1.1", b"HTTP/1.1 405 Method Not Allowed\r\n"),
        (b"OPTIONS ", b"HTTP/1.1 405 Method Not Allowed\r\n"),
        (b"\x16\x03\x01\x02\x00", b""),
        (b"[1, 2]", b'{"status":"fail","code":"malformed"'),
        (b"42", b'{"status":"fail","code":"malformed"'),
        (b"SSH-2.0-OpenSSH", b'{"status":"fail","code":"malformed"'),
        (b"\xff\xfe", b'{"status":"fail","code":"malformed"'),
        (b"\n\nPOST / ", b'{"status":"fail","code":"malformed"'),
        (b" " * 1025 + b"{", b'{"status":"fail","code":"malformed"'),
        (b" " * 1025, b'{"status":"fail","code":"malformed"'),
        (b"\x1a", b'{"status":"fail","code":"malformed"'),
        (
            b"ARTIQ pc_rpc\r\n",
            b'{"status":"fail","code":"malformed","error":"NDSP begins with '
            b"'ARTIQ pc_rpc\\\\n', sync_struct with 'ARTIQ sync_struct\\\\n', these bytes with "
            b"'ARTIQ pc_rpc\\\\r\\\\n'\"}\n",
        ),
    ],
)
def test_refusals(first: bytes, answer: bytes) -> None:
    """What begins no dialect is answered in its own words and never parsed further."""
    wire = select_wire(first, OPTIONS)
    assert wire is not None
    wire.receive_data(first + b'{"command_id": "set_frequency"}')
    assert refusal_of(wire)[1].startswith(answer)
    assert wire.buffered == 0


def test_broadcasts_are_closed_without_a_line() -> None:
    """sipyco's receiver takes any line for a broadcast; the log alone says why it ends."""
    wire = select_wire(b"ARTIQ broadcast\n", OPTIONS)
    assert wire is not None
    assert refusal_of(wire) == (
        "a lab PC has no broadcasts, such as ccb and log; ask ARTIQ's master",
        b"",
    )


@pytest.mark.parametrize(
    "first", [b"", b" \n", b"P", b"GET", b"\x16", b"ARTIQ pc_", b"ARTIQ broad", b"POST /sess"]
)
def test_undecided(first: bytes) -> None:
    """First bytes that may still become something are waited for."""
    assert select_wire(first, OPTIONS) is None


@pytest.mark.parametrize("spoken", sorted(DIALECT_NAMES))
@pytest.mark.parametrize("begun", sorted(DIALECT_NAMES))
def test_dialects_that_are_not_spoken(spoken: str, begun: str) -> None:
    """A server of one dialect takes its own first bytes and says to others what it speaks."""
    options = WireOptions(dialects=frozenset({spoken}))
    wire = select_wire(FIRST[begun], options)
    assert wire is not None
    if spoken == begun or {spoken, begun} == {"json", "eot"}:
        assert wire.name in {spoken, "json", "http"}
        return
    if (spoken, begun) == ("http", "websocket"):
        wire.receive_data(FIRST[begun])
        assert refusal_of(wire)[0] == "this server does not speak websocket"
        return
    assert wire.name == "unknown dialect"
    unspoken = "eot or json" if begun in {"eot", "json"} else begun
    assert refusal_of(wire)[0] == (
        "HTTP is not spoken here"
        if begun in {"websocket", "http"}
        else f"this server does not speak {unspoken}; it speaks {spoken}"
    )
    for length in range(len(FIRST[begun])):
        early = select_wire(FIRST[begun][:length], options)
        assert early is None or early.name == "unknown dialect"


@pytest.mark.parametrize(("first", "name"), [(b"h", "json"), (b"\x1a", "json"), (b"GET ", "http")])
def test_telnet(first: bytes, name: str) -> None:
    """A person may type anything, but the other dialects are still told apart."""
    wire = select_wire(first, WireOptions(telnet=True))
    assert wire is not None
    assert wire.name == name


@pytest.mark.parametrize(
    ("first", "refused"),
    [(b"HELLO", True), (b"ARTIQ", False), (b"\x00", False), (b" \n", False)],
)
def test_no_more_first_bytes_will_come(first: bytes, refused: bool) -> None:
    """What could have become HTTP is refused in words; NDSP and COMET have none for it."""
    assert select_wire(first, OPTIONS) is None
    wire = select_wire(first, OPTIONS, ended=True)
    assert (wire is not None) is refused


@pytest.mark.parametrize(
    ("first", "answer"),
    [
        (b"hello", b"Error: expected a JSON object, which begins with '{'\r\n"),
        (b"ARTIQ pc_rpc\n", b"Error: this server does not speak ndsp; it speaks eot\r\n"),
    ],
)
def test_a_server_of_eot_text_refuses_in_it(first: bytes, answer: bytes) -> None:
    wire = select_wire(first, WireOptions(dialects=frozenset({"eot"})))
    assert wire is not None
    assert refusal_of(wire)[1] == answer


def test_bytes_of_no_dialect_that_is_spoken() -> None:
    wire = select_wire(b"hello", WireOptions(dialects=frozenset({"comet", "ndsp"})))
    assert wire is not None
    assert refusal_of(wire)[0].endswith(" that this server speaks; it speaks comet, ndsp")
