"""The dialects: one port carries all of them, and a connection's first bytes tell which it is.

=================================================  ==========================
first bytes                                        dialect
=================================================  ==========================
white space, then ``{``                            JSON, or EOT text
``GET ``                                           WebSocket
a control character, any byte, ``{``               COMET frames
``ARTIQ pc_rpc`` and a newline                     NDSP
another HTTP method                                refused with a 405
0x16 0x03                                          refused: TLS
anything else                                      refused as malformed
=================================================  ==========================

A web page can make a browser send a POST with JSON in it to a port of its own computer. That is
why what follows refused first bytes is never parsed.
"""

from __future__ import annotations

import re

from ..errors import Malformed
from ..exchanges.messages import Reply
from ..values import encode
from . import ipc_text
from .base import DIALECTS, Wire, WireOptions
from .comet import CometWire
from .json_stream import JsonWire
from .ndsp import MAGIC, NdspWire
from .refusal import RefusalWire
from .websocket import WebSocketWire

__all__ = ["DIALECTS", "Wire", "WireOptions", "select_wire"]

_JSON = frozenset({"json", "eot"})

_WIRES: tuple[tuple[re.Pattern[bytes], frozenset[str], type[Wire]], ...] = (
    (re.compile(rb"[ \t\r\n\x04]{0,1024}\{"), _JSON, JsonWire),
    (re.compile(rb"GET "), frozenset({"websocket"}), WebSocketWire),
    (re.compile(MAGIC), frozenset({"ndsp"}), NdspWire),
    # The header of a frame has fewer than 0x2000 bytes, so its length begins with a control
    # character.
    (re.compile(rb"[^ -\xff\t\r\n\x04\x1a].\{", re.DOTALL), frozenset({"comet"}), CometWire),
)

_HTTP_METHOD = re.compile(rb"[A-Z]{3,16} ")

_TLS_HANDSHAKE = re.compile(rb"\x16\x03[^{]")
"""RFC 8446, section 5.1: content type handshake, legacy version 3.x with x below 5."""

_UNDECIDED = re.compile(rb"[A-Z]{1,16}|[^ -\xff\t\r\n\x04\x1a].?|[ \t\r\n\x04]{0,1024}", re.DOTALL)
"""What may still become one of the above. White space without end would fill the memory."""

_NOT_HTTP = (
    b"HTTP/1.1 405 Method Not Allowed\r\nConnection: close\r\nAllow: GET\r\n"
    b"Content-Length: 0\r\n\r\n"
)


def select_wire(first: bytes, options: WireOptions, ended: bool = False) -> Wire | None:
    """Choose the wire by a connection's first bytes; None where more of them are needed.

    With `ended` no more will come: None then is for what begins a dialect that has no words for
    it. The wire has not been fed yet.
    """
    for pattern, dialects, wire in _WIRES:
        if dialects & options.dialects and pattern.match(first):
            return wire(options)
    if MAGIC.startswith(first) and first != MAGIC:
        return None
    if _HTTP_METHOD.match(first) and not first.startswith(b"ARTIQ "):
        return RefusalWire(options, Malformed("HTTP is not spoken here"), _NOT_HTTP)
    if _TLS_HANDSHAKE.match(first):
        return RefusalWire(options, Malformed("TLS is not spoken on this port"), b"")
    if _UNDECIDED.fullmatch(first) and not (ended and first.isalpha()):
        return None
    if options.telnet and "eot" in options.dialects:
        return JsonWire(options)
    spoken = ", ".join(sorted(options.dialects))
    error = Malformed("expected a JSON object, which begins with '{'")
    if not _JSON & options.dialects:
        error = Malformed(f"these bytes begin nothing that this server speaks; it speaks {spoken}")
    for pattern, dialects, _ in _WIRES:
        if pattern.match(first):
            unspoken = " or ".join(sorted(dialects))
            error = Malformed(f"this server does not speak {unspoken}; it speaks {spoken}")
    if first.startswith(b"ARTIQ ") and not first.startswith(MAGIC):
        begin = first[: len(MAGIC)].decode("latin-1")
        error = Malformed(f"NDSP begins with {MAGIC.decode()!r}, these bytes with {begin!r}")
    reply = Reply(error=error)
    plain_text = _JSON & options.dialects == {"eot"}
    text = ipc_text.text_of(reply).encode() + b"\r" if plain_text else encode(reply.to_object())
    return RefusalWire(options, error, text + b"\n")
