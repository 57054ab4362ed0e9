"""ARTIQ's notifications, as sipyco's subscribers hear them, by bytes alone."""

from __future__ import annotations

import asyncio
import json
import socket
from collections.abc import Callable
from operator import getitem
from typing import Annotated, Any, ClassVar

import msgspec
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from artiq_link import Instrument, Link, LinkServer, command, reading
from artiq_link.errors import Busy
from artiq_link.exchanges.merge_patch import difference
from artiq_link.exchanges.messages import Event, Reply, Request
from artiq_link.exchanges.registry import Registry
from artiq_link.exchanges.state_reader import MAX_MEMBERS
from artiq_link.link_client import patched
from artiq_link.server.connection import Phase
from artiq_link.wire import select_wire
from artiq_link.wire.base import Wire, WireOptions
from artiq_link.wire.pyon_v1 import V1
from artiq_link.wire.pyon_v2 import V2
from artiq_link.wire.sync_struct import MAX_NAME_LINE, SLICE
from tests.conftest import PATIENCE, until
from tests.peers import connected, conversations, pieces, read_all, talk

Serve = Callable[..., LinkServer]

RELEASES = [("1.9", V1), ("1.10", V2)]


class Source(Instrument):
    """Has frequencies, and a temperature."""

    state_units: ClassVar[dict[str, str]] = {"frequency": "Hz"}

    @reading(period=2.0)
    def temperature(self) -> Annotated[float, msgspec.Meta(extra={"unit": "K"})]:
        """Measure it."""
        return 293.0


OPTIONS = WireOptions(registry=Registry({"dds": Source()}))


def states(**instruments: Any) -> Reply:
    """What `link.subscribe` answers."""
    told = {name: {"version": 1, "state": state} for name, state in instruments.items()}
    return Reply({"boot": "k3f9", "instruments": told})


def changed(version: int, patch: dict[str, Any], state: Any = None) -> Event:
    """A patch, and the state that it makes for who gets something newer in its place."""
    content = {"version": version, "patch": patch}
    return Event("state", "dds", content, lambda: whole(version, state))


def whole(version: int, state: Any) -> Event:
    return Event("state", "dds", {"version": version, "state": state})


def subscribed(notifier: str, reply: Reply) -> tuple[Wire, bytes]:
    """A wire whose subscriber has been told the structure, and how."""
    data = b"ARTIQ sync_struct\n" + notifier.encode() + b"\n"
    wire = select_wire(data, OPTIONS)
    assert wire is not None
    wire.receive_data(data)
    request = wire.next_request()
    assert request is not None
    assert (request.command_id, request.parameters) == ("link.subscribe", {"kinds": ["state"]})
    assert wire.can_push(request)
    told = wire.encode_reply(request, reply)
    wire.note_reply(request, reply)
    assert wire.next_request() is None
    return wire, told + wire.data_to_send()


def heard(data: bytes, struct: Any = None) -> Any:
    """What sipyco's `Subscriber` makes of lines (`process_mod`)."""
    for line in data.splitlines():
        mod = json.loads(line)
        if mod["action"] == "init":
            struct = mod["struct"]
            continue
        target = struct
        for key in mod["path"]:
            target = getitem(target, key)
        if mod["action"] == "setitem":
            target[mod["key"]] = mod["value"]
        else:
            assert mod["action"] == "delitem"
            del target[mod["key"]]
    return struct


