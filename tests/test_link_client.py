"""The client against scripted servers on real sockets, and alone under every Python."""

import ast
import base64
import contextlib
import errno
import functools
import glob
import io
import json
import logging
import os
import pickle
import selectors
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from decimal import Decimal
from pathlib import Path
from typing import Any, ClassVar
from unittest import mock

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from artiq_link import link_client
from artiq_link.link_client import (
    ConnectFailed,
    Link,
    LinkError,
    NoReply,
    ServerFailed,
    exchange,
    request_reply,
    send_data,
)
from tests.conftest import PATIENCE
from tests.scripted_server import (
    Script,
    answer,
    answer_bytes,
    free_port,
    read_request,
    reset,
    scripted_server,
)

REQUEST = {"command_id": "get", "channel": 0}
SHORT = 0.2  # s; the timeout of exchanges that are to fail


@pytest.fixture(autouse=True)
def no_hang() -> Iterator[None]:
    """Fail a test in which something waited for as long as it could."""
    start = time.monotonic()
    yield
    assert time.monotonic() - start < PATIENCE, "it hung"


def refuses_to_send(data: Any, error: type[Exception], sentence: str) -> None:
    """Assert that ``data`` raises the error with just this sentence, before connecting."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        host, port = listener.getsockname()
        with pytest.raises(error) as info:
            send_data(data, host, port, fail_connect=lambda: pytest.fail("called"))
        assert str(info.value) == sentence
        listener.setblocking(False)
        with pytest.raises(BlockingIOError):
            listener.accept()


def echo(connection: socket.socket) -> None:
    """Answer with the request's value."""
    request = read_request(connection)
    reply = {"status": "success", "result": request.get("value"), "id": request["link"]["id"]}
    connection.sendall(json.dumps(reply).encode() + b"\n")


def silence_until_reset(connection: socket.socket) -> None:
    """Read a request, say nothing, and see the client's reset."""
    read_request(connection)
    with pytest.raises(ConnectionResetError):
        connection.recv(1)


# --- success and refusal ------------------------------------------------------------------------


def test_exchange_returns_the_result() -> None:
    with scripted_server(answer(status="success", result={"frequency": 8e7})) as address:
        assert exchange(REQUEST, *address) == {"frequency": 8e7}


def test_a_success_without_result_is_none() -> None:
    with scripted_server(answer(status="success")) as address:
        assert exchange(REQUEST, *address) is None


def test_a_fail_raises_server_failed_with_all_of_it() -> None:
    members = {"status": "fail", "code": "out_of_range", "error": "too high", "where": "frequency"}
    with scripted_server(answer(**members)) as address, pytest.raises(ServerFailed) as info:
        exchange(REQUEST, *address)
    error = info.value
    assert str(error) == "out_of_range: too high"
    assert (error.code, error.error, error.where) == ("out_of_range", "too high", "frequency")
    assert error.reply.items() >= members.items()
    assert isinstance(error, LinkError)


def test_a_fail_without_reason_still_has_a_sentence() -> None:
    with (
        scripted_server(answer(status="fail")) as address,
        pytest.raises(ServerFailed, match=r"^fail: the server gave no reason$"),
    ):
        exchange(REQUEST, *address)


def test_server_failed_survives_pickling() -> None:
    error = ServerFailed("busy", "the queue is full", None, {"status": "fail"})
    copy = pickle.loads(pickle.dumps(error))
    assert (str(copy), copy.code, copy.reply) == (str(error), "busy", {"status": "fail"})


def test_server_failed_needs_no_reply() -> None:
    assert ServerFailed("busy", "the queue is full").reply == {}


@pytest.mark.parametrize(
    "after", [b"", b"\n", b"\r\n", b"\nand what else comes", b" \n"], ids=repr
)
def test_a_reply_ends_with_a_newline_or_the_connection(after: bytes) -> None:
    script = answer_bytes('{"status": "success", "result": "\u00b5"}'.encode() + after)
    with scripted_server(script) as address:
        assert exchange(REQUEST, *address) == "\u00b5"


def test_an_exchange_that_went_well_ends_with_an_ordinary_close() -> None:
    def script(connection: socket.socket) -> None:
        answer(status="success", result=1)(connection)
        assert connection.recv(1) == b""

    with scripted_server(script) as address:
        assert exchange(REQUEST, *address) == 1


def test_a_reply_may_come_a_byte_at_a_time() -> None:
    def drip(connection: socket.socket) -> None:
        read_request(connection)
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for byte in b'{"status": "success", "result": 7}\n':
            connection.sendall(bytes([byte]))

    with scripted_server(drip) as address:
        assert exchange(REQUEST, *address) == 7


def test_a_whole_reply_before_a_reset_counts() -> None:
    def script(connection: socket.socket) -> None:
        read_request(connection)
        connection.sendall(b'{"status": "success", "result": 7}')
        peeked.wait(PATIENCE)
        reset(connection)

    peeked = threading.Event()

    class Slow(socket.socket):
        """Reads only after the reset has come."""

        def recv(self, size: int, flags: int = 0) -> bytes:
            if not peeked.is_set():
                super().recv(1, socket.MSG_PEEK)
                peeked.set()
            return super().recv(size, flags)

    with scripted_server(script) as address, mock.patch.object(socket, "socket", Slow):
        assert exchange(REQUEST, *address) == 7


def test_link_calls_a_command_with_parameters() -> None:
    requests = []

    def script(connection: socket.socket) -> None:
        requests.append(read_request(connection))
        connection.sendall(b'{"status": "success", "result": 1}\n')

    with scripted_server(script) as (host, port):
        link = Link(host, port, timeout=2.0, link={"rid": 7})
        assert link.call("set_frequency", channel=0, frequency=80e6) == 1
        assert repr(link) == f"Link('127.0.0.1', {port}, timeout=2.0)"
    members = requests[0].pop("link")
    assert requests == [{"command_id": "set_frequency", "channel": 0, "frequency": 80e6}]
    assert members["rid"] == 7
    assert 1.0 < members["timeout"] < 2.0


def test_link_sends_a_request_and_returns_the_whole_reply() -> None:
    with scripted_server(answer(status="fail", code="busy")) as address:
        reply = Link(*address).send(REQUEST)
    assert (reply["status"], reply["code"]) == ("fail", "busy")


# --- the request --------------------------------------------------------------------------------


def received_request(data: dict[str, Any], **options: Any) -> dict[str, Any]:
    requests = []

    def script(connection: socket.socket) -> None:
        requests.append(read_request(connection))
        connection.sendall(b'{"status": "success"}\n')

    with scripted_server(script) as address:
        request_reply(data, *address, **options)
    return requests[0]


def test_every_request_has_its_own_id_and_what_is_left_of_the_time() -> None:
    first, second = (received_request(REQUEST, timeout=60)["link"] for _ in range(2))
    assert first["id"] != second["id"]
    assert len(bytes.fromhex(first["id"])) == 16
    assert 59.0 < first["timeout"] <= 59.9  # the margin is 0.1 s at most


def test_the_margin_of_a_short_timeout_is_a_tenth() -> None:
    assert received_request(REQUEST, timeout=0.5)["link"]["timeout"] <= 0.45


def test_the_users_link_members_win_and_the_users_dict_is_left_alone() -> None:
    data = {"command_id": "get", "link": {"id": "mine", "timeout": 60}}
    before = json.dumps(data)
    request = received_request(data, link={"id": "session's", "rid": 1234})
    assert request == {
        "command_id": "get",
        "link": {"id": "mine", "timeout": 60, "rid": 1234},
    }
    assert json.dumps(data) == before


def test_data_without_command_id_is_sent_for_the_server_to_refuse() -> None:
    assert set(received_request({})) == {"link"}


def test_text_numbers_lists_and_subclasses_arrive_as_they_are() -> None:
    data = {"text": "\u00b5\ud800\n", "n": -(10**30), "x": 1e-9, "none": None, "deep": [{"a": []}]}
    request = received_request(OrderedDict(data))
    del request["link"]
    assert request == data


def test_numpy_scalars_are_sent_as_plain_numbers() -> None:
    data = {
        "a": np.int32(-3),
        "b": np.float64(0.1),
        "c": np.bool_(True),
        "d": [np.float32(0.5), np.uint64(2**64 - 1)],
        "e": np.array(4),
    }
    request = received_request(data)
    del request["link"]
    assert request == {"a": -3, "b": 0.1, "c": True, "d": [0.5, 2**64 - 1], "e": 4}
    assert request["c"] is True


def test_arrays_are_sent_in_the_notation_of_pyon() -> None:
    fortran = np.asfortranarray(np.array([[1, 2], [3, 4]], dtype=">i2"))
    assert received_request({"a": fortran})["a"] == {
        "__jsonclass__": ["nparray", [[2, 2], ">i2", "AAEAAgADAAQ="]]
    }


def contains_itself() -> dict[str, Any]:
    data: dict[str, Any] = {}
    data["again"] = [data]
    return data


@pytest.mark.parametrize(
    ("data", "error", "sentence"),
    [
        ([1], TypeError, "json_data: expected a dict, got a value of type list"),
        (
            {"frequency": 1 + 2j},
            TypeError,
            "frequency: a complex number cannot be sent as JSON",
        ),
        (
            {"x": np.complex64(1)},
            TypeError,
            "x: a complex number cannot be sent as JSON",
        ),
        (
            {"steps": [{"dwell": 1}, {}, {"dwell": Decimal(1)}]},
            TypeError,
            "steps[2].dwell: a value of type Decimal cannot be sent as JSON",
        ),
        ({"a": b"x"}, TypeError, "a: a value of type bytes cannot be sent as JSON"),
        (
            {"a": np.array([None])},
            TypeError,
            "a: a ndarray of dtype object cannot be sent as JSON",
        ),
        (
            {"a": {"b": {1: 2}}},
            TypeError,
            "a.b: the key 1 is a value of type int, expected a text",
        ),
        (
            {None: 2},
            TypeError,
            "json_data: the key None is a value of type NoneType, expected a text",
        ),
        (
            {(1, 2): Decimal(1)},
            TypeError,
            "json_data: the key (1, 2) is a value of type tuple, expected a text",
        ),
        (
            {"a": [0.0, float("nan")]},
            ValueError,
            "a[1]: nan cannot be sent as JSON; expected a finite number",
        ),
        (
            {"a": np.float32("-inf")},
            ValueError,
            "a: -inf cannot be sent as JSON; expected a finite number",
        ),
        (
            contains_itself(),
            ValueError,
            "json_data: it contains itself or is nested too deep to be sent",
        ),
        ({"link": 5}, TypeError, "link: expected a dict, got a value of type int"),
        (
            {"link": {"lease": 1j}},
            TypeError,
            "link.lease: a complex number cannot be sent as JSON",
        ),
    ],
    ids=str,
)
def test_what_cannot_be_sent_is_named_before_connecting(
    data: Any, error: type[Exception], sentence: str
) -> None:
    refuses_to_send(data, error, sentence)


