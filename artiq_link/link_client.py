"""The client's side of an exchange, in one file that may be copied alone beside an experiment.

It needs nothing but the standard library of Python 3.5 or newer, so it runs wherever an
experiment runs, whatever is installed there.

::

    LinkError               what can go wrong once the data can be sent
      ConnectFailed         there was no connection: the server knows nothing of the request
      NoReply               there was one, but no whole, valid reply came back
      ServerFailed          the server said no, and why
"""

import base64
import contextlib
import functools
import json
import logging
import operator
import os
import re
import selectors
import socket
import struct
import sys
import threading
import time
from typing import Any, Callable, Dict, List, Optional, Tuple

DEFAULT_HOST = "127.0.0.1"
DEFAULT_PORT = 65432
DEFAULT_TIMEOUT = 5.0  # s; a healthy exchange takes milliseconds, an experiment cannot wait longer

MAX_TIMEOUT = 86400.0  # s; the operating system's waits overflow at about 24 days
MAX_REPLY = 64 * 1024 * 1024  # bytes; the server's limit for requests, some 6e6 float64
MAX_DIMENSIONS = 32  # of an array; the limit of NumPy 1
CHUNK = 64 * 1024  # bytes read at once; larger ones are not faster, smaller ones cost calls

# The server's own `timeout` answer must still reach a client that waits just as long, so the
# server is told a little less than what is left: this fraction, but no more than this time.
MARGIN_FRACTION = 0.1
MARGIN_MAX = 0.1  # s

# Decoding cannot be interrupted, so a reply is decoded only if that will not outlast the deadline
# by more than this time. The costs are a little above the worst that was measured with Python 3.6
# to 3.13: 0.24 us for nested objects, 33 ns for the digits of long numbers. Ordinary replies take
# a fifth of that.
OVERTIME = 0.05  # s
VALUE_COST = 3e-7  # s for each bracket, comma and quotation mark
BYTE_COST = 3.5e-8  # s

# The dtypes that have one layout on every machine (a long double has not), as NumPy's kind and
# item size, with the codes that the module struct has for one element.
_ELEMENTS = {
    "b1": "?",
    "i1": "b", "i2": "h", "i4": "i", "i8": "q",
    "u1": "B", "u2": "H", "u4": "I", "u8": "Q",
    "f2": "e", "f4": "f", "f8": "d",
    "c8": "ff", "c16": "dd",
}  # fmt: skip

# struct linger holds two ints, on Windows two unsigned shorts.
_LINGER_RESET = struct.pack("hh" if os.name == "nt" else "ii", 1, 0)

_log = logging.getLogger("artiq_link.client")

_Address = Tuple[Any, ...]  # family, type, protocol, canonical name, socket address
_Callback = Callable[[Dict[str, Any]], object]


class LinkError(Exception):
    """An exchange that did not end in success."""


class ConnectFailed(LinkError):
    """No connection: refused, unreachable, unknown host, or too slow. Nothing was sent."""


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
        where: Optional[str] = None,
        reply: Optional[Dict[str, Any]] = None,
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
    """A server's address, and exchanges with it; each has a connection of its own.

    ``timeout`` is in seconds and covers a whole exchange. ``link`` is merged into every request's
    ``"link"`` object, for instance ``{"rid": 1234, "token": "..."}``.
    """

    def __init__(
        self,
        host: str = DEFAULT_HOST,
        port: int = DEFAULT_PORT,
        timeout: float = DEFAULT_TIMEOUT,
        link: Optional[Dict[str, Any]] = None,
    ) -> None:
        self.host = host
        self.port = port
        self.timeout = timeout
        self.link = link

    def __repr__(self) -> str:
        return "Link({!r}, {!r}, timeout={!r})".format(self.host, self.port, self.timeout)

    def call(self, command_id: str, **parameters: Any) -> Any:
        """Execute a command and return its result; errors as in `exchange`."""
        request = dict(parameters, command_id=command_id)
        return exchange(request, self.host, self.port, self.timeout, link=self.link)

    def send(self, json_data: Dict[str, Any]) -> Dict[str, Any]:
        """Send a request and return the whole reply; errors as in `request_reply`."""
        return request_reply(json_data, self.host, self.port, self.timeout, link=self.link)


