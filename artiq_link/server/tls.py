"""TLS: the layer between a client's socket and its connection, with certificates on both sides.

asyncio has one as well. It hides how much of a reply the client has taken, cannot end its own
direction without the client's, and leaves no line where a client is not let in. What a connection
promises needs all three, so this one drives the standard library's `ssl.SSLObject` itself: a
connection is the same with TLS as without.
"""

from __future__ import annotations

import asyncio
import contextlib
import ssl
from collections import deque
from collections.abc import Callable
from typing import Any

from ..errors import ExchangeError, Malformed, Unauthorized
from .private_files import UnsafeFile, read_private

RECORD = 16 * 1024
"""Bytes in a record of TLS (RFC 8446, 5.1); no more is read at once."""

AT_ONCE = 256 * 1024
"""Bytes that are encrypted before they are sent, so that a large reply is not there twice."""

HANDSHAKE = b"\x16\x03"
"""The first bytes of a client that begins TLS (RFC 8446, 5.1): a handshake, version 3."""


def create_context(certificate: str, key: str, peers: str) -> ssl.SSLContext:
    """What a server needs for TLS, of three files in PEM: its certificate, its key, and the
    certificates of the clients that are let in; as sipyco's `SimpleSSLConfig` makes it.

    A client is let in with a certificate that stands in `peers`, or that one of them has signed.
    Raises `UnsafeFile`.
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.verify_mode = ssl.CERT_REQUIRED
    # A certificate in the file is trusted by itself, also where some authority has signed it.
    context.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN
    context.options |= ssl.OP_NO_RENEGOTIATION
    # Each connection shows its certificate: one that is no longer trusted resumes no session.
    context.options |= ssl.OP_NO_TICKET
    context.num_tickets = 0
    read_private(key)
    for path in (certificate, peers):
        try:
            with open(path, encoding="ascii", errors="replace"):
                pass
        except OSError as error:
            raise UnsafeFile(f"{path}: {error.strerror}") from None
    try:
        context.load_cert_chain(certificate, key, password=_no_password)
    except (ssl.SSLError, ValueError) as error:
        raise UnsafeFile(f"{certificate} and {key}: {_reason(error)}") from None
    try:
        context.load_verify_locations(cafile=peers)
    except ssl.SSLError:
        raise UnsafeFile(f"{peers}: there is no certificate in it") from None
    return context


def _no_password() -> str:
    raise ValueError("the key is encrypted, and nobody is there to type its password")


def _reason(error: Exception) -> str:
    if not isinstance(error, ssl.SSLError):
        return str(error)
    if error.reason == "KEY_VALUES_MISMATCH":
        return "the key does not belong to the certificate"
    return "expected a certificate and its key in PEM"


_REFUSALS = {
    "PEER_DID_NOT_RETURN_A_CERTIFICATE": "it has shown no certificate",
    "CERTIFICATE_VERIFY_FAILED": "its certificate is none of those that are trusted",
    "TLSV1_ALERT_UNKNOWN_CA": "it does not know this server's certificate",
    "SSLV3_ALERT_CERTIFICATE_UNKNOWN": "it does not trust this server's certificate",
    "SSLV3_ALERT_CERTIFICATE_EXPIRED": "by its clock this server's certificate has ended",
    "SSLV3_ALERT_BAD_CERTIFICATE": "it refuses this server's certificate; is its clock right?",
}
"""For people, why a handshake has failed; others are told by OpenSSL's own words."""

_WRONG_TIMES = {
    9: "its certificate is not valid yet, by this computer's clock",
    10: "its certificate has ended, by this computer's clock",
}
"""The same of a certificate that is trusted, by X509_V_ERR_CERT_NOT_YET_VALID and _HAS_EXPIRED."""


