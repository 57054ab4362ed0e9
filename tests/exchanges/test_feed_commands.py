"""link.state and link.subscribe, over real connections, with instruments of all kinds."""

from __future__ import annotations

import json
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import Any

import numpy as np
import pytest
from websockets.sync.client import connect

from artiq_link import Activity, Instrument, LinkServer, ServerFailed, command, exchange, progress
from artiq_link.exchanges import state_reader
from artiq_link.link_client import patched
from tests.conftest import PATIENCE, Probe, until

Serve = Callable[..., LinkServer]


class Oven(Instrument):
    """Tells of its temperature, which commands set, and which may change by itself."""

    def __init__(self) -> None:
        self.shown: Any = {"temperature": 20.0, "door": "closed"}
        self.readings = 0
        self.reads_in: set[str] = set()
        self.go_on = threading.Event()
        self.period: float | None = None

    def state(self) -> Any:
        self.readings += 1
        self.reads_in.add(threading.current_thread().name)
        if isinstance(self.shown, BaseException):
            raise self.shown
        return self.shown

    @property
    def state_period(self) -> float | None:  # type: ignore[override]
        return self.period

    @command
    def heat(self, temperature: float) -> float:
        """Heat it."""
        self.shown = {**self.shown, "temperature": temperature}
        return temperature

    @command
    def bake(self) -> None:
        """Go through two temperatures, the second when the test says so."""
        for number in (0, 1):
            progress(number / 2, f"{number} of 2")
            self.shown = {**self.shown, "temperature": 100.0 + number}
            readings = self.readings
            # Its state may rest, and is read again then; where nobody watches, it never is.
            until(lambda: self.changed() or self.readings > readings or self.go_on.is_set())  # noqa: B023
            assert self.go_on.wait(PATIENCE)

    @command
    def simmer(self) -> None:
        """Tell of a change again and again, as its state may rest, until the test says so."""
        self.shown = {**self.shown, "temperature": 90.0}
        until(lambda: self.changed() or self.go_on.is_set())


class Peer:
    """A connection of one of the two dialects that can push, which tells replies from events."""

    def __init__(self, stack: ExitStack, server: LinkServer, dialect: str) -> None:
        if dialect == "json":
            sock = stack.enter_context(
                socket.create_connection(("127.0.0.1", server.port), PATIENCE)
            )
            lines = stack.enter_context(sock.makefile("rb"))
            self._send = lambda text: sock.sendall(text.encode())
            self._receive = lines.readline
        else:
            client = stack.enter_context(connect(f"ws://127.0.0.1:{server.port}/"))
            self._send = client.send
            self._receive = lambda: client.recv(PATIENCE)  # type: ignore[assignment, return-value]
        self.events: list[dict[str, Any]] = []

    def ask(self, command_id: str, **parameters: Any) -> Any:
        request = {"command_id": command_id, **parameters, "link": {"keep": True}}
        self._send(json.dumps(request))
        while True:
            message = json.loads(self._receive())
            if "event" not in message:
                assert message["status"] == "success", message
                return message["result"]
            self.events.append(message)

    def event(self, kind: str = "state") -> dict[str, Any]:
        """The next event, which is of that kind."""
        message = self.events.pop(0) if self.events else json.loads(self._receive())
        assert message.get("event") == kind, message
        return message


@pytest.fixture
def oven() -> Iterator[Oven]:
    instrument = Oven()
    yield instrument
    instrument.go_on.set()


@pytest.fixture(params=["json", "websocket"])
def watch(request: pytest.FixtureRequest) -> Iterator[Callable[[LinkServer], Peer]]:
    """Connect in each dialect that can push."""
    with ExitStack() as stack:
        yield lambda server: Peer(stack, server, request.param)


def state_of(server: LinkServer, name: str = "oven") -> Any:
    return exchange({"command_id": "link.state"}, port=server.port)["instruments"][name]


def test_the_state_is_read_when_it_is_asked_for(serve: Serve, oven: Oven) -> None:
    """In the instrument's thread; nobody reads it before."""
    server = serve({"oven": oven, "dds": Probe()})
    exchange({"command_id": "heat", "temperature": 30.0}, port=server.port)
    assert oven.readings == 0
    told = exchange({"command_id": "link.state"}, port=server.port)
    assert told["boot"] == exchange({"command_id": "link.status"}, port=server.port)["boot"]
    shown = told["instruments"]["oven"]
    assert shown.pop("time") > 1.7e9
    assert shown == {"version": 1, "state": {"temperature": 30.0, "door": "closed"}}
    assert told["instruments"]["dds"] == {"version": 0, "time": None, "state": None}
    assert oven.reads_in == {"worker oven"}