def send_data(  # noqa: PLR0917
    json_data: Dict[str, Any],
    host: str = DEFAULT_HOST,
    port: int = DEFAULT_PORT,
    debug: bool = False,
    timeout: float = DEFAULT_TIMEOUT,
    server_success: Optional[_Callback] = None,
    server_fail: Optional[_Callback] = None,
    fail_connect: Optional[Callable[[], object]] = None,
    link: Optional[Dict[str, Any]] = None,
) -> Optional[Dict[str, Any]]:
    """Send a request, call exactly one of the callbacks, once, and return the reply.

    ``server_success`` and ``server_fail`` are given the reply. Where there is no valid one,
    whatever the reason, the reason is logged, ``fail_connect`` is called and None returned.
    What a callback raises reaches the caller, and so do the `TypeError` and `ValueError` of
    `request_reply`.
    """
    try:
        reply = request_reply(json_data, host, port, timeout, link=link, debug=debug)
    except LinkError as error:
        _log.warning("%s", error)
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


def exchange(  # noqa: PLR0917
    json_data: Dict[str, Any],
    host: str = DEFAULT_HOST,
    port: int = DEFAULT_PORT,
    timeout: float = DEFAULT_TIMEOUT,
    link: Optional[Dict[str, Any]] = None,
    debug: bool = False,
) -> Any:
    """Send a request and return the reply's result.

    Raises `ServerFailed` where the server said no; otherwise as `request_reply`.
    """
    reply = request_reply(json_data, host, port, timeout, link=link, debug=debug)
    if reply["status"] == "fail":
        raise ServerFailed(
            reply.get("code", "fail"),
            reply.get("error", "the server gave no reason"),
            reply.get("where"),
            reply,
        )
    return reply.get("result")


def request_reply(  # noqa: PLR0917
    json_data: Dict[str, Any],
    host: str = DEFAULT_HOST,
    port: int = DEFAULT_PORT,
    timeout: float = DEFAULT_TIMEOUT,
    link: Optional[Dict[str, Any]] = None,
    debug: bool = False,
) -> Dict[str, Any]:
    """Send a request and return the reply, a dict whose ``"status"`` is "success" or "fail".

    ``timeout`` seconds cover all of it: looking up the name, every address tried, sending and
    waiting. The request's ``"link"`` object is made of an ``id``, a ``timeout`` for the server,
    then the members of ``link``, then those of ``json_data["link"]``; the later ones win.
    ``json_data`` itself is left as it is. NumPy's numbers are sent as numbers, its arrays of
    booleans, integers, floats and complex numbers as arrays. Arrays in the reply are
    `numpy.ndarray` where NumPy is installed, nested lists elsewhere. With ``debug`` what is sent
    and received is printed.

    Raises `TypeError` or `ValueError` that names what cannot be sent before connecting,
    `ConnectFailed` where there was no connection, `NoReply` where no valid reply came in time.
    """
    deadline = Deadline(timeout)
    peer = Peer(host, port)
    request = _Request(json_data, link)
    sock = connect(peer, deadline)
    try:
        data = request.encode(deadline)
        send_bytes(sock, data, peer, deadline)
        if debug:
            _show("sent", data)
        received, complete = _receive(sock, peer, deadline, request)
        if debug and received:
            _show("received", received)
        reply = _read_reply(received, complete, peer, deadline, request)
    except BaseException:
        # A reset tells the server that nobody waits any more, so that it does not start the
        # command; after a plain close it could not tell a client that has given up from one
        # that has only finished sending.
        reset(sock)
        raise
    sock.close()
    return reply


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
        return max(0.0, self._end - time.monotonic())

    def left_for_server(self) -> float:
        """Return the seconds to give the server, whose own answer `timeout` must come in time."""
        left = self.left()
        return left - min(MARGIN_MAX, MARGIN_FRACTION * left)


