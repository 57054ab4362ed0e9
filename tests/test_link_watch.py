"""`Link.watch`: states as they change, and connections that come and go."""

from __future__ import annotations

import json
import shutil
import socket
import subprocess
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from artiq_link import ConnectFailed, Link, LinkServer, NoReply, ServerFailed, link_client
from artiq_link.link_client import patched
from tests.conftest import PATIENCE, Certificates
from tests.exchanges.test_feed_commands import Oven
from tests.scripted_server import read_request, scripted_server
from tests.test_link_client import interpreter

Serve = Callable[..., LinkServer]


@pytest.fixture
def oven() -> Iterator[Oven]:
    instrument = Oven()
    yield instrument
    instrument.go_on.set()


def told(**members: Any) -> bytes:
    return json.dumps(members).encode() + b"\n"


def begin(connection: socket.socket, boot: str = "k3f9", **news: Any) -> dict[str, Any]:
    """Answer a subscription; returns it."""
    request = read_request(connection)
    assert request["command_id"] == "link.subscribe"
    result = {"boot": boot, "instruments": news}
    connection.sendall(told(status="success", id=request["link"]["id"], result=result))
    return request


def test_states_come_whole_at_first_and_whenever_they_change(serve: Serve, oven: Oven) -> None:
    oven.shown = {"temperature": 20.0, "curve": np.arange(3.0)}
    link = Link(port=serve({"oven": oven}).port)
    with link.watch() as states:
        event = next(states)
        assert event["instrument"] == "oven"
        assert event["state"]["temperature"] == 20.0
        since = event["time"]
        event["state"]["temperature"] = "the user's own"
        for temperature in (30.0, 40.0):
            link.call("heat", temperature=temperature)
            event = next(states)
            assert event["event"] == "state"
            assert event["time"] > since
            assert event["state"].pop("temperature") == temperature
            np.testing.assert_array_equal(event["state"].pop("curve"), [0.0, 1.0, 2.0])
            assert event["state"] == {}
        oven.shown = RuntimeError("no idea")
        oven.changed()
        event = next(states)
        assert event["state"] is None
        assert event["error"] == "the state of oven cannot be shown: no idea"


def test_other_kinds_are_given_as_they_come(serve: Serve, oven: Oven) -> None:
    link = Link(port=serve({"oven": oven}).port)
    with link.watch(kinds=["exchange"]) as exchanges:
        link.call("heat", temperature=30.0)
        event = next(exchanges)
    assert (event["event"], event["command"], event["result"]) == ("exchange", "heat", 30.0)


def test_it_ends_after_its_time(serve: Serve, oven: Oven) -> None:
    events = list(Link(port=serve({"oven": oven}).port).watch(["oven"], timeout=0.05))
    assert [event["instrument"] for event in events] == ["oven"]


def test_another_thread_may_end_it(serve: Serve, oven: Oven) -> None:
    watch = Link(port=serve({"oven": oven}).port).watch()
    next(watch)
    closing = threading.Timer(0.01, watch.close)
    closing.start()
    assert list(watch) == []
    closing.join()
    assert list(watch) == []


def test_what_is_wrong_is_said_at_the_beginning(serve: Serve, oven: Oven) -> None:
    link = Link(port=serve({"oven": oven}).port)
    with pytest.raises(ServerFailed, match="there is no instrument 'ovn'; did you mean 'oven'"):
        link.watch(["ovn"])
    with pytest.raises(ServerFailed, match=r"invalid_parameter: kinds\[0\]: 'states' is not one"):
        link.watch(kinds=["states"])
    with pytest.raises(TypeError, match="expected a list of names, got one name"):
        link.watch("oven")  # type: ignore[arg-type]
    with socket.create_server(("127.0.0.1", 0)) as listener:
        free = listener.getsockname()[1]
    with pytest.raises(ConnectFailed):
        Link(port=free).watch()


def test_after_a_loss_it_goes_on_with_what_it_has(monkeypatch: pytest.MonkeyPatch) -> None:
    """The connection's own events tell of the loss, to those who want to know."""
    monkeypatch.setattr(link_client, "FIRST_PAUSE", 0.001)
    asked = []

    def first(connection: socket.socket) -> None:
        asked.append(begin(connection, oven={"version": 3, "time": 0.0, "state": {"a": 1}}))
        connection.sendall(told(event="state", instrument="oven", version=4, patch={"b": 2}))

    def second(connection: socket.socket) -> None:
        asked.append(begin(connection, oven={"version": 9, "time": 0.0, "patch": {"a": None}}))

    def after_a_restart(connection: socket.socket) -> None:
        asked.append(begin(connection, "new", oven={"version": 1, "time": 0.0, "state": {}}))
        connection.recv(1)

    with scripted_server(first, second, after_a_restart) as (host, port):
        with Link(host, port, PATIENCE).watch(kinds=["state", "link"]) as watch:
            events = [next(watch) for _ in range(9)]
    lost = f"the connection to {host}:{port} ended"
    assert [event.get("state", event.get("error")) for event in events] == [
        None,
        {"a": 1},
        {"a": 1, "b": 2},
        lost,
        None,
        {"b": 2},
        lost,
        None,
        {},
    ]
    assert [request.get("since") for request in asked] == [
        None,
        {"boot": "k3f9", "versions": {"oven": 4}},
        {"boot": "k3f9", "versions": {"oven": 9}},
    ]
    assert [request["kinds"] for request in asked] == [["state"]] * 3