def test_a_number_with_too_many_digits_is_named() -> None:
    with pytest.raises(ValueError, match=r"^a\[0\]: Exceeds the limit"):
        request_reply({"a": [10**5000]})


def test_nesting_that_only_the_encoder_survives_is_refused() -> None:
    deep: Any = []
    for _ in range(sys.getrecursionlimit() - 1):
        deep = [deep]
    refuses_to_send(
        {"deep": deep},
        ValueError,
        "json_data: it contains itself or is nested too deep to be sent",
    )


@pytest.mark.parametrize(
    ("options", "error", "sentence"),
    [
        ({"host": None}, TypeError, "host: expected a text, got a value of type NoneType"),
        ({"port": "1"}, TypeError, "port: expected an integer, got a value of type str"),
        ({"port": 0}, ValueError, "port: expected 1 to 65535, got 0"),
        ({"port": 65536}, ValueError, "port: expected 1 to 65535, got 65536"),
        (
            {"timeout": None},
            TypeError,
            "timeout: expected a number of seconds, got a value of type NoneType",
        ),
        ({"timeout": "5 s"}, ValueError, "timeout: expected a number of seconds, got '5 s'"),
        (
            {"timeout": 10**400},
            ValueError,
            f"timeout: expected a number of seconds, got 1{59 * '0'}",
        ),
        ({"timeout": 0}, ValueError, "timeout: expected more than 0 and at most 86400 s, got 0"),
        (
            {"timeout": float("nan")},
            ValueError,
            "timeout: expected more than 0 and at most 86400 s, got nan",
        ),
        (
            {"timeout": float("inf")},
            ValueError,
            "timeout: expected more than 0 and at most 86400 s, got inf",
        ),
    ],
    ids=str,
)
def test_impossible_options_are_named(
    options: dict[str, Any], error: type[Exception], sentence: str
) -> None:
    with pytest.raises(error) as info:
        request_reply(REQUEST, **options)
    assert str(info.value) == sentence


def test_numpy_numbers_serve_as_port_and_timeout() -> None:
    with scripted_server(answer(status="success", result=1)) as (host, port):
        assert exchange(REQUEST, host, np.int32(port), np.float64(5.0)) == 1  # type: ignore[arg-type]


# --- no connection ------------------------------------------------------------------------------

ADVICE = "; check that the server is running, that host and port are right, and that no firewall"


def test_refused() -> None:
    with free_port() as port, pytest.raises(ConnectFailed) as info:
        exchange(REQUEST, "127.0.0.1", port)
    assert str(info.value) == (
        f"could not connect to 127.0.0.1:{port}: Connection refused{ADVICE} is in the way"
    )


def test_unknown_host() -> None:
    with pytest.raises(ConnectFailed) as info:
        exchange(REQUEST, "no-such-host.invalid", 1234)
    assert str(info.value).startswith("unknown host 'no-such-host.invalid' (port 1234): ")
    assert str(info.value).endswith("; check the name, or give the numeric address")


@pytest.mark.parametrize("host", ["", "a" * 64 + ".invalid", "a\0b"])
def test_what_is_no_host_name_is_an_unknown_host(host: str) -> None:
    with pytest.raises(ConnectFailed, match=r"^unknown host "):
        exchange(REQUEST, host)


def test_a_name_is_looked_up() -> None:
    with scripted_server(answer(status="success", result=1)) as (_, port):
        assert exchange(REQUEST, "localhost", port) == 1


def test_a_look_up_that_blocks_is_left_to_itself(monkeypatch: pytest.MonkeyPatch) -> None:
    goes_on = threading.Event()
    look_up = socket.getaddrinfo

    def blocking(host: str, port: int, family: int, kind: int, protocol: int, flags: int) -> Any:
        if not flags & socket.AI_NUMERICHOST:
            goes_on.wait(PATIENCE)
            host = "127.0.0.1"
        return look_up(host, port, family, kind, protocol, flags)

    monkeypatch.setattr(socket, "getaddrinfo", blocking)
    with pytest.raises(ConnectFailed) as info:
        exchange(REQUEST, "slow.invalid", 1234, timeout=SHORT)
    assert str(info.value) == (
        "looking up the host 'slow.invalid' (port 1234) took longer than 0.2 s; give the numeric "
        "address, or check the network"
    )
    left = [thread for thread in threading.enumerate() if thread.name == "artiq_link look-up"]
    assert [thread.daemon for thread in left] == [True]
    goes_on.set()
    left[0].join(PATIENCE)


@contextlib.contextmanager
def black_hole() -> Iterator[tuple[str, int]]:
    """Yield an address that answers no attempt to connect: its queue of connections is full."""
    with contextlib.ExitStack() as stack:
        listener = stack.enter_context(socket.socket())
        listener.bind(("127.0.0.1", 0))
        listener.listen(0)
        address = listener.getsockname()
        while True:
            filler = stack.enter_context(socket.socket())
            filler.settimeout(SHORT)
            try:
                filler.connect(address)
            except TimeoutError:
                break
        yield address


def test_connecting_takes_no_longer_than_the_timeout() -> None:
    with black_hole() as (host, port), pytest.raises(ConnectFailed) as info:
        exchange(REQUEST, host, port, timeout=SHORT)
    assert str(info.value).startswith(
        f"could not connect to 127.0.0.1:{port}: no answer within 0.2 s"
    )


def test_a_time_that_is_up_at_once_is_no_connection() -> None:
    with free_port() as port, pytest.raises(ConnectFailed, match="no answer within 0 s"):
        exchange(REQUEST, "127.0.0.1", port, timeout=1e-9)


