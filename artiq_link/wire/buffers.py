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
from ..values import encode_apart, revive


class Announced:
    """A request's object whose buffers have not all come yet."""

    def __init__(self, message: dict[str, Any], lengths: list[int]) -> None:
        self.message = message
        self.lengths = lengths
        self.total = sum(lengths)

    def whole(self, buffers: list[bytearray]) -> Any:
        """The object with its arrays, over the memory of the buffers; raises `Malformed`."""
        return revive(self.message, buffers)


def announced_in(message: Any, limit: int) -> Announced | None:
    """What a parsed object says of buffers; None where none follow.

    Raises `Malformed` for what are no lengths, `TooLarge` where they are over `limit` bytes.
    """
    link = message.get("link") if isinstance(message, dict) else None
    lengths = link.get("buffers") if isinstance(link, dict) else None
    if not isinstance(lengths, list) or not lengths:
        return None
    if len(lengths) > MAX_BUFFERS:
        raise TooLarge(f"link.buffers: more than {MAX_BUFFERS} buffers")
    if not all(type(length) is int and length >= 0 for length in lengths):
        raise Malformed("link.buffers: expected a list of lengths in bytes, or true")
    if sum(lengths) > limit:
        raise TooLarge(f"the request's buffers are over the limit of {limit} bytes")
    return Announced(message, lengths)


def reply_with_buffers(request: Request, reply: Reply) -> tuple[bytes, list[memoryview]]:
    """A reply's JSON text, with ``link.buffers`` in it, and the buffers."""
    message = reply.to_object(request)
    buffers: list[memoryview] = []
    if reply.error is None:
        text, buffers = encode_apart(reply.result)
        message["result"] = msgspec.Raw(text)
    message["link"] = {"buffers": [len(buffer) for buffer in buffers] or True}
    return msgspec.json.encode(message), buffers
