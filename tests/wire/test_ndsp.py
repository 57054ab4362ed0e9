"""NDSP: recorded clients of sipyco, sipyco itself where it is installed, and hostile lines."""

from __future__ import annotations

import asyncio
import importlib.util
import json
import os
import re
import resource
import socket
import subprocess
import sys
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from artiq_link import Instrument, InstrumentError, LinkServer, OutOfRange, command
from artiq_link.errors import (
    Busy,
    ExchangeError,
    Expired,
    InternalError,
    InvalidParameter,
    Leased,
    Malformed,
    ShuttingDown,
    TimedOut,
    TooLarge,
    UnknownCommand,
)
from artiq_link.exchanges.messages import Reply, Request
from artiq_link.exchanges.registry import Registry
from artiq_link.wire.base import WireOptions
from artiq_link.wire.ndsp import exception_of, plain_value
from artiq_link.wire.pyon import Version
from artiq_link.wire.pyon_v1 import V1
from artiq_link.wire.pyon_v2 import V2
from tests.conftest import PATIENCE, Probe, until
from tests.peers import answer_to, connected, one_by_one, pieces, read_all, server_has_ended, talk
from tests.peers import conversations as transcript
from tests.probe import Frequency

Serve = Callable[..., LinkServer]
MAGIC = b"ARTIQ pc_rpc\n"
BEGIN = {V1: MAGIC + b"dds\n", V2: MAGIC + b"dds pyon_v2\n"}
BOTH = pytest.mark.parametrize("version", [V1, V2], ids=["v1", "v2"])


class Recorded(Instrument):
    """A two-channel frequency source."""

    @command
    def set_frequency(self, channel: int, frequency: float = 0.0) -> float:
        """Set a channel's frequency in Hz and return the frequency achieved."""
        if channel not in {0, 1}:
            raise ValueError("channel must be 0 or 1")
        return frequency

    @command
    def load_waveform(self, samples: np.ndarray) -> tuple[int, float]:
        """Take samples and return their number and sum."""
        return len(samples), float(samples.sum())

    @command
    def waveform(self, n: int) -> np.ndarray:
        """Return n samples."""
        return np.arange(n) / n

    @command
    def echo(self, value: Any) -> Any:
        """Return the value."""
        return value

    @command
    def fault(self) -> None:
        """Raise an exception of the driver's own."""

        class DriverFault(Exception):
            pass

        raise DriverFault("no lock")


def answer(instrument: Instrument) -> Callable[[Request], Reply]:
    """Answer as a server does, without its threads."""

    def reply(request: Request) -> Reply:
        match request.command_id:
            case "link.ping":
                return Reply(True)
            case "link.describe":
                return Reply(instrument.describe())
        try:
            return Reply(instrument.interact(request.data))
        except ExchangeError as error:
            return Reply(error=error)
        except Exception as error:  # noqa: BLE001 as the worker does
            failure = InternalError(str(error))
            failure.__cause__ = error
            return Reply(error=failure)

    return reply


def recorded_source() -> tuple[Instrument, WireOptions]:
    source = Recorded()
    source.link_name = "dds"
    return source, WireOptions(registry=Registry({"dds": source}), description="test source")


def failed(kind: str, message: str) -> dict[str, Any]:
    exception = {"class": kind, "message": message, "traceback": []}
    return {"status": "failed", "exception": exception}


def call(version: Version, name: str, *args: Any, **kwargs: Any) -> bytes:
    message = {"action": "call", "name": name, "args": args, "kwargs": kwargs}
    return version.encode(message).encode() + b"\n"


def shape(value: Any) -> Any:
    """A value that == compares by types as well."""
    match value:
        case dict():
            return {key: shape(item) for key, item in value.items()}
        case list() | tuple():
            return type(value).__name__, [shape(item) for item in value]
        case np.ndarray():
            return value.dtype.str, value.shape, value.tobytes()
    return type(value).__name__, repr(value)


# --- the recorded conversations