def test_an_address_that_swallows_everything_leaves_time_for_the_next(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with black_hole() as hole, scripted_server(answer(status="success", result=1)) as address:
        kind = (socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP, "")
        monkeypatch.setattr(socket, "getaddrinfo", lambda *_: [(*kind, hole), (*kind, address)])
        assert exchange(REQUEST, "lab", 1234, timeout=1.0) == 1


def test_every_address_is_named_with_its_reason(monkeypatch: pytest.MonkeyPatch) -> None:
    with free_port("127.0.0.1") as one, free_port("127.0.0.2") as two:
        kind = (socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP, "")
        hosts = [(*kind, ("127.0.0.1", one)), (*kind, ("127.0.0.2", two))]
        monkeypatch.setattr(socket, "getaddrinfo", lambda *_: hosts)
        with pytest.raises(ConnectFailed) as info:
            exchange(REQUEST, "lab", 1234)
    assert "lab:1234: 127.0.0.1: Connection refused, 127.0.0.2: Connection refused;" in str(
        info.value
    )


def test_a_socket_connected_to_itself_is_a_refusal() -> None:
    with free_port() as port:
        pass

    class FromThere(socket.socket):
        """Is given the very port that it connects to, as TCP may do by chance."""

        def connect(self, address: Any) -> None:
            self.bind(address)
            super().connect(address)

    with (
        mock.patch.object(socket, "socket", FromThere),
        pytest.raises(ConnectFailed, match="Connection refused"),
    ):
        exchange(REQUEST, "127.0.0.1", port)


@pytest.mark.skipif(not socket.has_ipv6, reason="this Python has no IPv6")
@pytest.mark.parametrize("host", ["::1", "[::1]"])
def test_ipv6(host: str) -> None:
    with scripted_server(answer(status="success", result=6), host="::1") as (_, port):
        assert exchange(REQUEST, host, port) == 6
    with pytest.raises(ConnectFailed, match=rf"connect to \[::1\]:{port}: Connection refused"):
        exchange(REQUEST, host, port)


# --- no reply -----------------------------------------------------------------------------------

UNKNOWN = "whether the command was executed is not known: check the instrument before sending it"


def test_silence_ends_at_the_timeout_with_a_reset() -> None:
    with scripted_server(silence_until_reset) as (host, port), pytest.raises(NoReply) as info:
        exchange(REQUEST, host, port, timeout=SHORT)
    assert str(info.value) == (
        f"127.0.0.1:{port} gave no whole reply within 0.2 s (0 bytes came: is it a link "
        f"server?); {UNKNOWN} again"
    )


def test_bytes_are_received_until_the_time_is_up_or_the_connection_ends() -> None:
    ours, theirs = socket.socketpair()
    with ours:
        with theirs:
            theirs.sendall(b"half")
            assert link_client.receive_bytes(ours, link_client.Deadline(PATIENCE)) == b"half"
            with pytest.raises(socket.timeout):
                link_client.receive_bytes(ours, link_client.Deadline(SHORT))
        assert link_client.receive_bytes(ours, link_client.Deadline(PATIENCE)) == b""


def test_half_a_reply_and_silence_ends_at_the_timeout() -> None:
    def script(connection: socket.socket) -> None:
        read_request(connection)
        connection.sendall(b'{"status": ')
        with pytest.raises(ConnectionResetError):
            connection.recv(1)

    with scripted_server(script) as address, pytest.raises(NoReply, match=r"\(11 bytes came\)"):
        exchange(REQUEST, *address, timeout=SHORT)


def test_an_endless_drip_ends_at_the_timeout() -> None:
    def drip(connection: socket.socket) -> None:
        read_request(connection)
        with contextlib.suppress(ConnectionResetError, BrokenPipeError):
            while True:
                connection.sendall(b" ")

    waits = []

    class Noted(socket.socket):
        """Notes how long it is told to wait."""

        def settimeout(self, value: float | None) -> None:
            waits.append(value)
            super().settimeout(value)

    with (
        scripted_server(drip) as address,
        mock.patch.object(socket, "socket", Noted),
        pytest.raises(NoReply, match=r"within 0\.2 s"),
    ):
        exchange(REQUEST, *address, timeout=SHORT)
    assert waits[-1] is not None
    assert 0 < waits[-1] < SHORT / 2  # each byte is given what is left, not the whole time again


class Noted(socket.socket):
    """Notes how long it may wait each time that it is read from, but for a server's."""

    waits: ClassVar[list[float | None]] = []

    def recv(self, size: int, flags: int = 0) -> bytes:
        if self.gettimeout() != PATIENCE:
            self.waits.append(self.gettimeout())
        return super().recv(size, flags)


@pytest.fixture
def waits(monkeypatch: pytest.MonkeyPatch) -> list[float | None]:
    """How long the client's sockets may wait each time that they are read from."""
    monkeypatch.setattr(Noted, "waits", [])
    monkeypatch.setattr(socket, "socket", Noted)
    return Noted.waits


def test_one_of_several_addresses_is_given_the_whole_time_for_its_reply(
    monkeypatch: pytest.MonkeyPatch, waits: list[float | None]
) -> None:
    """To connect it had but its share."""
    with scripted_server(DONE) as address:
        kind = (socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP, "")
        monkeypatch.setattr(socket, "getaddrinfo", lambda *_: [(*kind, address)] * 2)
        exchange(REQUEST, "lab", timeout=PATIENCE / 2)
    assert waits == [pytest.approx(PATIENCE / 2, rel=0.4)]


def test_a_kept_connection_is_given_the_whole_time_for_each_reply(
    waits: list[float | None],
) -> None:
    """To look whether it goes on it had hardly any."""
    with scripted_server(in_turn(DONE, DONE, DONE)) as address:
        with Link(*address, timeout=PATIENCE / 2) as link:
            for _ in range(3):
                link.call("get")
    whole = pytest.approx(PATIENCE / 2, rel=0.4)
    assert waits == [whole, link_client.CLOSING_TIME, whole, 0.0, whole]


@pytest.mark.parametrize("close", [socket.socket.close, reset], ids=["close", "reset"])
@pytest.mark.parametrize("half", [b"", b'{"status": "success", "resu'], ids=["nothing", "half"])
def test_a_connection_lost_before_the_whole_reply(
    half: bytes, close: Callable[[socket.socket], None]
) -> None:
    def script(connection: socket.socket) -> None:
        read_request(connection)
        connection.sendall(half)
        close(connection)

    with scripted_server(script) as (host, port), pytest.raises(NoReply) as info:
        exchange(REQUEST, host, port)
    assert str(info.value).startswith(
        f"the connection to 127.0.0.1:{port} ended before the whole reply ("
    )
    assert str(info.value).endswith(f"{UNKNOWN} again")


def test_no_command_of_the_link_itself_is_said_to_be_executed_perhaps() -> None:
    ping = {"command_id": "link.ping"}
    with scripted_server(silence_until_reset, socket.socket.close) as (host, port):
        with pytest.raises(NoReply, match=r"0\.2 s \(0 bytes came: is it a link server\?\)$"):
            exchange(ping, host, port, timeout=SHORT)
        with pytest.raises(NoReply, match=r"reply \(0 bytes came: is it a link server\?\)$"):
            exchange(ping, host, port)


NPARRAY = '{"status": "success", "result": {"__jsonclass__": ["nparray", %s]}}'


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        (b"SSH-2.0-OpenSSH_9.6", "Expecting value: line 1 column 1 (char 0)"),
        (b"", "Expecting value: line 1 column 1 (char 0)"),
        (
            b'{"status": "\xff"}',
            "'utf-8' codec can't decode byte 0xff in position 12: invalid start byte",
        ),
        (b"[1]", "expected an object, got a value of type list"),
        (b'{"result": 1}', "expected the status 'success' or 'fail', got None"),
        (b'{"status": ["success"]}', "expected the status 'success' or 'fail', got ['success']"),
        (b'{"status": "fail", "code": 5}', "expected a text as 'code'"),
        (b'{"status": "fail", "error": null}', "expected a text as 'error'"),
        (
            b'{"status": "success", "id": "other"}',
            "it answers the request 'other', expected 'mine'",
        ),
        (b'{"status": "success", "result": NaN}', "NaN is not JSON"),
        (b"[" * 200_000, None),
        (b'{"status": "success", "result": ' + b"1" * 10_000 + b"}", None),
        (NPARRAY % "5", None),
        (NPARRAY % '[[1], "<f8"]', None),
        (NPARRAY % '[[1], "|O", "AAAAAAAAAAA="]', "malformed array: dtype '|O'"),
        (NPARRAY % '[[1], "<f16", "AAAAAAAAAAAAAAAAAAAAAA=="]', "malformed array: dtype '<f16'"),
        (NPARRAY % '[[1], "<f8,<f8", ""]', "malformed array: dtype '<f8,<f8'"),
        (NPARRAY % '[[1], "|f8", "AAAAAAAAAAA="]', "malformed array: dtype '|f8'"),
        (NPARRAY % '[[1], 5, "AAAAAAAAAAA="]', None),
        (NPARRAY % '[[-1], "<f8", ""]', "malformed array: shape [-1]"),
        (NPARRAY % '[[true], "|u1", "AA=="]', "malformed array: shape [True]"),
        (NPARRAY % '[1, "|u1", "AA=="]', None),
        (NPARRAY % '[{"a": 1}, "|u1", "AA=="]', "malformed array: shape {'a': 1}"),
        (NPARRAY % ('[[%s1], "|u1", "AA=="]' % ("1," * 32)), "malformed array: 33 dimensions"),
        (
            NPARRAY % '[[2], "<f8", "AAAAAAAAAAA="]',
            "malformed array: 8 bytes for shape [2] and dtype '<f8'",
        ),
        (NPARRAY % '[[1], "|u1", "A"]', None),
        (NPARRAY % '[[1], "|u1", "\u00b5\u00b5=="]', None),
        (NPARRAY % '[[1], "|u1", 5]', None),
        (NPARRAY % '[[1], "|u1", "A?A=="]', None),
        (NPARRAY % f'[[0, {2**62}, 9], "|u1", ""]', None),
        (NPARRAY % f'[[0, {10**30}], "|u1", ""]', None),
    ],
    ids=lambda value: str(value)[:60],
)
def test_what_is_not_the_protocols_is_no_reply(line: bytes | str, reason: str | None) -> None:
    data = line if isinstance(line, bytes) else line.encode()
    with (
        scripted_server(answer_bytes(data + b"\n")) as (host, port),
        pytest.raises(NoReply) as info,
    ):
        exchange({"command_id": "get", "link": {"id": "mine"}}, host, port)
    start = f"what 127.0.0.1:{port} answered is not a reply of the link ("
    end = "); check that host and port are those of a link server"
    assert str(info.value).startswith(start)
    assert str(info.value).endswith(end)
    if reason is not None:
        assert str(info.value) == start + reason + end


def test_a_whole_object_is_judged_without_its_newline_too() -> None:
    with (
        scripted_server(answer_bytes(b'{"status": "done"}')) as address,
        pytest.raises(NoReply, match="expected the status 'success' or 'fail', got 'done'"),
    ):
        exchange(REQUEST, *address)


def test_an_id_of_null_is_no_id() -> None:
    with scripted_server(answer_bytes(b'{"status": "fail", "id": null}\n')) as address:
        assert request_reply(REQUEST, *address)["status"] == "fail"


def test_a_reply_over_the_limit_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    reply = b'{"status": "success", "result": 1}'
    with scripted_server(answer_bytes(reply + b"\n"), repeat=True) as (host, port):
        monkeypatch.setattr(link_client, "MAX_REPLY", len(reply))
        assert exchange(REQUEST, host, port) == 1
        monkeypatch.setattr(link_client, "MAX_REPLY", len(reply) - 1)
        with pytest.raises(NoReply) as info:
            exchange(REQUEST, host, port)
    assert str(info.value) == (
        f"the reply of 127.0.0.1:{port} is larger than the limit of 33 bytes; ask for less at once"
    )


def test_a_reply_that_takes_too_long_to_decode_is_refused() -> None:
    reply = b'{"status": "success", "result": [' + 15_000_000 * b"{}," + b"{}]}\n"
    with scripted_server(answer_bytes(reply)) as (host, port), pytest.raises(NoReply) as info:
        exchange(REQUEST, host, port, timeout=8.0)
    assert str(info.value) == (
        f"what 127.0.0.1:{port} answered, 45000037 bytes, is too much to be decoded in what is "
        "left of 8 s; ask for less at once or for an array, or give it a longer timeout"
    )


@pytest.mark.parametrize(
    ("costs", "decodable"),
    [
        ((0.1, 0.0, 0.0), True),
        ((0.13, 0.0, 0.0), False),
        ((0.0, 0.05, 0.0), True),
        ((0.0, 0.06, 0.0), False),
        ((0.0, 0.0, 0.7), True),
        ((0.0, 0.0, 0.8), False),
    ],
)
def test_each_value_byte_and_digit_costs_time_to_decode(
    monkeypatch: pytest.MonkeyPatch, costs: tuple[float, ...], decodable: bool
) -> None:
    """Here are six brackets, commas and quotation marks, 14 bytes, a digit, and 0.75 s."""
    for name, cost in zip(("VALUE_COST", "BYTE_COST", "DIGIT_COST"), costs, strict=True):
        monkeypatch.setattr(link_client, name, cost)
    monkeypatch.setattr(link_client, "OVERTIME", 0.25)
    deadline, peer = link_client.Deadline(1.0), link_client.Peer("127.0.0.1", 1)
    monkeypatch.setattr(deadline, "left", lambda: 0.5)
    if decodable:
        assert link_client.decode_json(b'{"a": [1, {}]}', peer, deadline) == {"a": [1, {}]}
    else:
        with pytest.raises(NoReply, match="too much to be decoded in what is left of 1 s"):
            link_client.decode_json(b'{"a": [1, {}]}', peer, deadline)


def test_the_largest_array_is_taken() -> None:
    groups = link_client.MAX_REPLY // 4 - 100
    reply = (NPARRAY % f'[[{groups}, 3], "|u1", "{"AQID" * groups}"]').encode()
    assert link_client.MAX_REPLY - 2000 < len(reply) <= link_client.MAX_REPLY
    with scripted_server(answer_bytes(reply + b"\n")) as address:
        array = exchange(REQUEST, *address, timeout=PATIENCE)
    assert array.shape == (groups, 3)
    assert (array == [1, 2, 3]).all()


def test_a_stream_of_100_mib_is_cut_off_at_the_limit() -> None:
    sent = 0

    def stream(connection: socket.socket) -> None:
        nonlocal sent
        read_request(connection)
        with contextlib.suppress(ConnectionResetError, BrokenPipeError):
            while sent < 100 * 2**20:
                sent += connection.send(bytes(2**20))

    with scripted_server(stream) as address, pytest.raises(NoReply, match="larger than the limit"):
        exchange(REQUEST, *address, timeout=PATIENCE)
    assert link_client.MAX_REPLY == 64 * 2**20 < sent < 100 * 2**20


