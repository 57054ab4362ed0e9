"""The client's side of an exchange, in one file that may be copied alone beside an experiment.

It needs nothing but the standard library of Python 3.5 or newer, so it runs wherever an
experiment runs, whatever is installed there. An import costs little more than those of json and
socket: annotations are texts, so that typing is not loaded, and what only some exchanges need is
imported where they need it.

::

    LinkError               what can go wrong once the data can be sent
      ConnectFailed         there was no connection: the server knows nothing of the request
      LeaseLost             the link's lease has ended: the request was not executed
      NoReply               there was one, but no whole, valid reply came back
      ServerFailed          the server said no, and why
"""

import _thread
import functools
import json
import operator
import os
import re
import selectors
import socket
import sys
import time

TYPE_CHECKING = False  # what type checkers take for true, without an import of typing
if TYPE_CHECKING:
    from typing import Any, Callable, Dict, Iterator, List, Optional, Sequence, Tuple, Union

    _Address = Tuple[Any, ...]  # family, type, protocol, canonical name, socket address
    _Files = Sequence[str]  # the client's certificate, its key, the server's certificate
    _Bytes = Union[bytes, bytearray]
    _Callback = Callable[[Dict[str, Any]], object]
    _Server = Tuple[str, int]
    _Exchange = Callable[
        [Dict[str, Any], "Deadline", Optional[Dict[str, Any]]], Tuple[Dict[str, Any], Any]
    ]
    _Carry = Callable[["_Request"], Dict[str, Any]]  # sends it and returns the reply

DEFAULT_HOST = "127.0.0.1"
DEFAULT_PORT = 65432
STATE, LINK = "state", "link"  # kinds of events: an instrument's, and the connection's own
RAISE, WARN, IGNORE = "raise", "warn", "ignore"  # what a link does about a server's restart
DEFAULT_TIMEOUT = 5.0  # s; a healthy exchange takes milliseconds, an experiment cannot wait longer

MAX_TIMEOUT = 86400.0  # s; the operating system's waits overflow at about 24 days
MAX_REPLY = 64 * 1024 * 1024  # bytes; the server's limit for requests, some 6e6 float64
MAX_DIMENSIONS = 32  # of an array; the limit of NumPy 1
SEGMENT = 536  # bytes that every network takes in one piece (RFC 9293, 3.7.1)
CHUNK = 64 * 1024  # bytes read at once; larger ones are not faster, smaller ones cost calls

# The server's own `timeout` answer must still reach a client that waits just as long, so the
# server is told a little less than what is left: this fraction, but no more than this time.
MARGIN_FRACTION = 0.1
MARGIN_MAX = 0.1  # s

# Decoding cannot be interrupted, so a reply is decoded only if that will not outlast the deadline
# by more than this time. The costs are a little above the worst that was measured with Python 3.6
# to 3.13: 0.24 us for nested objects, 33 ns for the digits of long integers, 50 ns for those of
# floats that lie half-way between two of the smallest. Ordinary replies take a fifth of that.
OVERTIME = 0.05  # s
VALUE_COST = 3e-7  # s for each bracket, comma and quotation mark
BYTE_COST = 3.5e-8  # s
DIGIT_COST = 1.5e-8  # s for each digit, besides

MAX_DIGITS = 4300  # of an integer; Python's own limit where it has one

# A wait may be longer than what is left by this time, so that most exchanges set one limit only.
SLACK = 0.005  # s

# A kept connection that was silent for longer is not used again: firewalls forget connections
# without a word, the impatient ones after a few minutes, and what is sent then gets no answer.
MAX_IDLE = 60.0  # s

# A server that does not keep connections closes right after its reply. So before a connection is
# used a second time, its end is waited for as long as this; once it has been kept, no longer.
CLOSING_TIME = 0.005  # s

# An array of this many bytes or more is sent as it is to a server that takes it so, a smaller one
# in base64. Measured on loopback against a server that decodes both: at 4 KiB they cost the same,
# 0.16 ms of the client's time, below it base64 costs up to 0.03 ms less; at 64 KiB it costs 2.6
# times as much, at 8 MB 20 times, and the exchange lasts 190 ms instead of 5.
MIN_BUFFER = 4096

# Of a reply: no server sends smaller ones, and each costs time that nothing can interrupt.
MAX_BUFFERS = MAX_REPLY // MIN_BUFFER

# A request whose connection was lost is repeated after the first of these times, then after longer
# and longer ones: a server that is started anew is there after about a second. With less time left
# than the first, there is no other try.
FIRST_PAUSE = 0.05  # s
LONGEST_PAUSE = 1.0  # s

# A lease is asked for so long, and renewed after a third of it: one lost try does not end it, and
# an experiment that dies holds its instrument no longer.
LEASE_TIME = 15.0  # s

# A watched server that says nothing for so long is asked whether it is there: nobody tells when a
# computer is switched off, or a cable is pulled.
SILENT_TIME = 5.0  # s

# A server that did not take buffers is asked again after this time: it may be a newer one then.
ASK_AGAIN = 300.0  # s
MAX_KNOWN = 256  # servers that are remembered; a laboratory has some dozens

# The dtypes that have one layout on every machine (a long double has not), as NumPy's kind and
# item size, with the codes that the module struct has for one element.
_ELEMENTS = {
    "b1": "?",
    "i1": "b", "i2": "h", "i4": "i", "i8": "q",
    "u1": "B", "u2": "H", "u4": "I", "u8": "Q",
    "f2": "e", "f4": "f", "f8": "d",
    "c8": "ff", "c16": "dd",
}  # fmt: skip

# A struct linger that says on, 0 s: two ints, on Windows two unsigned shorts.
_INT = 2 if os.name == "nt" else 4
_LINGER_RESET = (1).to_bytes(_INT, sys.byteorder) + bytes(_INT)


class LinkError(Exception):
    """An exchange that did not end in success; ``id`` is its request's."""

    id = None  # type: Any
    lost = False  # whether that is for want of a connection, so that it may be tried anew


class ConnectFailed(LinkError):
    """No connection: refused, unreachable, unknown host, or too slow. Nothing was sent."""


class LeaseLost(LinkError):
    """The link's lease has ended, and somebody else may hold the instrument: not executed."""


class NoReply(LinkError):
    """The connection was there, but no whole, valid reply: the command may have been executed."""


class ServerFailed(LinkError):
    """The server's refusal or failure.

    ``code`` is one of the protocol's codes (``"out_of_range"``, ``"busy"``, ...), ``error`` its
    sentence, ``where`` the parameter it is about or None, ``reply`` the whole reply.
    """

    def __init__(
        self,
        code: str,
        error: str,
        where: "Optional[str]" = None,
        reply: "Optional[Dict[str, Any]]" = None,
    ) -> None:
        # All arguments go to Exception, so that the error survives pickling between processes.
        super().__init__(code, error, where, reply)
        self.code = code
        self.error = error
        self.where = where
        self.reply = {} if reply is None else reply

    def __str__(self) -> str:
        return "{}: {}".format(self.code, self.error)