RELEASES = [("1.0", V1), ("1.9", V1), ("1.10", V2)]


def expected(asked: Any, answered: Any) -> Any:
    """What ours answers where it differs from the recorded server on purpose."""
    if asked["action"] != "call":
        return answered
    match asked["name"], asked["args"]:
        # The text of a failure is ours, and the traceback stays in the server's log.
        case "fault", _:
            return failed("GenericRemoteException", "DriverFault: no lock")
        case "echo", ():
            return failed("ValueError", "missing parameter 'value' of 'echo'")
        case "set_frequency", (7, _):
            return failed("ValueError", "channel must be 0 or 1")
        # A value is what JSON would have carried: no tuples, no NumPy scalars, no infinities.
        case "echo", (float(value),) if value == float("inf"):
            return failed("ValueError", "value: inf is not a finite number")
        case "echo", (tuple() as value,):
            return {"status": "ok", "ret": list(value)}
        case "echo", (np.generic() as value,):
            return {"status": "ok", "ret": value.item()}
    return answered


@pytest.mark.parametrize(("release", "version"), RELEASES)
def test_transcripts(release: str, version: Version) -> None:
    """Each recorded line gets the recorded answer: of the same values, and bytes where ours."""
    [(asked, answered)] = transcript(f"ndsp_sipyco_{release}")
    source, options = recorded_source()
    outcome = talk([asked], answer(source), options)
    assert not outcome.closed
    ours, theirs = outcome.sent.splitlines(), answered.splitlines()
    assert len(ours) == len(theirs)

    assert json.loads(ours[0]) == {**json.loads(theirs[0]), "features": ["pyon_v2"]}
    names, others = version.decode(ours[1]), version.decode(theirs[1])
    assert names == {name for name in others if not name.startswith("__")}

    same = 0
    for line, our, their in zip(asked.splitlines()[2:], ours[2:], theirs[2:], strict=True):
        question = version.decode(line)
        due = expected(question, version.decode(their))
        if question["action"] == "get_rpc_method_list":
            got = version.decode(our)["ret"]
            assert got["docstring"] == due["ret"]["docstring"]
            # These two say what ours do.
            for name in ("ping", "terminate"):
                assert got["methods"].pop(name)[0]["args"] == ["self"]
                del due["ret"]["methods"][name]
            assert shape(got["methods"]) == shape(due["ret"]["methods"])
        elif due is not None and shape(due) == shape(version.decode(their)):
            same += 1
            if release != "1.0":  # which quotes and escapes otherwise
                assert our == their
        assert question["action"] != "call" or shape(version.decode(our)) == shape(due)
    assert same > 12


@pytest.mark.parametrize("release", ["1.9", "1.10"])
@pytest.mark.parametrize("rest", [b"", b'{"action"', b"\n"])
def test_transcripts_byte_by_byte(release: str, rest: bytes) -> None:
    """However the lines are cut, and with half a line behind them, the answers are the same."""
    [(asked, _)] = transcript(f"ndsp_sipyco_{release}")
    source, options = recorded_source()
    whole = talk([asked + rest], answer(source), options)
    assert talk(one_by_one(asked + rest), answer(source), options).sent == whole.sent
    assert whole.sent.startswith(talk([asked], answer(source), options).sent)


@settings(max_examples=40)
@given(st.sampled_from(["1.0", "1.9", "1.10"]), st.lists(st.integers(0, 10**6)))
def test_transcripts_in_any_pieces(release: str, cuts: list[int]) -> None:
    [(asked, _)] = transcript(f"ndsp_sipyco_{release}")
    source, options = recorded_source()
    whole = talk([asked], answer(source), options)
    assert talk(pieces(asked, cuts), answer(source), options).sent == whole.sent


# --- the wire