def read_to_the_end(connection: socket.socket) -> type[OSError] | None:
    """Read all that comes; return the error that ended it, None for an ordinary end."""
    try:
        while connection.recv(2**20):
            pass
    except OSError as error:
        return type(error)
    return None


# More than the buffers of two sockets hold.
HUGE = {"command_id": "load", "data": "x" * (16 * 2**20)}


@pytest.mark.parametrize("close", [socket.socket.close, reset], ids=["close", "reset"])
def test_an_answer_while_the_request_is_being_sent_is_taken(
    close: Callable[[socket.socket], None],
) -> None:
    def refuse(connection: socket.socket) -> None:
        connection.recv(10)
        connection.sendall(b'{"status": "fail", "code": "too_large", "error": "too large"}\n')
        if close is socket.socket.close:  # linger as a server does
            connection.shutdown(socket.SHUT_WR)
            assert read_to_the_end(connection) is not ConnectionResetError
        close(connection)

    with scripted_server(refuse) as address, pytest.raises(ServerFailed, match="too_large"):
        exchange(HUGE, *address)


def test_an_answer_is_taken_from_a_server_that_reads_no_further() -> None:
    taken = threading.Event()

    def refuse(connection: socket.socket) -> None:
        connection.recv(10)
        connection.sendall(b'{"status": "fail", "code": "too_large", "error": "too large"}\n')
        assert taken.wait(PATIENCE)

    with scripted_server(refuse) as address:
        with pytest.raises(ServerFailed, match="too_large"):
            exchange(HUGE, *address)
        taken.set()


def test_an_answer_is_taken_although_the_connection_was_lost_before_sending() -> None:
    connected, gone = threading.Event(), threading.Event()

    def refuse(connection: socket.socket) -> None:
        assert connected.wait(PATIENCE)
        connection.sendall(b'{"status": "fail", "code": "busy", "error": "too many clients"}\n')
        reset(connection)
        gone.set()

    class SendsLate(socket.socket):
        """Sends when the server's reset is there: to be told that the connection is lost."""

        def send(self, data: Any, flags: int = 0) -> int:
            connected.set()
            assert gone.wait(PATIENCE)
            with pytest.raises(ConnectionResetError) as info:
                super().send(data, flags)
            raise info.value

    with (
        scripted_server(refuse) as address,
        mock.patch.object(socket, "socket", SendsLate),
        pytest.raises(ServerFailed, match="too many clients"),
    ):
        exchange(REQUEST, *address)


def test_a_server_that_does_not_read_is_given_up_at_the_timeout() -> None:
    is_sent, given_up = threading.Event(), threading.Event()
    start = time.monotonic()

    class Clock:
        """Stands still until some of the request has come."""

        time = time.time

        @staticmethod
        def monotonic() -> float:
            return time.monotonic() if is_sent.is_set() else start

    def deaf(connection: socket.socket) -> None:
        connection.recv(1)
        is_sent.set()
        assert given_up.wait(PATIENCE)
        assert read_to_the_end(connection) is ConnectionResetError

    with scripted_server(deaf) as (host, port):
        with (
            mock.patch.object(link_client, "time", Clock),
            pytest.raises(NoReply) as info,
        ):
            exchange(HUGE, host, port, timeout=0.5)
        given_up.set()
    assert str(info.value) == (
        f"127.0.0.1:{port} did not take the whole request within 0.5 s, so it was not executed; "
        "check that a link server runs there and is not overloaded"
    )


def test_a_connection_lost_while_sending_is_no_reply() -> None:
    def lose(connection: socket.socket) -> None:
        connection.recv(10)
        reset(connection)

    with (
        scripted_server(lose) as address,
        pytest.raises(NoReply, match=r"^the connection to .* ended"),
    ):
        exchange(HUGE, *address)


def test_a_large_request_arrives_whole() -> None:
    def script(connection: socket.socket) -> None:
        received = bytearray()
        while not received.endswith(b"}}"):
            received += connection.recv(2**20)
        assert json.loads(received)["data"] == HUGE["data"]
        connection.sendall(b'{"status": "success", "result": 1}\n')

    with scripted_server(script) as address:
        assert exchange(HUGE, *address, timeout=PATIENCE) == 1


def test_waiting_to_send_costs_no_descriptor(monkeypatch: pytest.MonkeyPatch) -> None:
    """There may be none left; that would be an OSError out of the middle of an exchange."""

    def refuse(*_: Any) -> None:
        raise OSError(errno.EMFILE, "Too many open files")

    monkeypatch.setattr(selectors.EpollSelector, "__init__", refuse)
    test_a_large_request_arrives_whole()


def test_a_system_that_takes_nothing_yet_is_waited_for() -> None:
    refusals = [BlockingIOError()]

    class Full(socket.socket):
        """Has no room for the first attempt to send."""

        def send(self, data: Any, flags: int = 0) -> int:
            if refusals:
                raise refusals.pop()
            return super().send(data, flags)

    with (
        scripted_server(answer(status="success", result=1)) as address,
        mock.patch.object(socket, "socket", Full),
    ):
        assert exchange(REQUEST, *address) == 1


def test_ctrl_c_while_waiting_resets_the_connection() -> None:
    def interrupt(connection: socket.socket) -> None:
        read_request(connection)
        main = threading.main_thread().ident
        assert main is not None
        signal.pthread_kill(main, signal.SIGINT)
        with pytest.raises(ConnectionResetError):
            connection.recv(1)

    with scripted_server(interrupt) as address, pytest.raises(KeyboardInterrupt):
        exchange(REQUEST, *address)


def test_a_signal_does_not_lengthen_the_wait() -> None:
    def signal_and_wait(connection: socket.socket) -> None:
        read_request(connection)
        main = threading.main_thread().ident
        assert main is not None
        signal.pthread_kill(main, signal.SIGUSR1)
        with pytest.raises(ConnectionResetError):
            connection.recv(1)

    seen: list[int] = []
    previous = signal.signal(signal.SIGUSR1, lambda number, _: seen.append(number))
    try:
        with scripted_server(signal_and_wait) as address, pytest.raises(NoReply, match="within"):
            exchange(REQUEST, *address, timeout=SHORT)
    finally:
        signal.signal(signal.SIGUSR1, previous)
    assert seen == [signal.SIGUSR1]


# --- send_data ----------------------------------------------------------------------------------


def noted(calls: list[Any]) -> dict[str, Any]:
    return {
        name: functools.partial(lambda name, *args: calls.append((name, *args)), name)
        for name in ("server_success", "server_fail", "fail_connect")
    }


@pytest.mark.parametrize(
    ("status", "name"), [("success", "server_success"), ("fail", "server_fail")]
)
def test_just_one_callback_is_given_the_reply_once(status: str, name: str) -> None:
    calls: list[Any] = []
    with scripted_server(answer(status=status)) as address:
        reply = send_data(REQUEST, *address, **noted(calls))
    assert reply is not None
    assert reply["status"] == status
    assert calls == [(name, reply)]


@pytest.mark.parametrize(
    "script",
    [silence_until_reset, answer_bytes(b""), answer_bytes(b"garbage\n"), socket.socket.close],
    ids=["silence", "closed", "garbage", "closed at once"],
)
def test_without_a_reply_fail_connect_is_called_once_and_why_is_logged(
    script: Callable[[socket.socket], object], caplog: pytest.LogCaptureFixture
) -> None:
    calls: list[Any] = []
    with scripted_server(script) as (host, port):
        assert send_data(REQUEST, host, port, timeout=SHORT, **noted(calls)) is None
    assert calls == [("fail_connect",)]
    (record,) = caplog.records
    assert (record.name, record.levelno) == ("artiq_link.client", logging.WARNING)
    assert f"127.0.0.1:{port}" in record.getMessage()


@pytest.mark.parametrize("host", ["127.0.0.1", "no-such-host.invalid"])
def test_without_a_connection_fail_connect_is_called_once(host: str) -> None:
    calls: list[Any] = []
    with free_port() as port:
        assert send_data(REQUEST, host, port, **noted(calls)) is None
    assert calls == [("fail_connect",)]


def test_send_data_needs_no_callbacks() -> None:
    with scripted_server(*map(answer_status, ("success", "fail"))) as address:
        statuses = [send_data(REQUEST, *address) for _ in range(2)]
    assert [reply and reply["status"] for reply in statuses] == ["success", "fail"]
    with free_port() as port:
        assert send_data(REQUEST, port=port) is None


def answer_status(status: str) -> Callable[[socket.socket], object]:
    return answer(status=status)


@pytest.mark.parametrize("name", ["server_success", "server_fail", "fail_connect"])
@pytest.mark.parametrize("error", [ZeroDivisionError, NoReply])
def test_what_a_callback_raises_reaches_the_caller(name: str, error: type[Exception]) -> None:
    calls: list[Any] = []

    def raises(*_: Any) -> None:
        calls.append(name)
        raise error

    script = {
        "server_success": answer(status="success"),
        "server_fail": answer(status="fail"),
        "fail_connect": answer_bytes(b""),
    }[name]
    callbacks: dict[str, Any] = {**noted(calls), name: raises}
    with scripted_server(script) as address, pytest.raises(error):
        send_data(REQUEST, *address, **callbacks)
    assert calls == [name]


def test_debug_prints_what_is_sent_and_received(capsys: pytest.CaptureFixture[str]) -> None:
    reply = '{"status": "success", "result": "\u00b5"}'
    with scripted_server(answer_bytes(reply.encode() + b"\n")) as address:
        send_data({"command_id": "get", "link": {"id": "a", "timeout": 1}}, *address, debug=True)
    assert capsys.readouterr().out == (
        f'sent: {{"command_id": "get", "link": {{"id": "a", "timeout": 1}}}}\nreceived: {reply}\n'
    )


def test_debug_prints_what_is_no_reply_too(capsys: pytest.CaptureFixture[str]) -> None:
    with scripted_server(answer_bytes(b"\xff\n"), answer_bytes(b"")) as address:
        send_data(REQUEST, *address, debug=True)
        send_data(REQUEST, *address, debug=True)
    lines = capsys.readouterr().out.splitlines()
    assert [line.partition(":")[0] for line in lines] == ["sent", "received", "sent"]
    assert lines[1] == "received: \\xff"