class Link:
    """A server's address, and exchanges with it.

    Each exchange has a connection of its own, but in a ``with`` block, which keeps one for all::

        with Link("192.168.1.20", timeout=2.0) as link:
            for frequency in frequencies:
                link.call("set_frequency", channel=0, frequency=frequency)

    A kept connection that has ended is replaced before something is sent, never afterwards, so
    that no command is executed twice; what becomes of an exchange that fails, its connection is
    not used again. Threads may share a link: on a kept connection one exchange follows the other.

    ``timeout`` is in seconds and covers a whole exchange. ``link`` is merged into every request's
    ``"link"`` object, for instance ``{"rid": 1234, "token": "..."}``. ``retries`` are as in
    `request_reply`, and so is ``ssl``, for a server that wants a certificate.

    ``on_restart`` says what becomes of a command where, since this link's first exchange, the
    server has started anew, or the hardware was lost and is there again: the settings on which it
    was to run may be gone. ``"ignore"``: it is executed. ``"raise"``: it is not, nor is any after
    it, and the failure is ``restarted``. ``"warn"``: the log tells, and it is executed. A
    function, which may use this link, is called to set everything up again, and then it is
    executed.
    """

    def __init__(  # noqa: PLR0917
        self,
        host: str = DEFAULT_HOST,
        port: int = DEFAULT_PORT,
        timeout: float = DEFAULT_TIMEOUT,
        link: "Optional[Dict[str, Any]]" = None,
        retries: int = 0,
        on_restart: "Union[str, Callable[[], object]]" = IGNORE,
        ssl: "Optional[_Files]" = None,
    ) -> None:
        self.host = host
        self.port = port
        self.timeout = timeout
        self.link = link
        self.retries = retries
        self.restarts = None if on_restart == IGNORE else Restarts(on_restart)
        self.ssl = ssl
        self.held = None  # type: Optional[Lease]
        self._kept = None  # type: Optional[_KeptConnection]

    def __repr__(self) -> str:
        return "Link({!r}, {!r}, timeout={!r})".format(self.host, self.port, self.timeout)

    def __enter__(self) -> "Link":
        """Keep one connection; raises RuntimeError where one is kept already."""
        if self._kept is not None:
            raise RuntimeError("{!r} keeps its connection already".format(self))
        self._kept = _KeptConnection()
        return self

    def __exit__(self, *exception: object) -> None:
        """Close the connection, after the exchange that another thread may have on it."""
        kept, self._kept = self._kept, None
        if kept is not None:
            kept.close()

    def call(self, command_id: str, **parameters: "Any") -> "Any":
        """Execute a command and return its result; errors as in `exchange`."""
        return _result(*self._exchange(dict(parameters, command_id=command_id)))

    def send(self, json_data: "Dict[str, Any]") -> "Dict[str, Any]":
        """Send a request and return the whole reply; errors as in `request_reply`."""
        return self._exchange(json_data)[0]

    def batch(
        self, requests: "List[Dict[str, Any]]", on_failure: str = "stop", check: bool = True
    ) -> "List[Dict[str, Any]]":
        """Execute requests in order in one exchange, and return a reply for each.

        All are checked first, and where one would be refused, none is executed; with ``check``
        False they are not. Where one fails, ``on_failure`` says whether those behind it are
        executed: ``"stop"`` or ``"continue"``.

        Raises `ServerFailed` where the whole batch was refused; otherwise as `request_reply`.
        """
        if not isinstance(requests, (list, tuple)):
            raise TypeError("requests: expected a list, got {}".format(_kind(requests)))
        reply, request_id = self._exchange(
            {
                "command_id": "link.batch",
                "requests": requests,
                "on_failure": on_failure,
                "check": check,
            }
        )
        replies = _result(reply, request_id)  # type: Any
        if not isinstance(replies, list) or not all(isinstance(one, dict) for one in replies):
            error = NoReply(
                "what {} answered to a batch is no list of replies{}".format(
                    Peer(self.host, self.port), _DOUBT
                )
            )
            error.id = request_id
            raise error
        return replies

    def outcome(self, request_id: str) -> "Dict[str, Any]":
        """Return what became of a request, by the ``id`` of its reply or of the error it ended in.

        Its ``outcome`` is ``"done"``, ``"failed"`` or ``"refused"``, with the ``reply``;
        ``"running"``; ``"never_arrived"``; or ``"unknown"``: the server ended while it ran. With
        ``known_for``, the server knows of the last so many seconds only, and what came before it
        would call ``"never_arrived"`` as well. Errors as in `exchange`.
        """
        told = self.call("link.outcome", id=request_id)  # type: Any
        return dict(told)

    def lease(
        self, instrument: str, owner: "Optional[str]" = None, seconds: float = LEASE_TIME
    ) -> "Lease":
        """Return a lease on an instrument, to be held for the length of a ``with`` block::

            with link.lease("dds", owner="calibration") as lease:
                link.call("set_frequency", channel=0, frequency=80e6)

        Meanwhile the commands of all others are refused as ``leased``, which tells them the
        ``owner``. It is renewed in the background; without that it ends after ``seconds``. A link
        holds one lease at a time.
        """
        return Lease(self, instrument, owner or _who(), seconds)

    def watch(
        self,
        instruments: "Optional[List[str]]" = None,
        kinds: "Sequence[str]" = (STATE,),
        timeout: "Optional[float]" = None,
    ) -> "Watch":
        """Return an iterator of the instruments' states, now and whenever they change::

            with link.watch(["dds"]) as states:
                for event in states:
                    print(event["instrument"], event["state"])

        An event is a dict. Of ``kinds`` there are ``"state"``, whose events have the whole
        ``state``, or None and an ``error`` where there is none; ``"progress"``, ``"exchange"``,
        ``"lease"``, ``"log"`` and ``"instrument"``, whose events are as the server sends them; and
        ``"link"``, whose events say in ``error`` why the connection was lost, and with None that
        it is there. Where it is lost it is made again, and goes on with what has changed since.

        It ends after ``timeout`` seconds, or with `Watch.close`. Errors as in `exchange`, when
        the watching begins; later where the server refuses to go on.
        """
        return Watch(self, instruments, kinds, timeout)

    def _exchange(self, json_data: "Dict[str, Any]") -> "Tuple[Dict[str, Any], Any]":
        """Return the reply, and the request's id."""
        deadline = Deadline(self.timeout)
        link, held = self.link, self.held
        if held is not None:
            link = held.members(link)
        if self.restarts is None:
            reply, request_id = self._exchange_once(json_data, deadline, link)
        else:
            reply, request_id = self.restarts.watch(self._exchange_once, json_data, deadline, link)
        if held is not None and reply.get("code") == "stale":
            held.end(reply.get("error", "the server gave no reason"))
            error = held.loss()
            error.id = request_id
            raise error
        return reply, request_id

    def _exchange_once(
        self, json_data: "Dict[str, Any]", deadline: "Deadline", link: "Optional[Dict[str, Any]]"
    ) -> "Tuple[Dict[str, Any], Any]":
        kept = self._kept
        carry = _carry_once if kept is None else kept.carry
        return _exchange(
            carry,
            json_data,
            self.host,
            self.port,
            deadline,
            link,
            retries=self.retries,
            ssl=self.ssl,
        )


class Lease:
    """A hold on an instrument, for the length of a ``with`` block.

    It begins with the block, which raises `ServerFailed` with the code ``leased`` where somebody
    else holds the instrument, and otherwise as `exchange`. Once the lease has ended, for instance
    because this program was suspended for too long, requests of the link raise `LeaseLost` until
    the block's end, and are not executed.
    """

    def __init__(self, link: Link, instrument: str, owner: str, seconds: float) -> None:
        self.instrument = instrument
        self.owner = owner
        self.seconds = seconds
        self.number = None  # type: Optional[int]
        self._link = link
        self._sure_until = 0.0
        self._ended = ""  # by what
        self._released = None  # type: Any

    def __repr__(self) -> str:
        return "<lease {} of {!r} on {}>".format(self.number, self.owner, self.instrument)

    @property
    def lost(self) -> bool:
        """Whether it has ended, or may have, because the server could not be asked for too long.

        In the second case it goes on after all where nobody else has taken the instrument, once
        the server is reached.
        """
        return bool(self._ended) or time.monotonic() >= self._sure_until

    def __enter__(self) -> "Lease":
        """Acquire it; raises RuntimeError where the link holds a lease already."""
        import threading

        if self._link.held is not None:
            raise RuntimeError("{!r} holds a lease already".format(self._link))
        asked = time.monotonic()
        ask = {
            "instrument": self.instrument,
            "owner": self.owner,
            "seconds": self.seconds,
        }  # type: Dict[str, Any]
        told = self._link.call("link.acquire", **ask)  # type: Any
        if not isinstance(told, dict) or not isinstance(told.get("lease"), int):
            peer = Peer(self._link.host, self._link.port)
            raise NoReply("what {} answered to link.acquire is no lease".format(peer))
        self.number = told["lease"]
        self._ended = ""
        self._sure_until = asked + self.seconds
        self._released = threading.Event()
        threading.Thread(target=self._renew, name="artiq_link lease", daemon=True).start()
        self._link.held = self
        return self

    def __exit__(self, *exception: object) -> None:
        """Release it; where that fails, it ends by itself after its seconds."""
        self._released.set()
        self._link.held = None
        if self._ended:
            return
        try:
            self._ask("link.release")
        except LinkError as error:
            _warn("{}: not released: {}".format(self.instrument, error))

    def members(self, link: "Optional[Dict[str, Any]]") -> "Dict[str, Any]":
        """Return ``link`` with the lease's number; raises `LeaseLost` where it has ended."""
        if self._ended:
            raise self.loss()
        return dict(link or {}, lease=self.number)

    def loss(self) -> LeaseLost:
        """Return the error of a request under a lease that has ended."""
        return LeaseLost("{}: the lease was lost: {}".format(self.instrument, self._ended))

    def end(self, reason: str) -> None:
        """Take note that it has ended, as the server says."""
        if not self._ended:
            self._ended = reason

    def _renew(self) -> None:
        """Renew it again and again, until it is released or has ended."""
        released = self._released
        while not released.wait(self.seconds / 3) and not self._ended:
            asked = time.monotonic()
            try:
                self._ask("link.renew")
            except LinkError as error:
                if released.is_set():
                    return
                if getattr(error, "code", "") == "stale":
                    self.end(str(error))
                _warn("{}: the lease was not renewed: {}".format(self.instrument, error))
            else:
                self._sure_until = asked + self.seconds

    def _ask(self, command_id: str) -> None:
        # Over a connection of its own: the link's may be busy with a long command.
        link, timeout = self._link, min(self._link.timeout, max(self.seconds / 3, 0.1))
        request = {"command_id": command_id, "lease": self.number}
        exchange(request, link.host, link.port, timeout, link.link, ssl=link.ssl)