@BOTH
@given(
    lines=st.lists(
        st.binary(max_size=60)
        | st.sampled_from(
            [
                b'{"action": "call", "name": "echo", "args": [1], "kwargs": {}}',
                b'{"action": "call", "name": "echo", "args": [], "kwargs": {1: 2}}',
                b'{"action": "call", "name": 5, "args": [], "kwargs": {}}',
                b'{"action": "call", "name": "echo", "args": 5, "kwargs": {}}',
                b'{"action": "call", "name": "echo", "args": [], "kwargs": []}',
                b'{"action": "get_rpc_method_list"}',
                b'{"action": "rm"}',
                b"[]",
                b"",
            ]
        ),
        max_size=4,
    ),
    cuts=st.lists(st.integers(0, 400), max_size=5),
    eof=st.booleans(),
)
def test_garbage(version: Version, lines: list[bytes], cuts: list[int], eof: bool) -> None:
    """Nothing but the link's errors is raised, and cuts change nothing."""
    source, options = recorded_source()
    data = BEGIN[version] + b"".join(line + b"\n" for line in lines)
    whole = talk([data], answer(source), options, eof=eof)
    assert talk(pieces(data, cuts), answer(source), options, eof=eof) == whole


@given(st.binary(max_size=60), st.lists(st.integers(0, 99), max_size=3))
def test_garbage_as_target(data: bytes, cuts: list[int]) -> None:
    _, options = recorded_source()
    data = MAGIC + data + b"\n"
    assert talk(pieces(data, cuts), options=options) == talk([data], options=options)


@pytest.mark.parametrize(
    "target",
    [b"", b"laser", b"dds pyon_v3", b"dds pyon_v2 pyon_v3", b"dds.echo", b"__class__", b"\xff",
     b"x" * 2000],
)  # fmt: skip
def test_unknown_targets_and_features(target: bytes) -> None:
    """The protocol's refusal is to close, without a line."""
    source, options = recorded_source()
    outcome = talk([MAGIC + target + b"\n"], answer(source), options)
    assert outcome.closed
    assert outcome.sent.count(b"\n") == 1
    assert outcome.sent == talk([MAGIC], answer(source), options).sent


PRIVATE = [
    "__class__", "__init__", "_secret", "close", "commands", "interact", "check", "safe_state",
    "attribute", "method", "name", "echo.__func__", "dds.echo", "link.status", "",
]  # fmt: skip


@BOTH
def test_only_commands_are_callable(version: Version) -> None:
    """No attribute, no private method, nothing of the instrument's own."""

    class Source(Recorded):
        attribute = 5

        def method(self) -> None:
            raise AssertionError

        def _secret(self) -> None:
            raise AssertionError

    source = Source()
    options = WireOptions(registry=Registry({"dds": source}))
    asked = BEGIN[version] + b"".join(call(version, name) for name in PRIVATE)
    outcome = talk([asked], answer(source), options)
    replies = [version.decode(line) for line in outcome.sent.splitlines()[2:]]
    assert [reply["exception"]["class"] for reply in replies] == ["AttributeError"] * len(PRIVATE)
    assert all(isinstance(refusal, str) for refusal in outcome.requests)


@BOTH
@pytest.mark.parametrize(
    ("args", "kwargs", "message"),
    [
        ((1, 2, 3), {}, "set_frequency takes 2 positional parameters, 3 were given"),
        ((1,), {"channel": 1}, "set_frequency: 'channel' was given twice"),
        ((0, float("nan")), {}, "frequency: nan is not a finite number"),
        ((0, np.float32("inf")), {}, "frequency: inf is not a finite number"),
        ((0, 1j), {}, "frequency: expected 'float', got 'complex'"),
        ((0, {1, 2}), {}, "frequency: expected 'float', got 'set'"),
    ],
)
def test_arguments(
    version: Version, args: tuple[Any, ...], kwargs: dict[str, Any], message: str
) -> None:
    """They become parameters, which are checked as those of other dialects (`test_dialects`)."""
    source, options = recorded_source()
    line = call(version, "set_frequency", *args, **kwargs)
    sent = talk([BEGIN[version] + line], answer(source), options).sent
    assert version.decode(sent.splitlines()[2]) == failed("ValueError", message)


