"""HTTP: the panel's pages, what exchanges are asked for, and the way into WebSocket (RFC 9112).

The protocol itself is h11's. A page is given in its turn, when the client has taken those before
it; the connection stays for the next one. What needs the exchanges is one (see `resources`). A
request to upgrade goes on as WebSocket. Methods other than ``GET`` and ``HEAD`` are refused,
most of them by their first bytes (see `wire`), but for a page's own ``POST`` that signs in.
"""

from __future__ import annotations

from http import HTTPStatus

import h11

from ..errors import ExchangeError, Malformed
from ..exchanges.messages import LinkMembers, Reply, Request
from . import origins
from .base import Wire, WireOptions
from .credentials import cookie_name, proof_of
from .resources import RESOURCES, Form, Newest, Refused, Rows, next_history, session
from .responses import NOT_ALLOWED, response
from .websocket import WebSocketWire

MAX_HEAD = 16 * 1024
"""Bytes of a request's head: a browser sends 1 KB, and all cookies of this computer's ports."""

MAX_BODY = 4096
"""Bytes of what a page posts: a token."""

SESSION = b"/session"
"""Where a page posts a token to sign in, and nothing to sign out."""

NO_PAGE = "there is no such page on this server; its panel is at /"


class HttpWire(Wire):
    """Requests for pages, answered in their order; becomes a WebSocket where one asks for it."""

    name = "http"

    def __init__(self, options: WireOptions) -> None:
        super().__init__(options)
        self._speaks_http = options.speaks(self.name)
        self._unread = bytearray()
        self._eof = False
        self._next_rows: Request | None = None
        self._begin()

    def _begin(self) -> None:
        """Wait for the next request's head."""
        self._http = h11.Connection(h11.SERVER, max_incomplete_event_size=MAX_HEAD)
        self._fed = 0
        self._head: h11.Request | None = None
        self._body = b""

    @property
    def buffered(self) -> int:
        return self._fed + len(self._unread)

    @property
    def awaiting(self) -> bool:
        return self._fed > 0  # what is not looked at yet waits for its turn

    def receive_data(self, data: bytes) -> None:
        self._unread += data
        self.unfinished = False

    def receive_eof(self) -> None:
        self._eof = True

    def next_request(self) -> Request | None:
        if self._next_rows is not None:
            rows, self._next_rows = self._next_rows, None
            return rows
        while not self.closed:
            try:
                event = self._http.next_event()
            except h11.RemoteProtocolError as error:
                return self._refuse_head(error)
            if isinstance(event, h11.Request):
                self._head = event
                if (refused := self._refusal_of(event)) is not None:
                    return refused
            elif isinstance(event, h11.Data):
                self._body += event.data
                if len(self._body) > MAX_BODY:
                    sentence = f"the request's body is over the limit of {MAX_BODY} bytes"
                    return self._refuse(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, sentence)
            elif isinstance(event, h11.EndOfMessage):
                return self._take()
            elif self._unread:
                self._feed()
            else:
                self.closed = self._eof
                break
        return None

    def _feed(self) -> None:
        """Give h11 more, and never more of a head than it may have."""
        size = MAX_HEAD + 1 - self._fed if self._head is None else MAX_BODY
        piece = bytes(self._unread[:size])
        del self._unread[:size]
        self._fed += len(piece)
        self._http.receive_data(piece)

    def note_reply(self, request: Request, reply: Reply) -> None:
        if isinstance(request.form, (Rows, Newest)):
            self._next_rows = next_history(request, reply)
            self.closed = self._next_rows is None

    @property
    def form(self) -> Form:
        return Refused()

    @staticmethod
    def encode_reply(request: Request, reply: Reply) -> bytes:
        form: Form = request.form
        return form.write(reply)

    def _refuse(self, status: HTTPStatus, sentence: str) -> Request:
        """What stands for a request that is none; what follows it is not read."""
        self._unread.clear()
        return Request.refused(Malformed(sentence), Refused(status), ends=True)

    def _refuse_head(self, error: h11.RemoteProtocolError) -> Request:
        status = HTTPStatus(error.error_status_hint)
        if status is HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE:
            sentence = f"the request's head is over the limit of {MAX_HEAD} bytes"
            return self._refuse(status, sentence)
        return self._refuse(status, "this is no request of HTTP/1.1")

    def _refusal_of(self, head: h11.Request) -> Request | None:
        """Refuse a request by its head, before anything of its body is read."""
        if head.method == b"POST" and head.target == SESSION and self._speaks_http:
            return self._refusal_of_post(head)
        if head.method not in {b"GET", b"HEAD"}:
            return self._refuse(HTTPStatus.METHOD_NOT_ALLOWED, NOT_ALLOWED)
        if head.http_version not in {b"1.0", b"1.1"}:
            return self._refuse(HTTPStatus.HTTP_VERSION_NOT_SUPPORTED, "expected HTTP/1.1")
        if has_body(head):
            return self._refuse(HTTPStatus.BAD_REQUEST, "a request for a page has no body")
        return None

    def _refusal_of_post(self, head: h11.Request) -> Request | None:
        """Refuse what a page of another server can have sent.

        A browser names the page's origin in each ``POST``. JSON it sends elsewhere only after it
        has asked there (Fetch, 3.3), which is refused by its first bytes.
        """
        if header(head, b"origin") not in origins.own_origins(host_of(head), self.options):
            sentence = "only a page of this server itself can sign in"
            return self._refuse(HTTPStatus.FORBIDDEN, sentence)
        if header(head, b"content-type").partition(";")[0].strip().lower() != "application/json":
            sentence = "expected a body of the type application/json"
            return self._refuse(HTTPStatus.UNSUPPORTED_MEDIA_TYPE, sentence)
        return None

    def _take(self) -> Request | None:
        """Take the request that has come: a page is answered here, what it asks for otherwise."""
        head, body = self._head, self._body
        assert head is not None  # noqa: S101 the message has ended
        # What came with it belongs to the next one.
        self._unread[:0] = self._http.trailing_data[0]
        self._begin()
        # Another protocol may be offered, such as h2c, and need not be taken (RFC 9110, 7.8).
        if "websocket" in header(head, b"upgrade").lower() and head.method == b"GET":
            return self._become_websocket(head)
        host = host_of(head)
        if host is not None and not origins.is_own(host, self.options):
            return self._refuse(HTTPStatus.FORBIDDEN, origins.UNKNOWN_NAME)
        try:
            request = self._request_of(head, body)
        except ExchangeError as error:
            request = self.refuse(error)
        if request is not None:
            self._unread.clear()  # the connection ends behind the reply
            return request
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

    def _request_of(self, head: h11.Request, body: bytes) -> Request | None:
        """What is asked of the exchanges, if it is not a page."""
        path, query = path_of(head)
        host = host_of(head)
        proof = proof_of(texts(head, b"authorization"), texts(head, b"cookie"), host)
        if head.method == b"POST":
            is_secure = header(head, b"origin").startswith("https:")
            return session(body, cookie_name(host), proof, is_secure=is_secure)
        if head.method == b"GET" and self._speaks_http and path in RESOURCES:
            is_chunked = head.http_version == b"1.1"
            return RESOURCES[path](query, LinkMembers(token=proof), is_chunked=is_chunked)
        return None

    def _page(self, head: h11.Request, *, keeps: bool) -> bytes:
        is_head = head.method == b"HEAD"
        page = self.options.pages.get(path_of(head)[0]) if self._speaks_http else None
        if page is None:
            sentence = f"{NO_PAGE}\n".encode()
            return response(HTTPStatus.NOT_FOUND, sentence, keeps=keeps, is_head=is_head)
        return page.response(header(head, b"if-none-match"), keeps=keeps, is_head=is_head)


def path_of(head: h11.Request) -> tuple[str, str]:
    """The path that is asked for, and the query; nothing of both is decoded."""
    path, _, query = head.target.decode("ascii").partition("?")
    return path, query


def host_of(head: h11.Request) -> str | None:
    """What the client calls this server: a name or address, and perhaps a port."""
    return origins.host_of(texts(head, b"host"))


def texts(head: h11.Request, name: bytes) -> list[str]:
    """The values of a header, whose name is in lower case, each time that it comes."""
    return [value.decode("latin-1") for key, value in head.headers if key == name]


def header(head: h11.Request, name: bytes) -> str:
    """The value of a header; several are one list."""
    return ", ".join(texts(head, name))


def has_body(head: h11.Request) -> bool:
    """Whether a body follows the head."""
    has_length = header(head, b"content-length") not in {"", "0"}
    return has_length or bool(texts(head, b"transfer-encoding"))
