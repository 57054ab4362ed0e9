"""One table of successes and failures through all dialects, so that they cannot drift apart."""

from __future__ import annotations

import contextlib
import json
import re
import resource
import threading
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from typing import Any, Literal, NamedTuple

import pytest

from artiq_link import Instrument, InstrumentError, LinkServer, command
from artiq_link.wire import DIALECT_NAMES
from artiq_link.wire.pyon import Version
from artiq_link.wire.pyon_v1 import V1
from artiq_link.wire.pyon_v2 import V2
from tests.conftest import PATIENCE, until
from tests.exchanges.asking import end_time_of_running
from tests.peers import (
    HANDSHAKE,
    answer_to,
    comet_content,
    comet_frame,
    connected,
    read_all,
    websocket_frame,
    websocket_messages,
)
from tests.probe import Frequency

Serve = Callable[..., LinkServer]

SET: dict[str, Any] = {"channel": 0, "frequency": 80e6}


class Source(Instrument):
    """A source whose every command has a parameter: COMET sends no empty objects."""

    def __init__(self) -> None:
        self.executed: list[Any] = []
        self.started = threading.Event()
        self.go_on = threading.Event()

    @command
    def set_frequency(self, channel: int, frequency: Frequency) -> dict[str, float]:
        """Set a frequency and return what was achieved."""
        self.executed.append((channel, frequency))
        return {"frequency": float(frequency)}

    @command
    def fail(self, how: Literal["hardware", "bug", "value", "key", "exit", "result"]) -> Any:
        """Fail."""
        match how:
            case "hardware":
                raise InstrumentError("no lock")
            case "bug":
                raise RuntimeError("the bug's text")
            case "value":
                raise ValueError("the value's text")
            case "key":
                raise KeyError("missing")
            case "exit":
                raise SystemExit(3)
        return object()

    @command
    def wait(self, name: str) -> str:
        """Start, and end when the test says so."""
        self.started.set()
        assert self.go_on.wait(PATIENCE)
        self.executed.append(name)
        return name


@pytest.fixture
def source() -> Iterator[Source]:
    instrument = Source()
    yield instrument
    instrument.go_on.set()


@pytest.fixture
def server(serve: Serve, source: Source) -> LinkServer:
    return serve({"dds": source})


class Failure(NamedTuple):
    """What a failed exchange says, whatever its dialect."""

    code: str
    sentence: str
    where: str | None = None
    exception: str = "GenericRemoteException"
    """The class as which NDSP carries it."""
    named: str = ""
    """The class that NDSP puts before the sentence where there is no built-in one."""


class Dialect(ABC):
    """A client of one dialect."""

    empty_parameters = True
    """Whether it can ask for a command without any."""

    @abstractmethod
    def request(self, name: str, parameters: dict[str, Any]) -> bytes:
        """The bytes that ask for a command, on a connection of their own."""

    @abstractmethod
    def read(self, received: bytes) -> Any:
        """The one reply among all bytes that the server sent."""

    @abstractmethod
    def success(self, name: str, result: Any) -> Any:
        """The reply to a command that succeeded."""

    @abstractmethod
    def failure(self, name: str, failure: Failure) -> Any:
        """The reply to a command that failed."""

    @contextlib.contextmanager
    def asked(
        self, server: LinkServer, name: str, /, **parameters: Any
    ) -> Iterator[Callable[[], Any]]:
        """Ask for a command; gives the function that reads its reply."""
        with connected(server) as client:
            client.sendall(self.request(name, parameters))
            yield lambda: self.read(self.receive(client))

    def receive(self, client: Any) -> bytes:
        return read_all(client)

    def ask(self, server: LinkServer, name: str, /, **parameters: Any) -> Any:
        """Ask for a command and read its reply."""
        with self.asked(server, name, **parameters) as reply:
            return reply()


class Json(Dialect):
    def request(self, name: str, parameters: dict[str, Any]) -> bytes:
        return json.dumps({"command_id": name, **parameters}).encode()

    def read(self, received: bytes) -> Any:
        assert received.endswith(b"\n")
        return json.loads(received)

    def success(self, name: str, result: Any) -> Any:
        return {"status": "success", "command_id": name, "result": result}

    def failure(self, name: str, failure: Failure) -> Any:
        reply = {
            "status": "fail",
            "command_id": name,
            "code": failure.code,
            "error": failure.sentence,
        }
        return reply if failure.where is None else {**reply, "where": failure.where}