class Watch:
    """An iterator of what happens at a server, over a connection of its own.

    One thread iterates; any may `close` it, which ends that.
    """

    def __init__(
        self,
        link: Link,
        instruments: "Optional[List[str]]" = None,
        kinds: "Sequence[str]" = (STATE,),
        timeout: "Optional[float]" = None,
    ) -> None:
        import threading

        if isinstance(kinds, str) or isinstance(instruments, str):
            raise TypeError("kinds and instruments: expected a list of names, got one name")
        self._link = link
        self._peer = Peer(link.host, link.port, link.ssl)
        self._instruments = instruments
        self._kinds = [kind for kind in kinds if kind != LINK]
        self._tells_of_link = LINK in kinds
        self._end = None if timeout is None else Deadline(timeout)
        self._closed = threading.Event()
        self._sock = None  # type: Any
        self._received = bytearray()
        self._has_line = False  # in what was received
        self._asked = False  # whether the server was asked whether it is there
        self._boot = None  # type: Any
        self._known = {}  # type: Dict[str, Tuple[int, Any]]  # versions and states as they came
        self._events = []  # type: List[Dict[str, Any]]
        self._subscribe()

    def __iter__(self) -> "Watch":
        return self

    def __enter__(self) -> "Watch":
        return self

    def __exit__(self, *exception: object) -> None:
        """Close it."""
        self.close()

    def __next__(self) -> "Dict[str, Any]":
        """Return the next event."""
        while not self._closed.is_set():
            if self._events:
                return self._events.pop(0)
            if self._end is not None and not self._end.left():
                self.close()
            elif self._sock is None:
                self._subscribe_again()
            else:
                self._receive()
        raise StopIteration

    def close(self) -> None:
        """End it, also where another thread waits for the next event."""
        self._closed.set()
        sock = self._sock
        if sock is not None:
            try:
                sock.shutdown(socket.SHUT_RDWR)  # wakes who waits
            except OSError:
                pass  # it has ended already
            sock.close()

    def _subscribe(self) -> None:
        """Connect and ask for events; raises as `exchange` does."""
        deadline = Deadline(self._link.timeout)
        versions = {name: version for name, (version, _) in self._known.items()}
        ask = {"command_id": "link.subscribe", "kinds": self._kinds}  # type: Dict[str, Any]
        if self._instruments is not None:
            ask["instruments"] = self._instruments
        if self._boot is not None:
            ask["since"] = {"boot": self._boot, "versions": versions}
        request = _Request(ask, self._link.link, self._peer, deadline, False)
        request.tell(False)
        try:
            sock = connect(self._peer, deadline)
            try:
                reply, rest = request.begin(sock)
                result = _result(reply, request.id)  # type: Any
                self._begin(result)
            except BaseException:
                reset(sock)
                raise
        except (LinkError, OSError) as error:
            failure = (
                error if isinstance(error, LinkError) else _failure_of(error, self._peer, request)
            )
            failure.id = request.id
            raise failure
        self._sock, self._asked = sock, False
        self._received, self._has_line = bytearray(rest), b"\n" in rest
        if self._closed.is_set():
            self.close()

    def _begin(self, told: "Any") -> None:
        """Take what a subscription is answered with."""
        try:
            if told["boot"] != self._boot:
                self._boot = told["boot"]
                self._known.clear()
            if self._tells_of_link:
                self._events.append({"event": LINK, "instrument": None, "error": None})
            for name, news in told["instruments"].items():
                self._take(dict(news, event=STATE, instrument=name))
        except (KeyError, TypeError, AttributeError, ValueError) as error:
            raise NoReply(
                "what {} answered to link.subscribe is no list of states ({})".format(
                    self._peer, error
                )
            ) from None

    def _subscribe_again(self) -> None:
        pause = FIRST_PAUSE
        while self._end is None or self._end.left():
            if self._closed.wait(pause if self._end is None else min(pause, self._end.left())):
                return
            pause = min(2 * pause, LONGEST_PAUSE)
            try:
                self._subscribe()
                return
            except ServerFailed as error:
                if error.code not in ("busy", "shutting_down", "timeout", "expired"):
                    raise
            except LinkError:
                pass

    def _receive(self) -> None:
        """Wait for what comes next, and take it."""
        try:
            if self._has_line or self._wait():
                self._has_line = False
                lines = self._received.split(b"\n")
                self._received = lines.pop()
                for line in lines:
                    event = decode_json(line, self._peer, Deadline(MAX_TIMEOUT), _PLAIN_DECODER)
                    if "event" in event:  # otherwise it answers a ping
                        self._take(event)
        except (LinkError, OSError, ValueError, KeyError, TypeError, RecursionError) as error:
            self._lose(str(error))

    def _wait(self) -> bool:
        """Wait for a line, or a piece of one; whether there is a whole one.

        Raises ValueError where there will not be any.
        """
        wait = self._link.timeout if self._asked else SILENT_TIME
        if self._end is not None:
            wait = min(wait, self._end.left() or SLACK)
        try:
            chunk = receive_bytes(self._sock, Deadline(wait))
        except socket.timeout:
            if self._end is None or self._end.left():
                if self._asked:
                    raise ValueError("{} does not answer".format(self._peer)) from None
                self._ask()
            return False
        if not chunk:
            raise ValueError("the connection to {} ended".format(self._peer))
        self._asked = False
        self._received += chunk
        if len(self._received) > MAX_REPLY:
            raise ValueError("{} sent more than {} bytes".format(self._peer, MAX_REPLY))
        return b"\n" in chunk

    def _take(self, event: "Dict[str, Any]") -> None:
        """Take an event; raises where it is none, or is about a state that is not known."""
        if event["event"] == STATE:
            name, version = event["instrument"], event["version"]
            if "patch" in event:
                state = patched(self._known[name][1], event.pop("patch"))
            else:
                state = event["state"]
            self._known[name] = version, state
            event["state"] = state
        self._events.append(_with_arrays(event))

    def _ask(self) -> None:
        """Ask the server whether it is there."""
        deadline = Deadline(self._link.timeout)
        ping = {"command_id": "link.ping"}
        request = _Request(ping, self._link.link, self._peer, deadline, False)
        request.tell(False)
        request.send(self._sock)
        self._asked = True

    def _lose(self, reason: str) -> None:
        """Take note that the connection is lost."""
        sock, self._sock = self._sock, None
        if sock is not None:
            sock.close()
        if self._tells_of_link and not self._closed.is_set():
            self._events.append({"event": LINK, "instrument": None, "error": reason})


def patched(target: "Any", patch: "Any") -> "Any":
    """Return what a JSON Merge Patch makes of a value, which stays as it is (RFC 7386, 2)."""
    if not isinstance(patch, dict):
        return patch
    result = dict(target) if isinstance(target, dict) else {}
    for name, value in patch.items():
        if value is None:
            result.pop(name, None)
        else:
            result[name] = patched(result.get(name), value)
    return result


def _with_arrays(value: "Any") -> "Any":
    """Return a copy of parsed JSON with arrays where their notation stands."""
    if isinstance(value, list):
        return [_with_arrays(item) for item in value]
    if isinstance(value, dict):
        return _object({}, {name: _with_arrays(item) for name, item in value.items()})
    return value


def _who() -> str:
    """Return what a program calls itself by default, for people."""
    return "{} on {}".format(os.path.basename(sys.argv[0]) or "python", socket.gethostname())


class Restarts:
    """Which start of the server a link has talked to, and what is done where it was another.

    What the server calls a start also tells what hardware it has lost since; that is its own.
    Several links to one server may have one.
    """

    def __init__(self, on_restart: "Union[str, Callable[[], object]]") -> None:
        import threading

        if on_restart not in (RAISE, WARN) and not callable(on_restart):
            raise ValueError(
                "on_restart: expected {!r}, {!r}, {!r} or a function, got {!r}".format(
                    RAISE, WARN, IGNORE, on_restart
                )
            )
        self._on_restart = on_restart
        self._asked = False
        self._boot = None  # type: Optional[str]
        self._turn = threading.RLock()
        self._settling = False

    def watch(
        self,
        exchange: "_Exchange",
        json_data: "Dict[str, Any]",
        deadline: "Deadline",
        link: "Optional[Dict[str, Any]]",
    ) -> "Tuple[Dict[str, Any], Any]":
        """Do as ``exchange``, for the server's start that is known."""
        if isinstance(json_data, dict) and json_data.get("command_id") == "link.status":
            reply, request_id = exchange(json_data, deadline, link)
            if not self._asked:
                self._note(_boot_in(reply))
            return reply, request_id
        if not self._asked:
            self._note(self._ask(exchange, deadline, link))
        while True:
            boot = self._boot
            members = link if boot is None else dict(link or {}, boot=boot)
            reply, request_id = exchange(json_data, deadline, members)
            if reply.get("code") != "restarted" or self._on_restart == RAISE or self._settling:
                return reply, request_id
            with self._turn:
                if self._boot == boot:
                    self._settle(self._ask(exchange, deadline, link), reply.get("error"))

    def _note(self, boot: "Optional[str]") -> None:
        self._asked, self._boot = True, boot

    def _settle(self, boot: "Optional[str]", why: object) -> None:
        """Do what is to be done after a restart, and go on with the start named ``boot``."""
        former, self._boot = self._boot, boot
        if not callable(self._on_restart):
            _warn("{}; it is sent again".format(why))
            return
        self._settling = True
        try:
            self._on_restart()
        except BaseException:
            self._boot = former  # nothing is to run before it has succeeded
            raise
        finally:
            self._settling = False

    def _ask(
        self, exchange: "_Exchange", deadline: "Deadline", link: "Optional[Dict[str, Any]]"
    ) -> "Optional[str]":
        return _boot_in(exchange({"command_id": "link.status"}, deadline, link)[0])


def _boot_in(status: "Dict[str, Any]") -> "Optional[str]":
    """Return the name of a server's start; one that is older than such names has none."""
    result = status.get("result")
    boot = result.get("boot") if isinstance(result, dict) else None
    return boot if isinstance(boot, str) else None


def send_data(  # noqa: PLR0917
    json_data: "Dict[str, Any]",
    host: str = DEFAULT_HOST,
    port: int = DEFAULT_PORT,
    debug: bool = False,
    timeout: float = DEFAULT_TIMEOUT,
    server_success: "Optional[_Callback]" = None,
    server_fail: "Optional[_Callback]" = None,
    fail_connect: "Optional[Callable[[], object]]" = None,
    link: "Optional[Dict[str, Any]]" = None,
    retries: int = 0,
    ssl: "Optional[_Files]" = None,
) -> "Optional[Dict[str, Any]]":
    """Send a request, call exactly one of the callbacks, once, and return the reply.

    ``server_success`` and ``server_fail`` are given the reply. Where there is no valid one,
    whatever the reason, the reason is logged, ``fail_connect`` is called and None returned.
    What a callback raises reaches the caller, and so do the `TypeError` and `ValueError` of
    `request_reply`.
    """
    try:
        reply = request_reply(json_data, host, port, timeout, link, debug, retries, ssl)
    except LinkError as error:
        _warn(error)
        reply = None
    # The callbacks run outside the try: a LinkError of their own is not this exchange's.
    if reply is None:
        if fail_connect is not None:
            fail_connect()
        return None
    callback = server_success if reply["status"] == "success" else server_fail
    if callback is not None:
        callback(reply)
    return reply


def _warn(error: object) -> None:
    try:
        import logging
    except (OSError, ImportError):  # no descriptor is left for its file
        print(error, file=sys.stderr)  # where logging writes, too, unless told otherwise
        return
    logging.getLogger("artiq_link.client").warning("%s", error)


