"""Events of exchanges, leases, hardware and the log, as listeners get them."""

from __future__ import annotations

import json
import logging
import socket
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import Any

import pytest

from artiq_link import HardwareLost, Instrument, LinkServer, ServerFailed, command, exchange
from artiq_link.exchanges.exchange import Moment
from artiq_link.exchanges.log_listener import LogListener
from tests.conftest import CONTROL_TOKEN, WATCH_TOKEN, Probe, until
from tests.exchanges.test_feed_commands import Peer

Serve = Callable[..., LinkServer]
Listen = Callable[..., Peer]


@pytest.fixture
def listen() -> Iterator[Listen]:
    """Listen to one kind of events."""
    with ExitStack() as stack:

        def subscribe(server: LinkServer, kind: str, **parameters: Any) -> Peer:
            peer = Peer(stack, server, "json")
            assert peer.ask("link.subscribe", kinds=[kind], **parameters)["instruments"] == {}
            return peer

        yield subscribe


def ask(server: LinkServer, command_id: str, link: Any = None, **parameters: Any) -> Any:
    request = {"command_id": command_id, **parameters}
    return exchange(request, port=server.port, link=link)


def test_an_exchange_is_told_as_the_history_lists_it(
    serve: Serve, listen: Listen, tmp_path: Any
) -> None:
    server = serve(journal=tmp_path / "journal.sqlite")
    peer = listen(server, "exchange")
    link = {"id": "abc", "rid": 7, "owner": "a lab"}
    ask(server, "set_frequency", link, channel=0, frequency=80e6)
    with pytest.raises(ServerFailed):
        ask(server, "refuse")
    with pytest.raises(ServerFailed):
        ask(server, "set_frequencies")
    told = [peer.event("exchange") for _ in range(3)]
    listed = ask(server, "link.history")
    for event, entry in zip(told, listed, strict=True):
        assert event.pop("event") == "exchange"
        del entry["n"]
        # Each reckons it from two clocks.
        assert event.pop("received") == pytest.approx(entry.pop("received"), abs=0.1)
        assert event == {"instrument": None, **entry}
    assert [event["outcome"] for event in told] == ["done", "failed", "refused"]
    assert told[0]["parameters"] == {"channel": 0, "frequency": 80e6}


def test_exchanges_are_told_without_a_journal_too(serve: Serve, listen: Listen) -> None:
    """Those that may change something, each once, and what they came to as it was then."""
    server = serve(journal=False)
    peer = listen(server, "exchange")
    ask(server, "link.ping")
    for _ in range(2):
        ask(server, "echo", {"id": "abc"}, value=[1, 2])
    ask(server, "echo", value="x" * 20_000)
    ask(server, "count")
    told = [peer.event("exchange") for _ in range(3)]
    assert [event["command"] for event in told] == ["echo", "echo", "count"]
    assert [event.get("result") for event in told] == [[1, 2], None, 2]
    assert told[0]["dialect"] == "json"
    assert told[0]["peer"].startswith("127.0.0.1:")


def test_the_parts_of_a_batch_are_told(serve: Serve, listen: Listen) -> None:
    server = serve()
    peer = listen(server, "exchange", instruments=["dds"])
    ask(server, "link.batch", requests=[{"command_id": "count"}] * 3)
    assert [peer.event("exchange")["command"] for _ in range(4)] == ["count"] * 3 + ["link.batch"]


def test_bytes_that_are_no_request_are_told_as_refused(serve: Serve, listen: Listen) -> None:
    server = serve()
    peer = listen(server, "exchange")
    with socket.create_connection(("127.0.0.1", server.port)) as client:
        client.sendall(b"{nonsense}")
        client.recv(1000)
    event = peer.event("exchange")
    assert (event["outcome"], event["code"], event["instrument"]) == ("refused", "malformed", None)


def test_nobody_observes_exchanges_while_nobody_listens(serve: Serve, listen: Listen) -> None:
    server = serve()
    dispatch = server.dispatch
    before = dict(dispatch._observers)
    assert not before[Moment.PROGRESS]
    peer = listen(server, "exchange")
    peer.ask("link.subscribe", kinds=["progress", "exchange"])
    assert dispatch._observers != before
    peer.ask("link.subscribe", kinds=[])
    assert dispatch._observers == before