@pytest.mark.parametrize(("release", "version"), RELEASES)
def test_transcripts(release: str, version: Any) -> None:
    """Told the same, a subscriber hears from here what it heard from sipyco's publisher."""
    link, datasets = conversations(f"sync_struct_sipyco_{release}")
    name = "chµ😀"
    frequency = {"ch0": {"frequency": 80e6, "output": None, "name": name}}
    wire, told = subscribed("link", states(dds=frequency))
    for number, patch in enumerate(
        [{"frequency": 81e6}, {"running": {"fraction": 0.5}}, {"running": None}, {"output": True}]
    ):
        told += wire.encode_event(changed(2 + number, {"ch0": patch})) or b""
    if release == "1.10":  # for v1 reads such a character, written as two escapes, as two
        assert [version.decode(line) for line in told.splitlines()] == [
            version.decode(line) for line in link[1].splitlines()
        ]
    assert len(told.splitlines()) == len(link[1].splitlines())

    wire, told = subscribed("datasets", states(dds={"ch0": {"frequency": 80e6}}))
    for number, patch in enumerate([{"frequency": 81e6}, {"output": True}, {"frequency": None}]):
        told += wire.encode_event(changed(2 + number, {"ch0": patch})) or b""
    # sipyco tells of tuples, and nobody minds.
    ours = [version.decode(line) for line in told.splitlines()]
    theirs = [version.decode(line) for line in datasets[1].splitlines()]
    assert json.dumps(ours) == json.dumps(theirs)


@pytest.mark.parametrize("version", [V1, V2])
def test_a_line_means_the_same_in_both_versions(version: Any) -> None:
    state = {
        "text": "µ😀\n\x00\u2028\"'\\",
        "none": None,
        "on": True,
        "x": [1, -2.5e-300, 1 << 70],
    }
    _, told = subscribed("link", states(dds=state))
    assert version.decode(told)["struct"] == {"dds": state}


@pytest.mark.parametrize("notifier", ["datasets", "link"])
@given(st.data())
def test_a_subscriber_knows_what_the_feed_knows(notifier: str, data: st.DataObject) -> None:
    """Whatever comes: patches, whole states, or the newest in the place of those between."""
    values = st.recursive(
        st.none() | st.booleans() | st.sampled_from([0, 1, 1.0, "on"]),
        lambda inner: (
            st.lists(inner, max_size=2)
            | st.dictionaries(st.sampled_from(["a", "b", "a.b", '"a']), inner, max_size=3)
        ),
        max_leaves=6,
    )
    state = data.draw(values)
    wire, told = subscribed(notifier, states(dds=state))
    struct = heard(told)
    for version in range(2, 6):
        new = data.draw(values)
        patch = difference(state, new)
        if patch is None or data.draw(st.booleans()):
            event = whole(version, new)
        else:
            assert patched(state, patch) == new
            event = changed(version, patch)
        state = new
        struct = heard(wire.encode_event(event) or b"", struct)
        _, anew = subscribed(notifier, states(dds=state))
        assert json.dumps(struct, sort_keys=True) == json.dumps(heard(anew), sort_keys=True)


def test_news_before_the_structure_come_behind_it_and_old_news_never() -> None:
    data = b"ARTIQ sync_struct\nlink\n"
    wire = select_wire(data, OPTIONS)
    assert wire is not None
    wire.receive_data(data)
    request = wire.next_request()
    assert request is not None
    assert wire.encode_event(whole(1, {"on": False})) == b""
    assert wire.encode_event(changed(2, {"on": True}, {"on": True})) == b""
    told = wire.encode_reply(request, states(dds={"on": False}))
    wire.note_reply(request, states(dds={"on": False}))
    assert heard(told + wire.data_to_send()) == {"dds": {"on": True}}
    assert wire.encode_event(changed(2, {"on": False})) == b""


@pytest.mark.parametrize("notifier", ["datasets", "link"])
def test_an_array_is_one_value(notifier: str) -> None:
    """sipyco 1.10 makes an array of it, which has no members that could be set."""
    arrays = [
        {"__jsonclass__": ["nparray", [[1], "<f8", text]]}
        for text in ("AAAAAAAAAAA=", "AAAAAAAA8D8=")
    ]
    wire, told = subscribed(notifier, states(dds={"curve": arrays[0]}))
    news = wire.encode_event(whole(2, {"curve": arrays[1]})) or b""
    [line] = news.splitlines()
    array = np.array([1.0])
    if notifier == "link":
        assert heard(news, heard(told)) == {"dds": {"curve": arrays[1]}}
        assert V2.decode(line)["value"] == array
    else:
        assert V2.decode(line)["value"][1] == array


