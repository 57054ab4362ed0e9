"""Messages to a server and its replies, in one of three dialects; blocking, and without Qt."""

from __future__ import annotations

import contextlib
import datetime
import json
import os
import socket
import threading
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from typing import Any, ClassVar

import numpy as np
from websockets.exceptions import WebSocketException
from websockets.protocol import State
from websockets.sync.client import ClientConnection, connect

from .. import link_client
from ..errors import Malformed
from ..link_client import ConnectFailed, Deadline, LinkError, NoReply, Peer
from ..values import decode

EOT = b"\x04"
"""Ends a request in EOT text."""

LONGEST_TEXT = 20_000
"""Characters shown of one message: a text box takes seconds to lay out megabytes."""

LONGEST_LIST = 1000
"""Items shown of a list."""

SHORTEST_ARRAY = 10
"""Numbers of an array of which the middle is left out: it is a picture first."""

SUCCESS, TIMEOUT, NO_REPLY, NOT_SENT = "success", "timeout", "no reply", "not sent"
"""Outcomes of an exchange, beside the codes of failures."""


Message = dict[str, Any]
"""A request or a reply, as JSON has it."""

Members = Mapping[str, Any] | None
"""Those of a message's ``link``."""


class Dialect(ABC):
    """Exchanges with one server; they block, so they are not for a window's thread."""

    name: ClassVar[str]

    carries_results: ClassVar[bool] = True
    """Whether a reply says more than success or failure, and requests have ids."""

    def __init__(
        self,
        host: str,
        port: int,
        ssl: Sequence[str] | None = None,
        link: Mapping[str, str] | None = None,
    ) -> None:
        self.peer = Peer(host, port, ssl)
        self.link = dict(link or {})
        """What the server is shown with each message, where it wants a token."""

    def message(self, command_id: str, parameters: dict[str, Any]) -> Message:
        """A command as this dialect writes it."""
        return {"command_id": command_id, **parameters}

    @abstractmethod
    def exchange(self, message: Message, timeout: float, link: Members = None) -> Message:
        """Send a message and return the reply as it is, or would be, in JSON; arrays are NumPy's.

        `link` is merged into the message's own ``link``, which wins. The reply's status is
        "success" or "fail"; one in plain text is kept as its ``text``. Raises `LinkError` where
        none comes within `timeout` seconds, and TypeError or ValueError where the message cannot
        be sent.
        """

    def close(self) -> None:  # noqa: B027 most keep none
        """Give up the connection that is kept, if any, for good; an exchange there fails."""

    def _no_reply(self, why: str) -> NoReply:
        return NoReply(
            f"{self.peer} {why}; whether the command was executed is not known: check the "
            "instrument before sending it again"
        )

    def _read_reply(self, data: str | bytes) -> Message:
        text = data if isinstance(data, str) else data.decode(errors="replace")
        text = text.strip()
        if text == "O.k.":
            return {"status": "success", "text": text}
        if text.startswith("Error: "):
            return {"status": "fail", "error": text.removeprefix("Error: "), "text": text}
        with contextlib.suppress(Malformed):
            reply = decode(text.encode())
            if isinstance(reply, dict) and reply.get("status") in {"success", "fail"}:
                return reply
        raise self._no_reply(f"answered {text!r:.60}, which is no reply in {self.name}")


class PlainJson(Dialect):
    """One connection for each exchange, as experiments make them."""

    name = "plain JSON"

    def exchange(self, message: Message, timeout: float, link: Members = None) -> Message:
        peer = self.peer
        return link_client.request_reply(
            message, peer.host, peer.port, timeout, {**self.link, **(link or {})}, ssl=peer.ssl
        )