def test_leases_are_told_as_the_status_shows_them(serve: Serve, listen: Listen) -> None:
    server = serve()
    peer = listen(server, "lease")
    given = ask(server, "link.acquire", instrument="dds", owner="a lab", seconds=10)
    event = peer.event("lease")
    assert event == {
        "event": "lease",
        "instrument": "dds",
        "lease": {"owner": "a lab", "until": given["until"]},
    }
    assert ask(server, "link.status")["instruments"]["dds"]["lease"] == event["lease"]
    ask(server, "link.release", lease=given["lease"])
    assert peer.event("lease")["lease"] is None
    ask(server, "link.acquire", instrument="dds", owner="a lab", seconds=0.1)
    assert peer.event("lease")["lease"]["owner"] == "a lab"
    assert peer.event("lease")["lease"] is None


class Balance(Instrument):
    """Its cable may be pulled."""

    is_plugged = True

    def open_hardware(self) -> None:
        self._look()

    @command
    def weigh(self) -> float:
        """Weigh."""
        self._look()
        return 1.0

    def _look(self) -> None:
        if not self.is_plugged:
            raise HardwareLost("no answer")


def test_lost_and_reopened_hardware_is_told_as_the_status_shows_it(
    serve: Serve, listen: Listen
) -> None:
    balance = Balance()
    server = serve({"balance": balance})
    peer = listen(server, "instrument")
    balance.is_plugged = False
    with pytest.raises(ServerFailed):
        ask(server, "weigh")
    event = peer.event("instrument")
    assert (event["instrument"], event["state"]) == ("balance", "lost")
    assert event["lost"]["why"] == "no answer"
    balance.is_plugged = True
    ask(server, "link.reopen", instrument="balance")
    event = peer.event("instrument")
    assert event == {
        "event": "instrument",
        "instrument": "balance",
        "state": "idle",
        "summary": "balance: idle",
        "waiting": 0,
    }


def test_warnings_of_the_log_are_told_without_folders_and_tracebacks(
    serve: Serve, listen: Listen
) -> None:
    """The package's and the lab's; on one line each, and for nobody once nobody listens."""
    server = serve()
    peer = listen(server, "log", instruments=["dds"])
    with pytest.raises(ServerFailed):
        ask(server, "fail")
    event = peer.event("log")
    assert event.pop("time") > 1.7e9
    assert event == {
        "event": "log",
        "instrument": None,
        "level": "ERROR",
        "name": "artiq_link.exchanges.exchange",
        "text": "fail failed",
    }
    logger = logging.getLogger("a lab's")
    logger.info("nothing to see")
    logger.warning("cannot read %s\n\x1b[31mred", "/home/lab/table.csv")
    assert peer.event("log")["text"] == r"cannot read table.csv\n\x1b[31mred"
    (listener,) = (h for h in logging.getLogger().handlers if isinstance(h, LogListener))
    wrong = {"msg": "%d is no number", "args": ("this",), "levelname": "WARNING"}
    listener.handle(logging.makeLogRecord(wrong))
    assert peer.event("log")["text"] == "%d is no number"
    unwritable = {"name": "b\udcff", "msg": "hot \udcff", "levelname": "WARNING"}
    listener.handle(logging.makeLogRecord(unwritable))
    told = peer.event("log")
    assert (told["name"], told["text"]) == (r"b\udcff", r"hot \udcff")
    handlers = len(logging.getLogger().handlers)
    peer.ask("link.subscribe", kinds=[])
    assert len(logging.getLogger().handlers) == handlers - 1


def test_who_may_watch_may_listen_and_nobody_else(
    serve: Serve, listen: Listen, elsewhere: str, token_file: str, probe: Probe
) -> None:
    server = serve(host=["127.0.0.1", elsewhere], token_file=token_file)

    def subscribe(token: str | None) -> dict[str, Any]:
        link = {"keep": True} if token is None else {"keep": True, "token": token}
        request = {"command_id": "link.subscribe", "kinds": ["exchange"], "link": link}
        with socket.create_connection((elsewhere, server.port)) as client:
            client.sendall(json.dumps(request).encode())
            return json.loads(client.makefile().readline())

    assert subscribe(WATCH_TOKEN)["status"] == "success"
    assert subscribe(CONTROL_TOKEN)["status"] == "success"
    until(lambda: len(server.dispatch.feed) == 0)
    assert subscribe(None)["code"] == "unauthorized"
    assert len(server.dispatch.feed) == 0