def test_debug_escapes_what_the_terminal_has_no_characters_for(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    printed = io.BytesIO()
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(printed, "ascii", write_through=True))
    with scripted_server(
        answer_bytes('{"status": "fail", "error": "\u00b5"}\n'.encode())
    ) as address:
        request_reply(REQUEST, *address, debug=True)
    assert printed.getvalue().endswith(b'received: {"status": "fail", "error": "\\xb5"}\n')


# --- kept connections ---------------------------------------------------------------------------

DONE = answer(status="success", result=1)


def in_turn(*scripts: Script, ended: threading.Event | None = None) -> Script:
    """Do one script after the other on one connection; tell when it has been closed."""

    def script(connection: socket.socket) -> None:
        for one in scripts:
            one(connection)
        if ended is not None:
            connection.close()
            ended.set()

    return script


def end_of_file(connection: socket.socket) -> None:
    """See the client's ordinary close."""
    assert connection.recv(1) == b""


def reset_by_client(connection: socket.socket) -> None:
    """See the client's reset."""
    with pytest.raises(ConnectionResetError):
        connection.recv(1)


@pytest.fixture
def patient_with_closing(monkeypatch: pytest.MonkeyPatch) -> None:
    """Give a server that closes after its reply all the time it may need on a busy computer."""
    monkeypatch.setattr(link_client, "CLOSING_TIME", PATIENCE)


def test_a_with_block_keeps_one_connection() -> None:
    requests = []

    def note(connection: socket.socket) -> None:
        requests.append(request := read_request(connection))
        reply = {"status": "success", "result": len(requests), "id": request["link"]["id"]}
        connection.sendall(json.dumps(reply).encode() + b"\n")

    with scripted_server(in_turn(note, note, note, end_of_file)) as (host, port):
        with Link(host, port, link={"rid": 7}) as link:
            assert link.call("get", channel=0) == 1
            assert link.send(REQUEST)["result"] == 2
            assert link.call("get", channel=0) == 3
    assert [request["link"].pop("keep") for request in requests] == [True] * 3
    assert len({request["link"].pop("id") for request in requests}) == 3
    assert [sorted(request["link"]) for request in requests] == [["rid", "timeout"]] * 3


def test_outside_of_the_block_each_exchange_has_its_own_connection() -> None:
    with scripted_server(DONE, DONE, in_turn(DONE, end_of_file), DONE) as address:
        link = Link(*address)
        link.call("get")
        link.call("get")
        with link:
            link.call("get")
        link.call("get")


def test_a_block_without_an_exchange_connects_to_nobody() -> None:
    with free_port() as port, Link(port=port):
        pass


def test_a_link_that_keeps_its_connection_cannot_be_entered_again() -> None:
    link = Link(port=1)
    with link, pytest.raises(RuntimeError) as info:
        link.__enter__()
    assert str(info.value) == "Link('127.0.0.1', 1, timeout=5.0) keeps its connection already"


@pytest.mark.usefixtures("patient_with_closing")
def test_a_server_that_closes_after_each_reply_serves_a_kept_link_too() -> None:
    with scripted_server(DONE, DONE, DONE) as address, Link(*address) as link:
        assert [link.call("get") for _ in range(3)] == [1, 1, 1]


def unasked(connection: socket.socket) -> None:
    """Say something although nothing was asked."""
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    connection.sendall(b'{"status": "success", "result": "of another"}\n')


@pytest.mark.parametrize("end", [socket.socket.close, reset, unasked])
def test_a_kept_connection_that_is_dead_is_noticed_before_sending(end: Script) -> None:
    ended = threading.Event()

    def script(connection: socket.socket) -> None:
        DONE(connection)
        DONE(connection)
        end(connection)
        ended.set()
        if end is unasked:
            read_to_the_end(connection)

    with scripted_server(script, DONE) as address, Link(*address) as link:
        link.call("get")
        link.call("get")
        assert ended.wait(PATIENCE)
        assert link.call("get") == 1


def test_a_server_that_is_gone_is_no_connection_although_one_was_kept() -> None:
    ended = threading.Event()
    with contextlib.ExitStack() as stack:
        with scripted_server(in_turn(DONE, ended=ended)) as address:
            link = stack.enter_context(Link(*address))
            link.call("get")
            assert ended.wait(PATIENCE)
        with pytest.raises(ConnectFailed):
            link.call("get")


def test_what_was_sent_is_never_sent_again() -> None:
    """The connection ends after the request: whether it was executed, nobody can tell."""
    with (
        scripted_server(in_turn(DONE, read_request), DONE) as address,
        Link(*address) as link,
    ):
        link.call("get")
        with pytest.raises(
            NoReply,
            match=r"^the connection .* ended .*executed is not known",
        ):
            link.call("get")
        assert link.call("get") == 1


def test_after_a_timeout_a_kept_connection_is_reset_and_a_late_reply_never_taken() -> None:
    given_up = threading.Event()

    def late(connection: socket.socket) -> None:
        request = read_request(connection)
        assert given_up.wait(PATIENCE)
        reply = {"status": "success", "result": "late", "id": request["link"]["id"]}
        with pytest.raises(ConnectionResetError):
            connection.sendall(json.dumps(reply).encode() + b"\n")

    with scripted_server(in_turn(DONE, late), DONE) as address, Link(*address) as link:
        link.call("get")
        link.timeout = SHORT
        with pytest.raises(NoReply, match="gave no whole reply within"):
            link.call("get")
        given_up.set()
        link.timeout = PATIENCE
        assert link.call("get") == 1


@pytest.mark.parametrize(
    ("member", "reason"),
    [
        (b', "id": "of another"', "it answers the request 'of another', expected "),
        (b', "id": null', "it answers the request None, expected "),
        (b"", "it answers the request None, expected "),
    ],
)
def test_a_reply_to_another_request_drops_the_kept_connection(member: bytes, reason: str) -> None:
    def confuse(connection: socket.socket) -> None:
        read_request(connection)
        connection.sendall(b'{"status": "success", "result": 1%b}\n' % member)

    with scripted_server(in_turn(DONE, confuse, reset_by_client), DONE) as address:
        with Link(*address) as link:
            link.call("get")
            with pytest.raises(NoReply, match=reason):
                link.call("get")
            assert link.call("get") == 1


@pytest.mark.parametrize(
    "line",
    [b'{"status": "fail", "code": "too_large"}\n', b'{"status": "success", "id": "a"}\n\n'],
    ids=["without the id", "with more behind it"],
)
def test_a_reply_that_leaves_doubts_is_the_last_of_its_connection(line: bytes) -> None:
    def script(connection: socket.socket) -> None:
        read_request(connection)
        connection.sendall(line)
        end_of_file(connection)

    with scripted_server(script, DONE) as address, Link(*address) as link:
        assert link.send({"command_id": "get", "link": {"id": "a"}})["status"] in line.decode()
        assert link.call("get") == 1


def test_an_answer_to_half_a_request_is_the_last_of_its_connection() -> None:
    def refuse(connection: socket.socket) -> None:
        connection.recv(10)
        connection.sendall(b'{"status": "fail", "code": "busy", "id": "a"}\n')
        assert read_to_the_end(connection) is None

    with scripted_server(refuse, DONE) as address, Link(*address) as link:
        assert link.send(dict(HUGE, link={"id": "a"}))["code"] == "busy"
        assert link.call("get") == 1


