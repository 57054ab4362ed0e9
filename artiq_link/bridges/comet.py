"""COMET's own names: its settings file, its action functions, its `send_TCP_message`.

COMET is a framework for measurements whose programs send each other messages (see `wire.comet`).
A program of its users changes its imports, and nothing else::

    from artiq_link.comet import load_config, send_TCP_message

    config = load_config("settings.yml")
    client = config.clients
    with config.host as gui:
        gui.add_TCP_message_action_function(on_message)
        send_TCP_message(client["Telegram"], "TelegramBot", {"4711": "the run is over"})

Such a host speaks all dialects, and serves instruments too: ``config.host.start({"dds": dds})``.
"""

from __future__ import annotations

import atexit
import threading
import time
from collections import deque
from collections.abc import Mapping
from concurrent.futures import Future
from contextlib import ExitStack
from pathlib import Path
from socket import socket
from types import TracebackType
from typing import Any, NamedTuple, Self

import yaml

from ..errors import Busy, ExchangeError, Malformed
from ..exchanges.registry import Fallback
from ..instrument.instrument import Instrument
from ..link_client import (
    DEFAULT_PORT,
    DEFAULT_TIMEOUT,
    MAX_REPLY,
    Deadline,
    LinkError,
    NoReply,
    Peer,
    connect,
    receive_bytes,
    reset,
    send_bytes,
)
from ..loggers import get_logger
from ..server.addresses import LAST_PORT
from ..server.program import serve_in_background
from ..values import decode, encode
from ..wire.comet import BINARY, BINARY_REPLY, TEXT, Frame, FrameReceiver, build_frame

TIMEOUT = DEFAULT_TIMEOUT
"""Seconds for a whole exchange. COMET's own client has no limit, and hangs with its server."""

QUEUE_LENGTH = 64
"""Messages that may wait for one server; more of them wait only where it is offline."""

logger = get_logger(__name__)


class ConfigError(ValueError):
    """A settings file is not what it should be; the text says where, and what was expected."""


class Config(NamedTuple):
    """What a settings file says of connections."""

    host: Host | None
    """The server of this program, not started yet; None where the file has none."""
    clients: dict[str, Client]
    """The servers that this program sends messages to, by name."""


def load_config(path: str | Path) -> Config:
    """Read the ``Socket_connection`` of a settings file in YAML.

    ::

        Socket_connection:
          Host: {IP: 127.0.0.2, Port: 65432}
          Client:
            Telegram: {IP: 127.0.0.4, Port: 65432}

    ``Host`` and ``Client`` may be absent, and the whole may stand under ``settings:``. Raises
    `ConfigError`, and OSError where the file cannot be read.
    """
    try:
        settings = yaml.safe_load(Path(path).read_bytes())
    except (yaml.YAMLError, ValueError) as error:  # ValueError: a date that there is not
        raise ConfigError(f"{path}: not YAML: {_explain(error)}") from None
    try:
        return _read_settings(settings)
    except ConfigError as error:
        raise ConfigError(f"{path}: {error}") from None


def _explain(error: Exception) -> str:
    """What is wrong with a text that should be YAML, on one line, with its place."""
    if isinstance(error, yaml.MarkedYAMLError) and error.problem_mark is not None:
        mark = error.problem_mark
        return f"{error.problem} (line {mark.line + 1}, column {mark.column + 1})"
    return " ".join(str(error).split())


def _read_settings(settings: Any) -> Config:
    key = "Socket_connection"
    for section in (settings, settings.get("settings") if isinstance(settings, dict) else None):
        if isinstance(section, dict) and key in section:
            break
    else:
        raise ConfigError(f"no {key!r}, neither at the top nor under 'settings'")
    connections = _mapping(section[key], key, "{Host: ..., Client: ...}")
    host, entries = connections.get("Host"), connections.get("Client")
    where, named = f"{key}.Client", "{NAME: {IP: ..., Port: ...}}"
    entries = {} if entries is None else _mapping(entries, where, named)
    if "IP" in entries:
        raise ConfigError(f"{where}: each client needs a name: {named}")
    return Config(
        None if host is None else Host(*_address(host, f"{key}.Host")),
        {
            str(name): Client(*_address(entry, f"{where}.{name}"))
            for name, entry in entries.items()
        },
    )