def exchange(  # noqa: PLR0917
    json_data: "Dict[str, Any]",
    host: str = DEFAULT_HOST,
    port: int = DEFAULT_PORT,
    timeout: float = DEFAULT_TIMEOUT,
    link: "Optional[Dict[str, Any]]" = None,
    debug: bool = False,
    retries: int = 0,
    ssl: "Optional[_Files]" = None,
) -> "Any":
    """Send a request and return the reply's result.

    Raises `ServerFailed` where the server said no; otherwise as `request_reply`.
    """
    deadline = Deadline(timeout)
    reply, request_id = _exchange(
        _carry_once, json_data, host, port, deadline, link, debug, retries, ssl
    )
    return _result(reply, request_id)


def request_reply(  # noqa: PLR0917
    json_data: "Dict[str, Any]",
    host: str = DEFAULT_HOST,
    port: int = DEFAULT_PORT,
    timeout: float = DEFAULT_TIMEOUT,
    link: "Optional[Dict[str, Any]]" = None,
    debug: bool = False,
    retries: int = 0,
    ssl: "Optional[_Files]" = None,
) -> "Dict[str, Any]":
    """Send a request and return the reply, a dict whose ``"status"`` is "success" or "fail".

    ``timeout`` seconds cover all of it: looking up the name, every address tried, sending and
    waiting. The request's ``"link"`` object is made of an ``id``, a ``timeout`` for the server,
    then the members of ``link``, then those of ``json_data["link"]``; the later ones win.
    ``json_data`` itself is left as it is. NumPy's numbers are sent as numbers, its arrays of
    booleans, integers, floats and complex numbers as arrays. Arrays in the reply are
    `numpy.ndarray` where NumPy is installed, nested lists elsewhere. With ``debug`` what is sent
    and received is printed.

    Where the connection is lost before the reply has come, the request is repeated up to
    ``retries`` times, within ``timeout``. It keeps its ``id``, so that a server executes it once;
    to one that is too old to know ids again, and to one that has started anew and kept no journal,
    it is not repeated. With ``retries``, a server that has answered this program before is also
    tried until the time is up where it takes no connection or says that it is stopping: it may be
    starting anew. This is none of the ``retries``, because nothing was sent, or executed. Once it
    was in vain, it is not done again before the server has answered.

    ``ssl`` is for a server that wants a certificate: three files in PEM, as ARTIQ and sipyco have
    them: the client's certificate, its key, and the server's certificate.

    Raises `TypeError` or `ValueError` that names what cannot be sent before connecting,
    `ConnectFailed` where there was no connection, `NoReply` where no valid reply came in time;
    one of the two also where this system gives no memory or descriptor.
    """
    deadline = Deadline(timeout)
    return _exchange(_carry_once, json_data, host, port, deadline, link, debug, retries, ssl)[0]


class Deadline:
    """The one moment by which everything has to be done."""

    def __init__(self, timeout: float) -> None:
        try:
            self.timeout = float(timeout)
        except TypeError:
            raise TypeError(
                "timeout: expected a number of seconds, got {}".format(_kind(timeout))
            ) from None
        except (ValueError, OverflowError):
            raise ValueError(
                "timeout: expected a number of seconds, got {!r:.60}".format(timeout)
            ) from None
        if not 0 < self.timeout <= MAX_TIMEOUT:
            raise ValueError(
                "timeout: expected more than 0 and at most {:g} s, got {!r}".format(
                    MAX_TIMEOUT, timeout
                )
            )
        self._end = time.monotonic() + self.timeout

    def left(self) -> float:
        """Return the seconds left, 0 when the time is up."""
        left = self._end - time.monotonic()
        return left if left > 0 else 0.0

    def left_for_server(self) -> float:
        """Return the seconds to give the server, whose own answer `timeout` must come in time."""
        left = self.left()
        return left - min(MARGIN_MAX, MARGIN_FRACTION * left)


class Peer:
    """The server's host and port, checked, as the socket functions and the messages want them.

    ``ssl`` are the three files for a server that wants a certificate.
    """

    def __init__(self, host: str, port: int, ssl: "Optional[_Files]" = None) -> None:
        if not isinstance(host, str):
            raise TypeError("host: expected a text, got {}".format(_kind(host)))
        try:
            self.port = operator.index(port)
        except TypeError:
            raise TypeError("port: expected an integer, got {}".format(_kind(port))) from None
        # getaddrinfo would cut a number that is too large to 16 bits: to some other port.
        if not 0 < self.port < 65536:
            raise ValueError("port: expected 1 to 65535, got {}".format(self.port))
        bracketed = host.startswith("[") and host.endswith("]")  # as in URLs (RFC 3986, 3.2.2)
        self.host = host[1:-1] if bracketed else host
        if ssl is not None and (isinstance(ssl, str) or len(ssl) != 3):
            raise ValueError(
                "ssl: expected three files, the client's certificate, its key, and the server's "
                "certificate"
            )
        self.ssl = None if ssl is None else tuple(ssl)  # type: Optional[Tuple[str, ...]]

    def __str__(self) -> str:
        return ("[{}]:{}" if ":" in self.host else "{}:{}").format(self.host, self.port)


# --- one exchange -------------------------------------------------------------------------------


def _exchange(  # noqa: PLR0917
    carry: "_Carry",
    json_data: "Dict[str, Any]",
    host: str,
    port: int,
    deadline: "Deadline",
    link: "Optional[Dict[str, Any]]",
    debug: bool = False,
    retries: int = 0,
    ssl: "Optional[_Files]" = None,
) -> "Tuple[Dict[str, Any], Any]":
    """Do as `request_reply` over the connection of ``carry``; return the request's id as well."""
    if retries:
        carry = functools.partial(_carry_again, carry, _checked_retries(retries))
    peer = Peer(host, port, ssl)
    server = (peer.host, peer.port)
    request = None  # type: Optional[_Request]
    try:
        request = _Request(json_data, link, peer, deadline, debug)
        request.tell(_takes_buffers(server))
        if request.buffers and request.takes_buffers is None:
            request.tell(_ask_for_buffers(carry, request))
        reply = carry(request)
        if request.takes_buffers and _knows_no_buffers(reply):
            # An older server has come to this address. It has refused to read the request, so
            # that it may have it again.
            _remember(server, False)
            request.tell(False)
            reply = carry(request)
        if server not in _known:
            _remember(server, None)
    except (LinkError, OSError, ImportError, MemoryError) as error:
        failure = error if isinstance(error, LinkError) else _failure_of(error, peer, request)
        failure.id = getattr(request, "id", None)
        raise failure
    if request.takes_buffers is None and json_data.get("command_id") == "link.describe":
        description = reply.get("result")
        if isinstance(description, dict) and description.get("buffers") is True:
            _remember(server, True)
    return reply, request.id


def _checked_retries(retries: int) -> int:
    """Return a number of retries, or raise what is wrong with it before any is needed."""
    try:
        number = operator.index(retries)
    except TypeError:
        raise TypeError("retries: expected an integer, got {}".format(_kind(retries))) from None
    if number < 0:
        raise ValueError("retries: expected 0 or more, got {}".format(number))
    return number


def _failure_of(error: Exception, peer: Peer, request: "Optional[_Request]") -> LinkError:
    """Return what the system's refusal, such as of memory or of a descriptor, means."""
    reason = getattr(error, "strerror", None) or str(error) or "there is not enough memory"
    if request is None or not request.begun:
        return ConnectFailed("nothing was sent to {}: {}".format(peer, reason))
    return NoReply("the reply of {} was lost: {}{}".format(peer, reason, request.doubt()))


def _result(reply: "Dict[str, Any]", request_id: "Any") -> "Any":
    """Return the reply's result, or raise its failure."""
    if reply["status"] == "fail":
        error = ServerFailed(
            reply.get("code", "fail"),
            reply.get("error", "the server gave no reason"),
            reply.get("where"),
            reply,
        )
        error.id = request_id
        raise error
    return reply.get("result")


def _carry_again(carry: "_Carry", retries: int, request: "_Request") -> "Dict[str, Any]":
    """Send a request, and again where its connection is lost; return the reply.

    It keeps its id, by which the server knows it again. ``retries`` limit how often it is sent
    again; for a connection it is tried until the time is up, because a server that starts anew
    refuses many within its second. One that has never answered is tried once: the address may be
    wrong.
    """
    began = time.monotonic()
    is_there = _has_answered(request.peer)
    loss = refusal = reply = None  # type: Any
    refusals, since = 0, ""
    for _ in _tries(request.deadline):
        try:
            if loss is not None and not _is_known(carry, request, time.monotonic() - began):
                refusals = 0
                break
            reply = carry(request)
            if reply.get("code") != "shutting_down":
                break
            is_there = True
        except ConnectFailed as error:
            refusal = error
            refusals, since = refusals + 1, since or time.strftime("%H:%M:%S")
            if not (error.lost and is_there):
                break
        except NoReply as error:
            loss, is_there, reply = loss or error, True, None
            refusals, since = 0, ""
            if not (error.lost and retries > 0):
                break
            retries -= 1
    if reply is None:
        if refusals > 1:  # what has gone for good costs one timeout, and not one for each request
            _known.pop((request.peer.host, request.peer.port), None)
        raise _given_up(request, loss or refusal, refusals, since)
    return reply  # type: ignore[no-any-return]


def _tries(deadline: "Deadline") -> "Iterator[None]":
    """Go on now, and then after growing pauses as long as there is time for another try."""
    yield
    pause = FIRST_PAUSE
    while deadline.left() >= FIRST_PAUSE:
        time.sleep(min(pause, deadline.left() / 2))
        pause = min(2 * pause, LONGEST_PAUSE)
        yield


def _given_up(request: "_Request", failure: LinkError, refusals: int, since: str) -> LinkError:
    """Return the failure, with since which time of day nobody was there."""
    text = str(failure)
    if text.endswith(_DOUBT):
        text += ", or ask with Link.outcome({!r})".format(request.id)
    if refusals > 1:
        if isinstance(failure, ConnectFailed):
            text += "; nothing was executed"
        text += "; nobody was there since {}, in {} tries".format(since, refusals)
    return type(failure)(text)