def test_a_connection_that_was_silent_for_long_is_not_trusted(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with scripted_server(in_turn(DONE, end_of_file), DONE) as address, Link(*address) as link:
        link.call("get")
        monkeypatch.setattr(link_client, "MAX_IDLE", 0.0)
        assert link.call("get") == 1


def test_a_link_that_is_pointed_elsewhere_connects_there() -> None:
    with scripted_server(in_turn(DONE, end_of_file)) as (host, port), Link(host, port) as link:
        link.call("get")
        with scripted_server(answer(status="success", result="there")) as (_, link.port):
            assert link.call("get") == "there"


def test_a_forked_process_leaves_the_connection_to_its_parent(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with scripted_server(in_turn(DONE, end_of_file), DONE) as address, Link(*address) as link:
        link.call("get")
        monkeypatch.setattr(os, "getpid", lambda: -1)
        assert link.call("get") == 1


def test_threads_take_turns_on_a_kept_connection() -> None:
    def script(connection: socket.socket) -> None:
        for _ in range(40):
            DONE(connection)
        end_of_file(connection)

    def work() -> None:
        for _ in range(10):
            assert link.call("get") == 1

    with scripted_server(script) as address, Link(*address, timeout=PATIENCE) as link:
        with ThreadPoolExecutor(4) as pool:
            for done in [pool.submit(work) for _ in range(4)]:
                done.result()


def test_a_turn_on_a_kept_connection_is_waited_for_no_longer_than_the_timeout() -> None:
    asked, go_on = threading.Event(), threading.Event()

    def slow(connection: socket.socket) -> None:
        request = read_request(connection)
        asked.set()
        assert go_on.wait(PATIENCE)
        reply = {"status": "success", "result": "slow", "id": request["link"]["id"]}
        connection.sendall(json.dumps(reply).encode() + b"\n")
        end_of_file(connection)

    with scripted_server(slow) as (host, port), ThreadPoolExecutor(1) as pool:
        with Link(host, port, timeout=PATIENCE) as link:
            first = pool.submit(link.call, "get")
            assert asked.wait(PATIENCE)
            link.timeout = SHORT
            with pytest.raises(ConnectFailed) as info:
                link.call("get")
            go_on.set()
            assert first.result() == "slow"
    assert str(info.value) == (
        f"nothing was sent to 127.0.0.1:{port}: on a kept connection one exchange follows the "
        "other, and the one before has not ended within 0.2 s"
    )


def test_who_had_no_turn_before_the_block_was_left_keeps_no_connection() -> None:
    asked, go_on = threading.Event(), threading.Event()

    def slow(connection: socket.socket) -> None:
        asked.set()
        assert go_on.wait(PATIENCE)
        DONE(connection)
        end_of_file(connection)

    with (
        scripted_server(slow, in_turn(DONE, end_of_file)) as address,
        ThreadPoolExecutor(2) as pool,
    ):
        with Link(*address, timeout=PATIENCE) as link:
            kept = link._kept
            assert kept is not None
            calls = [pool.submit(link.call, "get")]
            assert asked.wait(PATIENCE)
            kept._closed = True  # as by a `close` that waits for its own turn
            calls.append(pool.submit(link.call, "get"))
            go_on.set()
            assert [call.result() for call in calls] == [1, 1]


# --- batches ------------------------------------------------------------------------------------

BATCH = [{"command_id": "get", "channel": 0}, {"command_id": "get", "channel": 9}]


def test_a_batch_is_one_exchange_with_a_reply_for_each_request() -> None:
    requests = []
    replies = [{"status": "success", "result": 1}, {"status": "fail", "code": "out_of_range"}]

    def script(connection: socket.socket) -> None:
        requests.append(request := read_request(connection))
        reply = {"status": "success", "result": replies, "id": request["link"]["id"]}
        connection.sendall(json.dumps(reply).encode() + b"\n")

    with scripted_server(script, script) as address:
        assert Link(*address).batch(BATCH) == replies
        assert Link(*address).batch(BATCH, on_failure="continue", check=False) == replies
    for request in requests:
        del request["link"]
    batch = {"command_id": "link.batch", "requests": BATCH}
    assert requests == [
        {**batch, "on_failure": "stop", "check": True},
        {**batch, "on_failure": "continue", "check": False},
    ]


def test_a_batch_that_is_refused_raises() -> None:
    refusal = answer(status="fail", code="out_of_range", error="too high", where="requests[1]")
    with scripted_server(refusal) as address, pytest.raises(ServerFailed) as info:
        Link(*address).batch(BATCH)
    assert (info.value.code, info.value.where) == ("out_of_range", "requests[1]")


@pytest.mark.parametrize("result", [None, {}, [1]])
def test_an_answer_to_a_batch_that_is_no_list_of_replies_is_no_reply(result: Any) -> None:
    with (
        scripted_server(answer(status="success", result=result)) as (host, port),
        pytest.raises(NoReply) as info,
    ):
        Link(host, port).batch(BATCH)
    assert str(info.value) == (
        f"what 127.0.0.1:{port} answered to a batch is no list of replies; {UNKNOWN} again"
    )


def test_a_batch_without_a_reply_may_have_been_executed() -> None:
    with scripted_server(socket.socket.close) as address, pytest.raises(NoReply, match=UNKNOWN):
        Link(*address).batch(BATCH)


def test_a_batch_is_a_list_and_what_cannot_be_sent_is_numbered() -> None:
    with pytest.raises(TypeError) as info:
        Link(port=1).batch(5)  # type: ignore[arg-type]
    assert str(info.value) == "requests: expected a list, got a value of type int"
    with pytest.raises(TypeError, match=r"^requests\[1\].channel: a complex number cannot"):
        Link(port=1).batch([{}, {"channel": 1j}])


# --- the request's id ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("script", "kind"),
    [
        (answer(status="fail", code="busy"), ServerFailed),
        (answer_bytes(b'{"status": "fail", "code": "busy"}\n'), ServerFailed),
        (answer_bytes(b"garbage\n"), NoReply),
        (socket.socket.close, NoReply),
    ],
)
def test_an_error_names_its_request(script: Script, kind: type[LinkError]) -> None:
    with scripted_server(script) as address, pytest.raises(kind) as info:
        exchange({"command_id": "get", "link": {"id": "mine"}}, *address)
    assert info.value.id == "mine"
    assert pickle.loads(pickle.dumps(info.value)).id == "mine"


def test_an_error_without_a_connection_names_its_request() -> None:
    with free_port() as port, pytest.raises(ConnectFailed) as info:
        exchange(REQUEST, port=port)
    assert len(bytes.fromhex(info.value.id)) == 16


# --- arrays -------------------------------------------------------------------------------------

DTYPES = (
    hnp.boolean_dtypes()
    | hnp.integer_dtypes()
    | hnp.unsigned_integer_dtypes()
    | hnp.floating_dtypes(sizes=(16, 32, 64))
    | hnp.complex_number_dtypes(sizes=(64, 128))
)
ARRAYS = DTYPES.flatmap(
    lambda dtype: hnp.arrays(dtype, hnp.array_shapes(min_dims=1, min_side=0, max_side=4))
)


@pytest.fixture(scope="module")
def echo_address() -> Iterator[tuple[str, int]]:
    with scripted_server(echo, repeat=True) as address:
        yield address


@given(array=ARRAYS)
def test_any_array_comes_back_as_it_was_sent(
    echo_address: tuple[str, int], array: np.ndarray[Any, Any]
) -> None:
    result = exchange({"command_id": "echo", "value": array}, *echo_address)
    assert isinstance(result, np.ndarray)
    assert result.dtype == array.dtype
    assert result.flags.writeable
    np.testing.assert_array_equal(result, array, strict=True)


@given(array=ARRAYS)
def test_without_numpy_any_array_comes_back_as_nested_lists(
    echo_address: tuple[str, int], array: np.ndarray[Any, Any]
) -> None:
    request = {"command_id": "echo", "value": array}
    with mock.patch.object(link_client, "_numpy", return_value=None):
        result = exchange(request, *echo_address)
    expected = array.tolist() if array.size else []
    assert repr(result) == repr(expected)  # repr: NaN is not equal to itself


@given(value=st.integers(-(2**31), 2**31 - 1).map(np.int32) | hnp.from_dtype(np.dtype("f8")))
def test_any_finite_scalar_comes_back_as_the_same_number(
    echo_address: tuple[str, int], value: Any
) -> None:
    request = {"command_id": "echo", "value": value}
    if not np.isfinite(value):
        with pytest.raises(ValueError, match=r"^value: (nan|inf|-inf) cannot be sent"):
            exchange(request, *echo_address)
        return
    result = exchange(request, *echo_address)
    assert type(result) in (int, float)
    assert result == value


def test_an_array_without_dimensions_is_read() -> None:
    reply = (NPARRAY % '[[], "|u1", "Bw=="]').encode() + b"\n"
    with scripted_server(answer_bytes(reply)) as address:
        result = exchange(REQUEST, *address)
    assert (result.shape, result.item()) == ((), 7)
    with (
        scripted_server(answer_bytes(reply)) as address,
        mock.patch.object(link_client, "_numpy", return_value=None),
    ):
        assert exchange(REQUEST, *address) == 7


def test_numpy_is_looked_for_once(echo_address: tuple[str, int]) -> None:
    """Where it is missing, a search of the disk for each of many arrays would take seconds."""
    link_client._numpy.cache_clear()
    exchange({"command_id": "echo", "value": [np.arange(2), np.arange(3)]}, *echo_address)
    assert link_client._numpy.cache_info()[:2] == (1, 1)  # hits and misses


@pytest.mark.parametrize(
    "value",
    [
        {"__jsonclass__": ["set", [[1]]]},
        {"__jsonclass__": "nparray"},
        {"__jsonclass__": ["nparray", []], "a": 1},
    ],
    ids=str,
)
def test_other_objects_are_left_as_they_are(
    echo_address: tuple[str, int], value: dict[str, Any]
) -> None:
    assert exchange({"command_id": "echo", "value": value}, *echo_address) == value


# --- arrays as bytes ----------------------------------------------------------------------------

LARGE = np.arange(link_client.MIN_BUFFER // 8, dtype="<f8")


def read_exactly(connection: socket.socket, count: int) -> bytes:
    received = b""
    while len(received) < count:
        received += (chunk := connection.recv(count - len(received)))
        assert chunk, f"the connection was closed after {received!r}"
    return received


def read_with_buffers(connection: socket.socket) -> tuple[dict[str, Any], list[bytes]]:
    """Read a request and the buffers behind it."""
    received = b""
    while not received.endswith(b"\n"):
        received += read_exactly(connection, 1)
    request = json.loads(received)
    return request, [read_exactly(connection, length) for length in request["link"]["buffers"]]


def takes_buffers(connection: socket.socket) -> None:
    """Be asked, and say that buffers are taken."""
    request = read_request(connection)
    assert request["command_id"] == "link.ping"
    assert request["link"]["buffers"] is True
    reply = {"status": "success", "result": True, "link": {"buffers": True}}
    connection.sendall(json.dumps({**reply, "id": request["link"]["id"]}).encode() + b"\n")


old_server = answer(
    status="fail",
    code="invalid_parameter",
    error="link: object contains unknown field 'buffers'",
    where="link",
)


def knows(address: tuple[str, int]) -> None:
    """Have the client know that this server takes buffers."""
    link_client._remember(address, True)


def test_a_large_array_is_sent_as_its_bytes_byte_for_byte() -> None:
    received = []
    head = (
        b'{"command_id": "load", "a": {"__jsonclass__": ["nparray", [[2, 256], "<f8", '
        b'{"buffer": 0}]]}, "b": {"__jsonclass__": ["nparray", [[4096], "|b1", {"buffer": 1}]]}, '
        b'"link": {"id": "mine", "timeout": 9, "buffers": [4096, 4096]}}\n'
    )
    first, second = LARGE.reshape(2, 256), np.ones(4096, bool)
    expected = head + first.tobytes() + second.tobytes()

    def script(connection: socket.socket) -> None:
        received.append(read_exactly(connection, len(expected)))
        connection.sendall(b'{"status": "success", "id": "mine", "link": {"buffers": true}}\n')
        end_of_file(connection)

    request = {"command_id": "load", "a": first, "b": second, "link": {"id": "mine", "timeout": 9}}
    with scripted_server(takes_buffers, script, script) as address:
        exchange(request, *address)
        exchange(request, *address)  # the server is asked once
    assert received == [expected, expected]


@pytest.mark.parametrize(
    "array",
    [
        np.asfortranarray(LARGE.reshape(16, -1)),
        LARGE.astype(">f8"),
        np.repeat(LARGE, 2)[::2],
        LARGE.astype("c16").reshape(4, 4, -1),
        np.arange(10_000, dtype="f2"),
        np.arange(10_000, dtype="i4")[1:],
    ],
    ids=lambda array: array.dtype.str,
)
def test_any_large_array_arrives_as_it_is(array: np.ndarray[Any, Any]) -> None:
    arrived = []

    def script(connection: socket.socket) -> None:
        request, (data,) = read_with_buffers(connection)
        shape, dtype, place = request["a"]["__jsonclass__"][1]
        assert place == {"buffer": 0}
        arrived.append(np.ndarray(shape, dtype, data))
        connection.sendall(b'{"status": "success"}\n')

    with scripted_server(script) as address:
        knows(address)
        exchange({"command_id": "load", "a": array}, *address)
    np.testing.assert_array_equal(arrived[0], array, strict=True)


def test_a_large_array_is_not_copied() -> None:
    request = link_client._Request(
        {"a": LARGE}, None, link_client.Peer("h", 1), link_client.Deadline(1.0), False
    )
    request.tell(True)
    (buffer,) = request.buffers
    assert np.shares_memory(np.frombuffer(buffer, "u1"), LARGE)


@pytest.mark.parametrize("array", [LARGE[1:], np.ma.array(LARGE, mask=False)], ids=type)
def test_other_arrays_are_sent_in_base64_and_nobody_is_asked(array: Any) -> None:
    request = received_request({"a": array})
    assert request["a"]["__jsonclass__"][1][2] == base64_text(array.tobytes())
    assert "buffers" not in request["link"]


def in_base64(connection: socket.socket) -> None:
    request = read_request(connection)
    assert request["a"]["__jsonclass__"][1][2] == base64_text(LARGE.tobytes())
    assert "buffers" not in request["link"]
    connection.sendall(b'{"status": "success"}\n')


def test_an_old_server_is_asked_once_and_gets_base64(monkeypatch: pytest.MonkeyPatch) -> None:
    with scripted_server(old_server, in_base64, in_base64, old_server, in_base64) as address:
        exchange({"a": LARGE}, *address)
        exchange({"a": LARGE}, *address)
        takes, until = link_client._known[address]
        monkeypatch.setitem(link_client._known, address, (takes, until - link_client.ASK_AGAIN))
        exchange({"a": LARGE}, *address)


@pytest.mark.parametrize("asked", [answer(status="fail", code="busy"), DONE])
def test_who_does_not_say_that_it_takes_buffers_gets_base64(asked: Script) -> None:
    with scripted_server(asked, in_base64) as address:
        exchange({"a": LARGE}, *address)


def test_asking_carries_the_users_members_and_has_its_own_id() -> None:
    asked = []

    def script(connection: socket.socket) -> None:
        asked.append(read_request(connection)["link"])

    request = {"a": LARGE, "link": {"id": "mine", "token": "t", "timeout": 60}}
    with scripted_server(script) as address, pytest.raises(NoReply) as info:
        exchange(request, *address, timeout=PATIENCE)
    assert asked[0]["token"] == "t"
    assert asked[0]["id"] != "mine" == info.value.id
    assert asked[0]["timeout"] < PATIENCE
    assert "executed" not in str(info.value)


def test_what_cannot_be_sent_is_named_beside_a_large_array() -> None:
    refuses_to_send({"a": LARGE, "b": 1j}, TypeError, "b: a complex number cannot be sent as JSON")


@pytest.mark.parametrize(
    "refusal",
    [
        old_server,
        answer_bytes(
            b'{"status": "fail", "code": "malformed", "error": "nparray: the bytes are missing"}\n'
        ),
    ],
)
def test_an_older_server_that_has_come_to_the_address_gets_base64(refusal: Script) -> None:
    def refuse(connection: socket.socket) -> None:
        refusal(Unread(connection))

    with scripted_server(refuse, in_base64, in_base64) as address:
        knows(address)
        exchange({"a": LARGE}, *address)
        exchange({"a": LARGE}, *address)


class Unread:
    """A connection of which an old server reads the request's line, and not what is behind it."""

    def __init__(self, connection: socket.socket) -> None:
        self._connection = connection
        self.sendall = connection.sendall

    def recv(self, size: int) -> bytes:
        data = read_with_buffers(self._connection)[0]
        return json.dumps(data).encode()


def reply_with(line: str, *buffers: bytes) -> Script:
    def script(connection: socket.socket) -> None:
        request = read_request(connection)
        assert request["link"]["buffers"] is True
        line_ = line.replace("ID", request["link"]["id"])
        connection.sendall(line_.encode() + b"\n" + b"".join(buffers))

    return script


TWO_ARRAYS = (
    '{"status": "success", "result": [{"__jsonclass__": ["nparray", [[2, 2], "<i2", '
    '{"buffer": 1}]]}, {"__jsonclass__": ["nparray", [[200000], "<f8", {"buffer": 0}]]}], '
    '"id": "ID", "link": {"buffers": [1600000, 8]}}'
)
SAMPLES = np.random.default_rng(1).random(200_000)
SMALL = np.array([[1, -2], [3, 4]], "<i2")


def test_arrays_that_come_as_bytes_are_arrays() -> None:
    script = reply_with(TWO_ARRAYS, SAMPLES.tobytes(), SMALL.tobytes())
    with scripted_server(in_turn(script, script, end_of_file)) as address:
        knows(address)
        with Link(*address) as link:
            for _ in range(2):
                small, samples = link.call("get")
                np.testing.assert_array_equal(samples, SAMPLES, strict=True)
                np.testing.assert_array_equal(small, SMALL, strict=True)
                assert small.flags.writeable
                assert samples.flags.writeable


def test_without_numpy_arrays_that_come_as_bytes_are_lists() -> None:
    with (
        scripted_server(reply_with(TWO_ARRAYS, SAMPLES.tobytes(), SMALL.tobytes())) as address,
        mock.patch.object(link_client, "_numpy", return_value=None),
    ):
        knows(address)
        small, samples = exchange(REQUEST, *address)
    assert small == [[1, -2], [3, 4]]
    assert samples == SAMPLES.tolist()


def test_buffers_may_come_in_pieces() -> None:
    def drip(connection: socket.socket) -> None:
        request = read_request(connection)
        line = (
            '{"status": "success", "link": {"buffers": [0, 4]}, "result": ['
            '{"__jsonclass__": ["nparray", [[4], "|u1", {"buffer": 1}]]}, '
            '{"__jsonclass__": ["nparray", [[0], "|u1", {"buffer": 0}]]}]}'
        )
        assert request["link"]["buffers"] is True
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for byte in line.encode() + b"\n\x01\x02\x03\x04":
            connection.sendall(bytes([byte]))

    with scripted_server(drip) as address:
        knows(address)
        assert [array.tolist() for array in exchange(REQUEST, *address)] == [[1, 2, 3, 4], []]


def test_who_describes_itself_as_taking_buffers_is_believed() -> None:
    describe = answer(status="success", result={"version": "1", "buffers": True})
    with scripted_server(describe, reply_with('{"status": "success", "id": "ID"}')) as address:
        exchange({"command_id": "link.describe"}, *address)
        exchange(REQUEST, *address)


def with_buffers(elements: str, lengths: str) -> str:
    return f'{(NPARRAY % elements)[:-1]}, "link": {{"buffers": {lengths}}}}}'


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        (with_buffers('[[1], "|u1", {"buffer": 0}]', "[-1]"), "malformed buffers: length -1"),
        (with_buffers('[[1], "|u1", {"buffer": 0}]', "[true]"), "malformed buffers: length True"),
        (with_buffers('[[1], "|u1", {"buffer": 0}]', '["1"]'), "malformed buffers: length '1'"),
        (
            with_buffers('[[1], "|u1", {"buffer": 1}]', "[1]"),
            "malformed array: there is no buffer 1, or another array has it",
        ),
        (
            with_buffers('[[1], "|u1", {"buffer": false}]', "[1]"),
            "malformed array: there is no buffer False, or another array has it",
        ),
        (
            with_buffers('[[1], "|u1", {"buffer": [0]}]', "[1]"),
            "malformed array: there is no buffer [0], or another array has it",
        ),
        (
            with_buffers('[[1], "|u1", {"buffer": 0}]', "true"),
            "malformed array: there is no buffer 0, or another array has it",
        ),
        (with_buffers('[[1], "|u1", "AA=="]', "[1]"), "malformed buffers: no array has 0"),
        (
            with_buffers('[[1], "|u1", {"buffer": 0}]', str([1, *[0] * link_client.MAX_BUFFERS])),
            "malformed buffers: there are 16385 of them",
        ),
        (
            with_buffers('[[2], "|u1", {"buffer": 0}]', "[1]"),
            "malformed array: 1 bytes for shape [2] and dtype '|u1'",
        ),
        (with_buffers('[[1], "|u1", {"buffer": 0, "a": 1}]', "[1]"), None),
    ],
)
def test_malformed_buffers_are_no_reply(line: str, reason: str | None) -> None:
    with scripted_server(answer_bytes(line.encode() + b"\n\0")) as (host, port):
        with pytest.raises(NoReply) as info:
            exchange(REQUEST, host, port)
    start = f"what 127.0.0.1:{port} answered is not a reply of the link ("
    assert str(info.value).startswith(start)
    if reason is not None:
        assert str(info.value).startswith(start + reason + "); ")


