"""Arrays as bytes beside the JSON text of a request or a reply: ``link.buffers`` tells of them.

A request's ``link.buffers`` lists how many bytes each buffer has; they follow the newline behind
the object, or come as one binary message each in WebSocket. A reply's ``link.buffers`` is such a
list as well, or true: the server understands buffers, and has none to send.
"""

from __future__ import annotations

from typing import Any

import msgspec

from ..errors import Malformed, TooLarge
from ..exchanges.messages import MAX_BUFFERS, Reply, Request
from ..slices import Slices
from ..values import encode_apart, reviving


class Announced:
    """A request's object of `size` bytes, and of its buffers those that have come.

    What has come is all that takes memory. Each buffer is a memory of its own, from its first
    byte on, so that the array over it is aligned, and nothing else sees what is written to it.
    """

    def __init__(self, message: dict[str, Any], size: int, lengths: list[int]) -> None:
        self._message = message
        self._lengths = lengths
        self._buffers: list[bytearray] = []
        self._begun = bytearray()
        self._misfit: Malformed | None = None
        self._held = size

    @property
    def is_whole(self) -> bool:
        """Whether all buffers have come."""
        return len(self._buffers) == len(self._lengths)

    @property
    def held(self) -> int:
        """How many bytes have come of the object and its buffers."""
        return self._held + len(self._begun)

    def take(self, data: bytes | bytearray | memoryview) -> memoryview:
        """Take the bytes of buffers that stand one behind the other; gives what is behind them."""
        rest = memoryview(data)
        while not self.is_whole:
            length = self._lengths[len(self._buffers)]
            missing = length - len(self._begun)
            self._begun += rest[:missing]
            rest = rest[missing:]
            if len(self._begun) < length:
                break
            begun, self._begun = self._begun, bytearray()
            self.add(begun)
        return rest

    def add(self, buffer: bytearray) -> None:
        """Take one buffer; with another length than announced it makes the request malformed."""
        number = len(self._buffers)
        if len(buffer) != self._lengths[number]:
            self._misfit = self._misfit or Malformed(
                f"link.buffers[{number}]: {self._lengths[number]} bytes were announced, "
                f"and {len(buffer)} came"
            )
            buffer = bytearray()
        self._buffers.append(buffer)
        self._held += len(buffer)

    def whole(self) -> Slices[Any]:
        """The object with its arrays, over the memory of the buffers; raises `Malformed`."""
        if self._misfit is not None:
            raise self._misfit
        return (yield from reviving(self._message, self._buffers))


def announced_in(message: Any, size: int, limit: int) -> Announced | None:
    """What a parsed object of `size` bytes says of buffers; None where none follow.

    Raises `Malformed` for what are no lengths, `TooLarge` where there are too many, or where they
    and the object are over `limit` bytes together.
    """
    link = message.get("link") if isinstance(message, dict) else None
    lengths = link.get("buffers") if isinstance(link, dict) else None
    if not isinstance(lengths, list) or not lengths:
        return None
    if len(lengths) > MAX_BUFFERS:
        raise TooLarge(f"link.buffers: more than {MAX_BUFFERS} buffers")
    if not all(type(length) is int and length >= 0 for length in lengths):
        raise Malformed("link.buffers: expected a list of lengths in bytes, or true")
    if size + sum(lengths) > limit:
        raise TooLarge(f"the request with its buffers is over the limit of {limit} bytes")
    return Announced(message, size, lengths)


def reply_with_buffers(request: Request, reply: Reply) -> tuple[bytes, list[memoryview]]:
    """A reply's JSON text, with ``link.buffers`` in it, and the buffers."""
    message = reply.to_object(request)
    buffers: list[memoryview] = []
    if reply.error is None:
        text, buffers = encode_apart(reply.result)
        message["result"] = msgspec.Raw(text)
    members = message.setdefault("link", {})
    members["buffers"] = [len(buffer) for buffer in buffers] or True
    return msgspec.json.encode(message), buffers
