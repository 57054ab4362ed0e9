"""Resources: what HTTP's requests ask the exchanges for, and how the replies are written.

Each is a request of the link's own commands, whose form writes what that comes to: the metrics,
the journal as a table, a session. The connection ends behind it, and with it what the client has
shown: a proxy may have another client's request behind this one.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Callable, Sequence
from http import HTTPStatus
from typing import Any, NamedTuple, Protocol
from urllib.parse import parse_qsl

import msgspec

from ..errors import InvalidParameter, Malformed
from ..exchanges.history import MAX_LISTED
from ..exchanges.history_table import COLUMNS, row_of
from ..exchanges.messages import LinkMembers, Reply, Request
from ..exchanges.openmetrics import CONTENT_TYPE
from ..units import read_duration
from .credentials import set_cookie
from .responses import error_response, head_of, response

HOW_TO_SIGN_IN = "In a browser sign in at /sign-in; programs send Authorization: Bearer TOKEN."

MAX_FILTERS = 20
"""Parts of a query; more are no filter."""


class Form(Protocol):
    """How a reply is written."""

    def write(self, reply: Reply) -> bytes:
        """The response, or the next part of one."""


class Refused(NamedTuple):
    """What was no request, or none that could be taken; the error tells the status without one."""

    status: HTTPStatus | None = None

    def write(self, reply: Reply) -> bytes:
        return b"" if reply.error is None else error_response(reply.error, self.status)


class Metrics(NamedTuple):
    """The text of ``link.metrics``."""

    def write(self, reply: Reply) -> bytes:
        if reply.error is not None:
            return error_response(reply.error, more=HOW_TO_SIGN_IN)
        if not isinstance(reply.result, str):
            raise TypeError("the metrics are no text")
        return response(HTTPStatus.OK, reply.result.encode(), CONTENT_TYPE)


class Rows(NamedTuple):
    """Exchanges as lines of a table; the first ones with its head, none with its end.

    An error behind the first ones breaks the table off, which its reader sees: its last chunk does
    not come (RFC 9112, 7.1), but to a client of HTTP/1.0, which has no chunks.
    """

    is_first: bool
    is_chunked: bool

    def write(self, reply: Reply) -> bytes:
        if reply.error is not None:
            return error_response(reply.error, more=HOW_TO_SIGN_IN) if self.is_first else b""
        head = self._head() if self.is_first else b""
        table = [row_of(entry) for entry in reply.result]
        rows = _lines([list(COLUMNS), *table] if self.is_first else table)
        if not self.is_chunked:
            return head + rows
        return head + _chunk(rows) + (b"" if reply.result else b"0\r\n\r\n")

    def _head(self) -> bytes:
        headers = {
            "Content-Type": "text/csv; charset=utf-8; header=present",
            "Content-Disposition": 'attachment; filename="history.csv"',
        }
        if self.is_chunked:
            headers["Transfer-Encoding"] = "chunked"
        return head_of(HTTPStatus.OK, headers, keeps=False)


class Newest(NamedTuple):
    """The newest exchange, with which the table ends: others may come as fast as it is written.

    It is asked for behind the first rows, before this `page` of them.
    """

    page: Request

    def write(self, reply: Reply) -> bytes:
        return b""


class SignedIn(NamedTuple):
    """A session as a cookie of this name, or its end."""

    cookie: str
    is_secure: bool

    def write(self, reply: Reply) -> bytes:
        if reply.error is not None:
            return error_response(reply.error)
        opened = reply.result or {"session": "", "seconds": 0.0}
        cookie = set_cookie(self.cookie, **opened, is_secure=self.is_secure)
        return head_of(HTTPStatus.NO_CONTENT, {"Set-Cookie": cookie}, keeps=False)


class Shown(msgspec.Struct, forbid_unknown_fields=True):
    """What a page posts to sign in; null to sign out."""

    token: str | None


def metrics(query: str, link: LinkMembers, *, is_chunked: bool) -> Request:
    """``GET /metrics``."""
    if query:
        raise InvalidParameter("the metrics have no filters")
    return Request("link.metrics", {}, link, Metrics(), ends=True)


def history(query: str, link: LinkMembers, *, is_chunked: bool) -> Request:
    """``GET /history.csv``, filtered by its query: the first of the requests that it takes."""
    which = {"after": 0, **_filters_of(query), "limit": MAX_LISTED}
    return Request("link.history", which, link, Rows(is_first=True, is_chunked=is_chunked))


def next_history(request: Request, reply: Reply) -> Request | None:
    """What is asked for behind some rows of the table; None where they were the last."""
    if reply.error is not None or not reply.result:
        return None
    last = reply.result[-1]["n"]
    if isinstance(request.form, Newest):
        page = request.form.page
        before = min(page.parameters.get("before", last + 1), last + 1)
        return msgspec.structs.replace(page, parameters={**page.parameters, "before": before})
    which = {**request.parameters, "after": last}
    page = Request("link.history", which, request.link, request.form._replace(is_first=False))
    if request.form.is_first:
        return Request("link.history", {"limit": 1}, request.link, Newest(page))
    return page


def session(body: bytes, cookie: str, shown: str | None, *, is_secure: bool) -> Request:
    """``POST /session``, with the session that was `shown`; raises `Malformed`."""
    try:
        token = msgspec.json.decode(body, type=Shown).token
    except (msgspec.MsgspecError, UnicodeDecodeError):
        raise Malformed('expected {"token": "..."}, or {"token": null} to sign out') from None
    form = SignedIn(cookie, is_secure)
    if token is None:
        return Request("link.sign_out", {}, LinkMembers(token=shown), form, ends=True)
    return Request("link.sign_in", {}, LinkMembers(token=token), form, ends=True)


RESOURCES = {"/metrics": metrics, "/history.csv": history}
"""What ``GET`` asks the exchanges for."""

_READ: dict[str, Callable[[str], Any]] = {
    "since": read_duration,
    "slow": read_duration,
    "command": str,
    "rid": int,
    "after": int,
    "before": int,
}


def _filters_of(query: str) -> dict[str, Any]:
    """The parameters of `link.history` in a query; raises `InvalidParameter`."""
    try:
        pairs = parse_qsl(query, strict_parsing=True, max_num_fields=MAX_FILTERS) if query else []
    except ValueError:
        raise InvalidParameter("the filter is not of the form since=1h&failed=1") from None
    which: dict[str, Any] = {}
    for name, text in pairs:
        if name in which:
            raise InvalidParameter(f"{name} comes twice")
        if name == "failed" and text in {"0", "1"}:
            which[name] = text == "1"
        elif name in _READ:
            which[name] = _read(name, text)
        else:
            known = ", ".join(sorted([*_READ, "failed=1"]))
            raise InvalidParameter(
                f"there is no filter {f'{name}={text}'!r:.60}; there are {known}"
            )
    return which


def _read(name: str, text: str) -> Any:
    try:
        return _READ[name](text)
    except ValueError as error:
        sentence = f"{text!r:.60} is not a whole number" if _READ[name] is int else str(error)
        raise InvalidParameter(f"{name}: {sentence}", name) from None


def _lines(rows: Sequence[Sequence[Any]]) -> bytes:
    """Rows as lines of CSV (RFC 4180)."""
    text = io.StringIO()
    csv.writer(text).writerows(rows)
    return text.getvalue().encode(errors="replace")


def _chunk(data: bytes) -> bytes:
    """A part of a body of unknown length (RFC 9112, 7.1); an empty one would end it."""
    return b"%x\r\n%b\r\n" % (len(data), data) if data else b""