def _is_known(carry: "_Carry", request: "_Request", age: float) -> bool:
    """Whether the server is sure to know the request, if it came to it ``age`` seconds ago.

    An older server knows none, and one without a journal none of before its start.
    """
    link = {name: request.link[name] for name in request.link if name not in ("id", "timeout")}
    link.pop("boot", None)
    ask = {"command_id": "link.outcome", "id": request.id}
    question = _Request(ask, link, request.peer, request.deadline, request.debug)
    question.tell(False)
    outcome = carry(question).get("result")
    known_for = outcome.get("known_for", age) if isinstance(outcome, dict) else None
    return isinstance(known_for, (int, float)) and known_for >= age


def _carry_once(request: "_Request") -> "Dict[str, Any]":
    """Send a request over a connection of its own, and return the reply."""
    sock = connect(request.peer, request.deadline)
    try:
        reply, _ = request.converse(sock)
    except BaseException:
        # A reset tells the server that nobody waits any more, so that it does not start the
        # command; after a plain close it could not tell a client that has given up from one
        # that has only finished sending.
        reset(sock)
        raise
    sock.close()
    return reply


class _KeptConnection:
    """A connection for one exchange after the other, made anew where it has ended."""

    def __init__(self) -> None:
        self._turn = _thread.allocate_lock()  # that of threading, whose import takes files
        self._sock = None  # type: Optional[socket.socket]
        self._owner = ()  # type: Tuple[Any, ...]  # the server, and the process that connected
        self._last_used = 0.0
        self._was_kept = False
        self._closed = False

    def carry(self, request: "_Request") -> "Dict[str, Any]":
        """Send a request when those before it are done, and return the reply."""
        deadline = request.deadline
        if not self._turn.acquire(timeout=deadline.left()):
            raise ConnectFailed(
                "nothing was sent to {}: on a kept connection one exchange follows the other, and "
                "the one before has not ended within {:g} s".format(request.peer, deadline.timeout)
            )
        try:
            sock = self._usable(request.peer, deadline)
            self._sock = None
            try:
                reply, reusable = request.converse(sock, keep=True)
            except BaseException:
                reset(sock)  # as in `_carry_once`; a reply that comes late meets nobody
                raise
            if reusable and not self._closed:
                self._sock = sock
                self._last_used = time.monotonic()
            else:
                sock.close()
            return reply
        finally:
            self._turn.release()

    def close(self) -> None:
        """End the connection when nobody uses it, and keep none from then on."""
        self._closed = True
        with self._turn:
            if self._sock is not None:
                self._sock.close()
                self._sock = None

    def _usable(self, peer: Peer, deadline: Deadline) -> socket.socket:
        """Return the connection to the peer, or a new one where it is not fit to be used."""
        # A forked process has its parent's connections, and both would read the replies.
        owner = (peer.host, peer.port, peer.ssl, os.getpid())
        sock = self._sock
        if sock is not None:
            if owner == self._owner and time.monotonic() - self._last_used < MAX_IDLE:
                wait = 0.0 if self._was_kept else min(CLOSING_TIME, deadline.left())
                if _is_quiet(sock, wait):
                    self._was_kept = True
                    return sock
            self._sock = None
            sock.close()
        sock = connect(peer, deadline)
        self._owner = owner
        self._was_kept = False
        return sock


def _is_quiet(sock: socket.socket, wait: float) -> bool:
    """Whether a connection goes on and nothing has come that nobody asked for."""
    sock.settimeout(wait)
    try:
        sock.recv(1, socket.MSG_PEEK)
    except (BlockingIOError, socket.timeout):
        return True
    except (OSError, ConnectFailed):
        return False
    return False


# --- the request and its reply ------------------------------------------------------------------


_DOUBT = (
    "; whether the command was executed is not known: check the instrument before sending it again"
)


class _Request:
    """One request to one server until one moment, and the way to its reply.

    It is checked when it is made and `tell` has been called, and encoded when it is sent: data
    that cannot be sent is refused before connecting, while the time left for the server is known
    only afterwards.

    ``takes_buffers`` says whether the server does, None where that is not known. ``buffers`` are
    the bytes of the large arrays, empty where it does not.
    """

    def __init__(
        self,
        json_data: "Dict[str, Any]",
        link: "Optional[Dict[str, Any]]",
        peer: Peer,
        deadline: Deadline,
        debug: bool,
    ) -> None:
        if not isinstance(json_data, dict):
            raise TypeError("json_data: expected a dict, got {}".format(_kind(json_data)))
        self.peer = peer
        self.deadline = deadline
        self.debug = debug
        self.begun = False  # whether anything of it may have been sent
        self.buffers = []  # type: List[memoryview]
        self.takes_buffers = None  # type: Optional[bool]
        # Not uuid4: importing uuid starts a compiler or ldconfig under Python 3.6.
        # The time comes first (as in RFC 9562, 5.7): ids that are close to each other are found
        # close to each other, which a journal's index is spared much by.
        self.id = "{:012x}{}".format(int(time.time() * 1000), os.urandom(10).hex())  # type: Any
        self.link = {"id": self.id}  # type: Dict[str, Any]
        own = json_data.get("link")
        if link is None and own is None:
            self._link = '{"id": "' + self.id + '"}'
        else:
            for members in (link, own):
                if members is not None:
                    if not isinstance(members, dict):
                        raise TypeError("link: expected a dict, got {}".format(_kind(members)))
                    self.link.update(members)
            self.id = self.link["id"]
            self._link = _dumps(self.link, "link", _BASE64_ENCODER)
        if "link" in json_data:
            json_data = {key: json_data[key] for key in json_data if key != "link"}
        self._data = json_data
        self._body = ""

    def tell(self, takes_buffers: "Optional[bool]") -> None:
        """Tell what is known of the server, by which the data is encoded."""
        self.takes_buffers = takes_buffers
        self.buffers = []
        try:
            self._body = _dumps(self._data, "", _ENCODER)
        except _LargeArray:  # rare, so that only these requests have an encoder of their own
            takes = takes_buffers is not False
            encoder = _buffering_encoder(self.buffers) if takes else _BASE64_ENCODER
            self._body = _dumps(self._data, "", encoder)

    def converse(self, sock: socket.socket, keep: bool = False) -> "Tuple[Dict[str, Any], bool]":
        """Send it, and return the reply and whether the connection is fit for the next request."""
        message = self._encode(keep)
        if not self.deadline.left():
            # This program may have been suspended meanwhile, and the server would not know.
            raise ConnectFailed(
                "nothing was sent to {}: its {:g} s were up".format(
                    self.peer, self.deadline.timeout
                )
            )
        self.begun = True
        sent = self._send(sock, message)
        if self.debug:
            _show("sent", self._without_token(message), self.buffers)
        line, complete, rest = self._receive_line(sock)
        if self.debug and line:
            _show("received", line)
        try:
            refers = b'"buffer"' in line  # an array's bytes stand behind the line
            decoder = _PLAIN_DECODER if refers else None
            reply = decode_json(line, self.peer, self.deadline, decoder)
            lengths = _buffer_lengths(reply)
            if refers or lengths:
                buffers, rest = self._receive_buffers(sock, lengths, len(line), rest)
                reply = decode_json(line, self.peer, self.deadline, _array_decoder(buffers))
                if buffers:
                    raise ValueError("malformed buffers: no array has {}".format(min(buffers)))
            self._check_reply(reply, keep)
        except (ValueError, RecursionError) as error:
            if not complete and isinstance(error, (json.JSONDecodeError, UnicodeDecodeError)):
                raise self._cut_off(len(line)) from None
            raise self._no_reply(error) from None
        # A server that refused a request may have left its buffers unread; one that answers
        # without the id has not read the request at all.
        refused = self.buffers and reply["status"] == "fail"
        named = reply.get("id") == self.id
        return reply, sent and complete and named and not rest and not refused

    def send(self, sock: socket.socket) -> None:
        """Send it over a connection that goes on."""
        self.begun = True
        self._send(sock, self._encode(True))

    def begin(self, sock: socket.socket) -> "Tuple[Dict[str, Any], bytes]":
        """Send it over a connection that goes on; return the reply, and what came behind it."""
        self.send(sock)
        line, complete, rest = self._receive_line(sock)
        if not complete:
            raise self._cut_off(len(line))
        try:
            reply = decode_json(line, self.peer, self.deadline, _PLAIN_DECODER)
            self._check_reply(reply, True)
        except (ValueError, RecursionError) as error:
            raise self._no_reply(error) from None
        return reply, rest

    def _no_reply(self, error: Exception) -> NoReply:
        return NoReply(
            "what {} answered is not a reply of the link ({}); check that host and port are "
            "those of a link server".format(self.peer, error)
        )

    def _encode(self, keep: bool) -> bytes:
        """Return the bytes before the buffers, for a server that has nearly until the deadline."""
        link = self._link[:-1]
        if keep:
            link += ', "keep": true'
        if self.takes_buffers:
            lengths = [len(buffer) for buffer in self.buffers]
            link += ', "buffers": {}'.format(lengths or "true")
        if "timeout" not in self.link:
            link += ', "timeout": ' + repr(self.deadline.left_for_server())
        separator = ", " if len(self._body) > len("{}") else ""
        end = "}}\n" if self.buffers else "}}"
        return (self._body[:-1] + separator + '"link": ' + link + end).encode("ascii")

    def _without_token(self, message: bytes) -> bytes:
        """What may be shown of a message."""
        if "token" not in self.link:
            return message
        return message.replace(json.dumps(self.link["token"]).encode(), b'"..."')

    def _send(self, sock: socket.socket, message: bytes) -> bool:
        """Send all, and return whether the server was given it before it answered or closed."""
        if not self.buffers:
            return send_bytes(sock, message, self.peer, self.deadline)
        sock.settimeout(0)  # so that an answer is seen while a full socket is waited for
        parts = [memoryview(message)] + self.buffers
        return all(send_bytes(sock, part, self.peer, self.deadline) for part in parts)

    def _receive_line(self, sock: socket.socket) -> "Tuple[_Bytes, bool, bytes]":
        """Return what came before a newline or the connection's end, and what behind it.

        Between the two: whether there was a newline.
        """
        received = bytearray()
        while True:
            try:
                chunk = receive_bytes(sock, self.deadline)
            except socket.timeout:
                raise self._too_late(len(received)) from None
            line, newline, rest = chunk.partition(b"\n")
            if len(received) + len(line) > MAX_REPLY:
                raise self._too_large()
            received += line
            if newline or not chunk:
                return received, bool(newline), rest

    def _receive_buffers(
        self, sock: socket.socket, lengths: "List[int]", came: int, rest: bytes
    ) -> "Tuple[Dict[int, bytearray], bytes]":
        """Return the buffers by number, and what came behind them.

        ``came`` bytes have been received as the reply's line, and ``rest`` behind it.
        """
        total = sum(lengths)
        if came + total > MAX_REPLY:
            raise self._too_large()
        if _numpy() is None:
            _check_cost(BYTE_COST * total, came + total, self.peer, self.deadline)
        buffers = {}
        for number, length in enumerate(lengths):
            buffers[number] = data = bytearray(length)
            count = min(length, len(rest))
            data[:count] = rest[:count]
            rest = rest[count:]
            missing = memoryview(data)[count:]
            came += count
            while missing:
                try:
                    _limit(sock, self.deadline)
                    count = sock.recv_into(missing)
                except socket.timeout:
                    raise self._too_late(came) from None
                except OSError:
                    count = 0
                if not count:
                    raise self._cut_off(came)
                missing = missing[count:]
                came += count
        # The line has been decoded once already, and will be once more.
        if not self.deadline.left():
            raise self._too_late(came)
        return buffers, rest

    def _check_reply(self, reply: "Any", must_name: bool) -> None:
        """Raise ValueError where it is no reply to this request.

        A success ``must_name`` it where others went before on the same connection. A failure
        cannot always: the server may not have read so far.
        """
        if not isinstance(reply, dict):
            raise ValueError("expected an object, got {}".format(_kind(reply)))
        if reply.get("status") not in ("success", "fail"):
            raise ValueError(
                "expected the status 'success' or 'fail', got {!r}".format(reply.get("status"))
            )
        for member in ("code", "error"):
            if not isinstance(reply.get(member, ""), str):
                raise ValueError("expected a text as {!r}".format(member))
        named = reply.get("id")
        if named != self.id and (
            named is not None or (must_name and reply["status"] == "success")
        ):
            raise ValueError("it answers the request {!r}, expected {!r}".format(named, self.id))

    def doubt(self) -> str:
        """What to say where it is not known what the server did."""
        command = str(self._data.get("command_id"))
        # The link's own commands touch no instrument, but for the batch.
        is_own = command.startswith("link.") and command != "link.batch"
        return "" if is_own else _DOUBT

    def _too_late(self, came: int) -> NoReply:
        return NoReply(
            "{} gave no whole reply within {:g} s ({}){}".format(
                self.peer, self.deadline.timeout, self._what_came(came), self.doubt()
            )
        )

    def _cut_off(self, came: int) -> NoReply:
        error = NoReply(
            "the connection to {} ended before the whole reply ({}){}".format(
                self.peer, self._what_came(came), self.doubt()
            )
        )
        error.lost = True
        return error

    def _what_came(self, came: int) -> str:
        """Say how much, and ask where nothing ever has: a link server says that time was up."""
        question = "" if came or _has_answered(self.peer) else ": is it a link server?"
        return "{} bytes came{}".format(came, question)

    def _too_large(self) -> NoReply:
        return NoReply(
            "the reply of {} is larger than the limit of {} bytes; ask for less at once".format(
                self.peer, MAX_REPLY
            )
        )