def _address(entry: Any, where: str) -> tuple[str, int]:
    """The IP and the port of an entry, the port perhaps written as text."""
    entry = _mapping(entry, where, "{IP: ..., Port: ...}")
    for key in ("IP", "Port"):
        if key not in entry:
            raise ConfigError(f"{where}: {key!r} is missing")
    ip, port = entry["IP"], entry["Port"]
    if not isinstance(ip, str) or not ip:
        raise ConfigError(f"{where}.IP: expected an address such as 127.0.0.1, got {ip!r:.60}")
    if isinstance(port, str) and port.isdecimal():
        port = int(port)
    if type(port) is not int or not 0 < port <= LAST_PORT:
        raise ConfigError(f"{where}.Port: expected 1 to {LAST_PORT}, got {port!r:.60}")
    return ip, port


def _mapping(value: Any, where: str, expected: str) -> dict[Any, Any]:
    if not isinstance(value, dict):
        raise ConfigError(f"{where}: expected {expected}, got {value!r:.60}")
    return value


class Host:
    """The server of a COMET program, in the background: what its users know as `gui`.

    It serves from `start` to `stop`, or for the length of a ``with`` block. `port` 0 is a free
    one, and the one that was found after `start`.
    """

    def __init__(self, ip: str = "127.0.0.1", port: int = DEFAULT_PORT) -> None:
        self.ip = ip
        self.port = port
        self._functions: list[Fallback] = []
        self._stopping = threading.Event()
        self._thread: threading.Thread | None = None

    def __repr__(self) -> str:
        return f"Host({self.ip!r}, {self.port})"

    def add_TCP_message_action_function(self, function: Fallback) -> None:
        """Have ``function(action, value)`` asked for messages, after those added before.

        `action` is a string, `value` mostly a string or a dictionary. The first truthy answer of
        a function is the result, and None where none gives one. Functions are called one at a
        time, between the commands of the first instrument. A message whose action is a command
        and whose value is an object runs that command instead.
        """
        self._functions.append(function)

    def start(self, instruments: Mapping[str, Instrument] | None = None, **options: Any) -> Self:
        """Listen, and serve `instruments` next to the action functions.

        `options` are those of `LinkServer`. Raises `CannotListen`, and RuntimeError where it has
        been started already.
        """
        if self._thread is not None:
            raise RuntimeError(f"{self!r} has been started already")
        # Without an instrument, nothing would have a worker that calls the functions.
        served = instruments or {"comet": Instrument()}
        ready: Future[int] = Future()
        self._stopping.clear()
        # COMET's users never stop their server, and their programs end all the same. So this
        # thread is a daemon, and the server's own thread inherits that from it.
        thread = threading.Thread(
            target=self._serve, args=(ready, served, options), name="COMET host", daemon=True
        )
        thread.start()
        self.port = ready.result()
        self._thread = thread
        return self

    def _serve(
        self,
        ready: Future[int],
        instruments: Mapping[str, Instrument],
        options: Mapping[str, Any],
    ) -> None:
        with ExitStack() as stack:
            try:
                background = serve_in_background(
                    instruments, host=self.ip, port=self.port, fallback=self._ask, **options
                )
                server = stack.enter_context(background)
            except Exception as error:  # noqa: BLE001 the caller's thread raises it
                ready.set_exception(error)
                return
            ready.set_result(server.port)
            self._stopping.wait()

    def _ask(self, action: str, value: Any) -> Any:
        """The first truthy answer of the functions, or None; one that fails is logged."""
        for function in list(self._functions):
            try:
                if answer := function(action, value):
                    return answer
            except Exception:
                logger.exception("%r failed in an action function; the next one is asked", action)
        return None

    def stop(self) -> None:
        """Stop as by Ctrl-C: finish what runs, close the instruments; may be called again."""
        thread, self._thread = self._thread, None
        if thread is not None:
            self._stopping.set()
            thread.join()

    def __enter__(self) -> Self:
        return self if self._thread is not None else self.start()

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.stop()