class TlsLayer(asyncio.Protocol, asyncio.Transport):
    """TLS between a socket's `transport` and the `protocol` of a client's connection.

    To the socket it is a protocol, to the connection a transport. The connection gets nothing
    before the handshake has shown a certificate that is trusted; `refuse` notes why one has not.
    """

    def __init__(
        self,
        context: ssl.SSLContext,
        transport: asyncio.Transport,
        protocol: asyncio.Protocol,
        refuse: Callable[[ExchangeError], None],
    ) -> None:
        self._transport = transport
        self._protocol = protocol
        self._refuse = refuse
        self._incoming, self._outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        self._tls = context.wrap_bio(self._incoming, self._outgoing, server_side=True)
        self._is_open = False
        self._is_deaf = False
        """Whether what comes is thrown away, because the last word is said."""
        self._is_paused = False
        self._unsent: deque[memoryview] = deque()
        self._unsent_size = 0
        self._finish: Callable[[], None] | None = None

    # --- as the socket's protocol

    def data_received(self, data: bytes) -> None:
        """Take bytes from the socket."""
        if self._is_deaf:
            return
        self._incoming.write(data)
        if self._is_open or self._shake_hands():
            self._receive()

    def eof_received(self) -> bool | None:
        """The client's socket sends no more. No request becomes whole by it."""
        return self._protocol.eof_received()

    def connection_lost(self, exception: Exception | None) -> None:
        """The socket is closed."""
        self._is_deaf = True
        self._unsent.clear()
        protocol, self._protocol = self._protocol, asyncio.Protocol()  # they refer to each other
        protocol.connection_lost(exception)

    def pause_writing(self) -> None:
        """The socket takes no more."""
        self._is_paused = True
        self._protocol.pause_writing()

    def resume_writing(self) -> None:
        """The socket takes more."""
        self._is_paused = False
        try:
            self._send()
        except OSError:  # the client has reset the connection, which has not been read yet
            self.abort()
        if not self._is_paused:
            self._protocol.resume_writing()

    def _shake_hands(self) -> bool:
        """Go on with the handshake; whether it is done."""
        try:
            self._tls.do_handshake()
        except ssl.SSLWantReadError:
            self._flush()
            return False
        except ssl.SSLError as error:
            reason = error.reason or "unknown reason"
            words = _WRONG_TIMES.get(
                getattr(error, "verify_code", 0),
                _REFUSALS.get(reason, reason.lower().replace("_", " ")),
            )
            self._refuse(Unauthorized(f"no TLS: {words}"))
            self._flush()  # the alert, which says so
            self._is_deaf = True
            self._transport.write_eof()
            return False
        self._is_open = True
        self._flush()
        return True

    def _receive(self) -> None:
        """Decrypt what has come, and hand it on."""
        pieces = []
        has_ended = False
        try:
            while piece := self._tls.read(RECORD):
                pieces.append(piece)
            has_ended = True  # its close_notify (RFC 8446, 6.1)
        except ssl.SSLWantReadError:
            pass
        except ssl.SSLError as error:
            self._refuse(Malformed(f"broken TLS: {error.reason}"))
            self._is_deaf = True
            self._transport.abort()
            return
        self._flush()  # an answer to a change of keys, for one
        if pieces:
            self._protocol.data_received(b"".join(pieces))
        if has_ended and not self._is_deaf:
            self._protocol.eof_received()

    # --- as the connection's transport

    def write(self, data: bytes | bytearray | memoryview) -> None:
        """Send bytes; those before the handshake go nowhere."""
        if self._is_open and data and not self._is_deaf:
            self._unsent.append(memoryview(data))
            self._unsent_size += len(data)
            self._send()

    def write_eof(self) -> None:
        """Say that nothing more comes, behind all that was written; what comes is thrown away."""
        self._end(self._transport.write_eof)

    def close(self) -> None:
        """Close behind all that was written."""
        self._end(self._transport.close)

    def abort(self) -> None:
        """Close now."""
        self._is_deaf = True
        self._unsent.clear()
        self._transport.abort()

    def pause_reading(self) -> None:
        """Take nothing more from the socket."""
        self._transport.pause_reading()

    def resume_reading(self) -> None:
        """Go on reading."""
        self._transport.resume_reading()

    def is_reading(self) -> bool:
        return self._transport.is_reading()

    def get_extra_info(self, name: str, default: Any = None) -> Any:
        """What the socket's transport knows."""
        return self._transport.get_extra_info(name, default)

    def get_write_buffer_size(self) -> int:
        """How many bytes the system has not taken."""
        return self._unsent_size + self._transport.get_write_buffer_size()

    def _send(self) -> None:
        """Encrypt as much as the socket takes; end where that is asked for and all is sent."""
        while self._unsent and not self._is_paused:
            while self._unsent and self._outgoing.pending < AT_ONCE:
                data = self._unsent[0]
                count = self._tls.write(data)  # a record at a time
                self._unsent_size -= count
                if count == len(data):
                    self._unsent.popleft()
                else:
                    self._unsent[0] = data[count:]
            self._flush()
        if self._finish is not None and not self._unsent:
            finish, self._finish = self._finish, None
            if self._is_open:
                # It sends close_notify, and raises because the client's has not come.
                with contextlib.suppress(ssl.SSLError):
                    self._tls.unwrap()
                self._flush()
                self._is_open = False
            finish()

    def _end(self, finish: Callable[[], None]) -> None:
        self._is_deaf = True
        self._finish = finish
        self._send()

    def _flush(self) -> None:
        if self._outgoing.pending:
            self._transport.write(self._outgoing.read())