# --- buffers ------------------------------------------------------------------------------------

# The servers that have answered, and were not given up since: whether they take arrays as buffers,
# and until when that is believed.
_known = {}  # type: Dict[_Server, Tuple[Optional[bool], float]]


def _has_answered(peer: Peer) -> bool:
    """Whether it has answered this program before, as a link server does."""
    return (peer.host, peer.port) in _known


def _takes_buffers(server: "_Server") -> "Optional[bool]":
    """Whether a server takes buffers, None where that is not known."""
    takes, until = _known.get(server, (None, 0.0))
    return None if takes is None or time.monotonic() > until else takes


def _remember(server: "_Server", takes: "Optional[bool]") -> None:
    if len(_known) >= MAX_KNOWN:
        _known.clear()
    _known[server] = takes, float("inf") if takes else time.monotonic() + ASK_AGAIN


def _ask_for_buffers(carry: "_Carry", request: _Request) -> bool:
    """Whether the server takes buffers, which an older one refuses to be asked."""
    link = {name: request.link[name] for name in request.link if name not in ("id", "timeout")}
    link["buffers"] = True
    peer = request.peer
    ping = _Request({"command_id": "link.ping"}, link, peer, request.deadline, request.debug)
    ping.tell(False)
    reply = carry(ping)
    takes = "link" in reply
    if takes or _knows_no_buffers(reply):
        _remember((peer.host, peer.port), takes)
    return takes


def _knows_no_buffers(reply: "Dict[str, Any]") -> bool:
    """Whether a request was refused because the server is older than buffers."""
    error = reply.get("error", "")
    return (
        reply.get("code") in ("invalid_parameter", "malformed")
        and "link" not in reply
        and ("unknown field 'buffers'" in error or "the bytes are missing" in error)
    )


def _buffer_lengths(reply: "Any") -> "List[int]":
    """Return how many bytes each of a reply's buffers has."""
    link = reply.get("link") if isinstance(reply, dict) else None
    if link is None:
        return []
    lengths = link.get("buffers") if isinstance(link, dict) else None
    if not isinstance(lengths, list):
        return []
    if len(lengths) > MAX_BUFFERS:
        raise ValueError("malformed buffers: there are {} of them".format(len(lengths)))
    for length in lengths:
        if type(length) is not int or length < 0:
            raise ValueError("malformed buffers: length {!r:.60}".format(length))
    return lengths


# --- JSON that is sent --------------------------------------------------------------------------


def _dumps(value: "Dict[str, Any]", path: str, encoder: json.JSONEncoder) -> str:
    """Return ``value`` as JSON in ASCII, or raise an error that names the key of what is wrong."""
    try:
        try:
            text = encoder.encode(value)
        except (TypeError, ValueError):
            _refuse(value, path)
            raise
        if not _has_text_keys(value):
            _refuse(value, path)
    except RecursionError:
        raise ValueError(
            "{}: it contains itself or is nested too deep to be sent".format(path or "json_data")
        ) from None
    return text


class _LargeArray(Exception):
    """An array is large enough to be sent as a buffer."""


def _buffering_encoder(buffers: "List[memoryview]") -> json.JSONEncoder:
    """Return an encoder that puts the elements of large arrays to the end of ``buffers``."""
    return json.JSONEncoder(default=functools.partial(_plain, buffers), allow_nan=False)


def _plain_or_large(value: "Any") -> "Any":
    """Do as `_plain`; raises `_LargeArray` where that depends on the server."""
    if getattr(value, "nbytes", 0) >= MIN_BUFFER and _is_array(value):
        raise _LargeArray
    return _plain(None, value)


def _plain(buffers: "Optional[List[memoryview]]", value: "Any") -> "Any":
    """Return a NumPy scalar or array in JSON's terms, without importing NumPy."""
    dtype = getattr(value, "dtype", None)  # type: Any
    element = "{}{}".format(getattr(dtype, "kind", ""), getattr(dtype, "itemsize", ""))
    if element not in _ELEMENTS or not hasattr(value, "tobytes"):
        raise TypeError("{} cannot be sent as JSON".format(_kind(value)))
    if not value.shape:
        return value.item()  # a complex number comes back here, and is refused above
    elements = None  # type: Any
    if buffers is not None and value.nbytes >= MIN_BUFFER and _is_array(value):
        elements = {"buffer": len(buffers)}
        buffers.append(memoryview(value.ravel().view("u1")))
    else:
        import base64

        elements = base64.b64encode(value.tobytes()).decode("ascii")
    return {"__jsonclass__": ["nparray", [list(value.shape), dtype.str, elements]]}


def _is_array(value: "Any") -> bool:
    """Whether it is a `numpy.ndarray`, and none of its subclasses, of which some have a mask."""
    return type(value) is getattr(sys.modules.get("numpy"), "ndarray", None)


_ENCODER = json.JSONEncoder(default=_plain_or_large, allow_nan=False)
_BASE64_ENCODER = json.JSONEncoder(default=functools.partial(_plain, None), allow_nan=False)
_CONTAINERS = (dict, list, tuple)
_TEXT = frozenset([str])
_SCALARS = frozenset([str, int, float, bool, type(None)])


def _has_text_keys(value: "Any") -> bool:
    """Whether all keys are text; json.dumps would quietly make text of numbers and None."""
    if isinstance(value, dict):
        if not _TEXT.issuperset(map(type, value)) and not all(isinstance(k, str) for k in value):
            return False
        value = value.values()
    if _SCALARS.issuperset(map(type, value)):
        return True  # as nearly always: there is nothing to walk through
    return all(_has_text_keys(member) for member in value if isinstance(member, _CONTAINERS))


def _refuse(value: "Any", path: str) -> None:
    """Raise the error that names the first thing in ``value`` that cannot be sent."""
    if isinstance(value, dict):
        for key, member in value.items():
            if not isinstance(key, str):
                raise TypeError(
                    "{}: the key {!r} is {}, expected a text".format(
                        path or "json_data", key, _kind(key)
                    )
                )
            _refuse(member, "{}.{}".format(path, key) if path else key)
    elif isinstance(value, (list, tuple)):
        for index, member in enumerate(value):
            _refuse(member, "{}[{}]".format(path, index))
    else:
        try:
            _BASE64_ENCODER.encode(value)
        except TypeError as error:
            raise TypeError("{}: {}".format(path, error)) from None
        except ValueError as error:
            if isinstance(value, int):  # more digits than Python converts
                raise ValueError("{}: {}".format(path, error)) from None
            raise ValueError(
                "{}: {} cannot be sent as JSON; expected a finite number".format(
                    path, float(value)
                )
            ) from None


