"""ARTIQ's notifications, as sipyco's subscribers hear them, by bytes alone."""

from __future__ import annotations

import json
from operator import getitem
from typing import Any, ClassVar

import pytest
from hypothesis import given
from hypothesis import strategies as st

from artiq_link import Instrument
from artiq_link.errors import Busy
from artiq_link.exchanges.merge_patch import difference
from artiq_link.exchanges.messages import Event, Reply, Request
from artiq_link.exchanges.registry import Registry
from artiq_link.link_client import patched
from artiq_link.wire import select_wire
from artiq_link.wire.base import Wire, WireOptions
from artiq_link.wire.pyon_v1 import V1
from artiq_link.wire.pyon_v2 import V2
from artiq_link.wire.sync_struct import MAX_NAME_LINE
from tests.peers import conversations, pieces, talk

RELEASES = [("1.9", V1), ("1.10", V2)]


class Source(Instrument):
    """Has frequencies."""

    state_units: ClassVar[dict[str, str]] = {"frequency": "Hz"}


OPTIONS = WireOptions(registry=Registry({"dds": Source()}))


def states(**instruments: Any) -> Reply:
    """What `link.subscribe` answers."""
    told = {name: {"version": 1, "state": state} for name, state in instruments.items()}
    return Reply({"boot": "k3f9", "instruments": told})


def changed(version: int, patch: dict[str, Any]) -> Event:
    return Event("state", "dds", {"version": version, "patch": patch})


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
    assert wire.next_request() is None
    return wire, told


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
            | st.dictionaries(st.sampled_from("abc"), inner, max_size=3)
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
    assert wire.encode_event(changed(2, {"on": True})) == b""
    told = wire.encode_reply(request, states(dds={"on": False}))
    assert heard(told) == {"dds": {"on": True}}
    assert wire.encode_event(changed(2, {"on": False})) == b""


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