def test_readings_have_units_too() -> None:
    _, told = subscribed("datasets", states(dds={"temperature": 293.0}))
    assert heard(told) == {"dds.temperature": [False, 293.0, {"unit": "K", "scale": 1.0}]}


def values_of(number: int) -> dict[str, Any]:
    """Nearly as many as a state may have, each different from those of other numbers."""
    return {f"value{index}": number + index / 10_000 for index in range(MAX_MEMBERS - 100)}


@pytest.mark.parametrize("notifier", ["datasets", "link"])
def test_many_changes_are_told_in_slices(notifier: str) -> None:
    """What has changed again meanwhile is told as it is then, in one."""
    wire, told = subscribed(notifier, states(dds=values_of(1)))
    slices = [wire.encode_event(changed(2, values_of(2), values_of(4)))]
    assert wire.unfinished
    assert wire.encode_event(changed(3, values_of(3), values_of(4))) == b""
    assert wire.encode_event(changed(4, values_of(4), values_of(4))) == b""
    while wire.unfinished:
        assert wire.next_request() is None
        slices.append(wire.data_to_send())
    assert max(len(part or b"") for part in slices) < SLICE + 100
    news = b"".join(part or b"" for part in slices)
    assert news.count(b"\n") == 2 * len(values_of(1))
    _, anew = subscribed(notifier, states(dds=values_of(4)))
    assert heard(news, heard(told)) == heard(anew)


def test_a_name_with_a_dot_is_no_path() -> None:
    """Both members go: sipyco's subscribers fail where a dataset goes that is not there."""
    sync_struct = pytest.importorskip("sipyco.sync_struct")
    wire, told = subscribed("datasets", states(dds={"a.b": 1, "a": {"b": 2}}))
    struct = json.loads(told)["struct"]
    assert struct == {'dds."a.b"': [False, 1, {}], "dds.a.b": [False, 2, {}]}
    for line in (wire.encode_event(whole(2, {})) or b"").splitlines():
        sync_struct.process_mod(struct, json.loads(line))
    assert struct == {}


def test_other_events_are_not_told() -> None:
    wire, _ = subscribed("link", states(dds={}))
    assert wire.encode_event(Event("progress", "dds", {"fraction": 0.5})) == b""


def test_a_state_that_cannot_be_read_leaves_no_datasets() -> None:
    wire, told = subscribed("datasets", states(dds={"on": True}))
    event = Event("state", "dds", {"version": 2, "state": None, "error": "no"})
    assert heard(wire.encode_event(event) or b"", heard(told)) == {}


@pytest.mark.parametrize(
    ("name", "sentence"),
    [
        (b"log\n", "there is no notifier 'log'; there are: datasets, link"),
        (b"\n", "there is no notifier ''; there are: datasets, link"),
        (b"\xff\n", "there is no notifier '\ufffd'; there are: datasets, link"),
        (b"x" * (MAX_NAME_LINE + 1), "a notifier's name is at most 1024 bytes long"),
        (b"x" * (MAX_NAME_LINE + 1) + b"\n", "a notifier's name is at most 1024 bytes long"),
    ],
)
def test_bad_names_end_the_connection(name: bytes, sentence: str) -> None:
    """Without a word: the protocol has none for it, and the log has."""
    outcome = talk([b"ARTIQ sync_struct\n" + name], options=OPTIONS)
    assert (outcome.requests, outcome.sent, outcome.closed) == ([sentence], b"", True)


def test_a_name_without_its_newline_is_waited_for() -> None:
    wire = select_wire(b"ARTIQ sync_struct\n", OPTIONS)
    assert wire is not None
    wire.receive_data(b"ARTIQ sync_struct\nlin")
    assert wire.next_request() is None
    assert wire.awaiting
    assert not wire.closed
    wire.receive_eof()
    assert wire.next_request() is None
    assert wire.closed


def test_what_comes_behind_the_name_is_not_kept() -> None:
    wire, _ = subscribed("link", states(dds={}))
    wire.receive_data(b"x" * 100_000)
    assert (wire.buffered, wire.next_request(), wire.closed) == (0, None, False)