def test_the_state_is_that_after_the_last_command(serve: Serve, oven: Oven) -> None:
    server = serve({"oven": oven})
    for temperature in range(20):
        exchange({"command_id": "heat", "temperature": float(temperature)}, port=server.port)
        assert state_of(server)["state"]["temperature"] == temperature


def test_a_busy_instruments_state_is_the_one_known_before(serve: Serve, oven: Oven) -> None:
    server = serve({"oven": oven})
    state_of(server)
    baking = threading.Thread(
        target=exchange, args=({"command_id": "bake"},), kwargs={"port": server.port}
    )
    baking.start()
    until(lambda: state_of(server)["state"]["temperature"] == 100.0)
    oven.shown = {"not": "read while it is busy"}
    assert state_of(server)["state"]["temperature"] == 100.0
    oven.go_on.set()
    baking.join()


def test_what_changes_is_told_to_those_who_have_subscribed(
    serve: Serve, oven: Oven, watch: Any
) -> None:
    """Between the replies to its own requests."""
    server = serve({"oven": oven})
    peer = watch(server)
    known = peer.ask("link.subscribe")["instruments"]["oven"]
    assert known["state"] == {"temperature": 20.0, "door": "closed"}
    for temperature in (30.0, 40.0):
        assert peer.ask("heat", temperature=temperature) == temperature
        event = peer.event()
        assert event["time"] > known["time"]
        assert event == {
            "time": event["time"],
            "event": "state",
            "instrument": "oven",
            "version": known["version"] + 1,
            "patch": {"temperature": temperature},
        }
        known = event
    exchange({"command_id": "heat", "temperature": 50.0}, port=server.port)
    assert peer.event()["patch"] == {"temperature": 50.0}


def test_what_the_instrument_changes_by_itself_is_told(
    serve: Serve, oven: Oven, watch: Any
) -> None:
    """From whatever thread it says so, and by the period that it gives."""
    server = serve({"oven": oven})
    peer = watch(server)
    peer.ask("link.subscribe")
    oven.shown = {"temperature": 21.0}
    oven.changed()
    assert peer.event()["patch"] == {"temperature": 21.0, "door": None}
    oven.period = 0.01
    oven.changed()
    until(lambda: oven.readings > 10)
    oven.shown = {"temperature": 22.0}
    assert peer.event()["patch"] == {"temperature": 22.0}


def test_a_command_tells_of_changes_while_it_runs(serve: Serve, oven: Oven, watch: Any) -> None:
    server = serve({"oven": oven})
    peer, other = watch(server), watch(server)
    peer.ask("link.subscribe")
    simmering = threading.Thread(target=other.ask, args=("simmer",))
    simmering.start()
    assert peer.event()["patch"] == {"temperature": 90.0}
    oven.shown = {**oven.shown, "temperature": 91.0}
    assert peer.event()["patch"] == {"temperature": 91.0}
    oven.go_on.set()
    simmering.join()


def test_how_far_a_command_is_is_told(serve: Serve, oven: Oven, watch: Any) -> None:
    server = serve({"oven": oven})
    peer = watch(server)
    assert peer.ask("link.subscribe", kinds=["progress"])["instruments"] == {}
    request = {"command_id": "bake", "link": {"rid": 7, "owner": "a lab"}}
    baking = threading.Thread(target=exchange, args=(request,), kwargs={"port": server.port})
    baking.start()
    while (event := peer.event("progress"))["text"] != "0 of 2":
        pass
    assert event.pop("seconds") >= 0
    assert event == {
        "event": "progress",
        "instrument": "oven",
        "command": "bake",
        "fraction": 0.0,
        "text": "0 of 2",
        "rid": 7,
        "owner": "a lab",
        "waiting": 0,
    }
    late = watch(server)
    late.ask("link.subscribe", kinds=["progress"])
    assert late.event("progress")["command"] == "bake"
    oven.go_on.set()
    while (event := peer.event("progress"))["command"] is not None:
        pass
    nothing = dict.fromkeys(["command", "seconds", "fraction", "text", "rid", "owner"])
    assert event == {"event": "progress", "instrument": "oven", **nothing, "waiting": 0}
    baking.join()


class Stage(Oven):
    """Goes on moving after its command."""

    def activity(self) -> Activity | None:
        return Activity("moving") if self.period else None


def test_what_goes_on_by_itself_is_told_until_it_ends(serve: Serve, watch: Any) -> None:
    """By its state it is seen that it goes on, also where nobody listens to states."""
    stage = Stage()
    stage.period = 0.01
    server = serve({"stage": stage})
    peer = watch(server)
    peer.ask("link.subscribe", kinds=["progress"])
    assert peer.event("progress")["activity"] == {"text": "moving", "fraction": None}
    stage.period = None
    stage.shown = {"moving": False}
    stage.changed()
    while "activity" in peer.event("progress"):
        pass