def array_as_action(version: Version, length: int) -> bytes:
    message = {"action": np.zeros(length), "name": "count", "args": (), "kwargs": {}}
    return version.encode(message).encode() + b"\n"


@BOTH
@pytest.mark.parametrize("length", [0, 1, 2])
def test_an_array_names_no_action(version: Version, length: int) -> None:
    """Though it has no truth when it is compared to a name."""
    source, options = recorded_source()
    line = array_as_action(version, length)
    outcome = talk([BEGIN[version] + line + call(version, "ping")], answer(source), options)
    refused, answered = outcome.sent.splitlines()[2:]
    assert version.decode(refused)["exception"]["class"] == "ValueError"
    assert version.decode(answered) == {"status": "ok", "ret": True}


def test_keywords_are_text() -> None:
    """Version 1 has dictionaries with any keys; those that name no parameter make no call."""
    _, options = recorded_source()
    line = b'{"action": "call", "name": "echo", "args": (), "kwargs": {1: 2}}\n'
    [refusal] = talk([BEGIN[V1] + line], options=options).requests
    assert str(refusal).startswith("expected the action 'call' with name, args and kwargs, or ")


@BOTH
def test_positional_keyword_and_numpy_arguments(version: Version) -> None:
    """All three ways to give the same."""
    source, options = recorded_source()
    lines = [
        call(version, "set_frequency", 1, 5.0),
        call(version, "set_frequency", 1, frequency=5.0),
        call(version, "set_frequency", np.int64(1), np.float32(5)),
        call(version, "set_frequency", 1, 5),
        call(version, "set_frequency", 1),
    ]
    sent = talk([BEGIN[version] + b"".join(lines)], answer(source), options).sent
    results = [version.decode(line)["ret"] for line in sent.splitlines()[2:]]
    assert results == [5.0, 5.0, 5.0, 5, 0.0]


def test_plain_values() -> None:
    """NumPy's scalars and tuples become what JSON has, at any depth; arrays stay arrays."""
    array = np.arange(3)
    value = {"a": (np.int8(1), [np.float64(2.5), (np.bool_(True),)]), 3: Fraction(1, 2)}
    assert shape(plain_value(value)) == shape({"a": [1, [2.5, [True]]], 3: Fraction(1, 2)})
    assert plain_value(array) is array


def raised(cause: BaseException) -> InternalError:
    error = InternalError(str(cause))
    error.__cause__ = cause
    return error


@pytest.mark.parametrize(
    ("error", "kind", "message"),
    [
        (Malformed("m"), "ValueError", "m"),
        (TooLarge("m"), "ValueError", "m"),
        (UnknownCommand("m"), "AttributeError", "m"),
        (InvalidParameter("m"), "ValueError", "m"),
        (OutOfRange("m"), "ValueError", "m"),
        (Leased("m"), "PermissionError", "m"),
        (Expired("m"), "TimeoutError", "m"),
        (TimedOut("m"), "TimeoutError", "m"),
        (Busy("m"), "GenericRemoteException", "Busy: m"),
        (ShuttingDown("m"), "GenericRemoteException", "ShuttingDown: m"),
        (InstrumentError("m"), "GenericRemoteException", "InstrumentError: m"),
        (InternalError("m"), "GenericRemoteException", "InternalError: m"),
        (raised(ZeroDivisionError("m")), "ZeroDivisionError", "m"),
        (raised(OSError("m")), "OSError", "m"),
        # Of another module, though its name is a built-in's.
        (raised(type("ValueError", (Exception,), {})("m")), "GenericRemoteException",
         "ValueError: m"),
        # A client would end itself, or fail to make it of one text.
        (raised(SystemExit("m")), "GenericRemoteException", "SystemExit: m"),
        (raised(KeyboardInterrupt("m")), "GenericRemoteException", "KeyboardInterrupt: m"),
        (raised(UnicodeDecodeError("utf-8", b"\xff", 0, 1, "bad")), "GenericRemoteException",
         "UnicodeDecodeError: 'utf-8' codec can't decode byte 0xff in position 0: bad"),
        (raised(ExceptionGroup("m", [ValueError()])), "GenericRemoteException",
         "ExceptionGroup: m (1 sub-exception)"),
    ],
)  # fmt: skip
def test_exceptions(error: ExchangeError, kind: str, message: str) -> None:
    """Errors arrive as the built-in exception that fits, or by name."""
    assert exception_of(error) == {"class": kind, "message": message, "traceback": []}


