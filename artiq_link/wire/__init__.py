"""The dialects: one port carries all of them, and a connection's first bytes tell which it is.

=================================================  ==========================
first bytes                                        dialect
=================================================  ==========================
white space, then ``{``                            JSON, or EOT text
``GET ``, ``HEAD ``, ``POST /session ``            HTTP, or WebSocket
a control character, any byte, ``{``               COMET frames
``ARTIQ pc_rpc`` and a newline                     NDSP
``ARTIQ sync_struct`` and a newline                sync_struct
another HTTP method                                refused with a 405
0x16 0x03                                          refused: TLS
``ARTIQ broadcast`` and a newline                  refused: broadcasts
anything else                                      refused as malformed
=================================================  ==========================

A web page can make a browser send a POST with JSON in it to a port of its own computer. That is
why what follows refused first bytes is never parsed.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from http import HTTPStatus
from typing import NamedTuple

from ..errors import Malformed
from ..exchanges.messages import Reply, Request
from .base import Wire, WireOptions
from .comet import CometWire
from .http import HttpWire
from .json_stream import JSON, TEXT, JsonWire
from .ndsp import MAGIC as PC_RPC
from .ndsp import NdspWire
from .refusal import RefusalWire
from .responses import NOT_ALLOWED, error_response
from .sync_struct import MAGIC as SYNC_STRUCT
from .sync_struct import SyncStructWire

__all__ = ["DIALECTS", "DIALECT_NAMES", "Dialect", "check_dialects", "select_wire"]


class Dialect(NamedTuple):
    """A dialect: its name, the first bytes that begin it, and the wire that speaks it."""

    name: str
    pattern: re.Pattern[bytes]
    wire: type[Wire]


_OBJECT = re.compile(rb"[ \t\r\n\x04]{0,1024}\{")

SIGN_IN = b"POST /session HTTP/1."
"""How a page of this server signs in; whether it is one, its `HttpWire` sees."""

DIALECTS = (
    Dialect("json", _OBJECT, JsonWire),
    Dialect("eot", _OBJECT, JsonWire),
    Dialect("websocket", re.compile(rb"GET "), HttpWire),
    Dialect("http", re.compile(rb"GET |HEAD |" + SIGN_IN), HttpWire),
    Dialect("ndsp", re.compile(PC_RPC), NdspWire),
    Dialect("sync_struct", re.compile(SYNC_STRUCT), SyncStructWire),
    # The header of a frame has fewer than 0x2000 bytes, so its length begins with a control
    # character.
    Dialect("comet", re.compile(rb"[^ -\xff\t\r\n\x04\x1a].\{", re.DOTALL), CometWire),
)
"""Everything that there is, in the order in which first bytes are compared."""

DIALECT_NAMES = frozenset(dialect.name for dialect in DIALECTS)


def check_dialects(names: Iterable[str]) -> frozenset[str]:
    """The names as a set; raises ValueError for one that there is not."""
    chosen = frozenset(names)
    if unknown := chosen - DIALECT_NAMES:
        known = ", ".join(sorted(DIALECT_NAMES))
        raise ValueError(f"there is no dialect {min(unknown)!r}; there are {known}")
    return chosen


_HTTP_METHOD = re.compile(rb"[A-Z]{3,16} ")

_TLS_HANDSHAKE = re.compile(rb"\x16\x03[^{]")
"""RFC 8446, section 5.1: content type handshake, legacy version 3.x with x below 5."""

BROADCAST = b"ARTIQ broadcast\n"
"""How sipyco's clients ask for broadcasts; they would take any line for one."""

_UNDECIDED = re.compile(rb"[A-Z]{1,16}|[^ -\xff\t\r\n\x04\x1a].?|[ \t\r\n\x04]{0,1024}", re.DOTALL)
"""What may still become one of the above. White space without end would fill the memory."""


def select_wire(first: bytes, options: WireOptions, ended: bool = False) -> Wire | None:
    """Choose the wire by a connection's first bytes; None where more of them are needed.

    With `ended` no more will come: None then is for what begins a dialect that has no words for
    it. The wire has not been fed yet.
    """
    for dialect in DIALECTS:
        if dialect.pattern.match(first) and options.speaks(dialect.name):
            return dialect.wire(options)
    magics = PC_RPC, SYNC_STRUCT, BROADCAST
    if any(magic.startswith(first) and first != magic for magic in magics):
        return None
    if SIGN_IN.startswith(first) and options.speaks(HttpWire.name) and not ended:
        return None
    if _HTTP_METHOD.match(first) and not first.startswith(b"ARTIQ "):
        is_spoken = options.speaks(HttpWire.name)
        error = Malformed(NOT_ALLOWED if is_spoken else "HTTP is not spoken here")
        answer = error_response(error, HTTPStatus.METHOD_NOT_ALLOWED)
        return RefusalWire(options, error, answer)
    if _TLS_HANDSHAKE.match(first):
        return RefusalWire(options, Malformed("TLS is not spoken on this port"), b"")
    if first.startswith(BROADCAST):
        error = Malformed("a lab PC has no broadcasts, such as ccb and log; ask ARTIQ's master")
        return RefusalWire(options, error, b"")
    if _UNDECIDED.fullmatch(first) and not (ended and first.isalpha()):
        return None
    if options.telnet and options.speaks("eot"):
        return JsonWire(options)
    begun = [dialect for dialect in DIALECTS if dialect.pattern.match(first)]
    spoken = sorted(filter(options.speaks, DIALECT_NAMES))
    speaks = f"it speaks {', '.join(spoken)}"
    if begun:
        unspoken = " or ".join(sorted(dialect.name for dialect in begun))
        error = Malformed(f"this server does not speak {unspoken}; {speaks}")
    elif first.startswith(b"ARTIQ "):
        begin = first[: len(SYNC_STRUCT)].decode("latin-1")
        protocols = f"NDSP begins with {PC_RPC.decode()!r}, sync_struct with "
        error = Malformed(f"{protocols}{SYNC_STRUCT.decode()!r}, these bytes with {begin!r}")
    elif {"json", "eot"}.isdisjoint(spoken):
        error = Malformed(f"these bytes begin nothing that this server speaks; {speaks}")
    else:
        error = Malformed("expected a JSON object, which begins with '{'")
    form = TEXT if "eot" in spoken and "json" not in spoken else JSON
    refused = Request.refused(error, form, ends=True)
    answer = JsonWire.encode_reply(refused, Reply(error=error))
    return RefusalWire(options, error, answer)