class Eot(Dialect):
    def request(self, name: str, parameters: dict[str, Any]) -> bytes:
        return json.dumps({name: parameters}).encode() + b"\x04"

    def read(self, received: bytes) -> Any:
        return received.decode()

    def success(self, name: str, result: Any) -> Any:
        return "O.k.\r\n"

    def failure(self, name: str, failure: Failure) -> Any:
        return f"Error: {failure.sentence}\r\n"


class WebSocket(Json):
    def request(self, name: str, parameters: dict[str, Any]) -> bytes:
        message = super().request(name, parameters)
        return HANDSHAKE + websocket_frame(message) + websocket_frame(b"quit")

    def read(self, received: bytes) -> Any:
        frames = websocket_messages(received.partition(b"\r\n\r\n")[2])
        return json.loads(frames[0][1])


class WebSocketText(WebSocket, Eot):
    """EOT text's requests as messages; their replies have no line's end."""

    def request(self, name: str, parameters: dict[str, Any]) -> bytes:
        message = Eot.request(self, name, parameters).removesuffix(b"\x04")
        return HANDSHAKE + websocket_frame(message) + websocket_frame(b"quit")

    def read(self, received: bytes) -> Any:
        return websocket_messages(received.partition(b"\r\n\r\n")[2])[0][1].decode()

    def success(self, name: str, result: Any) -> Any:
        return "O.k."

    def failure(self, name: str, failure: Failure) -> Any:
        return f"Error: {failure.sentence}"


class Comet(Dialect):
    empty_parameters = False

    def request(self, name: str, parameters: dict[str, Any]) -> bytes:
        return comet_frame({"action": name, "value": parameters})

    def read(self, received: bytes) -> Any:
        return comet_content(received)

    def success(self, name: str, result: Any) -> Any:
        return {"result": result}

    def failure(self, name: str, failure: Failure) -> Any:
        return {"result": f"Error: {failure.sentence}"}


class Ndsp(Dialect):
    def __init__(self, version: Version, target: bytes) -> None:
        self.version = version
        self.target = target

    def request(self, name: str, parameters: dict[str, Any]) -> bytes:
        call = {"action": "call", "name": name, "args": (), "kwargs": parameters}
        return b"ARTIQ pc_rpc\n" + self.target + self.version.encode(call).encode() + b"\n"

    def receive(self, client: Any) -> bytes:
        with client.makefile("rb") as lines:
            return b"".join(lines.readline() for _ in range(3))

    def read(self, received: bytes) -> Any:
        return self.version.decode(received.splitlines()[2])

    def success(self, name: str, result: Any) -> Any:
        return {"status": "ok", "ret": result}

    def failure(self, name: str, failure: Failure) -> Any:
        message = failure.sentence
        if failure.exception == "GenericRemoteException":
            message = f"{failure.named}: {message.removeprefix(f'{failure.named}: ')}"
        exception = {"class": failure.exception, "message": message, "traceback": []}
        return {"status": "failed", "exception": exception}


ALL: dict[str, Dialect] = {
    "json": Json(),
    "eot": Eot(),
    "websocket": WebSocket(),
    "websocket, eot text": WebSocketText(),
    "comet": Comet(),
    "ndsp, pyon v1": Ndsp(V1, b"dds\n"),
    "ndsp, pyon v2": Ndsp(V2, b"dds pyon_v2\n"),
}
every_dialect = pytest.mark.parametrize("dialect", ALL.values(), ids=ALL.keys())

