"""The client's repeats of a request whose connection was lost, and what it does about restarts."""

from __future__ import annotations

import contextlib
import json
import logging
import re
import socket
from collections.abc import Callable
from typing import Any

import pytest

from artiq_link import ConnectFailed, Link, LinkServer, NoReply, ServerFailed
from artiq_link.link_client import request_reply, send_data
from tests.conftest import PATIENCE, Probe
from tests.peers import read_all
from tests.scripted_server import Script, answer, free_port, read_request, scripted_server

Serve = Callable[..., LinkServer]

DONE = answer(status="success", result=1)
REQUEST = {"command_id": "set_frequency", "channel": 0, "frequency": 1e6}


def hang_up(connection: socket.socket) -> None:
    read_request(connection)


def ask(server: LinkServer, request: dict[str, Any]) -> bytes:
    """The server's reply to a request, on a connection of its own."""
    request["link"].pop("keep", None)
    with socket.create_connection(("127.0.0.1", server.port)) as behind:
        behind.sendall(json.dumps(request).encode())
        return read_all(behind)


def swallow(server: LinkServer) -> Script:
    """Hand a request on to the server, and lose the reply."""

    def script(connection: socket.socket) -> None:
        assert ask(server, read_request(connection))

    return script


def hand_on(server: LinkServer) -> Script:
    """Hand a request on to the server, and its reply back."""

    def script(connection: socket.socket) -> None:
        connection.sendall(ask(server, read_request(connection)))

    return script


def test_a_request_whose_reply_was_lost_is_executed_once(serve: Serve, probe: Probe) -> None:
    server = serve()
    on, lost = hand_on(server), swallow(server)
    with scripted_server(lost, on, lost, lost, on, on) as (host, port):
        link = Link(host, port, PATIENCE, retries=3)
        assert link.call("set_frequency", channel=0, frequency=1e6) == {"frequency": 1e6}
    assert probe.executed == [(0, 1e6)]


def test_a_request_that_never_arrived_is_executed_after_all(serve: Serve, probe: Probe) -> None:
    server = serve()
    with scripted_server(hang_up, hand_on(server), hand_on(server)) as (host, port):
        assert request_reply(REQUEST, host, port, PATIENCE, retries=1)["status"] == "success"
    with scripted_server(hang_up, hand_on(server), hand_on(server)) as (host, port):
        reply = send_data(REQUEST, host, port, timeout=PATIENCE, retries=1)
        assert reply is not None
        assert reply["status"] == "success"
    assert probe.executed == [(0, 1e6)] * 2


def test_on_a_kept_connection_too(serve: Serve, probe: Probe) -> None:
    server = serve()
    with scripted_server(hang_up, hand_on(server), hand_on(server)) as (host, port):
        with Link(host, port, PATIENCE, retries=1) as link:
            link.call("set_frequency", channel=0, frequency=1e6)
    assert probe.executed == [(0, 1e6)]


def test_all_repeats_have_one_id() -> None:
    names = []

    def note(connection: socket.socket) -> None:
        names.append(read_request(connection)["link"]["id"])

    def note_outcome(connection: socket.socket) -> None:
        request = read_request(connection)
        assert request["command_id"] == "link.outcome"
        names.append(request["id"])
        reply = {"status": "success", "result": {"outcome": "never_arrived"}}
        connection.sendall(json.dumps(reply).encode() + b"\n")

    scripts = (note, note_outcome, note, note_outcome, note)
    with scripted_server(*scripts, ends=True) as (host, port):
        with pytest.raises(NoReply) as info:
            Link(host, port, PATIENCE, retries=2).call("reset")
    assert set(names) == {info.value.id}
    assert len(names) == 5
    assert str(info.value) == (
        f"the connection to {host}:{port} ended before the whole reply (0 bytes came: is it a "
        "link server?); whether the command was executed is not known: check the instrument "
        f"before sending it again, or ask with Link.outcome({info.value.id!r})"
    )


def test_without_retries_a_request_is_sent_once() -> None:
    with scripted_server(hang_up) as (host, port):
        with pytest.raises(NoReply):
            Link(host, port, PATIENCE).call("reset")


def test_a_server_that_knows_no_ids_gets_the_request_once() -> None:
    """An older one would execute it twice."""
    older = answer(status="fail", code="unknown_command", error="there is no 'link.outcome'")
    with scripted_server(hang_up, older) as (host, port):
        with pytest.raises(NoReply, match="executed is not known"):
            Link(host, port, PATIENCE, retries=5).call("reset")