def test_who_ends_its_writing_is_told_the_structure_and_no_more() -> None:
    data = b"ARTIQ sync_struct\nlink\n"
    outcome = talk([data], lambda request: states(dds={"on": True}), OPTIONS, eof=True)
    assert heard(outcome.sent) == {"dds": {"on": True}}
    assert outcome.closed


def test_a_refused_subscription_ends_the_connection() -> None:
    def refuse(request: Request) -> Reply:
        return Reply(error=Busy("1024 listeners are there already"))

    outcome = talk([b"ARTIQ sync_struct\nlink\n"], refuse, OPTIONS)
    assert (outcome.sent, outcome.closed) == (b"", True)


@given(st.lists(st.integers(0, 100), max_size=5))
def test_in_any_pieces(cuts: list[int]) -> None:
    data = b"ARTIQ sync_struct\ndatasets\nrest"
    outcome = talk(pieces(data, cuts), lambda request: states(dds={"on": True}), OPTIONS)
    assert heard(outcome.sent) == {"dds.on": [False, True, {}]}


# --- on a server


class Wide(Instrument):
    """Has a state as wide as wanted."""

    state_units: ClassVar[dict[str, str]] = {"frequency": "Hz"}

    def __init__(self, size: int = 0) -> None:
        self._state: dict[str, Any] = {"frequency": 0.0, "text": "x" * size}

    def state(self) -> dict[str, Any]:
        return self._state

    @command
    def set_frequency(self, frequency: float) -> None:
        """Set it, and another text."""
        text = self._state["text"].swapcase()
        self._state = {"frequency": frequency, "text": text}

    @command
    def break_down(self) -> None:
        """From now on nothing is known."""
        self._state = {"frequency": None}


def line_of(client: socket.socket) -> Any:
    """The next line, and no byte of that behind it."""
    data = b""
    while not data.endswith(b"\n"):
        byte = client.recv(1)
        assert byte, "the server has closed"
        data += byte
    return json.loads(data)


def test_a_subscriber_is_told_of_what_others_do(serve: Serve) -> None:
    server = serve({"oven": Wide()})
    with connected(server) as client:
        client.sendall(b"ARTIQ sync_struct\ndatasets\nand more that nobody reads")
        megahertz = {"unit": "MHz", "scale": 1e6}
        assert line_of(client) == {
            "action": "init",
            "struct": {
                "oven.frequency": [False, 0.0, megahertz],
                "oven.text": [False, "", {}],
            },
        }
        link = Link(port=server.port)
        link.call("set_frequency", frequency=80e6)
        change = {"action": "setitem", "path": [], "key": "oven.frequency"}
        assert line_of(client) == {**change, "value": [False, 80e6, megahertz]}
        link.call("break_down")
        assert line_of(client) == {"action": "delitem", "path": [], "key": "oven.text"}
        assert line_of(client) == {**change, "value": [False, None, megahertz]}


def test_who_half_closes_is_told_the_structure(serve: Serve) -> None:
    """As ``printf ... | nc`` does."""
    server = serve({"oven": Wide()})
    with connected(server) as client:
        client.sendall(b"ARTIQ sync_struct\nlink\n")
        client.shutdown(socket.SHUT_WR)
        assert heard(read_all(client)) == {"oven": {"frequency": 0.0, "text": ""}}


def test_who_goes_is_listened_to_no_more(serve: Serve) -> None:
    server = serve({"oven": Wide()})
    with connected(server) as client:
        client.sendall(b"ARTIQ sync_struct\nlink\n")
        assert line_of(client)["action"] == "init"
        assert len(server.connections) == 1
    until(lambda: not server.connections)


def test_a_subscriber_that_does_not_read_is_closed(
    serve: Serve, caplog: pytest.LogCaptureFixture
) -> None:
    """And holds no more than one structure meanwhile: what it misses is told as the newest."""
    ovens = {f"oven{number}": Wide(1_000_000) for number in range(8)}
    server = serve(ovens, linger_time=0.2)
    link = Link(port=server.port)
    with connected(server) as client:
        client.sendall(b"ARTIQ sync_struct\ndatasets\n")
        until(lambda: any(connection.held for connection in server.connections))
        for name in ovens:
            link.call(f"{name}.set_frequency", frequency=80e6)
        assert sum(connection.held for connection in server.connections) < 10 << 20
        until(lambda: "closed: it took" in caplog.text)
    until(lambda: not server.connections)