FAILURES = [
    (
        "unknown command",
        ("set_frequencies", SET),
        Failure(
            "unknown_command",
            "there is no command 'set_frequencies'; did you mean 'set_frequency'?",
            exception="AttributeError",
        ),
    ),
    (
        "missing",
        ("set_frequency", {"channel": 0}),
        Failure(
            "invalid_parameter",
            "missing parameter 'frequency' of 'set_frequency'",
            "frequency",
            "ValueError",
        ),
    ),
    (
        "unexpected",
        ("set_frequency", {**SET, "chanel": 1}),
        Failure(
            "invalid_parameter",
            "'set_frequency' has no parameter 'chanel'; did you mean 'channel'?",
            "chanel",
            "ValueError",
        ),
    ),
    (
        "wrong type",
        ("set_frequency", {**SET, "frequency": "80e6"}),
        Failure(
            "invalid_parameter",
            "frequency: expected 'float', got 'str'",
            "frequency",
            "ValueError",
        ),
    ),
    (
        "boolean for a number",
        ("set_frequency", {**SET, "channel": True}),
        Failure(
            "invalid_parameter", "channel: expected 'int', got 'bool'", "channel", "ValueError"
        ),
    ),
    (
        "null for a number",
        ("set_frequency", {**SET, "channel": None}),
        Failure(
            "invalid_parameter", "channel: expected 'int', got 'null'", "channel", "ValueError"
        ),
    ),
    (
        "not one of the choices",
        ("fail", {"how": "often"}),
        Failure(
            "invalid_parameter",
            "how: 'often' is not one of 'hardware', 'bug', 'value', 'key', 'exit', 'result'",
            "how",
            "ValueError",
        ),
    ),
    (
        "out of range",
        ("set_frequency", {**SET, "frequency": 5e8}),
        Failure(
            "out_of_range",
            "frequency: 5e8 Hz is above the limit of 4e8 Hz",
            "frequency",
            "ValueError",
        ),
    ),
    (
        "hardware",
        ("fail", {"how": "hardware"}),
        Failure("instrument_error", "no lock", named="InstrumentError"),
    ),
    (
        "bug",
        ("fail", {"how": "bug"}),
        Failure("internal_error", "the bug's text", exception="RuntimeError"),
    ),
    (
        "bug that is a ValueError",
        ("fail", {"how": "value"}),
        Failure("internal_error", "the value's text", exception="ValueError"),
    ),
    (
        "bug that is a KeyError",
        ("fail", {"how": "key"}),
        Failure("internal_error", "KeyError: 'missing'", exception="KeyError"),
    ),
    (
        "sys.exit",
        ("fail", {"how": "exit"}),
        Failure("internal_error", "SystemExit: 3", named="SystemExit"),
    ),
]


@every_dialect
def test_failures(server: LinkServer, source: Source, dialect: Dialect) -> None:
    """The same code and sentence, in the dialect's form; nothing is set; the next is served."""
    for case, (name, parameters), failure in FAILURES:
        reply = dialect.ask(server, name, **parameters)
        assert (case, reply) == (case, dialect.failure(name, failure))
    assert source.executed == []
    assert dialect.ask(server, "set_frequency", **SET) == dialect.success(
        "set_frequency", {"frequency": 80e6}
    )


@pytest.mark.parametrize("own", ["command_id", "link"])
@pytest.mark.parametrize(
    "dialect",
    [dialect for dialect in ALL.values() if type(dialect) not in {Json, WebSocket}],
    ids=[name for name, dialect in ALL.items() if type(dialect) not in {Json, WebSocket}],
)
def test_the_requests_own_keys_are_no_parameters(
    serve: Serve, source: Source, dialect: Dialect, own: str
) -> None:
    """Where they could stand among the parameters: they would make another command of it.

    EOT text has no other place for ``link``, which means there what it means elsewhere.
    """
    server = serve({"dds": source}, interact=source.interact)
    sentence = f"'wait' has no parameter {own!r}"
    if own == "link" and isinstance(dialect, Eot):
        sentence = "link: expected 'object', got 'str'"
    failure = Failure("invalid_parameter", sentence, own, exception="ValueError")
    reply = dialect.ask(server, "wait", **{**SET, own: "set_frequency"})
    assert reply == dialect.failure("wait", failure)
    assert source.executed == []


@every_dialect
def test_success(server: LinkServer, source: Source, dialect: Dialect) -> None:
    """The same effect and the same result, for an integer where a float is declared too."""
    for frequency in (80e6, 80_000_000):
        reply = dialect.ask(server, "set_frequency", channel=3, frequency=frequency)
        assert reply == dialect.success("set_frequency", {"frequency": 80e6})
    assert source.executed == [(3, 80e6)] * 2