class EotText(Dialect):
    """``{"command": {parameters}}`` and EOT; the answer is plain text until the server closes.

    The client of ZEISS INSPECT's IPCSockets example closes its writing side after the EOT; so
    does this one.
    """

    name = "EOT text"
    carries_results = False

    def message(self, command_id: str, parameters: dict[str, Any]) -> Message:
        return {command_id: parameters}

    def exchange(self, message: Message, timeout: float, link: Members = None) -> Message:
        if members := {**self.link, **(link or {})}:
            message = {
                command_id: {"link": members, **parameters}
                for command_id, parameters in message.items()
                if isinstance(parameters, dict)
            } or message
        data = json.dumps(message, allow_nan=False).encode() + EOT
        deadline = Deadline(timeout)
        sock = link_client.connect(self.peer, deadline)
        try:
            link_client.send_bytes(sock, data, self.peer, deadline)
            with contextlib.suppress(OSError):  # the server has closed: its answer may be there
                if self.peer.ssl is None:  # Python's TLS sockets cannot end one side
                    sock.shutdown(socket.SHUT_WR)
            reply = self._read_reply(self._receive(sock, deadline))
        except BaseException:
            # A reset tells the server that nobody waits any more (see `request_reply`).
            link_client.reset(sock)
            raise
        sock.close()
        return reply

    def _receive(self, sock: socket.socket, deadline: Deadline) -> bytes:
        """What the server sends until it closes."""
        received = bytearray()
        while True:
            left = deadline.left()
            try:
                if not left:
                    raise TimeoutError
                sock.settimeout(left)
                chunk = sock.recv(link_client.CHUNK)
            except TimeoutError:
                why = f"gave no whole reply within {deadline.timeout:g} s"
                raise self._no_reply(why) from None
            except OSError as error:
                raise self._no_reply(f"ended the connection ({error.strerror})") from None
            if not chunk:
                return bytes(received)
            received += chunk
            if len(received) > link_client.MAX_REPLY:
                raise self._no_reply(
                    f"answered more than the limit of {link_client.MAX_REPLY} bytes"
                )


