"""The server: where it listens, how much it holds, how it opens instruments and stops."""

from __future__ import annotations

import asyncio
import contextlib
import json
import math
import socket
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from artiq_link import (
    DDS,
    CannotListen,
    InstrumentError,
    LinkServer,
    ServerFailed,
    SimulatedDriver,
    exchange,
    serve_in_background,
)
from artiq_link.server import server as server_module
from tests.conftest import PATIENCE, Probe, until
from tests.peers import connected, read_all, server_has_ended
from tests.programs import finish, program
from tests.server.asking import SET, SET_REPLY, Serve, ask, waiting


def test_five_hundred_clients_at_once(serve: Serve, probe: Probe) -> None:
    """All are answered; one instrument executes one at a time."""
    server = serve(queue_length=1000)
    clients = []
    with contextlib.ExitStack() as stack:
        for _ in range(500):
            clients.append(stack.enter_context(connected(server)))
        for number, client in enumerate(clients):
            client.sendall(SET.replace(b"80e6", str(number).encode()))
        results = [json.loads(read_all(client))["result"]["frequency"] for client in clients]
    assert results == list(range(500))
    assert len(probe.executed) == 500


def test_too_many_connections(serve: Serve) -> None:
    """Beyond the limit a client is told so, and those before it are served."""
    server = serve(max_connections=2)
    with connected(server) as one, connected(server) as two:
        until(lambda: len(server.connections) == 2)
        assert ask(server, b"") == {
            "status": "fail",
            "code": "busy",
            "error": "2 connections are open already",
        }
        for client in (one, two):
            client.sendall(SET)
            assert json.loads(read_all(client)) == SET_REPLY


FEW_FILES = """
import resource, sys
import artiq_link

class Probe(artiq_link.Instrument):
    @artiq_link.command
    def nothing(self) -> None:
        "Do nothing."

resource.setrlimit(resource.RLIMIT_NOFILE, (64, 64))
artiq_link.start_server({"probe": Probe()}, port=int(sys.argv[1]))
"""


def test_a_server_that_may_open_few_files() -> None:
    """Newcomers are served in the place of silent ones, or told why not; the log says it once."""
    keep = b'{"command_id": "nothing", "link": {"keep": true}}'
    with program(script=FEW_FILES) as (process, port), contextlib.ExitStack() as stack:
        for _ in range(100):
            client = stack.enter_context(socket.create_connection(("127.0.0.1", port), PATIENCE))
            client.sendall(keep)
            assert json.loads(client.recv(1000))["status"] == "success"
        begun = []
        for _ in range(32):
            begun.append(stack.enter_context(socket.create_connection(("127.0.0.1", port))))
            begun[-1].sendall(b"{")
        late = stack.enter_context(socket.create_connection(("127.0.0.1", port), PATIENCE))
        assert json.loads(read_all(late))["code"] == "busy"
        process.terminate()
        code, _, errors = finish(process)
    assert code == 0
    assert errors.count("32 connections are open, as many as there may be") == 1


def test_who_was_silent_longest_makes_room(serve: Serve) -> None:
    """Kept connections lock nobody out; those that ask again are not the first to go."""
    keep = b'{"command_id": "link.ping", "link": {"keep": true}}'
    server = serve(max_connections=3)
    with connected(server) as one, connected(server) as two, connected(server) as three:
        for client in (one, two, three, one):
            client.sendall(keep)
            assert client.recv(1000)
        assert ask(server, SET) == SET_REPLY
        assert two.recv(1000) == b""
        for client in (one, three):
            client.sendall(keep)
            assert client.recv(1000)


def test_a_reply_that_fills_the_memory_ends_its_connection(
    serve: Serve, caplog: pytest.LogCaptureFixture
) -> None:
    """What is not taken counts as what has not been answered does."""
    server = serve({"dds": DDS(SimulatedDriver())}, max_buffered=1 << 20)
    request = b'{"command_id": "waveform", "channel": 0, "samples": 1048576, "rate": 1e9}'
    with connected(server) as lazy:
        lazy.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 65536)
        lazy.sendall(request)
        until(lambda: "it does not take" in caplog.text and not server.connections)
    assert ask(server, b'{"command_id": "link.ping"}')["result"] is True