@every_dialect
def test_a_result_that_cannot_be_sent(server: LinkServer, dialect: Dialect) -> None:
    """It is the command's fault and said so; EOT text sends no results."""
    reply = dialect.ask(server, "fail", how="result")
    if isinstance(dialect, Eot):
        assert reply == dialect.success("fail", None)
        return
    name, reason = "fail", "an object of type object is not JSON's"
    if isinstance(dialect, Ndsp):
        name, reason = "dds.fail", "a object cannot be written as PYON"
    assert reply == dialect.failure(
        "fail",
        Failure(
            "internal_error",
            f"{name}: its result cannot be sent: {reason}",
            named="InternalError",
        ),
    )


@every_dialect
def test_busy(serve: Serve, source: Source, dialect: Dialect) -> None:
    """A full queue is said at once."""
    server = serve({"dds": source}, queue_length=1)
    with (
        dialect.asked(server, "wait", name="first") as first,
        contextlib.ExitStack() as stack,
    ):
        assert source.started.wait(PATIENCE)
        second = stack.enter_context(dialect.asked(server, "wait", name="second"))
        until_waiting(server, 1)
        assert dialect.ask(server, "set_frequency", **SET) == dialect.failure(
            "set_frequency", Failure("busy", "dds: its queue of 1 is full", named="Busy")
        )
        source.go_on.set()
        assert first() == dialect.success("wait", "first")
        assert second() == dialect.success("wait", "second")
    assert source.executed == ["first", "second"]


@every_dialect
def test_shutting_down(server: LinkServer, source: Source, dialect: Dialect) -> None:
    """A stop answers what runs by its result, and refuses what waits."""
    with dialect.asked(server, "wait", name="first") as first:
        assert source.started.wait(PATIENCE)
        with dialect.asked(server, "set_frequency", **SET) as second:
            until_waiting(server, 1)
            server.stop()
            assert second() == dialect.failure(
                "set_frequency",
                Failure(
                    "shutting_down",
                    "the server is stopping; the command was not started",
                    named="ShuttingDown",
                ),
            )
        source.go_on.set()
        assert first() == dialect.success("wait", "first")
    assert source.executed == ["first"]


def until_waiting(server: LinkServer, number: int) -> None:
    until(lambda: server.dispatch.workers["dds"].describe()["waiting"] == number)


@pytest.mark.parametrize("dialect", [ALL["json"], ALL["websocket"]], ids=["json", "websocket"])
def test_timeout_and_expired(server: LinkServer, source: Source, dialect: Dialect) -> None:
    """Those that carry ``link`` carry its deadline."""
    with dialect.asked(server, "wait", name="first", link={"timeout": 17}) as first:
        assert source.started.wait(PATIENCE)
        end_time_of_running(server)
        assert first() == dialect.failure(
            "wait", Failure("timeout", "wait has not finished in 17 s; it goes on")
        )
    assert dialect.ask(server, "set_frequency", **SET, link={"timeout": 0.05}) == dialect.failure(
        "set_frequency",
        Failure("expired", "set_frequency was not started: its time of 0.05 s was up"),
    )
    source.go_on.set()
    assert dialect.ask(server, "wait", name="last") == dialect.success("wait", "last")
    assert source.executed == ["first", "last"]


@every_dialect
def test_the_server_answers_while_a_command_runs(
    server: LinkServer, source: Source, dialect: Dialect
) -> None:
    """``link.status``, or what the dialect has in its place, never waits behind an instrument."""
    with dialect.asked(server, "wait", name="first") as first:
        assert source.started.wait(PATIENCE)
        if isinstance(dialect, Ndsp):
            assert dialect.ask(server, "ping") == dialect.success("ping", True)
        elif not dialect.empty_parameters:
            check = dialect.ask(
                server, "link.check", requests=[{"command_id": "wait", "name": ""}]
            )
            assert check == dialect.success(
                "link.check", [{"status": "success", "command_id": "wait"}]
            )
        else:
            assert dialect.ask(server, "link.ping") == dialect.success("link.ping", True)
            status = dialect.ask(server, "link.status")
            if not isinstance(dialect, Eot):
                assert status["result"]["instruments"]["dds"]["state"] == "busy"
        assert source.executed == []
        source.go_on.set()
        assert first() == dialect.success("wait", "first")