def test_a_server_that_has_not_known_for_long_gets_the_request_once() -> None:
    """It has started anew without a journal, and the request may have come before."""
    short = answer(status="success", result={"outcome": "never_arrived", "known_for": 1e-6})
    with scripted_server(hang_up, short) as (host, port):
        with pytest.raises(NoReply, match="executed is not known"):
            Link(host, port, PATIENCE, retries=5).call("reset")
    long = answer(status="success", result={"outcome": "never_arrived", "known_for": 3600.0})
    with scripted_server(hang_up, long, DONE) as (host, port):
        assert Link(host, port, PATIENCE, retries=5).call("reset") == 1


@pytest.mark.parametrize("known_for", ["for ever", None, [], {}])
def test_a_server_that_says_nothing_sensible_gets_the_request_once(known_for: Any) -> None:
    result = {"outcome": "never_arrived", "known_for": known_for}
    with scripted_server(hang_up, answer(status="success", result=result)) as (host, port):
        with pytest.raises(NoReply, match="is not known"):
            Link(host, port, PATIENCE, retries=1).call("reset")


def test_where_nobody_ever_answered_nothing_is_retried() -> None:
    """The address may be wrong, and who asks need not wait."""
    with free_port() as port:
        with pytest.raises(ConnectFailed, match=r"no firewall is in the way$"):
            Link(port=port, timeout=PATIENCE, retries=10**6).call("reset")


NOBODY = r"nobody was there since \d\d:\d\d:\d\d, in \d tries"


@pytest.mark.parametrize("kept", [False, True])
def test_a_server_that_has_answered_before_is_waited_for(kept: bool) -> None:
    """It may be starting anew; that takes longer than any number of retries in a row."""
    with scripted_server(DONE, ends=True) as (host, port):
        link = Link(host, port, PATIENCE, retries=1)
        with link if kept else contextlib.nullcontext():
            link.call("get")
            link.timeout = 0.5
            with pytest.raises(ConnectFailed) as info:
                link.call("reset")
    assert re.fullmatch(
        rf"could not connect to {host}:{port}: Connection refused; check that the server is "
        r"running, that host and port are right, and that no firewall is in the way; nothing was "
        rf"executed; {NOBODY}",
        str(info.value),
    )
    assert info.value.id


def test_a_server_that_has_gone_for_good_is_waited_for_once() -> None:
    """A scan that goes on costs one timeout, and not one for each point."""
    with scripted_server(DONE, ends=True) as (host, port):
        link = Link(host, port, 0.5, retries=1)
        link.call("get")
        for end in (NOBODY, "no firewall is in the way"):
            with pytest.raises(ConnectFailed, match=rf"{end}$"):
                link.call("reset")


def test_without_retries_nobody_waits_for_it() -> None:
    with scripted_server(DONE, ends=True) as (host, port):
        link = Link(host, port, PATIENCE)
        link.call("get")
        with pytest.raises(ConnectFailed, match=r"no firewall is in the way$"):
            link.call("reset")
        assert send_data(REQUEST, host, port, timeout=PATIENCE) is None


def test_a_server_that_is_stopping_may_be_starting_anew() -> None:
    """What it refused was not executed."""
    names = []

    def note(connection: socket.socket) -> None:
        names.append(read_request(connection)["link"]["id"])
        connection.sendall(b'{"status": "fail", "code": "shutting_down", "error": "it stops"}\n')

    with scripted_server(note, note, DONE) as (host, port):
        assert Link(host, port, PATIENCE, retries=1).call("reset") == 1
    assert len(names) == 2
    assert len(set(names)) == 1
    with scripted_server(note, ends=True) as (host, port):
        with pytest.raises(ServerFailed, match="shutting_down: it stops"):
            Link(host, port, 0.3, retries=1).call("reset")
    with scripted_server(note) as (host, port):
        with pytest.raises(ServerFailed, match="shutting_down: it stops"):
            Link(host, port, PATIENCE).call("reset")


def test_what_would_come_too_late_is_not_sent(serve: Serve, probe: Probe) -> None:
    """A program that was suspended before it sent says what it knows: nothing was executed."""
    with Link(port=serve().port, timeout=PATIENCE) as link:
        link.call("set_frequency", channel=0, frequency=1e6)
        link.timeout = 1e-9
        with pytest.raises(ConnectFailed, match=r"nothing was sent to .*: its 1e-09 s were up"):
            link.call("set_frequency", channel=0, frequency=2e6)
    assert probe.executed == [(0, 1e6)]