class Peer:
    """The server's host and port, checked, as the socket functions and the messages want them."""

    def __init__(self, host: str, port: int) -> None:
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

    def __str__(self) -> str:
        return ("[{}]:{}" if ":" in self.host else "{}:{}").format(self.host, self.port)


# --- the request --------------------------------------------------------------------------------


_DOUBT = (
    "; whether the command was executed is not known: check the instrument before sending it again"
)


class _Request:
    """One request, checked when it is made and encoded when it is sent.

    The two are apart because data that cannot be sent is refused before connecting, while the
    time left for the server is known only afterwards.
    """

    def __init__(self, json_data: Dict[str, Any], link: Optional[Dict[str, Any]]) -> None:
        if not isinstance(json_data, dict):
            raise TypeError("json_data: expected a dict, got {}".format(_kind(json_data)))
        # Not uuid4: importing uuid starts a compiler or ldconfig under Python 3.6.
        self._link = {"id": os.urandom(16).hex()}  # type: Dict[str, Any]
        for members in (link, json_data.get("link")):
            if members is not None:
                if not isinstance(members, dict):
                    raise TypeError("link: expected a dict, got {}".format(_kind(members)))
                self._link.update(members)
        self.id = self._link["id"]
        _dumps(self._link, "link")
        self._body = _dumps({key: json_data[key] for key in json_data if key != "link"}, "")
        # The link's own commands touch no instrument.
        is_own = str(json_data.get("command_id")).startswith("link.")
        self.doubt = "" if is_own else _DOUBT

    def encode(self, deadline: Deadline) -> bytes:
        """Return the request's bytes, for a server that has nearly as long as ``deadline``."""
        link = {"timeout": deadline.left_for_server()}
        link.update(self._link)
        separator = ", " if len(self._body) > len("{}") else ""
        text = '{}{}"link": {}}}'.format(self._body[:-1], separator, _dumps(link, "link"))
        return text.encode("ascii")


def _dumps(value: Dict[str, Any], path: str) -> str:
    """Return ``value`` as JSON in ASCII, or raise an error that names the key of what is wrong."""
    try:
        try:
            text = _ENCODER.encode(value)
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


def _plain(value: Any) -> Any:
    """Return a NumPy scalar or array in JSON's terms, without importing NumPy."""
    dtype = getattr(value, "dtype", None)  # type: Any
    element = "{}{}".format(getattr(dtype, "kind", ""), getattr(dtype, "itemsize", ""))
    if element not in _ELEMENTS or not hasattr(value, "tobytes"):
        raise TypeError("{} cannot be sent as JSON".format(_kind(value)))
    if value.shape:
        data = base64.b64encode(value.tobytes()).decode("ascii")
        return {"__jsonclass__": ["nparray", [list(value.shape), dtype.str, data]]}
    return value.item()  # a complex number comes back here, and is refused above


_ENCODER = json.JSONEncoder(default=_plain, allow_nan=False)
_CONTAINERS = (dict, list, tuple)


def _has_text_keys(value: Any) -> bool:
    """Whether all keys are text; json.dumps would quietly make text of numbers and None."""
    if isinstance(value, dict):
        if not all(isinstance(key, str) for key in value):
            return False
        value = value.values()
    return all(_has_text_keys(member) for member in value if isinstance(member, _CONTAINERS))


def _refuse(value: Any, path: str) -> None:
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
            _ENCODER.encode(value)
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


def _kind(value: Any) -> str:
    """Return what a user would call ``value``."""
    if isinstance(value, complex):
        return "a complex number"
    if getattr(value, "dtype", None) is not None:
        return "a {} of dtype {}".format(type(value).__name__, value.dtype)
    return "a value of type {}".format(type(value).__name__)


# --- the connection -----------------------------------------------------------------------------