def test_method_list() -> None:
    """Docstrings and signatures, with units as annotations, in the form of inspect."""

    class Source(Instrument):
        """A source.

        With two lines.
        """

        @command
        def save(self, file: Path = Path("a.txt")) -> None:
            """Save."""

        @command
        def tune(self, frequency: Frequency, steps: int = 3, *, name: str = "x") -> None:
            """Tune.

            Slowly.
            """

    source = Source()
    options = WireOptions(registry=Registry({"dds": source}))
    line = b'{"action": "get_rpc_method_list"}\n'
    asked = BEGIN[V2] + line + call(V2, "ping")
    sent = talk([asked], answer(source), options).sent.splitlines()
    assert sent[3] == b'{"status":"ok","ret":true}'  # the next reply is not the list again
    methods = V2.decode(sent[2])["ret"]
    assert methods["docstring"] == "A source.\n\nWith two lines."
    spec, doc = methods["methods"]["tune"]
    assert doc == "Tune.\n\nSlowly."
    assert spec["args"] == ["self", "frequency", "steps"]
    assert spec["defaults"] == (3,)
    assert (spec["kwonlyargs"], spec["kwonlydefaults"]) == (["name"], {"name": "x"})
    assert spec["annotations"] == {"frequency": "Hz"}
    assert methods["methods"]["save"][0]["defaults"] == ("a.txt",)
    assert set(methods["methods"]) == {"save", "tune", "ping", "terminate"}


# --- the server


@pytest.fixture
def witness(tmp_path: Path) -> Path:
    """A file that must not appear."""
    return tmp_path / "executed"


def bombs(witness: Path) -> list[str]:
    touch = f"touch {witness}"
    return [
        f'__import__("os").system("{touch}")',
        f"[].__class__.__base__.__subclasses__()[0]({touch!r})",
        f'(lambda: open("{witness}", "w"))()',
        f'open("{witness}", "w")',
        f'[open("{witness}", "w") for x in (1, )]',
        f'nparray.__globals__["os"].system("{touch}")',
        f'Fraction.__init__.__globals__["sys"].modules["os"].system("{touch}")',
        f'exec("{touch}")',
        "9**9**9",
        '"x" * 1000000000',
        "[0] * 1000000000",
        "1 << 1000000000",
        "9" * 100_000,
        'Fraction("1e1000000000")',
        "[" * 100_000,
        "(" * 100_000 + "1" + ", )" * 100_000,
        "{1: " * 100_000,
        "-" * 100_000 + "1",
        'nparray((1, ), "|O", b"AAAAAAAAAAA=")',
        'nparray((1, ), "O", b"gASVGAAAAAAAAACMBXBvc2l4lIwGc3lzdGVtlJOULg==")',
        'nparray((1000000000000, ), "<f8", b"")',
        'nparray((-1, ), "<f8", b"AAAAAAAA8D8=")',
        'nparray((2, ), "<f8,<f8", b"AAAAAAAA8D8=")',
        'npscalar("|V8", b"AAAAAAAA8D8=")',
        "slice(1)",
        "().__class__",
        "echo",
        "self",
        "[" + "[]," * 3_000_000 + "]",
        "\x00",
        "b'\u00b5'",
        "",
    ]


