"""What must hold of a wire, whatever bytes it is fed with."""

from __future__ import annotations

from typing import NamedTuple

from artiq_link.exchanges.messages import Reply
from artiq_link.exchanges.registry import Registry
from artiq_link.instrument.command import command
from artiq_link.instrument.instrument import Instrument
from artiq_link.wire import select_wire
from artiq_link.wire.base import Wire, WireOptions


class _Counter(Instrument):
    """As the server that is tortured has one, without its file."""

    @command
    def fire(self, key: str = "") -> str:
        return key


OPTIONS = [
    WireOptions(registry=Registry({"counter": _Counter()}), telnet=telnet, max_request=3000)
    for telnet in (False, True)
]


DESCRIPTION = {"doc": "", "commands": {}}
"""As NDSP needs it."""


class Outcome(NamedTuple):
    """What came of the bytes."""

    dialect: str
    requests: list[str]
    """What is asked for, and where it is refused; the sentence depends on what had come."""
    closed: bool


def check(data: bytes) -> None:
    """Feed bytes, the first of which says how long the pieces are; raises what a wire does."""
    if not data:
        return
    options, size = OPTIONS[data[0] % 2], 1 + data[0] // 2
    at_once = outcome([data[1:]], options)
    in_pieces = outcome([data[at : at + size] for at in range(1, len(data), size)], options)
    # What a WebSocket's library looks at first is its own affair; HTTP tells the time.
    if at_once.dialect in {"json", "ndsp", "comet"} and at_once != in_pieces:
        raise AssertionError(f"{data!r}: {at_once} at once, {in_pieces} in pieces of {size}")


def outcome(pieces: list[bytes], options: WireOptions) -> Outcome:
    """Feed a wire as a connection does."""
    first, wire = b"", None
    requests: list[str] = []
    for piece in pieces:
        if wire is None:
            first += piece
            wire = select_wire(first, options)
            left = first
        else:
            left = piece
        if wire is not None and not wire.closed:
            wire.receive_data(left)
            wire = _take(wire, requests)
    if wire is not None and not wire.closed:
        wire.receive_eof()
        wire = _take(wire, requests)
    if wire is None:
        return Outcome("none yet", requests, closed=False)
    return Outcome(wire.name, requests, wire.closed)


def _take(wire: Wire, requests: list[str]) -> Wire:
    while not wire.closed:
        request = wire.next_request()
        wire.data_to_send()
        if request is not None:
            is_refused = request.refusal is not None
            requests.append(f"{request.command_id} {request.parameters} {is_refused}")
            result = DESCRIPTION if request.command_id == "link.describe" else "done"
            reply = Reply(error=request.refusal) if request.refusal else Reply(result)
            wire.encode_reply(request, reply)
            wire.note_reply(request, reply)
            wire.closed |= request.ends
        elif wire.successor is not None:
            wire = wire.successor
        elif wire.unfinished:
            wire.receive_data(b"")
        else:
            break
    wire.data_to_send()
    return wire