class Pump(Instrument):
    """Goes on pumping, of which its state tells nothing."""

    left = 3

    def activity(self) -> Activity | None:
        return Activity(f"pumping, {self.left} to go") if self.left else None

    @command
    def pump(self) -> None:
        self.left = 3


class Pumping(Pump):
    """Has a state, which stays as it is, and is looked at often."""

    state_period = 0.01

    def state(self) -> dict[str, Any]:
        return {"on": True}


@pytest.mark.parametrize("kind", [Pump, Pumping])
def test_what_goes_on_is_told_though_no_state_changes(
    serve: Serve, watch: Any, monkeypatch: pytest.MonkeyPatch, kind: type[Pump]
) -> None:
    monkeypatch.setattr(state_reader, "GOES_ON", 0.01)
    pump = kind()
    peer = watch(serve({"pump": pump}))
    peer.ask("link.subscribe", kinds=["progress"])
    for left in (3, 2, 1):
        pump.left = left
        while peer.event("progress")["activity"]["text"] != f"pumping, {left} to go":
            pass
    pump.left = 0
    while "activity" in peer.event("progress"):
        pass
    peer.ask("pump")
    while "activity" not in peer.event("progress"):
        pass


def test_who_comes_again_gets_what_it_missed(serve: Serve, oven: Oven, watch: Any) -> None:
    server = serve({"oven": oven})
    told = watch(server).ask("link.subscribe")
    version = told["instruments"]["oven"]["version"]
    state = told["instruments"]["oven"]["state"]
    exchange({"command_id": "heat", "temperature": 30.0}, port=server.port)
    since = {"boot": told["boot"], "versions": {"oven": version}}
    missed = watch(server).ask("link.subscribe", since=since)["instruments"]["oven"]
    assert patched(state, missed["patch"]) == {"temperature": 30.0, "door": "closed"}
    since["versions"] = {"oven": missed["version"]}
    assert watch(server).ask("link.subscribe", since=since)["instruments"] == {}
    since["boot"] = "another"
    assert "state" in watch(server).ask("link.subscribe", since=since)["instruments"]["oven"]


def test_a_second_subscription_replaces_the_first_and_one_to_nothing_ends_it(
    serve: Serve, oven: Oven, watch: Any
) -> None:
    server = serve({"oven": oven})
    peer = watch(server)
    feed = server.dispatch.feed
    for kinds in (["state"], ["progress", "progress"], ["lease", "log"]):
        peer.ask("link.subscribe", kinds=kinds)
        assert len(feed) == 1
    peer.ask("heat", temperature=30.0)
    peer.ask("link.ping")
    assert {event["event"] for event in peer.events} <= {"progress"}
    peer.ask("link.subscribe", kinds=[])
    assert len(feed) == 0


def test_a_subscription_ends_with_its_connection(serve: Serve, oven: Oven) -> None:
    server = serve({"oven": oven})
    with ExitStack() as stack:
        for _ in range(50):
            for dialect in ("json", "websocket"):
                Peer(stack, server, dialect).ask("link.subscribe")
        assert len(server.dispatch.feed) == 100
    until(lambda: len(server.dispatch.feed) == 0)
    readings = oven.readings
    exchange({"command_id": "link.ping"}, port=server.port)
    assert oven.readings == readings


@pytest.mark.parametrize(
    ("request_", "code", "error"),
    [
        (
            {"command_id": "link.subscribe"},
            "invalid_parameter",
            "link.subscribe: no events can follow on this connection; ask by WebSocket, or in "
            'JSON with "link": {"keep": true}',
        ),
        (
            {"command_id": "link.subscribe", "instruments": ["ovn"]},
            "invalid_parameter",
            "there is no instrument 'ovn'; did you mean 'oven'?",
        ),
        (
            {"command_id": "link.state", "instrument": ""},
            "invalid_parameter",
            "there is no instrument ''",
        ),
        (
            {"command_id": "link.subscribe", "kinds": ["states"]},
            "invalid_parameter",
            "kinds[0]: 'states' is not one of 'state', 'progress', 'exchange', 'lease', 'log', "
            "'instrument'",
        ),
    ],
)
def test_what_cannot_be_subscribed_to_is_refused(
    serve: Serve, oven: Oven, request_: dict[str, Any], code: str, error: str
) -> None:
    server = serve({"oven": oven})
    with pytest.raises(ServerFailed) as failed:
        exchange(request_, port=server.port)
    assert (failed.value.code, failed.value.error) == (code, error)
    if "no instrument" in error:
        assert failed.value.where in request_
    assert len(server.dispatch.feed) == 0