def connect(peer: Peer, deadline: Deadline) -> socket.socket:
    """Return a connection to the first of the peer's addresses that answers.

    Raises `ConnectFailed`.
    """
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
    raise ConnectFailed(
        "could not connect to {}: {}; check that the server is running, that host and port are "
        "right, and that no firewall is in the way".format(peer, reasons)
    )


def _connect_address(
    family: int, kind: int, protocol: int, address: Any, timeout: float
) -> socket.socket:
    if not timeout:
        raise socket.timeout("the time was up")
    sock = socket.socket(family, kind, protocol)
    try:
        sock.settimeout(timeout)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
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


def _look_up(peer: Peer, deadline: Deadline) -> List[_Address]:
    """Return the peer's addresses.

    getaddrinfo has no timeout and a resolver may take a minute, so a name is looked up in a
    thread that is left to itself when the time is up.
    """
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

    thread = threading.Thread(target=look_up, name="artiq_link look-up", daemon=True)
    thread.start()
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


def _addresses(peer: Peer, flags: int) -> List[_Address]:
    return list(socket.getaddrinfo(peer.host, peer.port, 0, socket.SOCK_STREAM, 0, flags))


def send_bytes(sock: socket.socket, data: bytes, peer: Peer, deadline: Deadline) -> None:
    """Send ``data``, or as much of it as the server wants before it answers or closes.

    Raises `NoReply` where the server takes nothing until the deadline.
    """
    sock.settimeout(0)
    rest = _send_some(sock, memoryview(data))
    if not rest:
        return  # as nearly always: a request is small, and needs no selector
    with selectors.DefaultSelector() as selector:
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
                    return
                rest = _send_some(sock, rest)


def _send_some(sock: socket.socket, data: memoryview) -> memoryview:
    """Send what the system takes of ``data`` and return what is still to be sent."""
    try:
        return data[sock.send(data) :]
    except BlockingIOError:
        return data
    except OSError:
        return data[:0]  # a reply may have come before the connection was lost: go and read


def receive_bytes(sock: socket.socket, deadline: Deadline) -> bytes:
    """Return what comes next, at most `CHUNK` bytes, or none where the connection has ended.

    Raises `socket.timeout` when the time is up.
    """
    left = deadline.left()
    if not left:
        raise socket.timeout("the time was up")
    sock.settimeout(left)
    try:
        return sock.recv(CHUNK)
    except socket.timeout:
        raise
    except OSError:  # reset; what came before may be a whole reply
        return b""


def _receive(
    sock: socket.socket, peer: Peer, deadline: Deadline, request: _Request
) -> Tuple[bytes, bool]:
    """Return what came before a newline or the connection's end, and whether the former did."""
    received = bytearray()
    while True:
        try:
            chunk = receive_bytes(sock, deadline)
        except socket.timeout:
            raise NoReply(
                "{} gave no whole reply within {:g} s ({} bytes came){}".format(
                    peer, deadline.timeout, len(received), request.doubt
                )
            ) from None
        line, newline, _ = chunk.partition(b"\n")
        if len(received) + len(line) > MAX_REPLY:
            raise NoReply(
                "the reply of {} is larger than the limit of {} bytes; ask for less at "
                "once".format(peer, MAX_REPLY)
            )
        received += line
        if newline or not chunk:
            return bytes(received), bool(newline)


def reset(sock: socket.socket) -> None:
    """Close the connection with a TCP reset."""
    # Some systems refuse options once the peer has closed: then nobody is left to be told.
    with contextlib.suppress(OSError):
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _LINGER_RESET)
    sock.close()


# --- the reply ----------------------------------------------------------------------------------


def decode_json(data: bytes, peer: Peer, deadline: Deadline) -> Any:
    """Return what the peer's JSON holds; arrays in the notation of PYON as `request_reply` does.

    Raises `NoReply` where decoding it could outlast the deadline, ValueError and RecursionError
    where it is no JSON.
    """
    left = deadline.left() + OVERTIME
    cost = BYTE_COST * len(data)
    if cost < left:  # otherwise there is no time for counting either
        cost += VALUE_COST * sum(map(data.count, (b"[", b"{", b",", b'"')))
    if cost > left:
        raise NoReply(
            "what {} answered, {} bytes, is too much to be decoded in what is left of {:g} s; ask "
            "for less at once or for an array, or give it a longer timeout".format(
                peer, len(data), deadline.timeout
            )
        )
    return _DECODER.decode(data.decode("utf-8"))


