"""COMET frames: a length, a JSON header of that length, then the content; one request, one reply.

::

    00 67                                 length of the header, unsigned, big-endian
    {"byteorder": "little", "content-type": "text/json",
     "content-encoding": "utf-8", "content-length": 48}
    {"action": "plot_data", "value": {"Plot": "IV"}}

The laboratory framework COMET sends such frames between its programs. The reply's content is
``{"result": answer}``; there is no other place for an error than the answer's text.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Set
from typing import Any, NamedTuple

import msgspec
import numpy as np

from ..errors import ExchangeError, InvalidParameter, Malformed, TooLarge
from ..exchanges.messages import Reply, Request
from ..exchanges.registry import LINK
from ..instrument.data import Data
from ..slices import Slices, finish
from ..values import encode
from .base import Wire, WireOptions
from .json_pieces import decoding

_LENGTH_BYTES = 2

HEADER_KEYS = ("byteorder", "content-type", "content-encoding", "content-length")
"""All are required."""

TEXT = "text/json"
BINARY, BINARY_REPLY = "binary/custom-client-binary-type", "binary/custom-server-binary-type"
ECHOED = 10
"""Bytes of a binary content that the reply repeats."""


class Frame(NamedTuple):
    """What one frame carries."""

    content_type: str
    content: bytes


def build_frame(frame: Frame) -> bytes:
    """The bytes of a frame."""
    header = json.dumps(
        {
            "byteorder": sys.byteorder,
            "content-type": frame.content_type,
            "content-encoding": "utf-8" if frame.content_type == TEXT else "binary",
            "content-length": len(frame.content),
        }
    ).encode()
    return len(header).to_bytes(_LENGTH_BYTES, "big") + header + frame.content


class FrameReceiver:
    """Takes frames out of bytes that come in any pieces.

    Only frames of the given content types are taken, with a content of at most `max_content`
    bytes.
    """

    def __init__(self, content_types: Set[str], max_content: int) -> None:
        self._content_types = content_types
        self._max_content = max_content
        self._buffer = bytearray()
        self._header: dict[str, Any] | None = None
        self._start = 0

    @property
    def buffered(self) -> int:
        """How many bytes have not been taken as part of a frame."""
        return len(self._buffer)

    def receive_data(self, data: bytes) -> None:
        """Take bytes from the peer."""
        self._buffer += data

    def next_frame(self) -> Frame | None:
        """The next whole frame, or None where more bytes are needed.

        Raises `Malformed` and `TooLarge`, as soon as the header is there.
        """
        header = self._read_header()
        if header is None:
            return None
        end = self._start + header["content-length"]
        if len(self._buffer) < end:
            return None
        content = bytes(self._buffer[self._start : end])
        # The header stays until here: a frame without its content is one that is awaited.
        del self._buffer[:end]
        self._header = None
        return Frame(header["content-type"], content)

    def _read_header(self) -> dict[str, Any] | None:
        """The frame's header, or None where it is not whole."""
        if self._header is None and len(self._buffer) >= _LENGTH_BYTES:
            end = _LENGTH_BYTES + int.from_bytes(self._buffer[:_LENGTH_BYTES], "big")
            if len(self._buffer) >= end:
                self._header = self._check_header(
                    finish(decoding(self._buffer[_LENGTH_BYTES:end]))
                )
                self._start = end
        return self._header

    def _check_header(self, header: Any) -> dict[str, Any]:
        if not isinstance(header, dict):
            raise Malformed("the frame's header is not an object")
        for key in HEADER_KEYS:
            if key not in header:
                raise Malformed(f"the frame's header lacks {key!r}")
        length = header["content-length"]
        if type(length) is not int or length < 0:
            raise Malformed(f"content-length: expected a count of bytes, got {length!r:.60}")
        if length > self._max_content:
            raise TooLarge(
                f"the frame announces {length} bytes, over the limit of {self._max_content} bytes"
            )
        content_type = header["content-type"]
        if not isinstance(content_type, str) or content_type not in self._content_types:
            raise Malformed(f"content-type: expected {TEXT!r}, got {content_type!r:.60}")
        if str(header["content-encoding"]).lower() not in {"utf-8", "utf8", "ascii", "binary"}:
            raise Malformed(
                f"content-encoding: expected 'utf-8', got {header['content-encoding']!r:.60}"
            )
        return header


class CometWire(Wire):
    """One frame in, one frame out, then the connection closes."""

    name = "comet"

    def __init__(self, options: WireOptions) -> None:
        super().__init__(options)
        self._frames = FrameReceiver({TEXT, BINARY}, options.max_text)
        # Bytes of the content that is being read.
        self._size = 0
        self._eof = False

    @property
    def buffered(self) -> int:
        return self._frames.buffered + self._size

    def receive_data(self, data: bytes) -> None:
        self._frames.receive_data(data)

    def receive_eof(self) -> None:
        self._eof = True

    def next_request(self) -> Request | None:
        if self._work is not None:
            return self._go_on(self._work)
        return self._go_on(self._reading())

    def _reading(self) -> Slices[Request | None]:
        try:
            frame = self._frames.next_frame()
            if frame is None:
                if self._eof:
                    raise Malformed("the connection ended before the frame did")
                return None
            if frame.content_type == BINARY:
                echo = b"First 10 bytes of request: " + frame.content[:ECHOED]
                self._outgoing.append(build_frame(Frame(BINARY_REPLY, echo)))
                self.closed = True
                return None
            self._size = len(frame.content)
            return self._read_request((yield from decoding(frame.content)))
        except ExchangeError as error:
            return self.refuse(error)
        finally:
            self._size = 0

    def _read_request(self, content: Any) -> Request:
        if not isinstance(content, dict):
            raise Malformed("the frame's content is not an object")
        action, value = content.get("action"), content.get("value")
        is_command = self._is_command(action, value)
        # COMET takes no empty value; a command without parameters has no other.
        is_empty = _is_nothing(value) and not (is_command and isinstance(value, dict))
        if not isinstance(action, str) or not action or is_empty:
            # Written only here: the text of a large value takes its time.
            raise InvalidParameter(f"invalid action and or value {action!s:.60}, {value!s:.60}")
        is_message = self.options.registry.fallback is not None and not is_command
        parameters = value if isinstance(value, dict) and not is_message else {"value": value}
        data = Data(action, parameters, content.get("link"))
        request = Request.from_data(data, keeps=False, is_message=is_message)
        return msgspec.structs.replace(request, ends=True)

    def _is_command(self, action: Any, value: Any) -> bool:
        """Whether a command is asked for: of the link's own by name, of others by an object."""
        if not isinstance(action, str):
            return False
        if action.startswith(f"{LINK}."):
            return True
        return isinstance(value, dict) and action in self.options.registry

    @staticmethod
    def encode_reply(request: Request, reply: Reply) -> bytes:
        answer = reply.result if reply.error is None else f"Error: {reply.error}"
        if isinstance(answer, (msgspec.Raw, np.ndarray)):
            # It may be large, and the spaces that COMET's own programs write take long.
            return build_frame(Frame(TEXT, b'{"result": %b}' % encode(answer)))
        return build_frame(Frame(TEXT, encode({"result": answer}, spaced=True)))


def _is_nothing(value: Any) -> bool:
    """Whether a value is falsy; an array, which has no truth of its own, never is."""
    return not isinstance(value, np.ndarray) and not value