def test_a_server_that_does_not_come_back_is_given_up_in_time() -> None:
    """It is not said that nothing was executed."""
    with scripted_server(hang_up, ends=True) as (host, port):
        link = Link(host, port, 0.5, retries=1)
        with pytest.raises(NoReply) as info:
            link.call("reset")
    assert re.fullmatch(
        rf"the connection to {host}:{port} ended before the whole reply \(0 bytes came: is it a "
        r"link server\?\); whether the command was executed is not known: check the instrument "
        rf"before sending it again, or ask with Link\.outcome\('{info.value.id}'\); {NOBODY}",
        str(info.value),
    )


@pytest.mark.parametrize(
    ("retries", "kind", "sentence"),
    [
        ("10", TypeError, "retries: expected an integer, got a value of type str"),
        (1.5, TypeError, "retries: expected an integer, got a value of type float"),
        (-1, ValueError, "retries: expected 0 or more, got -1"),
    ],
)
def test_what_is_no_number_of_retries_is_told_before_one_is_needed(
    retries: Any, kind: type[Exception], sentence: str
) -> None:
    with pytest.raises(kind) as info:
        Link(port=1, retries=retries).call("reset")
    assert str(info.value) == sentence


def test_no_reply_in_time_is_no_loss() -> None:
    def silent(connection: socket.socket) -> None:
        read_request(connection)
        read_all(connection)

    with scripted_server(silent) as (host, port):
        with pytest.raises(NoReply, match="gave no whole reply"):
            Link(host, port, 0.1, retries=5).call("reset")


# --- restarts -----------------------------------------------------------------------------------


def status(boot: str | None) -> Script:
    return answer(status="success", result={} if boot is None else {"boot": boot})


def refused_as(boot: str) -> Script:
    """Refuse a request that knows this start of the server."""

    def script(connection: socket.socket) -> None:
        assert read_request(connection)["link"]["boot"] == boot
        reply = {"status": "fail", "code": "restarted", "error": "anew"}
        connection.sendall(json.dumps(reply).encode() + b"\n")

    return script


def done_as(boot: str | None) -> Script:
    def script(connection: socket.socket) -> None:
        assert read_request(connection)["link"].get("boot") == boot
        connection.sendall(b'{"status": "success", "result": 1}\n')

    return script


def test_by_itself_a_link_asks_for_no_start() -> None:
    with scripted_server(done_as(None)) as (host, port):
        assert Link(host, port, PATIENCE).call("reset") == 1


def test_an_older_server_is_asked_once_and_never_told() -> None:
    """It would refuse the member."""
    with scripted_server(status(None), done_as(None), done_as(None)) as (host, port):
        link = Link(host, port, PATIENCE, on_restart="raise")
        assert [link.call("reset"), link.call("reset")] == [1, 1]


def test_a_status_that_is_asked_for_anyway_is_enough() -> None:
    with scripted_server(status("a"), done_as("a"), done_as("a")) as (host, port):
        link = Link(host, port, PATIENCE, on_restart="raise")
        link.call("link.status")
        link.call("reset")
        link.call("reset")


def test_a_warning_is_logged_and_the_command_executed(caplog: pytest.LogCaptureFixture) -> None:
    scripts = (status("a"), done_as("a"), refused_as("a"), status("b"), done_as("b"), done_as("b"))
    with scripted_server(*scripts) as (host, port):
        link = Link(host, port, PATIENCE, on_restart="warn")
        for _ in range(3):
            link.call("reset")
    assert caplog.record_tuples == [
        (
            "artiq_link.client",
            logging.WARNING,
            "anew; it is sent again",
        )
    ]


def test_a_restart_stays_one_until_the_function_has_succeeded() -> None:
    def fail() -> None:
        raise OSError("no laser")

    scripts = (status("a"), refused_as("a"), status("b"), refused_as("a"), status("b"))
    with scripted_server(*scripts) as (host, port):
        link = Link(host, port, PATIENCE, on_restart=fail)
        for _ in range(2):
            with pytest.raises(OSError, match="no laser"):
                link.call("reset")


def test_a_restart_while_everything_is_set_up_again_is_a_failure() -> None:
    scripts = (status("a"), refused_as("a"), status("b"), refused_as("b"))
    with scripted_server(*scripts) as (host, port):
        link = Link(host, port, PATIENCE, on_restart=lambda: link.call("set"))
        with pytest.raises(ServerFailed, match="restarted"):
            link.call("reset")


@pytest.mark.parametrize("wrong", ["rise", None, 3])
def test_what_is_no_way_to_answer_a_restart_is_told(wrong: Any) -> None:
    with pytest.raises(ValueError, match="on_restart: expected 'raise', 'warn', 'ignore' or a"):
        Link(on_restart=wrong)