def bombs_v2(witness: Path) -> list[str]:
    """The same ends by version 2's way, which names classes."""
    named = [
        ("eval", [f'__import__("os").system("touch {witness}")']),
        ("open", [str(witness), "w"]),
        ("os.system", [f"touch {witness}"]),
        ("nparray", [[1], "|O", "AAAAAAAAAAA="]),
        ("nparray", [[10**12], "<f8", ""]),
        ("nparray", [[-1], "<f8", ""]),
        ("npscalar", ["|V8", "AAAAAAAA8D8="]),
        ("Fraction", ["1e1000000000"]),
        ("Fraction", [1, 0]),
        ("slice", []),
        ("dict", [[[[], 1]]]),
        ("set", [[[]]]),
        ("bytes", ["%"]),
        ("__class__", []),
        ("nparray", None),
    ]
    lines = [json.dumps({"__jsonclass__": [name, arguments]}) for name, arguments in named]
    return [*lines, "[" * 100_000, '{"__jsonclass__": 1}', "9" * 100_000, '"\\ud800"', "{", ""]


@BOTH
def test_bombs(serve: Serve, probe: Probe, witness: Path, version: Version) -> None:
    """Each is refused as a ValueError on the same connection; nothing runs, no memory is taken."""
    server = serve()
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with connected(server) as client, client.makefile("rwb") as stream:
        stream.write(BEGIN[version])
        stream.flush()
        assert b"targets" in stream.readline()
        assert b"set_frequency" in stream.readline()
        for bomb in bombs(witness) if version is V1 else bombs_v2(witness):
            if version is V1:
                line = f'{{"action": "call", "name": "echo", "args": ({bomb}, ), "kwargs": {{}}}}'
            else:
                line = f'{{"action":"call","name":"echo","args":[{bomb},0],"kwargs":{{}}}}'
            for text in (line, bomb):
                stream.write(text.encode() + b"\n")
                stream.flush()
                reply = version.decode(stream.readline())
                assert reply["status"] == "failed", bomb[:80]
                assert reply["exception"]["class"] == "ValueError", (bomb[:80], reply)
                assert len(reply["exception"]["message"]) < 200
        assert probe.executed == []
        stream.write(call(version, "set_frequency", 0, 80e6))
        stream.flush()
        assert version.decode(stream.readline()) == {"status": "ok", "ret": {"frequency": 80e6}}
    assert not witness.exists()
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 256 * 1024


@BOTH
def test_a_line_without_end(serve: Serve, probe: Probe, version: Version) -> None:
    """It is refused at the limit, and the connection closed."""
    server = serve(max_request=100_000)
    begin = b'{"action": "call", "name": "echo", "args": ["'
    reply = answer_to(server, BEGIN[version] + begin + b"x" * 200_000).splitlines()[2]
    assert version.decode(reply) == failed(
        "ValueError", "the request is over the limit of 100000 bytes"
    )
    assert answer_to(server, MAGIC + b"x" * 2000).count(b"\n") == 1
    _, options = recorded_source()
    assert talk([MAGIC + b"x" * 2000], options=options).closed
    small = WireOptions(registry=options.registry, max_request=1000)
    assert talk([BEGIN[version] + b"x" * 2000], options=small).closed
    assert probe.executed == []


def test_a_byte_at_a_time(serve: Serve) -> None:
    """A slow sender is served."""
    with connected(serve()) as client:
        for byte in one_by_one(BEGIN[V1] + call(V1, "count") + b"\x00"):
            client.sendall(byte)
        client.shutdown(1)
        assert read_all(client).splitlines()[2] == b'{"status": "ok", "ret": 0}'


@pytest.mark.parametrize("begun", [MAGIC[:5], MAGIC[:-1], MAGIC, MAGIC + b"dd"])
def test_only_the_first_bytes(serve: Serve, begun: bytes) -> None:
    """A client that does not choose its target in time is closed without a further line."""
    reply = answer_to(serve(request_time=0.05), begun)
    assert reply.count(b"\n") == begun.count(b"\n")


def test_half_a_call(serve: Serve, probe: Probe) -> None:
    """A line that does not become whole is refused after its time."""
    reply = answer_to(serve(request_time=0.05), BEGIN[V1] + call(V1, "count")[:-1])
    assert V1.decode(reply.splitlines()[2]) == failed(
        "ValueError", "the request was not whole after 0.05 s"
    )
    assert probe.executed == []