class WebSocket(Dialect):
    """One connection, kept for all messages; one message after the other."""

    name = "WebSocket"

    def __init__(
        self,
        host: str,
        port: int,
        ssl: Sequence[str] | None = None,
        link: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(host, port, ssl, link)
        self._turn = threading.Lock()
        self._connection: ClientConnection | None = None
        self._closed = False

    def exchange(self, message: Message, timeout: float, link: Members = None) -> Message:
        deadline = Deadline(timeout)
        if not self._turn.acquire(timeout=deadline.left()):
            raise ConnectFailed(
                f"nothing was sent: on the WebSocket to {self.peer} one message follows the "
                f"other, and the one before has had no reply for {timeout:g} s"
            )
        try:
            connection = self._connect(deadline)
            return self._ask(connection, message, deadline, link or {})
        except TimeoutError:
            raise self._no_reply(f"gave no reply within {timeout:g} s") from None
        except (OSError, WebSocketException) as error:
            raise self._no_reply(f"ended the connection ({error})") from None
        finally:
            self._turn.release()

    def close(self) -> None:
        self._closed = True
        self._drop()

    def _drop(self) -> None:
        connection, self._connection = self._connection, None
        if connection is None:
            return
        if self._turn.locked():
            _reset(connection)  # somebody waits for a reply, and gives up
        else:
            connection.close()

    def _connect(self, deadline: Deadline) -> ClientConnection:
        """The connection that is kept, or a new one where it has ended."""
        connection = self._connection
        if connection is None or connection.protocol.state is not State.OPEN:
            connection = self._connection = self._open(deadline)
        # `close` sets the flag, then looks for a connection: a new one is seen there or here.
        if self._closed:
            self._drop()
            raise ConnectFailed(f"nothing was sent: the WebSocket to {self.peer} was closed")
        return connection

    def _open(self, deadline: Deadline) -> ClientConnection:
        plain = Peer(self.peer.host, self.peer.port)
        files = self.peer.ssl
        context = None if files is None else link_client.tls_context(files)
        headers = {"Authorization": f"Bearer {self.link['token']}"} if self.link else None
        sock = link_client.connect(plain, deadline)
        sock.settimeout(None)  # the library reads from it in a thread, without end
        try:
            # Entered by hand: it outlives this call, and newer versions of the library want
            # every connection to be entered.
            return connect(
                f"{'ws' if context is None else 'wss'}://{self.peer}/",
                sock=sock,
                ssl=context,
                additional_headers=headers,
                compression=None,  # numbers in base64 gain nothing
                proxy=None,  # a lab PC is not behind the web's proxy
                open_timeout=deadline.left(),
                close_timeout=0.1,  # a server that is busy cannot answer a close
                ping_interval=None,  # each exchange has its own timeout
                max_size=link_client.MAX_REPLY,
            ).__enter__()
        except (OSError, ValueError, WebSocketException) as error:
            sock.close()
            raise ConnectFailed(
                f"could not open a WebSocket to {self.peer}: {error}; check that a link "
                "server runs there, and speaks WebSocket"
            ) from None

    def _ask(
        self,
        connection: ClientConnection,
        message: Message,
        deadline: Deadline,
        link: Mapping[str, Any],
    ) -> Message:
        if "command_id" in message and "link" not in message:
            # As in `link_client`: the server's own `timeout` answer must still find us waiting.
            named = {"id": new_id(), "timeout": deadline.left_for_server()}
            message = {**message, "link": {**named, **link}}
        text = json.dumps(message, allow_nan=False)
        try:
            connection.send(text)
            return self._read_reply(connection.recv(deadline.left()))
        except BaseException:
            # Nobody waits any more, and a reply that comes later must not be taken for that to
            # the next message.
            self._drop()
            raise


def _reset(connection: ClientConnection) -> None:
    """Close a WebSocket with a TCP reset."""
    # Its thread reads from the socket, so that only the library may close it. What `reset` asks
    # for on a duplicate holds for the connection, and the reset is sent when its last socket is
    # closed.
    with contextlib.suppress(OSError):  # it has been closed already
        link_client.reset(connection.socket.dup())
    connection.close_socket()


DIALECTS: dict[str, type[Dialect]] = {d.name: d for d in (PlainJson, EotText, WebSocket)}


class Exchange:
    """One message to the server, and what became of it.

    `title` names it in the history; `form` is the command whose form it came from, if any; `lease`
    gives the members of the lease under which it is sent. After `run`, `outcome` is "success",
    the failure's code, "failed", "no reply" or "not sent", `failure` a sentence or empty, `where`
    the parameter it is about, `text` the reply for people.
    """

    def __init__(
        self,
        dialect: Dialect,
        title: str,
        message: dict[str, Any],
        form: str = "",
        lease: Callable[[], Mapping[str, Any]] = dict,
    ) -> None:
        self.dialect = dialect
        self.title = title
        self.message = message
        self.form = form
        self.lease = lease
        own = message.get("link")
        self.id = str(own.get("id", "")) if isinstance(own, dict) else new_id()
        """By which the server knows it; EOT text carries none."""
        self.began = datetime.datetime.now()
        self.seconds: float | None = None
        self.outcome = "running"
        self.failure = ""
        self.where = ""
        self.result: Any = None
        self.text = ""

    def run(self, timeout: float) -> None:
        """Do the exchange; blocks for at most `timeout` seconds, and raises nothing."""
        start = time.perf_counter()
        try:
            named = {"id": self.id} if self.dialect.carries_results and self.id else {}
            link = {**named, **self.lease()}
            reply = self.dialect.exchange(self.message, timeout, link)
        except (LinkError, TypeError, ValueError) as error:
            self.outcome = NO_REPLY if isinstance(error, NoReply) else NOT_SENT
            self.failure = str(error)
        else:
            self._read(reply)
        self.seconds = time.perf_counter() - start

    @property
    def parameters(self) -> dict[str, Any]:
        """What its form was filled with, or would be."""
        if not self.dialect.carries_results:
            inner = next(iter(self.message.values()), None)
            return dict(inner) if isinstance(inner, dict) else {}
        return {k: v for k, v in self.message.items() if k not in {"command_id", "link"}}

    @property
    def may_go_on(self) -> bool:
        """Whether the server may know more of it later than was answered."""
        has_id = self.dialect.carries_results and bool(self.id)
        return has_id and self.outcome in {TIMEOUT, NO_REPLY}

    def learn(self, told: Mapping[str, Any]) -> bool:
        """Take note of what ``link.outcome`` tells of it by now; whether that is its last word."""
        outcome = told.get("outcome")
        if outcome == "running":
            return False
        first, sentence = self.outcome, ""
        if outcome == "done":
            self.outcome = f"{first}, then done"
            self.failure = ""
        elif outcome in {"failed", "refused"}:
            reply = told.get("reply") or {}
            self.outcome = f"{first}, then {reply.get('code', outcome)}"
            sentence = str(reply.get("error", ""))
        elif outcome == "never_arrived":
            sentence = "it never arrived at the server, so it was not executed"
            self.outcome = f"{first}: never arrived"
        else:
            sentence = "the server ended while it ran: whether it was executed is not known"
            self.outcome = f"{first}: unknown"
        self.failure = sentence
        self.text += f"\n\nwhat became of it afterwards:\n{pretty(told)}"
        if outcome == "done":
            reply = told.get("reply")
            self.result = reply.get("result") if isinstance(reply, dict) else None
        return True

    def _read(self, reply: dict[str, Any]) -> None:
        self.text = reply.pop("text", None) or pretty(reply)
        self.id = str(reply.get("id", self.id))
        if reply["status"] == "success":
            self.outcome = SUCCESS
            self.result = reply.get("result")
            return
        error = reply.get("error", "the server gave no reason")
        code = reply.get("code")
        self.outcome = code or "failed"
        self.failure = f"{code}: {error}" if code else error
        # EOT text has but the sentence; it begins with the parameter, where it is about one.
        self.where = reply.get("where") or error.partition(":")[0]

    @property
    def duration(self) -> str:
        """The time from the message to the reply, for people."""
        return "…" if self.seconds is None else f"{self.seconds * 1e3:.1f} ms"

    @property
    def headline(self) -> str:
        """What became of it, in one sentence."""
        if self.seconds is None:
            return f"{self.title}: waiting for the answer"
        if self.failure:
            return self.failure
        how = f"success in {self.duration}" if self.outcome == SUCCESS else self.outcome
        return f"{self.title}: {how}"


def new_id() -> str:
    """A name for a request that no other has."""
    return os.urandom(16).hex()


def pretty(value: Any) -> str:
    """JSON for people; arrays as NumPy shows them, which leaves out the middle of long ones."""
    text = json.dumps(_shortened(value), indent=2, ensure_ascii=False, default=_on_one_line)
    if len(text) > LONGEST_TEXT:
        text = f"{text[:LONGEST_TEXT]}\n… and {len(text) - LONGEST_TEXT} characters more"
    return text


def _shortened(value: Any) -> Any:
    """A value whose long lists are cut: writing millions of items would hold the window up."""
    if isinstance(value, dict):
        return {name: _shortened(member) for name, member in value.items()}
    if isinstance(value, list):
        if len(value) > LONGEST_LIST:
            rest = f"… and {len(value) - LONGEST_LIST} items more"
            return [*map(_shortened, value[:LONGEST_LIST]), rest]
        return [_shortened(item) for item in value]
    return value


def _on_one_line(array: Any) -> str:
    if isinstance(array, np.ndarray):
        array = np.array2string(array, threshold=SHORTEST_ARRAY)
    return " ".join(str(array).split())