def test_a_server_that_stops_and_starts_again_is_found_again(serve: Serve, oven: Oven) -> None:
    server = serve({"oven": oven})
    with Link(port=server.port).watch(kinds=["state", "link"]) as watch:
        assert [next(watch)["event"] for _ in range(2)] == ["link", "state"]
        server.stop()
        assert next(watch)["error"] == f"the connection to 127.0.0.1:{server.port} ended"
        again = Oven()
        again.shown = {"temperature": 25.0}
        serve({"oven": again}, port=server.port, journal=False)
        assert next(watch) == {"event": "link", "instrument": None, "error": None}
        assert next(watch)["state"] == {"temperature": 25.0}


def test_a_silent_server_is_asked_whether_it_is_there(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(link_client, "SILENT_TIME", 0.01)
    asked = threading.Event()

    def script(connection: socket.socket) -> None:
        begin(connection)
        request = read_request(connection)
        assert request["command_id"] == "link.ping"
        pong = told(status="success", id=request["link"]["id"], result=True)
        connection.sendall(pong)
        assert read_request(connection)["command_id"] == "link.ping"
        asked.set()
        while connection.recv(1000):
            pass

    with scripted_server(script) as (host, port):
        with Link(host, port, 0.2).watch(kinds=["link"]) as watch:
            assert next(watch)["error"] is None
            assert next(watch)["error"] == f"{host}:{port} does not answer"
    assert asked.is_set()


@pytest.mark.parametrize(
    "rubbish",
    [
        b"{nonsense\n",
        b"[1]\n",
        b'"event"\n',
        b'{"event": "state"}\n',
        b'{"event": "state", "instrument": "laser", "version": 2, "patch": {}}\n',
        b'{"event": "state", "instrument": "x", "version": 1, "state": '
        b'{"__jsonclass__": ["nparray", 1]}}\n',
        b"\xff\n",
        b"[" * 100_000 + b"\n",
    ],
    ids=lambda rubbish: repr(rubbish[:30]),
)
def test_rubbish_is_a_loss(rubbish: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(link_client, "FIRST_PAUSE", 0.001)

    def script(connection: socket.socket) -> None:
        begin(connection)
        connection.sendall(rubbish)

    def good(connection: socket.socket) -> None:
        begin(connection, oven={"version": 1, "time": 0.0, "state": {"a": 1}})
        connection.recv(1)

    with scripted_server(script, good) as (host, port):
        with Link(host, port, PATIENCE).watch() as watch:
            assert next(watch)["state"] == {"a": 1}


def test_what_is_no_link_server_is_told_at_the_beginning() -> None:
    def script(connection: socket.socket) -> None:
        read_request(connection)
        connection.sendall(b"HTTP/1.1 400 Bad Request\r\n\r\n")

    def odd(connection: socket.socket) -> None:
        request = read_request(connection)
        connection.sendall(told(status="success", id=request["link"]["id"], result=[]))

    with scripted_server(script, odd) as (host, port):
        with pytest.raises(NoReply, match="is not a reply of the link"):
            Link(host, port, PATIENCE).watch()
        with pytest.raises(NoReply, match=r"answered to link\.subscribe is no list of states"):
            Link(host, port, PATIENCE).watch()


def test_it_works_with_tls(serve: Serve, oven: Oven, certificates: Certificates) -> None:
    server = serve({"oven": oven}, ssl=certificates.of_server)
    link = Link(port=server.port, ssl=certificates.of())
    with link.watch() as watch:
        next(watch)
        link.call("heat", temperature=30.0)
        assert next(watch)["state"]["temperature"] == 30.0


ALONE = """
import sys, link_client
with link_client.Link(port=int(sys.argv[1])).watch(["oven"], timeout=30.0) as watch:
    print(next(watch)["state"]["temperature"])
    link_client.Link(port=int(sys.argv[1])).call("heat", temperature=30.0)
    print(next(watch)["state"]["temperature"])
"""


@pytest.mark.parametrize("minor", [6, 13], ids="3.{}".format)
def test_the_file_alone_watches_under_every_python(
    serve: Serve, oven: Oven, tmp_path: Path, minor: int
) -> None:
    server = serve({"oven": oven})
    shutil.copy(link_client.__file__, tmp_path)
    run = subprocess.run(
        [interpreter(minor), "-W", "error", "-c", ALONE, str(server.port)],
        cwd=tmp_path,
        check=False,
        capture_output=True,
        text=True,
        timeout=PATIENCE,
    )
    assert (run.stdout, run.stderr) == ("20.0\n30.0\n", "")


@pytest.mark.parametrize(
    ("target", "patch", "result"),
    [
        ({"a": "b"}, {"a": "c"}, {"a": "c"}),
        ({"a": "b"}, {"b": "c"}, {"a": "b", "b": "c"}),
        ({"a": "b"}, {"a": None}, {}),
        ({"a": "b", "b": "c"}, {"a": None}, {"b": "c"}),
        ({"a": ["b"]}, {"a": "c"}, {"a": "c"}),
        ({"a": "c"}, {"a": ["b"]}, {"a": ["b"]}),
        ({"a": {"b": "c"}}, {"a": {"b": "d", "c": None}}, {"a": {"b": "d"}}),
        ({"a": [{"b": "c"}]}, {"a": [1]}, {"a": [1]}),
        (["a", "b"], ["c", "d"], ["c", "d"]),
        ({"a": "b"}, ["c"], ["c"]),
        ({"a": "foo"}, None, None),
        ({"a": "foo"}, "bar", "bar"),
        ({"e": None}, {"a": 1}, {"e": None, "a": 1}),
        ([1, 2], {"a": "b", "c": None}, {"a": "b"}),
        ({}, {"a": {"bb": {"ccc": None}}}, {"a": {"bb": {}}}),
    ],
)
def test_the_examples_of_the_rfc(target: Any, patch: Any, result: Any) -> None:
    """RFC 7386, appendix A."""
    assert patched(target, patch) == result