def test_half_close_in_every_state(serve: Serve, probe: Probe) -> None:
    """The client's end ends the connection; half a line is not executed, a whole one is."""
    server = serve()
    line = call(V1, "set_frequency", 0, 1.0)
    for data, lines in [
        (MAGIC[:-1], 0),
        (MAGIC, 1),
        (MAGIC + b"dd", 1),
        (BEGIN[V1], 2),
        (BEGIN[V1] + line[:-1], 2),
    ]:
        assert answer_to(server, data, eof=True).count(b"\n") == lines
    assert probe.executed == []
    assert answer_to(server, BEGIN[V1] + line, eof=True).count(b"\n") == 3
    assert probe.executed == [(0, 1.0)]


@BOTH
@pytest.mark.parametrize("eof", [True, False])
def test_an_array_as_action_behind_a_call(
    serve: Serve,
    probe: Probe,
    caplog: pytest.LogCaptureFixture,
    version: Version,
    eof: bool,
) -> None:
    """It is answered and logged, and its connection ends with the client's."""
    server = serve()
    with connected(server) as client, client.makefile("rb") as lines:
        client.sendall(BEGIN[version] + call(version, "wait") + array_as_action(version, 0))
        if eof:
            client.shutdown(socket.SHUT_WR)
        assert probe.started.wait(PATIENCE)
        probe.go_on.set()
        replies = [lines.readline() for _ in range(4)][2:]
        assert version.decode(replies[0]) == {"status": "ok", "ret": "waited"}
        assert version.decode(replies[1])["exception"]["class"] == "ValueError"
        if not eof:
            client.shutdown(socket.SHUT_WR)
        assert lines.read() == b""
    until(lambda: not server.connections)
    [record] = [record for record in caplog.records if record.levelname == "WARNING"]
    assert "expected the action 'call'" in record.getMessage()


def test_ping_while_a_command_runs(serve: Serve, probe: Probe) -> None:
    """Also on the first target of a new connection, as a controller manager does it."""
    server = serve()
    with connected(server) as running:
        running.sendall(BEGIN[V1] + call(V1, "wait"))
        assert probe.started.wait(PATIENCE)
        reply = answer_to(server, BEGIN[V2] + call(V2, "ping"), eof=True)
        assert reply.splitlines()[2] == b'{"status":"ok","ret":true}'
        probe.go_on.set()
        running.shutdown(1)
        assert read_all(running).endswith(b'{"status": "ok", "ret": "waited"}\n')


def test_terminate(serve: Serve, probe: Probe) -> None:
    """It is answered, then the server stops and closes its instruments."""
    reply = answer_to(serve(), BEGIN[V1] + call(V1, "terminate"))
    assert reply.splitlines()[2] == b'{"status": "ok", "ret": null}'
    server_has_ended()
    assert probe.closed_in == "worker dds"


def test_debug_prints_what_json_does_not_have(
    serve: Serve, capsys: pytest.CaptureFixture[str]
) -> None:
    """A server that shows its messages shows PYON's values too."""
    line = call(V1, "echo", [1j, {1}, b"x", slice(1)])
    reply = answer_to(serve(debug=True), BEGIN[V1] + line, eof=True)
    assert V1.decode(reply.splitlines()[2])["ret"] == [1j, {1}, b"x", slice(1)]
    assert "1j" in capsys.readouterr().out


# --- sipyco itself


@pytest.fixture
def pc_rpc() -> Any:
    return pytest.importorskip("sipyco.pc_rpc", reason="sipyco, which is not on PyPI")