def _kind(value: "Any") -> str:
    """Return what a user would call ``value``."""
    if isinstance(value, complex):
        return "a complex number"
    if getattr(value, "dtype", None) is not None:
        return "a {} of dtype {}".format(type(value).__name__, value.dtype)
    return "a value of type {}".format(type(value).__name__)


# --- the connection -----------------------------------------------------------------------------


def connect(peer: Peer, deadline: Deadline) -> socket.socket:
    """Return a connection to the first of the peer's addresses that answers.

    Raises `ConnectFailed`, and ValueError where a file for TLS is wrong.
    """
    context = None if peer.ssl is None else tls_context(peer.ssl)
    sock = _connect(peer, deadline)
    if context is None:
        return sock
    tls = _TlsSocket(sock, peer)  # type: Any
    tls.shake_hands(context, deadline)
    return tls  # type: ignore[no-any-return]


def _connect(peer: Peer, deadline: Deadline) -> socket.socket:
    addresses = _look_up(peer, deadline)
    failures = []
    for index, (family, kind, protocol, _, address) in enumerate(addresses):
        # Each address has its share of the time, so that one that swallows everything leaves
        # some for those behind it.
        share = deadline.left() / (len(addresses) - index)
        try:
            return _connect_address(family, kind, protocol, address, share)
        except socket.timeout:
            failures.append((address, "no answer within {:g} s".format(round(share, 2))))
        except OSError as error:
            failures.append((address, error.strerror or str(error)))
    if len(failures) == 1:
        reasons = failures[0][1]
    else:
        reasons = ", ".join("{}: {}".format(address[0], why) for address, why in failures)
    failure = ConnectFailed(
        "could not connect to {}: {}; check that the server is running, that host and port are "
        "right, and that no firewall is in the way".format(peer, reasons)
    )
    failure.lost = True
    raise failure


def _connect_address(
    family: int, kind: int, protocol: int, address: "Any", timeout: float
) -> socket.socket:
    if not timeout:
        raise socket.timeout("the time was up")
    sock = socket.socket(family, kind, protocol)
    try:
        sock.settimeout(timeout)
        sock.connect(address)
        # Where nothing listens on a local port of the range that clients are given ports from,
        # TCP may connect the socket to itself (RFC 9293, 3.5, simultaneous open).
        # Not getpeername: it fails where the server has already answered and closed.
        if sock.getsockname() == address:
            raise ConnectionRefusedError("Connection refused")
    except BaseException:
        sock.close()
        raise
    return sock


def _look_up(peer: Peer, deadline: Deadline) -> "List[_Address]":
    """Return the peer's addresses.

    getaddrinfo has no timeout and a resolver may take a minute, so a name is looked up in a
    thread that is left to itself when the time is up.
    """
    try:
        socket.inet_pton(socket.AF_INET, peer.host)
    except (OSError, ValueError):
        pass
    else:  # as mostly: no resolver need be asked what the number means
        return [(socket.AF_INET, socket.SOCK_STREAM, 0, "", (peer.host, peer.port))]
    try:
        return _addresses(peer, socket.AI_NUMERICHOST)
    except (OSError, ValueError):
        pass  # not a numeric address, so it is a name
    answers = []  # type: List[List[_Address]]
    errors = []  # type: List[Exception]

    def look_up() -> None:
        try:
            answers.append(_addresses(peer, 0))
        except (OSError, ValueError) as error:  # ValueError: text that cannot be a host name
            errors.append(error)

    import threading

    thread = threading.Thread(target=look_up, name="artiq_link look-up", daemon=True)
    try:
        thread.start()
    except RuntimeError as error:  # the system gives no more threads
        raise ConnectFailed(
            "looking up the host {!r} (port {}) failed: {}; give the numeric address".format(
                peer.host, peer.port, error
            )
        ) from None
    thread.join(deadline.left())
    if answers:
        return answers[0]
    if errors:
        reason = getattr(errors[0], "strerror", None) or str(errors[0])
        raise ConnectFailed(
            "unknown host {!r} (port {}): {}; check the name, or give the numeric address".format(
                peer.host, peer.port, reason
            )
        )
    raise ConnectFailed(
        "looking up the host {!r} (port {}) took longer than {:g} s; give the numeric address, "
        "or check the network".format(peer.host, peer.port, deadline.timeout)
    )


def _addresses(peer: Peer, flags: int) -> "List[_Address]":
    return list(socket.getaddrinfo(peer.host, peer.port, 0, socket.SOCK_STREAM, 0, flags))


def send_bytes(
    sock: socket.socket, data: "Union[bytes, memoryview]", peer: Peer, deadline: Deadline
) -> bool:
    """Send ``data``, or as much of it as the server wants before it answers or closes.

    Returns whether the server was given all of it. The connection is a new one, or one on which
    nothing is on its way. Raises `NoReply` where the server takes nothing until the deadline.
    """
    try:
        if len(data) > SEGMENT:
            # The last piece would wait for the server's acknowledgement of those before it.
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            if sock.gettimeout():  # TLS waits until all is sent, and not only for the first piece
                _limit(sock, deadline)
        count = sock.send(data)
    except (BlockingIOError, socket.timeout):
        count = 0
    except OSError:
        return False  # a reply may have come before the connection was lost: go and read
    if count == len(data):
        return True  # as nearly always: a request is small, and needs no selector
    rest = memoryview(data)[count:]
    sock.settimeout(0)
    with _Selector() as selector:
        selector.register(sock, selectors.EVENT_READ | selectors.EVENT_WRITE)
        while rest:
            left = deadline.left()
            if not left:
                raise NoReply(
                    "{} did not take the whole request within {:g} s, so it was not executed; "
                    "check that a link server runs there and is not overloaded".format(
                        peer, deadline.timeout
                    )
                )
            for _, events in selector.select(left):
                if events & selectors.EVENT_READ:
                    return False
                try:
                    rest = rest[sock.send(rest) :]
                except BlockingIOError:
                    pass
                except OSError:
                    return False
    return True


# Not the default one: it costs a file descriptor, and may be refused it.
_Selector = getattr(selectors, "PollSelector", selectors.SelectSelector)


def receive_bytes(sock: socket.socket, deadline: Deadline) -> bytes:
    """Return what comes next, at most `CHUNK` bytes, or none where the connection has ended.

    Raises `socket.timeout` when the time is up.
    """
    _limit(sock, deadline)
    try:
        return sock.recv(CHUNK)
    except socket.timeout:
        raise
    except OSError:  # reset; what came before may be a whole reply
        return b""


def _limit(sock: socket.socket, deadline: Deadline) -> None:
    """Have the socket wait for what is left at most; raises `socket.timeout` if that is none."""
    left = deadline.left()
    if not left:
        raise socket.timeout("the time was up")
    if not left <= (sock.gettimeout() or 0.0) <= left + SLACK:
        sock.settimeout(left)


def reset(sock: socket.socket) -> None:
    """Close the connection with a TCP reset."""
    try:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _LINGER_RESET)
    except OSError:
        pass  # some systems refuse options once the peer has closed: nobody is left to be told
    sock.close()


# --- TLS ----------------------------------------------------------------------------------------


def tls_context(files: "_Files") -> "Any":
    """Return the `ssl.SSLContext` of three files: certificate, key, and the server's certificate.

    Server and client know each other by these files, and not by names: what stands in the
    certificates does not matter. Raises ValueError that names what is wrong with them.
    """
    stamps = []
    for path in files:
        try:
            status = os.stat(path)
        except OSError as error:
            raise ValueError("ssl: {}: {}".format(path, error.strerror)) from None
        stamps.append((path, status.st_dev, status.st_ino, status.st_mtime))
    return _tls_context(*stamps)


@functools.lru_cache(maxsize=8)  # making one takes as long as its exchange
def _tls_context(*stamps: "Tuple[Any, ...]") -> "Any":
    import ssl

    certificate, key, peer = (stamp[0] for stamp in stamps)
    context = ssl.SSLContext(getattr(ssl, "PROTOCOL_TLS_CLIENT", ssl.PROTOCOL_TLS))
    context.check_hostname = False
    context.verify_mode = ssl.CERT_REQUIRED
    if hasattr(context, "minimum_version"):
        context.minimum_version = ssl.TLSVersion.TLSv1_2
    else:  # Python 3.6
        context.options |= ssl.OP_NO_SSLv2 | ssl.OP_NO_SSLv3 | ssl.OP_NO_TLSv1 | ssl.OP_NO_TLSv1_1
    # The server's certificate is trusted by itself, also where some authority has signed it.
    context.verify_flags |= getattr(ssl, "VERIFY_X509_PARTIAL_CHAIN", 0x80000)
    named = "{} and {}".format(certificate, key)
    try:
        context.load_cert_chain(certificate, key, _no_password)
        named = peer
        context.load_verify_locations(cafile=peer)
    except (OSError, ValueError) as error:  # an SSLError is an OSError
        reason = getattr(error, "reason", None)
        if reason == "KEY_VALUES_MISMATCH":
            why = "the key does not belong to the certificate"
        elif isinstance(error, ssl.SSLError):
            why = "expected certificate and key in PEM"
        else:
            why = getattr(error, "strerror", None) or str(error)
        raise ValueError("ssl: {}: {}".format(named, why)) from None
    return context


def _no_password() -> str:
    raise ValueError("the key is encrypted, and nobody is there to type its password")