@every_dialect
def test_nothing_but_commands(server: LinkServer, dialect: Dialect) -> None:
    """Attributes and methods that are no commands do not exist in any dialect."""
    for name in ("close", "__init__", "executed", "dds.close", "other.wait", ""):
        reply = json.dumps(dialect.ask(server, name, name="x"))
        nameless = not name and dialect is ALL["comet"]
        assert ("invalid action" if nameless else "there is no command") in reply


# --- which dialects are spoken


OWNERS = {
    "json": "json",
    "eot": "eot",
    "websocket": "websocket",
    "comet": "comet",
    "ndsp, pyon v1": "ndsp",
    "ndsp, pyon v2": "ndsp",
}


@pytest.mark.parametrize("spoken", sorted(DIALECT_NAMES))
def test_a_server_of_one_dialect(serve: Serve, source: Source, spoken: str) -> None:
    """It serves its own clients, and refuses the others' first bytes with a reason."""
    server = serve({"dds": source}, dialects={spoken})
    for client, owner in OWNERS.items():
        if owner == spoken:
            assert ALL[client].ask(server, "set_frequency", **SET) == ALL[client].success(
                "set_frequency", {"frequency": 80e6}
            )
            source.executed.clear()
            continue
        refused = answer_to(server, ALL[client].request("set_frequency", SET))
        if client == "websocket" and spoken == "http":
            assert refused.startswith(b"HTTP/1.1 404 Not Found\r\n")
        elif client == "websocket":
            assert refused.startswith(b"HTTP/1.1 405 Method Not Allowed\r\n")
        elif spoken == "eot":
            assert refused.decode() == f"Error: {refusal_of(spoken, client)}\r\n"
        else:
            assert json.loads(refused)["error"] == refusal_of(spoken, client)
        assert source.executed == []


def refusal_of(spoken: str, client: str) -> str:
    """What a server of one dialect says to a client of another."""
    match spoken, client:
        case "json", "eot":
            return "missing parameter 'command_id'"
        case "eot", "json":
            return "expected one command, with its parameters in an object"
        case _, ("json" | "eot"):
            return f"this server does not speak eot or json; it speaks {spoken}"
    return f"this server does not speak {OWNERS[client]}; it speaks {spoken}"


def test_there_are_no_other_dialects() -> None:
    with pytest.raises(
        ValueError, match=re.escape("there is no dialect 'xml'; there are comet, ")
    ):
        LinkServer({"dds": Source()}, dialects={"json", "xml"})


# --- bad input


def test_a_stalled_client_of_each_dialect_disturbs_nobody(serve: Serve, source: Source) -> None:
    """While requests hang half-sent, all dialects are served."""
    server = serve({"dds": source})
    with contextlib.ExitStack() as stack:
        for dialect in ALL.values():
            data = dialect.request("set_frequency", SET)
            for length in (1, len(data) // 2):
                stack.enter_context(connected(server)).sendall(data[:length])
        for dialect in ALL.values():
            assert dialect.ask(server, "set_frequency", **SET) == dialect.success(
                "set_frequency", {"frequency": 80e6}
            )
    assert len(source.executed) == len(ALL)


def test_white_space_without_end(serve: Serve, source: Source) -> None:
    """What may stand before a request is bounded as well."""
    server = serve({"dds": source})
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with connected(server) as client:
        with contextlib.suppress(ConnectionError):
            for _ in range(100):
                client.sendall(b"\r\n" * (1 << 19))
        assert b"malformed" in read_all(client)
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 48 * 1024


def test_a_command_in_each_dialect_after_all_that_is_bad(serve: Serve, source: Source) -> None:
    """Each request with one byte changed or cut off is answered or closed, and executes once at
    most; afterwards all dialects are served.
    """
    server = serve({"dds": source}, request_time=0.2, max_request=1 << 20)
    for dialect in ALL.values():
        data = dialect.request("fail", {"how": "hardware"})
        for index in range(0, len(data), 7):
            for broken in (
                data[:index],
                data[:index] + b"\xff" + data[index + 1 :],
                data[:index] + data[index + 1 :],
            ):
                answer_to(server, broken, eof=True)
    for dialect in ALL.values():
        assert dialect.ask(server, "set_frequency", **SET) == dialect.success(
            "set_frequency", {"frequency": 80e6}
        )
    assert len(source.executed) == len(ALL)