class Client:
    """A server that messages are sent to, in their order, with a connection for each.

    `timeout` is in seconds and covers one message's whole exchange.
    """

    def __init__(
        self, ip: str = "127.0.0.1", port: int = DEFAULT_PORT, timeout: float = TIMEOUT
    ) -> None:
        self.timeout = timeout
        self._peer = Peer(ip, port)
        self._waiting: deque[tuple[Frame, Future[Any]]] = deque()
        self._sending = False
        self._lock = threading.Lock()

    def __str__(self) -> str:
        return str(self._peer)

    def post(self, frame: Frame) -> Future[Any]:
        """Return at once, and have `frame` sent when those before it have been.

        The future's result is the reply's content; it raises `LinkError` where there is none,
        and its frame is not sent any more where it is cancelled in time. Raises `Busy` where too
        many frames are waiting, and RuntimeError where there is no thread to send it.
        """
        reply: Future[Any] = Future()
        with self._lock:
            if len(self._waiting) >= QUEUE_LENGTH:
                raise Busy(f"{QUEUE_LENGTH} messages are waiting already")
            if not self._sending:
                name = f"messages to {self}"
                sender = threading.Thread(target=self._send_waiting, name=name, daemon=True)
                sender.start()  # where that fails, nothing waits for a thread that is not there
                self._sending = True
                _senders.add(sender)
            self._waiting.append((frame, reply))
        return reply

    def _send_waiting(self) -> None:
        while True:
            with self._lock:
                if not self._waiting:
                    self._sending = False
                    break
                frame, reply = self._waiting.popleft()
            if reply.set_running_or_notify_cancel():
                try:
                    reply.set_result(self._exchange(frame))
                except Exception as error:  # noqa: BLE001 whoever wants the reply raises it
                    reply.set_exception(error)
        _senders.discard(threading.current_thread())

    def _exchange(self, frame: Frame) -> Any:
        """Send one frame and return its reply's content."""
        deadline = Deadline(self.timeout)
        sock = connect(self._peer, deadline)
        try:
            send_bytes(sock, build_frame(frame), self._peer, deadline)
            content = _read_content(self._receive(sock, deadline))
        except ExchangeError as error:
            reset(sock)
            raise NoReply(
                f"what {self} answered is no frame of COMET ({error}); check that host and port "
                "are those of a COMET host"
            ) from None
        except BaseException:
            # A reset tells the server that nobody waits any more (see `request_reply`).
            reset(sock)
            raise
        sock.close()
        return content

    def _receive(self, sock: socket, deadline: Deadline) -> Frame:
        frames = FrameReceiver({TEXT, BINARY_REPLY}, MAX_REPLY)
        while (frame := frames.next_frame()) is None:
            try:
                chunk = receive_bytes(sock, deadline)
            except TimeoutError:
                raise NoReply(f"{self} gave no whole reply within {self.timeout:g} s") from None
            if not chunk:
                raise NoReply(f"the connection to {self} ended before the whole reply")
            frames.receive_data(chunk)
        return frame


_senders: set[threading.Thread] = set()


@atexit.register
def _finish_sending() -> None:
    """Give the last messages of a program that ends the time to leave."""
    end = time.monotonic() + TIMEOUT
    for sender in list(_senders):
        sender.join(max(0.0, end - time.monotonic()))


def send_TCP_message(
    client: Client | None, action: str, message: Any, no_thread: bool = False
) -> Any:
    """Send a message to `client`, one of `Config.clients`.

    Returns None at once, whatever the network does; messages to one client arrive in their
    order. With `no_thread`, waits for the reply and returns it, ``{"result": answer}``, or False
    where there is none within `TIMEOUT`, such as from a server that is offline. Failures are
    logged and never raised: a measurement goes on without its messages.
    """
    if client is None:
        logger.warning("%r: not sent: there is no client to send it with", action)
        return None
    try:
        reply = client.post(_write_frame(str(action), message))
    except (ExchangeError, TypeError, ValueError, RuntimeError) as error:
        logger.warning("%r to %s: not sent: %s", action, client, error)
        return False if no_thread else None

    def log_outcome(reply: Future[Any]) -> None:
        if reply.cancelled():
            logger.warning("%r to %s: not sent: others took too long", action, client)
        elif error := reply.exception():
            logger.warning("%r to %s: %s", action, client, error)
        else:
            logger.info("%r to %s: %.200r", action, client, reply.result())

    reply.add_done_callback(log_outcome)
    if not no_thread:
        return None
    try:
        return reply.result(client.timeout)
    except (LinkError, TimeoutError):
        reply.cancel()
        return False


def _write_frame(action: str, message: Any) -> Frame:
    """The frame of a message; without an action, COMET sends the message's text alone."""
    if action:
        return Frame(TEXT, encode({"action": action, "value": message}, spaced=True))
    return Frame(BINARY, (action + message).encode())


def _read_content(frame: Frame) -> Any:
    """A reply's object, or the bytes of a binary one; raises `Malformed`."""
    if frame.content_type != TEXT:
        return frame.content
    content = decode(frame.content)
    if not isinstance(content, dict) or "result" not in content:
        raise Malformed("it has no 'result'")
    return content