def test_a_reply_whose_buffers_are_over_the_limit_is_refused() -> None:
    line = with_buffers('[[1], "|u1", {"buffer": 0}]', f"[{link_client.MAX_REPLY}]").encode()
    with (
        scripted_server(answer_bytes(line + b"\n")) as address,
        pytest.raises(NoReply, match="is larger than the limit of 67108864 bytes"),
    ):
        exchange(REQUEST, *address)


def test_without_numpy_buffers_that_take_too_long_to_list_are_refused(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(link_client, "BYTE_COST", 1.0)
    monkeypatch.setattr(link_client, "VALUE_COST", 0.0)
    monkeypatch.setattr(link_client, "OVERTIME", 200.0)
    line = with_buffers('[[999], "|u1", {"buffer": 0}]', "[999]").encode()
    with (
        scripted_server(answer_bytes(line + b"\n" + bytes(999))) as address,
        mock.patch.object(link_client, "_numpy", return_value=None),
        pytest.raises(NoReply, match="is too much to be decoded"),
    ):
        exchange(REQUEST, *address)


def test_buffers_that_do_not_come_end_at_the_timeout() -> None:
    line = with_buffers('[[9], "|u1", {"buffer": 0}]', "[9]").encode()

    def script(connection: socket.socket) -> None:
        read_request(connection)
        connection.sendall(line + b"\n1234")
        reset_by_client(connection)

    with scripted_server(script) as address, pytest.raises(NoReply) as info:
        exchange(REQUEST, *address, timeout=SHORT)
    assert f"gave no whole reply within 0.2 s ({len(line) + 4} bytes came)" in str(info.value)


@pytest.mark.parametrize("close", [socket.socket.close, reset], ids=["close", "reset"])
def test_a_connection_lost_before_all_buffers(close: Script) -> None:
    line = with_buffers('[[9], "|u1", {"buffer": 0}]', "[9]").encode()

    def script(connection: socket.socket) -> None:
        read_request(connection)
        connection.sendall(line + b"\n")
        close(connection)

    with (
        scripted_server(script) as address,
        pytest.raises(NoReply, match=r"^the connection to .* ended"),
    ):
        exchange(REQUEST, *address)


def test_an_answer_while_buffers_are_being_sent_is_taken() -> None:
    def refuse(connection: socket.socket) -> None:
        connection.recv(10)
        connection.sendall(b'{"status": "fail", "code": "too_large", "error": "too large"}\n')
        connection.shutdown(socket.SHUT_WR)
        read_to_the_end(connection)

    with scripted_server(refuse) as address:
        knows(address)
        with pytest.raises(ServerFailed, match="too_large"):
            exchange({"a": np.zeros(2**21), "b": np.ones(2**21)}, *address)


def test_a_refused_request_with_buffers_is_the_last_of_its_connection() -> None:
    def refuse(connection: socket.socket) -> None:
        request, _ = read_with_buffers(connection)
        reply = {"status": "fail", "code": "busy", "id": request["link"]["id"]}
        connection.sendall(json.dumps(reply).encode() + b"\n")
        end_of_file(connection)

    with scripted_server(refuse, DONE) as address:
        knows(address)
        with Link(*address) as link:
            assert link.send({"a": LARGE})["code"] == "busy"
            link.call("get")


def test_debug_says_how_many_bytes_stand_behind_a_message(
    capsys: pytest.CaptureFixture[str],
) -> None:
    with scripted_server(in_turn(read_with_buffers, unasked)) as address:
        knows(address)
        send_data({"a": LARGE, "link": {"id": "mine"}}, *address, debug=True)
    sent = capsys.readouterr().out.splitlines()[0]
    assert sent.startswith('sent: {"a": {"__jsonclass__": ')
    assert sent.endswith("}} + 4096 bytes")


def test_no_more_servers_are_remembered_than_a_laboratory_has() -> None:
    for port in range(2 * link_client.MAX_KNOWN):
        link_client._remember(("127.0.0.1", port), True)
    assert 0 < len(link_client._known) <= link_client.MAX_KNOWN


# --- a system that gives little ------------------------------------------------------------------

POOR = """
import os, resource, sys
import link_client

port, descriptors, size, memory = map(int, sys.argv[1:])
resource.setrlimit(resource.RLIMIT_NOFILE, (64, 64))
held = []
try:
    while True:
        held.append(os.open(os.devnull, os.O_RDONLY))
except OSError:
    for _ in range(descriptors):
        os.close(held.pop())
if memory:
    with open("/proc/self/statm") as statm:
        pages = int(statm.read().split()[0])
    limit = pages * resource.getpagesize() + memory
    resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
calls = []
callbacks = {
    name: lambda *_, name=name: calls.append(name)
    for name in ("server_success", "server_fail", "fail_connect")
}
request = {"command_id": "get", "data": "x" * size}
link_client.send_data(request, "127.0.0.1", port, timeout=60.0, **callbacks)
print(*calls)
"""


def of_a_poor_process(
    folder: Path, script: Script | None, descriptors: int = 8, size: int = 0, memory: int = 0
) -> tuple[str, str]:
    """What is called and what is said where the system gives so many descriptors and bytes."""
    shutil.copy(SOURCE, folder)
    with contextlib.ExitStack() as stack:
        if script is None:
            port = stack.enter_context(free_port())
        else:
            _, port = stack.enter_context(scripted_server(script))
        run = subprocess.run(
            [sys.executable, "-c", POOR, *map(str, (port, descriptors, size, memory))],
            cwd=folder,
            check=False,
            capture_output=True,
            text=True,
            timeout=PATIENCE,
        )
    return run.stdout, run.stderr.replace(f":{port}", "")


@pytest.mark.parametrize("size", [0, 30_000_000])
def test_one_descriptor_is_enough(tmp_path: Path, size: int) -> None:
    answered = answer(status="success", result=1)
    assert of_a_poor_process(tmp_path, answered, 1, size) == ("server_success\n", "")


def test_without_a_descriptor_there_is_no_connection_and_the_reason_is_said(
    tmp_path: Path,
) -> None:
    """There is none for the file of the module logging either."""
    called, said = of_a_poor_process(tmp_path, None, 0)
    assert called == "fail_connect\n"
    assert said.startswith("could not connect to 127.0.0.1: Too many open files; ")


def test_a_module_that_cannot_be_loaded_for_a_reply_leaves_it_in_doubt(tmp_path: Path) -> None:
    """That for base64 is looked for late, and descriptors may have run out by then."""
    reply = answer_bytes((NPARRAY % '[[1], "|u1", "AQ=="]').encode() + b"\n")
    called, said = of_a_poor_process(tmp_path, reply, 1)
    assert called == "fail_connect\n"
    assert said.startswith("the reply of 127.0.0.1 was lost: Too many open files; whether the ")


def test_a_reply_for_which_there_is_no_memory_is_lost(tmp_path: Path) -> None:
    def much(connection: socket.socket) -> None:
        read_request(connection)
        with contextlib.suppress(ConnectionResetError, BrokenPipeError):
            connection.sendall(b'"' + bytes(60_000_000))

    called, said = of_a_poor_process(tmp_path, much, memory=30_000_000)
    assert called == "fail_connect\n"
    assert said.startswith("the reply of 127.0.0.1 was lost: there is not enough memory; whether ")


def test_what_cannot_even_be_encoded_is_not_sent(tmp_path: Path) -> None:
    called, said = of_a_poor_process(tmp_path, None, size=50_000_000, memory=60_000_000)
    assert (called, said) == (
        "fail_connect\n",
        "nothing was sent to 127.0.0.1: there is not enough memory\n",
    )


def test_without_a_thread_no_name_is_looked_up(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(_: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr(threading.Thread, "start", refuse)
    with pytest.raises(ConnectFailed) as info:
        exchange(REQUEST, "localhost", 1)
    assert str(info.value) == (
        "looking up the host 'localhost' (port 1) failed: can't start new thread; give the "
        "numeric address"
    )


# --- one file, any Python -----------------------------------------------------------------------

SOURCE = Path(link_client.__file__)


def interpreter(minor: int) -> str:
    """Find Python 3.`minor`; a test is skipped where this machine has none."""
    name = f"python3.{minor}"
    candidates = [sys.executable] if sys.version_info[:2] == (3, minor) else []
    candidates += glob.glob(os.path.expanduser(f"~/.pyenv/versions/3.{minor}.*/bin/python"))
    candidates += filter(None, [shutil.which(name)])
    for candidate in candidates:
        # A name in the path may be a shim, behind which is nothing.
        if subprocess.run([candidate, "-c", ""], check=False, capture_output=True).returncode == 0:
            return candidate
    pytest.skip(f"this machine has no {name}")


ALONE = """
import sys
import link_client

assert not {"numpy", "asyncio", "ssl", "artiq_link"} & set(sys.modules), sorted(sys.modules)
host, port = sys.argv[1], int(sys.argv[2])
assert link_client.exchange({"command_id": "sum", "a": [1, 2.5]}, host, port) == "\\u00b5"
array = link_client.Link("localhost", port).call("samples")
assert [[x for x in row] for row in array] == [[1.0, 2.0], [3.0, 4.0]], array
try:
    link_client.exchange({"command_id": "get"}, host, port)
except link_client.ServerFailed as error:
    assert str(error) == "busy: later", error
else:
    raise AssertionError("no ServerFailed")
calls = []
reply = link_client.send_data({}, host, port, True, 0.2, fail_connect=lambda: calls.append(1))
assert (reply, calls) == (None, [1])
try:
    link_client.exchange({"a": [1j]}, host, port)
except TypeError as error:
    assert str(error) == "a[0]: a complex number cannot be sent as JSON", error
try:
    link_client.exchange({}, "no-such-host.invalid", port)
except link_client.ConnectFailed as error:
    print(error)
"""


def alone(tmp_path: Path, python: str, *options: str) -> str:
    """Run the file, copied to an empty folder, in another interpreter; return what it prints."""
    shutil.copy(SOURCE, tmp_path)
    samples = np.array([[1.0, 2.0], [3.0, 4.0]])
    array = {"__jsonclass__": ["nparray", [[2, 2], "<f8", base64_text(samples.tobytes())]]}
    scripts = (
        answer(status="success", result="\u00b5"),
        answer(status="success", result=array),
        answer(status="fail", code="busy", error="later"),
        silence_until_reset,
    )
    environment = {key: os.environ[key] for key in os.environ if not key.startswith("PYTHON")}
    with scripted_server(*scripts) as (host, port):
        run = subprocess.run(
            [python, "-W", "error", *options, "-c", ALONE, host, str(port)],
            cwd=tmp_path,
            env=environment,
            check=False,
            capture_output=True,
            text=True,
            timeout=PATIENCE,
        )
        assert run.returncode == 0, run.stderr
    return run.stdout


def base64_text(data: bytes) -> str:
    return base64.b64encode(data).decode()


@pytest.mark.parametrize("minor", range(6, 14), ids="3.{}".format)
def test_the_file_alone_runs_under_every_python(tmp_path: Path, minor: int) -> None:
    assert "unknown host 'no-such-host.invalid'" in alone(tmp_path, interpreter(minor))


def test_the_file_alone_runs_without_any_installed_package(tmp_path: Path) -> None:
    assert "unknown host" in alone(tmp_path, sys.executable, "-S")


LONG_INTEGER = """
import link_client
deadline, peer = link_client.Deadline(60.0), link_client.Peer("127.0.0.1", 1)
assert link_client.decode_json(b"[-12]", peer, deadline) == [-12]
for reply in (b"9" * 5000, b'{"__jsonclass__": ' + b"9" * 5000 + b"}"):
    try:
        link_client.decode_json(reply, peer, deadline)
    except ValueError as error:
        assert "digits" in str(error), error
    else:
        raise AssertionError("it was taken")
"""


@pytest.mark.parametrize("minor", [6, 13], ids="3.{}".format)
def test_an_integer_of_too_many_digits_is_refused_by_every_python(
    tmp_path: Path, minor: int
) -> None:
    """Its time grows with their square, and older ones have no limit of their own."""
    shutil.copy(SOURCE, tmp_path)
    command = [interpreter(minor), "-W", "error", "-c", LONG_INTEGER]
    run = subprocess.run(command, cwd=tmp_path, check=False, capture_output=True, text=True)
    assert run.returncode == 0, run.stderr


def test_the_file_is_written_in_the_syntax_of_python_3_5() -> None:
    tree = ast.parse(SOURCE.read_text(encoding="utf-8"), feature_version=(3, 5))
    newer = (ast.JoinedStr, ast.AnnAssign, ast.NamedExpr, ast.AsyncFunctionDef, ast.Match)
    assert not [node.lineno for node in ast.walk(tree) if isinstance(node, newer)]