class Many(Instrument):
    """Has many values, which change together."""

    number = 1

    def state(self) -> dict[str, Any]:
        return values_of(self.number)

    @command
    def step(self) -> None:
        """Change all."""
        self.number += 1


def test_who_takes_many_changes_slowly_gets_the_newest(serve: Serve) -> None:
    """It goes on in the middle of them once it takes them."""
    server = serve({"many": Many()})
    link = Link(port=server.port)
    with connected(server) as client:
        client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 65536)
        client.sendall(b"ARTIQ sync_struct\nlink\n")
        struct = heard(json.dumps(line_of(client)).encode())
        [its_connection] = server.connections
        link.call("step")
        until(lambda: its_connection._outbox.choked)
        assert its_connection._phase is Phase.READING  # it waits, and takes no turns
        for _ in range(3):
            link.call("step")
        last, newest = list(values_of(5).items())[-1]
        with client.makefile("rb") as lines:
            while struct["many"][last] != newest:
                struct = heard(lines.readline(), struct)
        assert struct == {"many": values_of(5)}


class Deep(Instrument):
    """Nests its state so deep that it can be read, and not be compared."""

    depth = 0

    @command
    def nest(self, depth: int) -> None:
        """Nest it."""
        self.depth = depth

    def state(self) -> dict[str, Any]:
        state: dict[str, Any] = {}
        for _ in range(self.depth):
            state = {"inner": state}
        return state


def test_what_cannot_be_told_ends_one_subscription(
    serve: Serve, caplog: pytest.LogCaptureFixture
) -> None:
    """The others are told of all that follows."""
    server = serve({"deep": Deep(), "oven": Wide()})
    link = Link(port=server.port)
    with connected(server) as client, connected(server) as other:
        client.sendall(b"ARTIQ sync_struct\ndatasets\n")
        assert line_of(client)["action"] == "init"
        link.call("nest", depth=985)
        assert read_all(client) == b""
        link.call("nest", depth=0)
        other.sendall(b"ARTIQ sync_struct\nlink\n")
        assert line_of(other)["struct"]["deep"] == {}
        link.call("set_frequency", frequency=80e6)
        assert line_of(other)["value"] == 80e6
    assert "RecursionError" in caplog.text


def test_an_unknown_notifier_is_logged_and_closed(
    serve: Serve, caplog: pytest.LogCaptureFixture
) -> None:
    server = serve({"oven": Wide()})
    with connected(server) as client:
        client.sendall(b"ARTIQ sync_struct\nschedule\n")
        assert read_all(client) == b""
    assert "there is no notifier 'schedule'; there are: datasets, link" in caplog.text


@pytest.mark.parametrize("notifier", ["datasets", "link"])
def test_sipycos_subscriber(serve: Serve, notifier: str) -> None:
    sync_struct = pytest.importorskip("sipyco.sync_struct")
    server = serve({"oven": Wide()})

    async def subscribe() -> Any:
        heard: asyncio.Queue[Any] = asyncio.Queue()
        built: list[Any] = []
        subscriber = sync_struct.Subscriber(
            notifier, lambda struct: built.append(struct) or struct, heard.put_nowait
        )
        await subscriber.connect("127.0.0.1", server.port)
        await asyncio.wait_for(heard.get(), PATIENCE)
        await asyncio.to_thread(Link(port=server.port).call, "set_frequency", frequency=80e6)
        await asyncio.wait_for(heard.get(), PATIENCE)
        await subscriber.close()
        return built[0]

    expected = {
        "datasets": {
            "oven.frequency": [False, 80e6, {"unit": "MHz", "scale": 1e6}],
            "oven.text": [False, "", {}],
        },
        "link": {"oven": {"frequency": 80e6, "text": ""}},
    }
    assert asyncio.run(subscribe()) == expected[notifier]