def test_a_batch_takes_no_subscription(serve: Serve, oven: Oven) -> None:
    server = serve({"oven": oven})
    requests = [{"command_id": "link.subscribe"}]
    with pytest.raises(ServerFailed, match=r"link\.subscribe cannot be part of a batch"):
        exchange({"command_id": "link.batch", "requests": requests}, port=server.port)


CIRCLE: dict[str, Any] = {}
CIRCLE["itself"] = CIRCLE


@pytest.mark.parametrize(
    ("shown", "error"),
    [
        (RuntimeError("no idea"), "no idea"),
        (SystemExit(3), "SystemExit: 3"),
        (
            FileNotFoundError(2, "No file", "/home/lab/a.csv"),
            "[Errno 2] No file: 'a.csv'",
        ),
        ({"a": float("nan")}, "it holds NaN or an infinity, which JSON does not have"),
        ({"a": object()}, "an object of type object is not JSON's"),
        (CIRCLE, "Circular reference detected"),
        ({"a": "x" * 2**21}, "it has 2097160 characters, of 1048576 at most"),
    ],
)
def test_a_state_that_cannot_be_shown_says_why(
    serve: Serve, oven: Oven, watch: Any, shown: Any, error: str, caplog: pytest.LogCaptureFixture
) -> None:
    """Once in the log; commands go on, and the next good one is shown whole."""
    server = serve({"oven": oven})
    peer = watch(server)
    peer.ask("link.subscribe")
    good, oven.shown = oven.shown, shown
    oven.changed()
    event = peer.event()
    assert event["state"] is None
    assert event["error"] == f"the state of oven cannot be shown: {error}"
    for _ in range(3):
        assert state_of(server)["error"] == event["error"]
    oven.shown = good
    assert peer.ask("heat", temperature=1.0) == 1.0
    assert peer.event()["state"] == {**good, "temperature": 1.0}
    assert [record.getMessage() for record in caplog.records].count(event["error"]) == 1


def test_sets_and_arrays_are_shown_as_results_are(serve: Serve, oven: Oven) -> None:
    server = serve({"oven": oven})
    oven.shown = {"set": {1}, "tuple": (1, 2), "array": np.arange(3.0), "number": np.float32(0.5)}
    shown = state_of(server)["state"]
    np.testing.assert_array_equal(shown.pop("array"), [0.0, 1.0, 2.0])
    assert shown == {"set": [1], "tuple": [1, 2], "number": 0.5}


def test_a_state_that_says_that_it_changed_is_read_once(serve: Serve) -> None:
    class Restless(Oven):
        def state(self) -> Any:
            self.changed()
            return super().state()

    oven = Restless()
    server = serve({"oven": oven})
    for _ in range(5):
        state_of(server)
    assert oven.readings < 20
    oven.go_on.set()


def test_a_server_stops_while_clients_listen(serve: Serve, oven: Oven, watch: Any) -> None:
    """And the instrument is nobody's any more: what it says is for nobody."""
    server = serve({"oven": oven})
    peer = watch(server)
    peer.ask("link.subscribe", kinds=["state", "progress", "exchange", "lease", "log"])
    assert oven.tell_change is not None
    server.stop()
    until(lambda: oven.tell_change is None)
    oven.changed()


def test_listeners_that_come_all_at_once_are_no_more_than_there_may_be(
    serve: Serve, oven: Oven, monkeypatch: pytest.MonkeyPatch
) -> None:
    """They wait for the state together, and none of them is there yet."""
    monkeypatch.setattr("artiq_link.exchanges.feed_commands.MAX_LISTENERS", 1)
    monkeypatch.setattr("artiq_link.exchanges.feed_commands.FRESH_TIME", PATIENCE)
    server = serve({"oven": oven})
    reader = server.dispatch._readers["oven"]
    with ExitStack() as stack:
        Peer(stack, server, "json")._send('{"command_id": "bake"}')
        until(lambda: server.dispatch.workers["oven"].progress()["command"] == "bake")
        peers = [Peer(stack, server, "json") for _ in range(3)]
        for peer in peers:
            peer._send('{"command_id": "link.subscribe", "link": {"keep": true}}')
        until(lambda: len(reader._asking) == len(peers))
        oven.go_on.set()
        replies = [json.loads(peer._receive()) for peer in peers]
    assert sorted(reply.get("code", "") for reply in replies) == ["", "busy", "busy"]


def test_who_asks_a_busy_instrument_leaves_nothing_that_waits(serve: Serve, oven: Oven) -> None:
    server = serve({"oven": oven})
    with ExitStack() as stack:
        Peer(stack, server, "json")._send('{"command_id": "bake"}')
        until(lambda: server.dispatch.workers["oven"].progress()["command"] == "bake")
        for _ in range(3):
            state_of(server)
        until(lambda: not server.dispatch._readers["oven"]._asking)
        assert server.dispatch.workers["oven"].progress()["command"] == "bake"
