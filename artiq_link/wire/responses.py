"""HTTP's responses: the head that each has, pages, and what an error is in HTTP's words.

What a browser is told beside the content holds for all of it: nothing may be loaded from elsewhere
or stand in a page's own lines, no other site may show a page in itself or read what stands there,
and nothing is used again unasked (Fetch, Content Security Policy 3, RFC 9111).
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from http import HTTPStatus
from pathlib import PurePosixPath
from typing import NamedTuple

from ..errors import ExchangeError

TEXT = "text/plain; charset=utf-8"

TYPES = {
    ".css": "text/css; charset=utf-8",
    ".html": "text/html; charset=utf-8",
    ".ico": "image/x-icon",
    ".js": "text/javascript; charset=utf-8",
    ".json": "application/json",
    ".png": "image/png",
    ".svg": "image/svg+xml",
    ".txt": TEXT,
    ".webmanifest": "application/manifest+json",
}
"""Of a page's file, by its name's end: what the system thinks of these differs (Windows)."""

POLICY = (
    "default-src 'self'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'; "
    "object-src 'none'"
)

_ALWAYS = (
    f"Content-Security-Policy: {POLICY}\r\n"
    "Cross-Origin-Resource-Policy: same-origin\r\n"
    "Referrer-Policy: no-referrer\r\n"
    "X-Content-Type-Options: nosniff\r\n"
    "X-Frame-Options: DENY\r\n"
)

STATUSES = {
    "malformed": HTTPStatus.BAD_REQUEST,
    "invalid_parameter": HTTPStatus.BAD_REQUEST,
    "out_of_range": HTTPStatus.BAD_REQUEST,
    "unauthorized": HTTPStatus.UNAUTHORIZED,
    "unknown_command": HTTPStatus.NOT_FOUND,
    "too_large": HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
    "expired": HTTPStatus.SERVICE_UNAVAILABLE,
    "busy": HTTPStatus.SERVICE_UNAVAILABLE,
    "shutting_down": HTTPStatus.SERVICE_UNAVAILABLE,
    "timeout": HTTPStatus.GATEWAY_TIMEOUT,
}
"""Of the errors that a page can come to, by their codes; any other is the server's own."""

NOT_ALLOWED = "pages are asked for with GET or HEAD"
"""What is told of another method."""


def head_of(status: HTTPStatus, headers: Mapping[str, str], *, keeps: bool) -> bytes:
    """A response's status line and headers; the connection ends behind it unless it `keeps`."""
    connection = "keep-alive" if keeps else "close"
    own = {"Cache-Control": "no-store", "Connection": connection, **headers}
    lines = "".join(f"{name}: {value}\r\n" for name, value in own.items())
    return f"HTTP/1.1 {status} {status.phrase}\r\n{_ALWAYS}{lines}\r\n".encode("latin-1")


def response(
    status: HTTPStatus,
    body: bytes,
    content_type: str = TEXT,
    headers: Mapping[str, str] = {},
    *,
    keeps: bool = False,
    is_head: bool = False,
) -> bytes:
    """A whole response, or to ``HEAD`` its head alone."""
    own = {"Content-Type": content_type, "Content-Length": str(len(body)), **headers}
    head = head_of(status, own, keeps=keeps)
    return head if is_head else head + body


def error_response(
    error: ExchangeError, status: HTTPStatus | None = None, *, more: str = ""
) -> bytes:
    """What an error is in HTTP, with `more` for who has not shown who he is."""
    status = status or STATUSES.get(error.code, HTTPStatus.INTERNAL_SERVER_ERROR)
    text, headers = f"{error}\n", {}
    if status is HTTPStatus.METHOD_NOT_ALLOWED:
        headers["Allow"] = "GET, HEAD"  # RFC 9110, 15.5.6
    if status is HTTPStatus.UNAUTHORIZED:
        headers["WWW-Authenticate"] = "Bearer"  # RFC 9110, 11.6.1; RFC 6750, 3
        text += f"{more}\n" if more else ""
    return response(status, text.encode(errors="replace"), headers=headers)


class Page(NamedTuple):
    """A page that is the same for everyone: a file of the panel."""

    body: bytes
    content_type: str
    etag: str
    """Its version (RFC 9110, 8.8.3): a browser asks whether the one that it has still holds."""

    @classmethod
    def of(cls, name: str, body: bytes) -> Page:
        """The page of a file; raises ValueError where its name's end tells no type."""
        suffix = PurePosixPath(name).suffix
        if suffix not in TYPES:
            raise ValueError(f"{name}: a page's name ends with {', '.join(sorted(TYPES))}")
        return cls(body, TYPES[suffix], f'"{hashlib.sha256(body).hexdigest()[:32]}"')

    def response(self, known: str, *, keeps: bool, is_head: bool = False) -> bytes:
        """It, or that the client knows it already; `known` is its header ``If-None-Match``."""
        headers = {"ETag": self.etag, "Cache-Control": "no-cache"}
        etags = {etag.strip().removeprefix("W/") for etag in known.split(",")}
        if not etags.isdisjoint({self.etag, "*"}):
            return head_of(HTTPStatus.NOT_MODIFIED, headers, keeps=keeps)
        return response(
            HTTPStatus.OK,
            self.body,
            self.content_type,
            headers,
            keeps=keeps,
            is_head=is_head,
        )