def _read_reply(
    received: bytes, complete: bool, peer: Peer, deadline: Deadline, request: _Request
) -> Dict[str, Any]:
    """Return the reply that ``received`` holds."""
    try:
        reply = decode_json(received, peer, deadline)
        if not isinstance(reply, dict):
            raise ValueError("expected an object, got {}".format(_kind(reply)))
        if reply.get("status") not in ("success", "fail"):
            raise ValueError(
                "expected the status 'success' or 'fail', got {!r}".format(reply.get("status"))
            )
        for member in ("code", "error"):
            if not isinstance(reply.get(member, ""), str):
                raise ValueError("expected a text as {!r}".format(member))
        if reply.get("id") not in (None, request.id):
            raise ValueError(
                "it answers the request {!r}, expected {!r}".format(reply["id"], request.id)
            )
    except (ValueError, RecursionError) as error:
        if not complete and isinstance(error, (json.JSONDecodeError, UnicodeDecodeError)):
            raise NoReply(
                "{} closed the connection before the whole reply ({} bytes came){}".format(
                    peer, len(received), request.doubt
                )
            ) from None
        raise NoReply(
            "what {} answered is not a reply of the link ({}); check that host and port are those "
            "of a link server".format(peer, error)
        ) from None
    return reply


def _refuse_constant(name: str) -> None:
    raise ValueError("{} is not JSON".format(name))


def _object(members: Dict[str, Any]) -> Any:
    """Return a JSON object as it is, or the array that it stands for in the notation of PYON."""
    jsonclass = members.get("__jsonclass__")
    if len(members) == 1 and isinstance(jsonclass, list) and jsonclass[:1] == ["nparray"]:
        try:
            _, (shape, dtype, data) = jsonclass
            return _array(shape, dtype, base64.b64decode(data, validate=True))
        except (TypeError, ValueError) as error:
            raise ValueError("malformed array: {}".format(error)) from None
    return members


_DECODER = json.JSONDecoder(object_hook=_object, parse_constant=_refuse_constant)


def _array(shape: List[int], dtype: str, data: bytes) -> Any:
    """Return the array as `numpy.ndarray` if NumPy is installed, otherwise as nested lists."""
    match = re.match(r"(?:[<>]|\|(?=[biu]1\Z))([biufc][0-9]+)\Z", dtype)
    if match is None or match.group(1) not in _ELEMENTS:
        raise ValueError("dtype {!r}".format(dtype))
    if len(shape) > MAX_DIMENSIONS:
        raise ValueError("{} dimensions".format(len(shape)))
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
    return numpy.ndarray(shape, dtype, data).copy()  # the copy is writable, bytes are not


@functools.lru_cache()  # where it is missing, Python would search for it anew for each array
def _numpy() -> Any:
    """Return NumPy, or None where it is not installed."""
    try:
        import numpy
    except ImportError:
        return None
    return numpy


def _nest(elements: List[Any], shape: List[int]) -> Any:
    """Return the elements, in C order, as lists in lists; without elements as an empty list."""
    if not shape:
        return elements[0]
    for length in reversed(shape[1:]):
        elements = [elements[i : i + length] for i in range(0, len(elements), length or 1)]
    return elements


# --- debugging ----------------------------------------------------------------------------------


def _show(event: str, data: bytes) -> None:
    """Print a message; what the terminal has no characters for is escaped."""
    encoding = getattr(sys.stdout, "encoding", None) or "utf-8"
    text = data.decode("utf-8", "backslashreplace")
    print("{}: {}".format(event, text.encode(encoding, "backslashreplace").decode(encoding)))
