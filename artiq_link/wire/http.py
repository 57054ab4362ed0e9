"""HTTP: the panel's pages, and the way into WebSocket, on the port of all dialects (RFC 9112).

The protocol itself is h11's. A page is given in turn, as the client takes those before it; the
connection stays for the next one. A request with ``Upgrade`` goes on as WebSocket. All other
methods but ``GET`` and ``HEAD`` are refused, most of them by their first bytes (see `wire`).
"""

from __future__ import annotations

from http import HTTPStatus

import h11

from ..errors import Malformed
from ..exchanges.messages import Reply, Request
from . import origins
from .base import Wire, WireOptions
from .responses import error_response, response
from .websocket import WebSocketWire

MAX_HEAD = 16 * 1024
"""Bytes of a request's head: a browser sends 1 KB, and all cookies of this computer's ports."""

NOT_ALLOWED = "pages are asked for with GET or HEAD"


class HttpWire(Wire):
    """Requests for pages, answered in their order; becomes a WebSocket where one asks for it."""

    name = "http"

    def __init__(self, options: WireOptions) -> None:
        super().__init__(options)
        self._unread = bytearray()
        self._eof = False
        self._begin()

    def _begin(self) -> None:
        """Wait for the next request's head."""
        self._http = h11.Connection(h11.SERVER, max_incomplete_event_size=MAX_HEAD)
        self._fed = 0
        self._head: h11.Request | None = None

    @property
    def buffered(self) -> int:
        return self._fed + len(self._unread)

    def receive_data(self, data: bytes) -> None:
        self._unread += data
        self.unfinished = False

    def receive_eof(self) -> None:
        self._eof = True

    def next_request(self) -> Request | None:
        while not self.closed:
            try:
                event = self._http.next_event()
            except h11.RemoteProtocolError as error:
                return self._refuse_head(error)
            if isinstance(event, h11.Request):
                self._head = event
                if event.method not in {b"GET", b"HEAD"}:
                    return self._refuse(HTTPStatus.METHOD_NOT_ALLOWED, NOT_ALLOWED)
                if has_body(event):
                    return self._refuse(HTTPStatus.BAD_REQUEST, "a request for a page has no body")
            elif isinstance(event, h11.EndOfMessage):
                return self._answer()
            elif self._unread:
                piece = bytes(self._unread[:MAX_HEAD])
                del self._unread[:MAX_HEAD]
                self._fed += len(piece)
                self._http.receive_data(piece)
            else:
                self.closed = self._eof
                break
        return None

    def _refuse_head(self, error: h11.RemoteProtocolError) -> Request:
        if error.error_status_hint == HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE:
            return self._refuse(
                HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE,
                f"the request's head is over the limit of {MAX_HEAD} bytes",
            )
        return self._refuse(HTTPStatus.BAD_REQUEST, "this is no request of HTTP/1.1")

    def _refuse(self, status: HTTPStatus, sentence: str) -> Request:
        """What stands for a request that is none, behind which nothing is read."""
        self._unread.clear()
        return Request.refused(Malformed(sentence), status, ends=True)

    def _answer(self) -> Request | None:
        """Answer the request that has come, unless it is one for the exchanges."""
        head = self._head
        assert head is not None  # noqa: S101 the message has ended
        # What came with it belongs to the next one.
        self._unread[:0] = self._http.trailing_data[0]
        self._begin()
        if header(head, b"upgrade"):
            return self._become_websocket(head)
        keeps = head.http_version == b"1.1" and "close" not in header(head, b"connection").lower()
        self._outgoing.append(self._page(head, keeps=keeps))
        self.unfinished = keeps and bool(self._unread)
        self.closed = not self.unfinished and (self._eof or not keeps)
        return None

    def _become_websocket(self, head: h11.Request) -> Request | None:
        if not self.options.speaks(WebSocketWire.name):
            return self._refuse(HTTPStatus.NOT_FOUND, "this server does not speak websocket")
        lines = [
            b"GET %b HTTP/%b" % (head.target, head.http_version),
            *(b"%b: %b" % item for item in head.headers.raw_items()),
        ]
        self.successor = WebSocketWire(self.options)
        self.successor.receive_data(b"\r\n".join([*lines, b"", bytes(self._unread)]))
        if self._eof:
            self.successor.receive_eof()
        return None

    def _page(self, head: h11.Request, *, keeps: bool) -> bytes:
        host = origins.host_of([value.decode("latin-1") for value in values(head, b"host")])
        if host is not None and not origins.is_own(host, self.options):
            return response(HTTPStatus.FORBIDDEN, origins.UNKNOWN_NAME.encode(), keeps=keeps)
        is_head = head.method == b"HEAD"
        path = head.target.decode("ascii").partition("?")[0]
        page = self.options.pages.get(path) if self.options.speaks(self.name) else None
        if page is None:
            sentence = b"There is no such page on this server; its panel is at /\n"
            whole = response(HTTPStatus.NOT_FOUND, sentence, keeps=keeps)
            return whole[: len(whole) - len(sentence)] if is_head else whole
        return page.response(header(head, b"if-none-match"), keeps=keeps, is_head=is_head)

    @staticmethod
    def encode_reply(request: Request, reply: Reply) -> bytes:
        if reply.error is not None:
            status = request.form if isinstance(request.form, HTTPStatus) else None
            return error_response(reply.error, status)
        return b""


def values(head: h11.Request, name: bytes) -> list[bytes]:
    """The values of a header, in lower case, each time that it comes."""
    return [value for key, value in head.headers if key == name]


def header(head: h11.Request, name: bytes) -> str:
    """The value of a header, whose name is in lower case; several are one list."""
    return b", ".join(values(head, name)).decode("latin-1")


def has_body(head: h11.Request) -> bool:
    """Whether a body follows the head."""
    return bool(values(head, b"transfer-encoding")) or values(head, b"content-length") not in (
        [],
        [b"0"],
    )