def test_many_large_requests_at_once(serve: Serve, probe: Probe) -> None:
    """All connections together hold a bounded amount; small requests are served meanwhile."""
    server = serve(max_buffered=4 << 20)
    part = b'{"command_id": "echo", "value": "' + b"x" * (3 << 20)
    with connected(server) as one, connected(server) as two:
        one.sendall(part)
        until(lambda: sum(c.held for c in server.connections) == len(part))
        two.sendall(part)
        assert json.loads(read_all(two)) == {
            "status": "fail",
            "code": "busy",
            "error": "the server holds too many large requests",
        }
        assert ask(server, SET) == SET_REPLY
        one.sendall(b'"}')
        assert json.loads(read_all(one))["status"] == "success"
    assert probe.executed == [(0, 80e6), "echo"]


def test_large_requests_that_wait_count_too(serve: Serve, probe: Probe) -> None:
    """Those that a busy instrument has in its queue are in the memory as well."""
    server = serve(max_buffered=4 << 20)
    whole = b'{"command_id": "echo", "value": "' + b"x" * (3 << 20) + b'"}'
    with connected(server) as first, connected(server) as one, connected(server) as two:
        first.sendall(b'{"command_id": "wait"}')
        assert probe.started.wait(PATIENCE)
        one.sendall(whole)
        until(lambda: waiting(server) == 1)
        two.sendall(whole[:-2])
        assert json.loads(read_all(two))["error"] == "the server holds too many large requests"
        probe.go_on.set()
        assert json.loads(read_all(one))["status"] == "success"
        assert ask(server, whole)["status"] == "success"


def test_async_commands_run_on_the_event_loop(serve: Serve) -> None:
    """An ``async def`` command is awaited, in its instrument's turn."""
    assert ask(serve(), b'{"command_id": "ask"}')["result"] == "link server"


def test_interact_is_the_one_door(serve: Serve, probe: Probe) -> None:
    """Each message goes through interact, in the worker's thread, without the key ``link``."""
    seen = []

    def interact(data: dict[str, Any]) -> Any:
        seen.append((data, threading.current_thread().name))
        if data["command_id"] == "test_command":
            return data["param1"]
        return probe.interact(data)

    server = serve(interact=interact)
    own = ask(server, b'{"command_id": "test_command", "param1": 42, "link": {"id": "x"}}')
    assert own == {"status": "success", "command_id": "test_command", "result": 42, "id": "x"}
    assert ask(server, SET) == SET_REPLY
    assert ask(server, b'{"command_id": "test_comand"}')["code"] == "unknown_command"
    assert ask(server, b'{"command_id": "test_command"}')["where"] == "param1"
    assert seen[:2] == [
        ({"command_id": "test_command", "param1": 42}, "worker dds"),
        ({"command_id": "set_frequency", "channel": 0, "frequency": 80e6}, "worker dds"),
    ]


def test_a_plain_function_is_served(serve: Serve) -> None:
    """interact alone is enough."""
    server = serve({}, interact=lambda data: data["a"] + 1)
    assert ask(server, b'{"command_id": "anything", "a": 1}')["result"] == 2
    assert ask(server, b'{"command_id": "link.ping"}')["result"] is True


def test_any_fault_in_writing_a_result_is_answered(serve: Serve) -> None:
    """A result that another thread changes meanwhile can fail with any exception."""

    class Changing(dict[str, float]):
        def items(self) -> Any:
            raise RuntimeError("dictionary changed size during iteration")

    server = serve({}, interact=lambda data: Changing(a=math.nan))
    assert ask(server, b'{"command_id": "state"}') == {
        "status": "fail",
        "command_id": "state",
        "code": "internal_error",
        "error": "state: its result cannot be sent: dictionary changed size during iteration",
    }