def test_client(pc_rpc: Any, serve: Serve, probe: Probe) -> None:
    """sipyco's Client calls commands and raises their failures."""
    client = pc_rpc.Client("127.0.0.1", serve().port, pc_rpc.AutoTarget, timeout=PATIENCE)
    try:
        assert client.ping() is True
        assert client.set_frequency(0, 80e6) == {"frequency": 80e6}
        assert client.set_frequency(channel=1, frequency=5) == {"frequency": 5}
        assert client.echo({"a": [1, {2: b"x"}, 1j]}) == {"a": [1, {2: b"x"}, 1j]}
        for size in (10, 1_000_000):  # the larger one is over sipyco's own limit of 4 MiB
            array = np.arange(float(size))
            np.testing.assert_array_equal(client.echo(array), array)
        with pytest.raises(ValueError, match="above the limit of"):
            client.set_frequency(0, 5e8)
        with pytest.raises(ValueError, match="missing parameter 'frequency'"):
            client.set_frequency(0)
        with pytest.raises(RuntimeError, match="the bug's text"):
            client.fail()
        with pytest.raises(pc_rpc.GenericRemoteException, match=r"^InstrumentError: no lock$"):
            client.refuse()
        with pytest.raises(pc_rpc.GenericRemoteException, match=r"^SystemExit: 3$"):
            client.quit_program()
        with pytest.raises(AttributeError):
            client._private()
        assert client.count() == 5
    finally:
        client.close_rpc()


def test_best_effort_client(pc_rpc: Any, serve: Serve, probe: Probe) -> None:
    client = pc_rpc.BestEffortClient("127.0.0.1", serve().port, "dds")
    try:
        assert client.set_frequency(0, 80e6) == {"frequency": 80e6}
    finally:
        client.close_rpc()
    assert probe.executed == [(0, 80e6)]


def test_asyncio_client(pc_rpc: Any, serve: Serve, probe: Probe) -> None:
    """And ping is answered while another client's command runs."""
    port = serve().port

    async def use() -> None:
        client, other = pc_rpc.AsyncioClient(), pc_rpc.AsyncioClient()
        await client.connect_rpc("127.0.0.1", port, "dds")
        await other.connect_rpc("127.0.0.1", port, "dds")
        try:
            waiting = asyncio.create_task(client.wait())
            assert await asyncio.to_thread(probe.started.wait, PATIENCE)
            assert await asyncio.wait_for(other.ping(), PATIENCE) is True
            probe.go_on.set()
            assert await waiting == "waited"
        finally:
            for each in (client, other):
                if (closing := each.close_rpc()) is not None:  # sipyco 1.0 does not wait
                    await closing

    asyncio.run(use())


def rpctool(port: int, *arguments: str) -> str:
    """Run sipyco's command-line client."""
    if importlib.util.find_spec("sipyco") is None:
        pytest.skip("sipyco, which is not on PyPI, is not installed")
    script = "from sipyco.sipyco_rpctool import main; main()"
    done = subprocess.run(
        [sys.executable, "-c", script, "127.0.0.1", str(port), *arguments],
        capture_output=True,
        text=True,
        timeout=PATIENCE,
        check=True,
        env={**os.environ, "PYTHONWARNINGS": "ignore"},
    )
    return done.stdout


def test_rpctool_lists_targets_and_calls(serve: Serve, probe: Probe) -> None:
    """Against a server of two instruments, and of one."""
    one, two = serve(), serve({"dds": Probe(), "laser": Recorded()})
    assert rpctool(two.port, "list-targets").splitlines()[0] == "Target(s):   dds, laser"
    called = rpctool(one.port, "call", "set_frequency", "0", "80e6")
    assert called.strip() == "{'frequency': 80000000.0}"
    assert rpctool(two.port, "call", "-t", "laser", "echo", "5").strip() == "5"
    assert probe.executed == [(0, 80e6)]


def test_rpctool_lists_methods(serve: Serve) -> None:
    """Docstrings and arguments, so that a user need not look elsewhere."""
    methods = rpctool(serve().port, "list-methods")
    assert "An instrument for tests" in methods
    assert re.search(r"^set_frequency\(self, channel, frequency.*\)$", methods, re.MULTILINE)
    assert "Set a channel's frequency and return what was achieved." in methods
    assert "terminate(self)" in methods