class _TlsSocket:
    """A connection with TLS that behaves, and fails, as a plain one."""

    def __init__(self, sock: socket.socket, peer: Peer) -> None:
        self._sock = sock  # type: Any
        self._peer = peer

    def __getattr__(self, name: str) -> "Any":
        return getattr(self._sock, name)

    def shake_hands(self, context: "Any", deadline: Deadline) -> None:
        """Begin TLS; raises `ConnectFailed`, and the connection is closed then."""
        import ssl

        try:
            self._sock.settimeout(max(deadline.left(), 0.001))
            # The request would wait until the server has acknowledged the handshake's last piece.
            self._sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            self._sock = context.wrap_socket(self._sock, do_handshake_on_connect=False)
            self._sock.do_handshake()
        except BaseException as error:
            reset(self._sock)
            if not isinstance(error, OSError):
                raise
            failure = ConnectFailed(
                "no TLS with {}: {}; nothing was sent".format(self._peer, _tls_reason(error))
            )
            # So it ends, too, where the server is killed meanwhile.
            failure.lost = isinstance(error, (ConnectionError, ssl.SSLEOFError))
            raise failure from None

    def send(self, data: "Union[bytes, memoryview]") -> int:
        import ssl

        try:
            return self._sock.send(data)  # type: ignore[no-any-return]
        except (ssl.SSLWantReadError, ssl.SSLWantWriteError):
            raise BlockingIOError from None

    def recv(self, size: int, flags: int = 0) -> bytes:
        # With flags it is looked at whether anything has come, and what has is not used.
        return self._receive(self._sock.recv, size)  # type: ignore[no-any-return]

    def recv_into(self, buffer: memoryview) -> int:
        return self._receive(self._sock.recv_into, buffer)  # type: ignore[no-any-return]

    def _receive(self, receive: "Callable[[Any], Any]", what: "Any") -> "Any":
        import ssl

        try:
            return receive(what)
        except (ssl.SSLWantReadError, ssl.SSLWantWriteError):
            raise BlockingIOError from None
        except ssl.SSLError as error:
            if not _is_about_certificates(error):
                raise
            # With TLS 1.3 the server looks at the certificate when the client has finished.
            raise ConnectFailed(
                "no TLS with {}: {}; nothing was executed".format(self._peer, _tls_reason(error))
            ) from None


def _is_about_certificates(error: OSError) -> bool:
    """Whether the server says that it does not let this client in (RFC 8446, 6.2)."""
    reason = getattr(error, "reason", None) or ""
    return "ALERT" in reason and any(
        word in reason for word in ("CERTIFICATE", "UNKNOWN_CA", "DECRYPT_ERROR")
    )


def _tls_reason(error: OSError) -> str:
    """Return why TLS has failed, for people."""
    if isinstance(error, socket.timeout):
        return "it did not answer in time"
    reason = getattr(error, "reason", None) or ""
    if reason == "CERTIFICATE_VERIFY_FAILED":
        # OpenSSL's X509_V_ERR_CERT_NOT_YET_VALID and X509_V_ERR_CERT_HAS_EXPIRED
        code = getattr(error, "verify_code", 0)  # type: Any
        wrong = {9: "is not valid yet", 10: "has ended"}.get(code)
        if wrong:
            now = time.strftime("%Y-%m-%d %H:%M")
            return "the server's certificate {}: this computer's clock says {}".format(wrong, now)
        return "the server's certificate is not the one that this client trusts"
    if reason == "WRONG_VERSION_NUMBER":
        return "there it is not spoken; leave the certificates out, or check host and port"
    if reason.endswith("CERTIFICATE_EXPIRED"):
        return "this client's certificate has ended, by the server's clock"
    if reason.endswith("BAD_CERTIFICATE"):
        return "it refuses this client's certificate; is the server's clock right?"
    if _is_about_certificates(error):
        return "it does not know this client's certificate, which has to stand in its file PEER"
    if "EOF" in reason:
        return "it closed the connection; perhaps it does not speak TLS"
    return reason.lower().replace("_", " ") or error.strerror or "the connection was closed"


# --- JSON that is received ----------------------------------------------------------------------


def decode_json(
    data: "_Bytes", peer: Peer, deadline: Deadline, decoder: "Optional[json.JSONDecoder]" = None
) -> "Any":
    """Return what the peer's JSON holds; arrays in the notation of PYON as `request_reply` does.

    Raises `NoReply` where decoding it could outlast the deadline, ValueError and RecursionError
    where it is no JSON.
    """
    if (BYTE_COST + DIGIT_COST + VALUE_COST) * len(data) > OVERTIME:
        cost = BYTE_COST * len(data)
        if cost < deadline.left() + OVERTIME:  # otherwise there is no time for counting either
            cost += VALUE_COST * sum(map(data.count, (b"[", b"{", b",", b'"')))
            cost += DIGIT_COST * (len(data) - len(data.translate(None, b"0123456789")))
        _check_cost(cost, len(data), peer, deadline)
    if decoder is None:
        # Without a look at each object it takes half the time.
        has_arrays = b"__jsonclass__" in data or b"\\u" in data
        decoder = _ARRAY_DECODER if has_arrays else _PLAIN_DECODER
    return decoder.decode(data.decode("utf-8"))


def _check_cost(cost: float, size: int, peer: Peer, deadline: Deadline) -> None:
    """Raise `NoReply` where ``cost`` seconds of decoding could outlast the deadline."""
    if cost > deadline.left() + OVERTIME:
        raise NoReply(
            "what {} answered, {} bytes, is too much to be decoded in what is left of {:g} s; ask "
            "for less at once or for an array, or give it a longer timeout".format(
                peer, size, deadline.timeout
            )
        )


def _refuse_constant(name: str) -> None:
    raise ValueError("{} is not JSON".format(name))


def _parse_int(digits: str) -> int:
    """Return an integer; the time that it takes grows with the square of the digits."""
    if len(digits) > MAX_DIGITS:
        raise ValueError("an integer of {} digits".format(len(digits)))
    return int(digits)


# What a Python with a limit of its own does itself, it does faster.
_decoder = functools.partial(
    json.JSONDecoder,
    parse_int=None if hasattr(sys, "get_int_max_str_digits") else _parse_int,
    parse_constant=_refuse_constant,
)  # type: Callable[..., json.JSONDecoder]


def _array_decoder(buffers: "Dict[int, bytearray]") -> json.JSONDecoder:
    """Return a decoder that makes arrays, and takes the buffers that they are made of."""
    return _decoder(object_hook=functools.partial(_object, buffers))


def _object(buffers: "Dict[int, bytearray]", members: "Dict[str, Any]") -> "Any":
    """Return a JSON object as it is, or the array that it stands for in the notation of PYON."""
    jsonclass = members.get("__jsonclass__")
    if len(members) == 1 and isinstance(jsonclass, list) and jsonclass[:1] == ["nparray"]:
        try:
            _, (shape, dtype, elements) = jsonclass
            return _array(shape, dtype, _elements(elements, buffers))
        except (TypeError, ValueError) as error:
            raise ValueError("malformed array: {}".format(error)) from None
    return members


def _elements(elements: "Any", buffers: "Dict[int, bytearray]") -> bytearray:
    """Return an array's bytes, those of a base64 text or the buffer that is named."""
    if isinstance(elements, dict) and list(elements) == ["buffer"]:
        number = elements["buffer"]
        if type(number) is not int or number not in buffers:
            raise ValueError("there is no buffer {!r:.60}, or another array has it".format(number))
        return buffers.pop(number)
    import base64

    return bytearray(base64.b64decode(elements, validate=True))


_PLAIN_DECODER = _decoder()
_ARRAY_DECODER = _array_decoder({})


def _array(shape: "List[int]", dtype: str, data: bytearray) -> "Any":
    """Return the array as `numpy.ndarray` if NumPy is installed, otherwise as nested lists."""
    match = re.match(r"(?:[<>]|\|(?=[biu]1\Z))([biufc][0-9]+)\Z", dtype)
    if match is None or match.group(1) not in _ELEMENTS:
        raise ValueError("dtype {!r}".format(dtype))
    if len(shape) > MAX_DIMENSIONS:
        raise ValueError("{} dimensions".format(len(shape)))
    import struct

    count = 1
    for length in shape:
        if type(length) is not int or length < 0:
            raise ValueError("shape {!r}".format(shape))
        count *= length
    code = _ELEMENTS[match.group(1)]
    layout = struct.Struct(dtype[0].replace("|", "<") + code)
    if len(data) != count * layout.size:
        raise ValueError("{} bytes for shape {!r} and dtype {!r}".format(len(data), shape, dtype))
    numpy = _numpy()
    if numpy is None:
        elements = layout.iter_unpack(data)
        if len(code) > 1:
            return _nest([complex(*parts) for parts in elements], shape)
        return _nest([element for (element,) in elements], shape)
    return numpy.ndarray(shape, dtype, data)  # writable, as a bytearray is


@functools.lru_cache()  # where it is missing, Python would search for it anew for each array
def _numpy() -> "Any":
    """Return NumPy, or None where it is not installed."""
    try:
        import numpy
    except ImportError:
        return None
    return numpy


def _nest(elements: "List[Any]", shape: "List[int]") -> "Any":
    """Return the elements, in C order, as lists in lists; without elements as an empty list."""
    if not shape:
        return elements[0]
    for length in reversed(shape[1:]):
        elements = [elements[i : i + length] for i in range(0, len(elements), length or 1)]
    return elements


# --- debugging ----------------------------------------------------------------------------------


def _show(event: str, data: "_Bytes", buffers: "Sequence[memoryview]" = ()) -> None:
    """Print a message; what the terminal has no characters for is escaped."""
    encoding = getattr(sys.stdout, "encoding", None) or "utf-8"
    text = data.decode("utf-8", "backslashreplace").rstrip("\n")
    for buffer in buffers:
        text += " + {} bytes".format(len(buffer))
    print("{}: {}".format(event, text.encode(encoding, "backslashreplace").decode(encoding)))