def test_stop_finishes_what_runs(probe: Probe) -> None:
    """A stop answers the running command's client, refuses the waiting, closes the instrument."""
    with serve_in_background({"dds": probe}) as server:
        with connected(server) as running, connected(server) as waiting:
            running.sendall(b'{"command_id": "wait"}')
            assert probe.started.wait(PATIENCE)
            waiting.sendall(SET)
            until(lambda: server.dispatch.workers["dds"].describe()["waiting"] == 1)
            server.stop()
            assert json.loads(read_all(waiting))["code"] == "shutting_down"
            assert probe.closed_in is None
            probe.go_on.set()
            assert json.loads(read_all(running))["result"] == "waited"
    assert probe.closed_in == "worker dds"
    assert probe.executed == ["wait"]


def test_stop_does_not_wait_for_ever(probe: Probe, caplog: pytest.LogCaptureFixture) -> None:
    """After the grace time a stop leaves a command behind and says so."""
    with serve_in_background({"dds": probe}, grace=0.05) as server, connected(server) as client:
        client.sendall(b'{"command_id": "wait"}')
        assert probe.started.wait(PATIENCE)
        server.stop()
        reply = json.loads(read_all(client))
    sentence = "wait has not finished; the server stops without it"
    assert (reply["code"], reply["error"]) == ("timeout", sentence)
    assert probe.closed_in is None
    assert caplog.messages == [
        "stopping: dds: busy with wait, 12.0 of 60.0 s; it has 0.05 s to finish",
        "dds: busy with wait, 12.0 of 60.0 s: not closed, 0.05 s were not enough",
    ]
    probe.go_on.set()


def test_stop_asks_a_command_to_end_that_looks_for_it(probe: Probe) -> None:
    """After the grace time; its instrument can be closed then."""
    with serve_in_background({"dds": probe}, grace=0.0) as server, connected(server) as client:
        client.sendall(b'{"command_id": "rest"}')
        assert probe.started.wait(PATIENCE)
        server.stop()
        reply = json.loads(read_all(client))
    assert (reply["code"], reply["error"]) == ("aborted", "rest was aborted while it ran")
    assert probe.closed_in == "worker dds"
    assert server.left_open == []


def test_ipv6_and_several_addresses(probe: Probe) -> None:
    """All addresses share one port; the ready lines name each."""
    with serve_in_background({"dds": probe}, host=["127.0.0.1", "::1"]) as server:
        assert server.addresses == [f"127.0.0.1:{server.port}", f"[::1]:{server.port}"]
        for host in ("127.0.0.1", "::1"):
            request = {"command_id": "set_frequency", "channel": 0, "frequency": 1}
            assert exchange(request, host, server.port) == {"frequency": 1.0}


def test_a_port_in_use(serve: Serve, probe: Probe) -> None:
    """One sentence says what cannot be listened on, and why."""
    port = serve().port
    with (
        pytest.raises(CannotListen, match=f"^cannot listen on 127.0.0.1:{port}: Address already"),
        serve_in_background({"dds": probe}, port=port),
    ):
        pass


def test_elsewhere_than_loopback_is_warned_of(
    serve: Serve, caplog: pytest.LogCaptureFixture
) -> None:
    """Listening on all addresses is said aloud."""
    server = serve(host="0.0.0.0", open_to_all=True)
    assert caplog.messages == [
        f"listening on 0.0.0.0:{server.port}: whoever reaches it can command the instruments"
    ]


def test_nothing_to_serve() -> None:
    """A server without instruments and without interact is a mistake."""
    with pytest.raises(ValueError, match="nothing to serve"):
        LinkServer({})


def test_a_door_that_is_no_function() -> None:
    with pytest.raises(TypeError, match=r"^interact: expected a function, got 5$"):
        LinkServer({}, interact=5)  # type: ignore[arg-type]


def test_failure_of_our_own_client(serve: Serve) -> None:
    """The package's client raises what the server says."""
    server = serve()
    with pytest.raises(ServerFailed) as caught:
        exchange({"command_id": "refuse"}, port=server.port)
    assert (caught.value.code, caught.value.error) == ("instrument_error", "no lock")


def test_a_second_server_does_not_touch_the_hardware(serve: Serve) -> None:
    """The port comes first, then the hardware: a mistaken start leaves an experiment alone."""
    opened = []

    class Careful(Probe):
        def open_hardware(self) -> None:
            opened.append(threading.current_thread().name)

    port = serve({"dds": Careful()}).port
    assert opened == ["worker dds"]
    with pytest.raises(CannotListen), serve_in_background({"dds": Careful()}, port=port):
        pass
    assert opened == ["worker dds"]


class Opening(Probe):
    """Hardware that opens when the test says so."""

    def __init__(self) -> None:
        super().__init__()
        self.opening = threading.Event()
        self.may_open = threading.Event()

    def open_hardware(self) -> None:
        self.opening.set()
        assert self.may_open.wait(PATIENCE)
        self.executed.append("opened")


@pytest.fixture
def opening() -> Iterator[Opening]:
    opening = Opening()
    yield opening
    opening.may_open.set()


@pytest.fixture
def started(opening: Opening, probe: Probe) -> Iterator[LinkServer]:
    """A server whose first instrument is being opened."""
    server = LinkServer({"slow": opening, "fast": probe}, port=0)

    async def serve() -> None:
        await server.start()
        await server.run()

    with ThreadPoolExecutor(1) as pool:
        served = pool.submit(asyncio.run, serve())
        assert opening.opening.wait(PATIENCE)
        until(lambda: bool(server._listeners))
        yield server
        opening.may_open.set()
        server.stop()
        served.result(PATIENCE)


def test_while_hardware_opens_the_link_answers(started: LinkServer) -> None:
    """A controller manager may ping before the hardware is there."""
    assert exchange({"command_id": "link.ping"}, port=started.port) is True
    status = exchange({"command_id": "link.status"}, port=started.port)
    assert status["instruments"]["slow"]["command"] == "open_hardware"


@pytest.mark.parametrize("name", ["slow", "fast"])
def test_what_comes_while_hardware_opens_waits_for_it(
    started: LinkServer, opening: Opening, probe: Probe, name: str
) -> None:
    """Also where its own instrument is open: `interact` may use the others."""
    with connected(started) as client:
        client.sendall(b'{"command_id": "%s.echo", "value": 1}' % name.encode())
        until(lambda: started.dispatch.workers[name].describe()["waiting"] == 1)
        assert opening.executed + probe.executed == []
        opening.may_open.set()
        assert json.loads(read_all(client))["result"] == 1
    assert opening.executed[0] == "opened"


def test_what_waits_for_hardware_too_long_is_never_executed(
    started: LinkServer, opening: Opening
) -> None:
    """The request is read before the hardware is there, so its time runs."""
    late = b'{"command_id": "slow.echo", "value": 1, "link": {"timeout": 0.02}}'
    assert ask(started, late)["code"] == "expired"
    opening.may_open.set()
    assert exchange({"command_id": "slow.count"}, port=started.port) == 1  # it was opened


def test_whoever_waits_for_hardware_that_cannot_be_opened_is_told() -> None:
    class Absent(Opening):
        def open_hardware(self) -> None:
            super().open_hardware()
            raise InstrumentError("no answer on COM3")

    absent = Absent()
    server = LinkServer({"absent": absent}, port=0)
    with ThreadPoolExecutor(1) as pool:
        served = pool.submit(asyncio.run, server.start())
        assert absent.opening.wait(PATIENCE)
        until(lambda: bool(server._listeners))
        with connected(server) as client:
            client.sendall(b'{"command_id": "count"}')
            until(lambda: server.dispatch.workers["absent"].describe()["waiting"] == 1)
            absent.may_open.set()
            assert json.loads(read_all(client))["code"] == "shutting_down"
        with pytest.raises(InstrumentError, match=r"^absent cannot be opened: no answer on COM3$"):
            served.result(PATIENCE)


def test_a_stop_does_not_wait_for_clients_that_keep_their_connections(
    serve: Serve, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Their systems may take a while to say that they have the last reply, and then it is over."""
    monkeypatch.setattr(server_module, "FLUSH_TIME", 5 * PATIENCE)
    server = serve(linger_time=5 * PATIENCE)
    with connected(server) as client:
        for _ in range(3):
            client.sendall(SET.replace(b"}", b', "link": {"keep": true}}'))
            assert client.recv(4096).endswith(b"\n")
        server.stop()
        assert client.recv(4096) == b""
        server_has_ended()
